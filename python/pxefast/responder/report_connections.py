"""Open connections of the report port, bounded so that idle ones never keep an honest report out (R-90)."""

from __future__ import annotations

import time
from asyncio import StreamWriter
from collections import Counter
from collections.abc import Callable

__all__ = ["Connections"]

_MOST = 256
# Connections of one address that have not sent a whole request. Machines behind one NAT address share them, and need
# each for a round trip.
_MOST_IDLE_OF_ADDRESS = 16
_TELL_SECONDS = 10.0


class Connections:
    """Admits every new connection while there is an idle one to close in its place.

    `most` is the largest number of connections at once. The methods are for the thread of the report port; `counters`
    may be read by any thread.
    """

    def __init__(self, tell: Callable[[str, str], None], most: int = _MOST) -> None:
        self._tell = tell
        self._most = most
        self._idle: dict[str, dict[StreamWriter, None]] = {}
        self._closed: set[StreamWriter] = set()
        self._busy = 0
        self._said_at = -_TELL_SECONDS
        self._unsaid: Counter[str] = Counter()
        self.counters: dict[str, int] = {
            "report.connections": 0,
            "report.idle_closed": 0,
            "report.connections_refused": 0,
            "report.wrong_host": 0,
        }

    def admit(self, address: str, writer: StreamWriter) -> bool:
        """Return True if the connection may stay; an idle one may be closed for it."""
        self.counters["report.connections"] += 1
        own = self._idle.get(address, {})
        if len(own) >= _MOST_IDLE_OF_ADDRESS:
            self._close_oldest(address)
        elif sum(map(len, self._idle.values())) + self._busy >= self._most:
            if not self._idle:
                self.counters["report.connections_refused"] += 1
                self._count(address)
                return False
            self._close_oldest(max(self._idle, key=lambda other: len(self._idle[other])))
        self._idle.setdefault(address, {})[writer] = None
        return True

    def requested(self, address: str, writer: StreamWriter) -> None:
        """Count a connection as busy: its request is whole."""
        if self._drop(address, writer):
            self._busy += 1

    def ended(self, address: str, writer: StreamWriter) -> None:
        """Forget a connection that `admit` let stay."""
        if not self._drop(address, writer) and writer not in self._closed:
            self._busy -= 1
        self._closed.discard(writer)

    def _drop(self, address: str, writer: StreamWriter) -> bool:
        own = self._idle.get(address, {})
        found = writer in own
        own.pop(writer, None)
        if not own:
            self._idle.pop(address, None)
        return found

    def _close_oldest(self, address: str) -> None:
        writer = next(iter(self._idle[address]))
        self._drop(address, writer)
        self._closed.add(writer)
        writer.transport.abort()
        self.counters["report.idle_closed"] += 1
        self._count(address)

    def _count(self, address: str) -> None:
        self._unsaid[address] += 1
        self.tell_due()

    def tell_due(self) -> None:
        """Say which addresses hold the port: at once, and then at most every ten seconds."""
        now = time.monotonic()
        if not self._unsaid or now - self._said_at < _TELL_SECONDS:
            return
        most, count = self._unsaid.most_common(1)[0]
        others = f" and {len(self._unsaid) - 1} other addresses" if len(self._unsaid) > 1 else ""
        self._tell(
            "warning",
            f"report port: {self._unsaid.total()} idle connections were closed for new ones, "
            f"{count} of {most}{others}; they sent no request",
        )
        self._said_at = now
        self._unsaid.clear()
