from .bootimage cimport Choice, Platform
from .identity cimport Machine
from .records cimport Deployment, Device, Mark, Policy, Reason, Request, Site
