"""The host that this is, in a form that says nothing else about it."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["host_identity"]

_MACHINE_ID = Path("/etc/machine-id")


def host_identity(home: str) -> str:
    """Return a hash of this host's machine id and a home's id; "" on a host without a machine id.

    machine-id(5) asks for a keyed hash, so that the id itself is disclosed nowhere.
    """
    try:
        machine = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    if len(machine) != 32:
        # "uninitialized", or empty, as in an image that was not booted yet.
        return ""
    return hashlib.sha256(f"{machine} {home}".encode()).hexdigest()[:32]
