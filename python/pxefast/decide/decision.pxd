from .bootimage cimport Choice, Platform
from .identity cimport Machine
from .records cimport BootImage, Decision, Deployment, Device, DistributionPoint, Exclusions, Mark, Policy, Reason, Request, Site
