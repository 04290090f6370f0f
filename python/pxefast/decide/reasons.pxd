from .records cimport Deployment, Device, Reason
