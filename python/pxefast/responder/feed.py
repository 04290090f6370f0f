"""The event stream of a running service: a Unix socket that says each event, a JSON object a line, to all who listen.

Nobody is waited for. Who reads too slowly misses events and is told how many.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pxefast.responder.local import Door, connected

__all__ = ["Feed", "subscribe"]

_NAME = "events.sock"
_MOST_SUBSCRIBERS = 32


class _Subscriber:
    def __init__(self, connection: socket.socket, rest: str = "") -> None:
        connection.setblocking(False)
        self.connection = connection
        self._rest = rest.encode()
        self._missed = 0

    @property
    def rest(self) -> str:
        """What of the last line has not left yet."""
        return self._rest.decode()

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
    """The socket `events.sock` in the service's folder: `opened`, where a service before this one did that.

    Raises CannotOpen.
    """

    def __init__(self, folder: Path, opened: int | None = None) -> None:
        self._subscribers: list[_Subscriber] = []
        self._turn = threading.Lock()
        self._door = Door(folder / _NAME, _MOST_SUBSCRIBERS, opened)
        self._successor: Callable[[str], None] | None = None
        self._door.socket.setblocking(False)

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscribers) or self._successor is not None

    def fileno(self) -> int:
        """The listening socket's descriptor."""
        return self._door.socket.fileno()

    @property
    def listeners(self) -> list[tuple[socket.socket, str]]:
        """Who listens, and what of their last line has not left yet: for a service that takes over."""
        with self._turn:
            return [(subscriber.connection, subscriber.rest) for subscriber in self._subscribers]

    def adopt(self, listeners: Sequence[tuple[socket.socket, str]]) -> None:
        """They listened to the service before this one."""
        with self._turn:
            self._subscribers += [_Subscriber(*listener) for listener in listeners]

    def leave(self, successor: Callable[[str], None]) -> None:
        """Whoever listens is another process's: what is still told here goes there."""
        self._door.leave()
        with self._turn:
            self._successor = successor
            self._hang_up()

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
            if self._successor is not None:
                self._successor(event)
            else:
                self._subscribers = [subscriber for subscriber in self._subscribers if subscriber.tell(line)]

    def close(self, serves: bool = True) -> None:
        """End the stream; unless this process `serves`, it goes on in another one."""
        if serves:
            self._door.close()
        else:
            self._door.leave()
        with self._turn:
            self._hang_up()

    def _hang_up(self) -> None:
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
