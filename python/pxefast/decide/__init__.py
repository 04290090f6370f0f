"""Decisions: a request and a snapshot of the site in, an answer and its reasons out.

No I/O, no clock, no database.

The modules here are also compiled, by Cython and from these very files, into the native library. They are
taken from there where it is present, all of them or none; PXEFAST_PURE=1 runs the source. `compiled` says
which.
"""

from ._compiled import compiled
from .decision import decide
from .exclusion import parse as parse_exclusions
from .records import (
    BootImage,
    Decision,
    Deployment,
    Device,
    DistributionPoint,
    Exclusions,
    Mark,
    Policy,
    Reason,
    Request,
    Site,
    normal_guid,
    normal_mac,
)
from .windows import ROLES

__all__ = [
    "ROLES",
    "BootImage",
    "Decision",
    "Deployment",
    "Device",
    "DistributionPoint",
    "Exclusions",
    "Mark",
    "Policy",
    "Reason",
    "Request",
    "Site",
    "compiled",
    "decide",
    "normal_guid",
    "normal_mac",
    "parse_exclusions",
]
