from .bootimage cimport Platform
from .records cimport BootImage, Policy, Reason, Request
