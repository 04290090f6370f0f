from .records cimport Deployment, Device, Mark, Policy, Reason, Request, Site
