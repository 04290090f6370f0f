"""The exclusion list that a running service decides from, for commands that say what it would decide.

The service keeps its last good list when the file becomes unreadable: nobody else can know that one from the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pxefast import named_files

__all__ = ["EffectiveList", "read"]

_NAME = "exclusions"
# A million machines and more.
_LARGEST = 1 << 25


class EffectiveList:
    """The file `exclusions` in the folder `run` of a home, written whenever the list is another one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _NAME
        self._macs: frozenset[str] | None = None
        self._digest = ""

    def write(self, macs: frozenset[str]) -> str:
        """Replace the file where the list changed; returns the SHA-256 of what it says.

        A full disk costs the file, not the service: who reads it compares the digest.
        """
        if macs is self._macs:
            return self._digest
        data = _text(macs)
        self._macs, self._digest = macs, hashlib.sha256(data).hexdigest()
        temporary = self._file.with_suffix(".new")
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            temporary.replace(self._file)
        return self._digest


def read(folder: Path, digest: str) -> frozenset[str] | None:
    """The list with this digest; None where the file is another one, or cannot be read."""
    try:
        data = named_files.read_bytes(folder / _NAME, _LARGEST)
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest() != digest:
        return None
    return frozenset(data.decode("ascii").split())


def _text(macs: Iterable[str]) -> bytes:
    return "".join(f"{mac}\n" for mac in sorted(macs)).encode("ascii")
