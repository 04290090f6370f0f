"""How the service is: a file that it rewrites every second, and the lock that says whether it lives."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from pxefast.errors import CannotOpen
from pxefast.responder.heartbeat import SILENT_SECONDS, clock

__all__ = ["Lock", "StatusFile", "read"]

_SECONDS = 1.0


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
        """Replace the file whole; a full disk costs the status, not the service."""
        self._next = time.monotonic() + _SECONDS
        temporary = self._file.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(status), encoding="utf-8")
            temporary.replace(self._file)
        except OSError:
            temporary.unlink(missing_ok=True)

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
        status: dict[str, Any] = json.loads(_status_file(folder).read_text(encoding="utf-8"))
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


def _lock_file(folder: Path) -> Path:
    return folder / "serve.lock"


def _status_file(folder: Path) -> Path:
    return folder / "status.json"
