from .bootimage cimport Platform
from .records cimport BootImage, Decision, Deployment, Device, DistributionPoint, Exclusions, Mark, Reason, Request, Site
