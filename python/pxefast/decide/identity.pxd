from .records cimport Device, Policy, Reason, Request, Site
