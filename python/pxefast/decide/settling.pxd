from .identity cimport Machine
from .records cimport Mark, Policy, Reason, Request, Site
