"""The judge of operators: what was sniffed against the order in which the audit chain says that things happened.

The chain has one order, which every writer shares: a record's place in it needs no clock. It is read as plain data.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .database import Record
from .oracle import ANSWERED_WITHIN, Verdict
from .sniffer import Completion, Question, Reply, Sighting


class Event(NamedTuple):
    """One record about a ledger row; `state` is the row's state after it."""

    seq: int
    at: float
    action: str
    device: int
    deployment: str
    generation: int
    state: str


@dataclass
class History:
    """What the chain says of one device."""

    claims: list[Event] = field(default_factory=list)
    launches: list[Event] = field(default_factory=list)


def events_of(records: Iterable[Record]) -> list[Event]:
    """The records about ledger rows, in their order."""
    found = []
    for record in records:
        if not record.action.startswith("ledger "):
            continue
        fields = _fields(record)
        if "device" in fields and "deployment" in fields:
            found.append(
                Event(
                    record.seq,
                    record.at,
                    record.action,
                    int(fields["device"]),
                    fields["deployment"],
                    int(fields["generation"]),
                    fields["state"],
                )
            )
    return found


def removals_of(records: Iterable[Record]) -> dict[str, Record]:
    """The removal of each deployment that was removed."""
    return {record.subject.split()[0]: record for record in records if record.action == "deployment remove"}


def judge_chain(
    sightings: Iterable[Sighting], records: Sequence[Record], devices: Mapping[str, int]
) -> Verdict:
    """Compare what left the services with the chain; `devices` maps each MAC and each address to its device id."""
    verdict = Verdict()
    events, removals = events_of(records), removals_of(records)
    histories: dict[int, History] = defaultdict(History)
    for event in events:
        if event.action == "ledger claim" and event.state == "CLAIMED":
            histories[event.device].claims.append(event)
        elif event.action == "ledger launch":
            histories[event.device].launches.append(event)
    _judge_order(verdict, events, removals)
    _judge_packets(verdict, sightings, histories, removals, devices)
    return verdict


def _judge_order(verdict: Verdict, events: Sequence[Event], removals: Mapping[str, Record]) -> None:
    """Judge the chain alone: once a generation, nothing after a removal, one unreported launch a device at a time."""
    launched: set[tuple[int, str, int]] = set()
    cleared: set[tuple[int, str, int]] = set()
    # The launch of each device that nobody has reported or cleared since.
    open_launch: dict[int, Event] = {}
    for event in events:
        row = (event.device, event.deployment, event.generation)
        who = f"device {event.device}"
        begins = event.action == "ledger claim" and event.state == "CLAIMED"
        if begins or event.action == "ledger launch":
            removal = removals.get(event.deployment)
            if removal is not None and removal.seq < event.seq:
                verdict.wrong("O2", who, event.at, f"{event} after {removal}")
            if event.generation > 1 and (event.device, event.deployment, event.generation - 1) not in cleared:
                verdict.wrong("I5", who, event.at, f"{event}: nobody cleared the generation before")
            before = open_launch.get(event.device)
            if before is not None and before.deployment != event.deployment:
                verdict.wrong("O4", who, event.at, f"{event} while {before} is neither reported nor cleared")
        if event.action == "ledger launch":
            if row in launched:
                verdict.wrong("I3", who, event.at, f"{event} launched twice")
            launched.add(row)
            open_launch[event.device] = event
        elif event.action == "ledger clear":
            cleared.add(row)
            _close(open_launch, event)
        elif event.action == "ledger report" and event.state in ("DONE", "FAILED"):
            _close(open_launch, event)


def _close(open_launch: dict[int, Event], event: Event) -> None:
    before = open_launch.get(event.device)
    if before is not None and before.deployment == event.deployment:
        del open_launch[event.device]


def _judge_packets(
    verdict: Verdict,
    sightings: Iterable[Sighting],
    histories: Mapping[int, History],
    removals: Mapping[str, Record],
    devices: Mapping[str, int],
) -> None:
    """Judge the wire: each named file by a claim that still stands, each last byte by a launch of its own."""
    asked: dict[tuple[str, int, str, int], deque[float]] = defaultdict(deque)
    completed: dict[int, set[object]] = defaultdict(set)
    empty = History()
    for seen in sorted(sightings, key=lambda seen: seen.time):
        match seen:
            case Question():
                asked[seen.server, seen.port, seen.mac, seen.xid].append(seen.time)
            case Reply() if seen.file:
                verdict.named += 1
                waiting = asked[seen.server, seen.port, seen.mac, seen.xid]
                while waiting and seen.time - waiting[0] > ANSWERED_WITHIN:
                    waiting.popleft()
                question = waiting.popleft() if waiting else seen.time
                _judge_reply(
                    verdict, seen, question, histories.get(devices.get(seen.mac, 0), empty), removals
                )
            case Completion():
                device = devices[seen.client[0]]
                if seen.transfer in completed[device]:
                    continue
                completed[device].add(seen.transfer)
                verdict.completed[seen.client[0]] += 1
                launches = histories.get(device, empty).launches
                if bisect_right([each.at for each in launches], seen.time) < len(completed[device]):
                    verdict.wrong(
                        "I3", seen.client[0], seen.time, f"{len(completed[device])} completions of {launches}"
                    )


def _judge_reply(
    verdict: Verdict, reply: Reply, question: float, history: History, removals: Mapping[str, Record]
) -> None:
    claims = [each for each in history.claims if each.at <= reply.time]
    if not claims:
        verdict.wrong("I1", reply.mac, reply.time, f"{reply.file} was named without a claim")
        return
    claim = claims[-1]
    for launch in history.launches:
        if claim.seq < launch.seq and launch.at < question:
            verdict.wrong("I4", reply.mac, reply.time, f"{reply.file} was named after {launch}")
            return
    removal = removals.get(claim.deployment)
    if removal is not None and removal.seq > claim.seq and removal.at < question:
        verdict.wrong("O2", reply.mac, reply.time, f"{reply.file} was named after {removal}")


def _fields(record: Record) -> dict[str, str]:
    """The fields of a record: those that are stored as such, else the words of its sentence."""
    if record.details:
        return {name: str(value) for name, value in json.loads(record.details).items()}
    return dict(word.partition("=")[::2] for word in record.subject.split(" "))


def counts_of(records: Iterable[Record]) -> Counter[str]:
    """How often each action is in the chain."""
    return Counter(record.action for record in records)
