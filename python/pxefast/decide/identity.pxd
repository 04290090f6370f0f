from .records cimport Device, Reason, Request, Site
