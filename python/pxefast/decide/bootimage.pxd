from .records cimport BootImage, Deployment, Mark, Policy, Reason, Request

cdef class Platform:
    cdef readonly str architecture, firmware
    cdef readonly tuple compatible
    cdef readonly str label
    cdef readonly Reason reason

cdef class Choice:
    cdef readonly Deployment deployment
    cdef readonly BootImage image
    cdef readonly int fit
