"""Unix sockets in a service's folder: whoever may read the home may ask there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pxefast.errors import CannotOpen

__all__ = ["Door", "connected"]

_MODE = 0o660


class Door:
    """A socket that listens at a file: `opened`, if a service before this one did that. Raises CannotOpen."""

    def __init__(self, file: Path, backlog: int, opened: int | None = None) -> None:
        self._file = file
        if opened is not None:
            self.socket = socket.socket(fileno=opened)
            return
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Whoever holds the service's lock is the only one: what is left here is a dead one's.
            file.unlink(missing_ok=True)
            os.fchmod(self.socket.fileno(), _MODE)
            with _address(file) as address:
                self.socket.bind(address)
            # What the umask took away: a group that may read the home may watch it.
            file.chmod(_MODE)
            self.socket.listen(backlog)
        except OSError as error:
            self.socket.close()
            raise CannotOpen(f"cannot listen on {file}: {error.strerror}") from None

    def close(self) -> None:
        """Nobody comes in any more."""
        self.leave()
        self._file.unlink(missing_ok=True)

    def leave(self) -> None:
        """Whoever comes in is another process's, which listens here too."""
        self.socket.close()


@contextmanager
def connected(file: Path) -> Iterator[socket.socket]:
    """A connection to the service that listens at a file. Raises CannotOpen where none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with _address(file) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            raise CannotOpen(
                f"no service runs in {file.parent.parent}; start it with: pxefast serve"
            ) from None
        except OSError as error:
            raise CannotOpen(f"cannot connect to {file}: {error.strerror}") from None
        yield connection


@contextmanager
def _address(file: Path) -> Iterator[str]:
    """A short name of a socket: the kernel takes 107 bytes, and homes may be deep."""
    folder = os.open(file.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{file.name}"
    finally:
        os.close(folder)
