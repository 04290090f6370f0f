"""The event stream of a running service: a Unix socket that says each event, a JSON object a line, to all who listen.

Nobody is waited for. Who reads too slowly misses events and is told how many.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pxefast.errors import CannotOpen

__all__ = ["Feed", "subscribe"]

_MOST_SUBSCRIBERS = 32
_MODE = 0o660


class _Subscriber:
    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self._rest = b""
        self._missed = 0

    def tell(self, line: bytes) -> bool:
        """Send what there is room for; False when nobody listens any more."""
        try:
            if not self._flush():
                self._missed += 1
                return True
            if self._missed:
                told = {"event": "missed", "count": self._missed}
                self._missed, self._rest = 0, json.dumps(told).encode() + b"\n"
            self._rest += line
            self._flush()
        except OSError:
            self.connection.close()
            return False
        return True

    def _flush(self) -> bool:
        """Whether nothing is left over. Raises OSError once the other end is gone."""
        try:
            while self._rest:
                self._rest = self._rest[self.connection.send(self._rest) :]
        except BlockingIOError:
            return False
        return True


class Feed:
    """The socket `events.sock` in the service's folder. Raises CannotOpen."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "events.sock"
        self._subscribers: list[_Subscriber] = []
        self._turn = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Whoever holds the service's lock is the only one: what is left here is a dead one's.
            self._file.unlink(missing_ok=True)
            os.fchmod(self._listener.fileno(), _MODE)
            with _address(self._file) as address:
                self._listener.bind(address)
            # What the umask took away: a group that may read the home may watch it.
            self._file.chmod(_MODE)
            self._listener.listen(_MOST_SUBSCRIBERS)
        except OSError as error:
            self._listener.close()
            raise CannotOpen(f"cannot listen on {self._file}: {error.strerror}") from None
        self._listener.setblocking(False)

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscribers)

    def admit(self) -> None:
        """Let those in who have connected; the first line tells them that they hear everything from now on."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            subscriber = _Subscriber(connection)
            with self._turn:
                if len(self._subscribers) < _MOST_SUBSCRIBERS and subscriber.tell(b'{"event": "watching"}\n'):
                    self._subscribers.append(subscriber)
                    continue
            connection.close()

    def tell(self, event: str) -> None:
        """One event, as JSON without a line end, to everybody; from any thread."""
        line = event.encode() + b"\n"
        with self._turn:
            self._subscribers = [subscriber for subscriber in self._subscribers if subscriber.tell(line)]

    def close(self) -> None:
        """End the stream."""
        self._listener.close()
        self._file.unlink(missing_ok=True)
        with self._turn:
            for subscriber in self._subscribers:
                subscriber.connection.close()
            self._subscribers = []


@contextmanager
def subscribe(folder: Path) -> Iterator[Iterator[str]]:
    """The events of the service that runs in a folder, a JSON line each, until it ends.

    Raises CannotOpen where none runs.
    """
    file = folder / "events.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            with _address(file) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            raise CannotOpen(f"no service runs in {folder.parent}; start it with: pxefast serve") from None
        except OSError as error:
            raise CannotOpen(f"cannot listen to {file}: {error.strerror}") from None
        with connection.makefile(encoding="utf-8") as lines:
            yield iter(lines)


@contextmanager
def _address(file: Path) -> Iterator[str]:
    """A short name of a socket: the kernel takes 107 bytes, and homes may be deep."""
    folder = os.open(file.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{file.name}"
    finally:
        os.close(folder)
