"""The event stream of a running service: a Unix socket that says each event, a JSON object a line, to all who listen.

Nobody is waited for. Who reads too slowly misses events and is told how many.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pxefast.responder.local import Door, connected

__all__ = ["Feed", "subscribe"]

_NAME = "events.sock"
_MOST_SUBSCRIBERS = 32


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
        self._subscribers: list[_Subscriber] = []
        self._turn = threading.Lock()
        self._door = Door(folder / _NAME, _MOST_SUBSCRIBERS)
        self._door.socket.setblocking(False)

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscribers)

    def admit(self) -> None:
        """Let those in who have connected; the first line tells them that they hear everything from now on."""
        while True:
            try:
                connection, _ = self._door.socket.accept()
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
        self._door.close()
        with self._turn:
            for subscriber in self._subscribers:
                subscriber.connection.close()
            self._subscribers = []


@contextmanager
def subscribe(folder: Path) -> Iterator[Iterator[str]]:
    """The events of the service that runs in a folder, a JSON line each, until it ends.

    Raises CannotOpen where none runs.
    """
    with connected(folder / _NAME) as connection, connection.makefile(encoding="utf-8") as lines:
        yield iter(lines)
