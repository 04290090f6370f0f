"""The judge: what was sniffed against what the database held, then and at the end (invariants I1 to I4, safety 5.2)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .database import Row
from .sniffer import Address, Completion, Question, Reply, Sighting

LIVE = {"CLAIMED", "LAUNCHED", "STARTED"}
RAN = {"LAUNCHED", "STARTED", "DONE", "FAILED", "HOLD", "CLEARED", "WITHDRAWN"}
# An answer comes at most 2 s after its question (safety 5.4); a busy test machine adds some.
ANSWERED_WITHIN = 2.5
SESSION = re.compile(r"/([0-9a-f]{32})/")


@dataclass
class Verdict:
    """What was wrong, a line each, and how much there was to judge."""

    violations: list[str] = field(default_factory=list)
    named: int = 0
    completed: Counter[str] = field(default_factory=Counter)
    """How many transfers sent each machine the last byte of its launch file, by MAC."""

    def wrong(self, invariant: str, mac: str, time: float, text: str) -> None:
        self.violations.append(f"{invariant} {mac} at {time:.6f}: {text}")


def judge(sightings: Iterable[Sighting], final: Sequence[Row], macs: Mapping[str, str]) -> Verdict:
    """`final` is the whole ledger after everything has ended; `macs` the machine at each address.

    Every file that is named must be of the one required deployment that each machine has.
    """
    verdict = Verdict()
    histories = _histories(final)
    for rows in histories.values():
        live = [row for row in rows if row.state in LIVE]
        if len(live) > 1:
            verdict.wrong("I2", rows[0].mac, 0, f"{len(live)} live rows at the end: {live}")
    asked: dict[tuple[str, int, str, int], deque[float]] = defaultdict(deque)
    completed: dict[str, dict[int, Completion]] = defaultdict(dict)
    belongs: dict[tuple[Address, Address], int] = {}
    for seen in sorted(sightings, key=lambda seen: seen.time):
        match seen:
            case Question():
                asked[seen.server, seen.port, seen.mac, seen.xid].append(seen.time)
            case Reply():
                question = _question(asked[seen.server, seen.port, seen.mac, seen.xid], seen.time)
                history = histories.get(seen.mac, [])
                if seen.file:
                    verdict.named += 1
                    _named(verdict, seen, history)
                launched = completed[seen.mac].get(_generation(history, seen.time))
                if seen.file and launched and question > launched.time:
                    verdict.wrong("I4", seen.mac, seen.time, f"{seen.file} named after the launch")
            case Completion():
                mac = macs[seen.client[0]]
                history = histories.get(mac, [])
                if seen.transfer not in belongs:
                    belongs[seen.transfer] = _begun_in(history, seen.time, completed[mac])
                place = belongs[seen.transfer]
                first = completed[mac].setdefault(place, seen)
                if first is seen:
                    verdict.completed[mac] += 1
                    _completed(verdict, mac, seen, history, place)
                elif first.transfer != seen.transfer:
                    verdict.wrong("I3", mac, seen.time, f"completed by {seen.transfer} and {first.transfer}")
    return verdict


def _histories(rows: Iterable[Row]) -> dict[str, list[Row]]:
    histories: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        histories[row.mac].append(row)
    return histories


def _generation(history: Sequence[Row], time: float) -> int:
    """The place in its history of the generation that was armed at a time; -1 before the first."""
    return bisect_right([row.armed_at for row in history], time) - 1


def _begun_in(history: Sequence[Row], time: float, completed: Container[int]) -> int:
    """The place of the generation that a transfer belongs to whose last block is seen for the first time.

    It may be late, or be sent again, after a person has cleared what it had launched: so a generation that was
    launched, is cleared and has no last block yet comes before one that is not launched yet.
    """
    place = _generation(history, time)
    if place > 0 and place - 1 not in completed:
        now, before = history[place], history[place - 1]
        launched = now.launched_at is not None and now.launched_at <= time
        if not launched and before.launched_at is not None and before.state == "CLEARED":
            return place - 1
    return place


def _question(asked: deque[float], time: float) -> float:
    """When the question was asked that is answered now: the oldest that may still be."""
    while asked and time - asked[0] > ANSWERED_WITHIN:
        asked.popleft()
    return asked.popleft() if asked else time


def _named(verdict: Verdict, reply: Reply, final: Sequence[Row]) -> None:
    """I1, I2: a durable row said CLAIMED, with that session."""
    for when, rows in (("then", reply.rows), ("at the end", final)):
        if rows is None:  # the database was down: what it held at the end has to do
            continue
        place = _generation(rows, reply.time)
        row = rows[place] if place >= 0 else None
        if row is None or row.state == "ARMED":
            verdict.wrong("I1", reply.mac, reply.time, f"{reply.file} named, and {when} the row was {row}")
        elif when == "then":
            if len([other for other in rows if other.state in LIVE]) > 1:
                verdict.wrong("I2", reply.mac, reply.time, f"more than one live row: {rows}")
            session = SESSION.search(reply.file)
            if session and session[1] != row.session:
                verdict.wrong("I1", reply.mac, reply.time, f"{reply.file} named in the session {row.session}")


def _completed(verdict: Verdict, mac: str, seen: Completion, final: Sequence[Row], place: int) -> None:
    """I3: a durable row says LAUNCHED, by one transfer for ever."""
    generation = final[place].generation if place >= 0 else 0
    transfers = set()
    for when, rows in (("then", seen.rows), ("at the end", final)):
        if rows is None:
            continue
        row = next((row for row in rows if row.generation == generation), None)
        if row is None or row.state not in RAN or row.launched_at is None:
            verdict.wrong("I3", mac, seen.time, f"launch file completed, and {when} the row was {row}")
        else:
            transfers.add(row.transfer)
    if len(transfers) > 1 or None in transfers:
        verdict.wrong("I3", mac, seen.time, f"the row named the transfers {transfers}")
