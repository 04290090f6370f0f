from .bootimage cimport Platform
from .records cimport Device, Exclusions, Mark, Policy, Reason, Request, Site

cdef class Machine:
    cdef readonly Device device
    cdef readonly object known, number
    cdef readonly Mark live
    cdef readonly str mac, guid
    cdef readonly Platform platform
    cdef readonly Mark launch
