from .records cimport BootImage, Deployment, Mark, Reason, Request

cdef class Platform:
    cdef readonly object architecture, firmware, compatible, label, reason
