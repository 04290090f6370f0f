"""Sampling of log events under a flood, by reason and source, with the number of those that were left out (D41)."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Sampler", "Summary"]

_SUMMARY_SECONDS = 10.0
# Events of one reason from one address, and of one reason from all addresses: at once, and a second.
_BURST_OF_SOURCE, _RATE_OF_SOURCE = 60, 2.0
_BURST_OF_REASON, _RATE_OF_REASON = 300, 20.0
_MOST_KEYS = 4096
# Addresses that are told apart in a summary, and that are named in one.
_MOST_SOURCES = 1024
_MOST_NAMED = 3

# What events of a kind are called, and how they come to their reason.
_NOUNS = {
    "request": "requests from {} ended with",
    "refused": "TFTP requests from {} were refused with",
    "transfer": "transfers to {} ended with",
    "launch": "launch files for {} were refused with",
}


class Summary(NamedTuple):
    """Events that were not logged.

    Attributes:
        kind: Kind of the events, such as "request".
        reason: Code that the events have in common.
        source: Address, or GUID, that the events came from; None for several addresses.
        sources: Number of addresses.
        events: Number of events.
        seconds: Time that the events were counted for.
    """

    kind: str
    reason: str
    source: str | None
    sources: int
    events: int
    seconds: float

    @property
    def text(self) -> str:
        """Sentence for people."""
        more = "or more " if self.sources >= _MOST_SOURCES else ""
        where = self.source or f"{self.sources:,} {more}addresses"
        verb = _NOUNS[self.kind].format(where)
        return f"{self.events:,} more {verb} {self.reason} in the last {self.seconds:.0f} s"


class _Bucket:
    def __init__(self, burst: float, rate: float, now: float) -> None:
        self._burst, self._rate = burst, rate
        self._left, self._at = burst, now

    def take(self, now: float) -> bool:
        """Return True, and take one, if one is left."""
        self._left = min(self._left + (now - self._at) * self._rate, self._burst)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        self._left += 1


class Sampler:
    """Decides which events of strangers are logged, and of machines that a GUID alone identifies. For one thread.

    Events of machines whose MAC address is known must not come here.
    """

    def __init__(self) -> None:
        self._of_source: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self._of_guid: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self._of_reason: dict[tuple[str, str], _Bucket] = {}
        self._skipped: dict[tuple[str, str], Counter[str]] = {}
        self._others: Counter[tuple[str, str]] = Counter()
        self._since = time.monotonic()

    def admit(self, kind: str, reason: str, source: str) -> bool:
        """Return True if an event is to be logged; otherwise count the event."""
        now = time.monotonic()
        own = self._bucket(self._of_source, (kind, reason, source), now)
        of_reason = self._of_reason.get((kind, reason))
        if of_reason is None:
            of_reason = self._of_reason[kind, reason] = _Bucket(_BURST_OF_REASON, _RATE_OF_REASON, now)
        if own.take(now):
            if of_reason.take(now):
                return True
            own.give_back()
        self.skip(kind, reason, source)
        return False

    def admit_guid(self, kind: str, reason: str, guid: str) -> bool:
        """Return True if an event of a known machine that its GUID alone identifies is to be logged.

        The bound is of that GUID alone: no real machine reaches it, and no flood of others hides its events.
        """
        # Whoever floods chooses the MAC addresses and with them the reason; the GUID is one that the site knows.
        if self._bucket(self._of_guid, (kind, guid), now := time.monotonic()).take(now):
            return True
        self.skip(kind, reason, f"GUID {guid}")
        return False

    @staticmethod
    def _bucket(buckets: OrderedDict[tuple[str, ...], _Bucket], key: tuple[str, ...], now: float) -> _Bucket:
        """Return the bucket of a key, and forget the one that was used longest ago where there are too many."""
        found = buckets.get(key)
        if found is None:
            found = buckets[key] = _Bucket(_BURST_OF_SOURCE, _RATE_OF_SOURCE, now)
            if len(buckets) > _MOST_KEYS:
                buckets.popitem(last=False)
        else:
            buckets.move_to_end(key)
        return found

    def skip(self, kind: str, reason: str, source: str) -> None:
        """Count an event that is not logged."""
        sources = self._skipped.setdefault((kind, reason), Counter())
        if source in sources or len(sources) < _MOST_SOURCES:
            sources[source] += 1
        else:
            self._others[kind, reason] += 1

    def summaries(self, end: bool = False) -> Iterator[Summary]:
        """Yield what was not logged, every ten seconds, and at the `end` of the service."""
        now = time.monotonic()
        seconds = now - self._since
        if seconds < _SUMMARY_SECONDS and not end:
            return
        self._since = now
        skipped, self._skipped = self._skipped, {}
        others, self._others = self._others, Counter()
        for (kind, reason), sources in skipped.items():
            total = sources.total() + others[kind, reason]
            # Whoever is a tenth of it is named.
            named = [(source, n) for source, n in sources.most_common(_MOST_NAMED) if 10 * n >= total]
            for source, count in named:
                yield Summary(kind, reason, source, 1, count, seconds)
            rest = total - sum(count for _, count in named)
            if rest:
                unnamed = [source for source in sources if source not in dict(named)]
                only = unnamed[0] if len(unnamed) == 1 and not others[kind, reason] else None
                yield Summary(kind, reason, only, len(unnamed), rest, seconds)
