"""Free space where claims are recorded: required deployments stop before it runs out, and say so (D40)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pxefast.decide import Reason
from pxefast.responder.pauses import no_space

__all__ = ["DiskSpace"]

# Claims stop below the first, and go on above the second, so that they do not start and stop by turns.
_LEAST_BYTES = 1 << 20
_ENOUGH_BYTES = 2 << 20


class DiskSpace:
    """The file systems that these folders are on."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._short = False

    def look(self) -> Reason | None:
        """Return why no claim may begin, or None while there is room. A folder that is gone says nothing here."""
        least = _ENOUGH_BYTES if self._short else _LEAST_BYTES
        for folder in self._folders:
            try:
                status = os.statvfs(folder)
            except OSError:
                continue
            free = status.f_bavail * status.f_frsize
            if free < least:
                self._short = True
                return no_space(
                    f"no space left on device: {free:,} bytes are free for {folder}; "
                    f"free space, {_ENOUGH_BYTES:,} bytes or more, and they go on by themselves"
                )
        self._short = False
        return None
