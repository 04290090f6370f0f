"""How the service is: a file that it rewrites every second, and the lock that says whether it lives."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pxefast.errors import CannotOpen
from pxefast.responder.heartbeat import SILENT_SECONDS, clock

__all__ = ["Lock", "StatusFile", "read"]

_SECONDS = 1.0
_BLOCK_BYTES = 4096
# A file that is written in its place may be read half written.
_READS = 5


class Lock:
    """One service a home. The kernel gives the lock back however the process ends.

    `held` is the descriptor of a service before this one: the lock is of both, until both have ended.
    """

    def __init__(self, folder: Path, held: int | None = None) -> None:
        if held is not None:
            self._descriptor = held
            return
        try:
            folder.mkdir(exist_ok=True)
            self._descriptor = os.open(_lock_file(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CannotOpen(f"cannot open {_lock_file(folder)}: {error.strerror}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise CannotOpen(f"another pxefast serves {folder.parent} already; see: pxefast status") from None

    def fileno(self) -> int:
        """Its descriptor."""
        return self._descriptor

    def release(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


class StatusFile:
    """Rewrites the status, at most once a second."""

    def __init__(self, folder: Path) -> None:
        self._file = _status_file(folder)
        self._next = 0.0

    def due(self) -> bool:
        """Whether it is time again."""
        return time.monotonic() >= self._next

    def write(self, status: dict[str, Any]) -> None:
        """Replace the file whole; on a full disk write it anew in its place, which its blanks keep free (D40)."""
        self._next = time.monotonic() + _SECONDS
        temporary = self._file.with_suffix(".new")
        data = json.dumps(status).encode()
        try:
            temporary.write_bytes(data.ljust((len(data) // _BLOCK_BYTES + 2) * _BLOCK_BYTES))
            temporary.replace(self._file)
        except OSError:
            temporary.unlink(missing_ok=True)
            with suppress(OSError):
                self._write_in_place(data)

    def _write_in_place(self, data: bytes) -> None:
        size = self._file.stat().st_size
        if len(data) <= size:
            with self._file.open("r+b", buffering=0) as file:
                file.write(data.ljust(size))

    def remove(self) -> None:
        """The service has ended."""
        self._file.unlink(missing_ok=True)


def read(folder: Path) -> dict[str, Any] | None:
    """The status of the service of a home, or None when none runs."""
    try:
        descriptor = os.open(_lock_file(folder), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotOpen(f"cannot open {_lock_file(folder)}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)
    try:
        status = _read(_status_file(folder))
    except FileNotFoundError:
        # It has the lock and is about to write.
        return {}
    except (OSError, ValueError) as error:
        raise CannotOpen(f"cannot read {_status_file(folder)}: {error}") from None
    silent = clock() - status.get("written_boot_time", clock())
    if silent > SILENT_SECONDS:
        # The thread that answers machines writes this file (D36).
        text = f"no status has been written for {silent:.0f} s: the service answers nobody meanwhile"
        status["problems"] = [f"{text}; its log says in what it is stuck", *status.get("problems", ())]
    return status


def _read(file: Path) -> dict[str, Any]:
    """What the file says. Raises OSError or ValueError."""
    for _ in range(_READS - 1):
        with suppress(ValueError):
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return found
    last: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return last


def _lock_file(folder: Path) -> Path:
    return folder / "serve.lock"


def _status_file(folder: Path) -> Path:
    return folder / "status.json"
