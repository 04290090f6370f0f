"""A flood that sends a GUID of the site with ever new MAC addresses does not fill the log (D41)."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from pxefast.responder import sampling as module
from pxefast.responder.sampling import Sampler

from ..loopback.machine import DISCOVER, Client
from ..loopback.point import Point
from ..loopback.service import PATIENCE

GUID, OTHER = "99999999-0000-0000-0000-000000000001", "99999999-0000-0000-0000-000000000002"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def logged(sampler: Sampler, count: int, guid: str, reason: str = "guid_conflict") -> int:
    return sum(sampler.admit_guid("request", reason, guid) for _ in range(count))


def test_one_guid_is_logged_in_part_whatever_its_reasons_and_no_other_guid_is(clock: SimpleNamespace) -> None:
    sampler = Sampler()
    assert logged(sampler, 1000, GUID) == 60
    assert logged(sampler, 1000, GUID, "already_offered") == 0
    assert logged(sampler, 60, OTHER) == 60
    clock.now = 10.0
    assert logged(sampler, 1000, GUID) == 20
    summaries = {summary.reason: summary for summary in sampler.summaries()}
    assert summaries["guid_conflict"].text == (
        f"1,920 more requests from GUID {GUID} ended with guid_conflict in the last 10 s"
    )
    assert summaries["already_offered"].events == 1000


def test_a_machine_that_its_guid_alone_identifies_is_logged_in_full_beside_floods(
    clock: SimpleNamespace,
) -> None:
    """Each second one request, for an hour: more than any firmware sends."""
    sampler = Sampler()
    for second in range(3600):
        clock.now = float(second)
        assert sampler.admit_guid("request", "guid_conflict", OTHER)
        logged(sampler, 10, GUID)
        for number in range(10):
            sampler.admit("request", "guid_conflict", f"10.0.0.{number}")
    assert len(sampler._of_guid) == 2


def test_the_memory_of_guids_is_bounded(clock: SimpleNamespace) -> None:
    sampler = Sampler()
    for number in range(10_000):
        logged(sampler, 1, f"99999999-0000-0000-0000-{number:012}")
    assert len(sampler._of_guid) <= 4096


def test_a_flood_with_a_machines_guid_is_sampled_and_its_own_questions_are_logged(point: Point) -> None:
    machine = point.machine("available")
    after, numbers, sent = len(point.service.events), random.Random(13), 0
    port = point.service.ports["dhcp"]
    # Below the bound of one address (`requests_per_second_per_client`).
    addresses = [f"127.0.9.{number}" for number in range(3, 13)]
    for _ in range(40):
        for address in addresses:
            card = bytes([2, *numbers.randbytes(5)]).hex(":")
            with Client(card, machine.guid, address=address) as forged:
                forged.socket.sendto(forged.packet(DISCOVER, 0x71000000 + sent), ("127.0.0.1", port))
            sent += 1
        assert machine.discover().reply is not None
    told = point.service.event(
        "sampled", lambda event: event["source"] == f"GUID {machine.guid}", after=after, seconds=2 * PATIENCE
    )
    requests = [event for event in point.service.events[after:] if event["event"] == "request"]
    own = sum(event["mac"] == machine.mac for event in requests)
    assert own == 40
    assert 60 <= len(requests) - own < sent
    assert told["count"] > 0
