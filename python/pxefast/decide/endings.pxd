from .bootimage cimport Choice, Platform
from .identity cimport Machine
from .records cimport BootImage, Decision, Deployment, Reason, Request, Site
