from .records cimport Deployment, Device, Mark, Reason
