from .records cimport Deployment, Mark, Reason, Request, Site
