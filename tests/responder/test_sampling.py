"""A flood does not fill the log: it is sampled by reason and source, and what a known machine does never is (D41)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from pxefast.responder import sampling as module
from pxefast.responder.sampling import Sampler

from ..loopback.machine import DISCOVER, Client
from ..loopback.point import Point
from ..loopback.service import PATIENCE, eventually

Flood = Callable[[float, str, str], int]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def admitted(sampler: Sampler, count: int, reason: str = "not_pxe_client", source: str = "10.0.0.9") -> int:
    return sum(sampler.admit("request", reason, source) for _ in range(count))


def texts(sampler: Sampler) -> list[str]:
    return [summary.text for summary in sampler.summaries()]


def test_one_address_is_logged_in_part_and_summed_up_after_ten_seconds(clock: SimpleNamespace) -> None:
    sampler = Sampler()
    assert admitted(sampler, 37_272) == 60
    clock.now = 9.9
    assert texts(sampler) == []
    clock.now = 10
    assert texts(sampler) == ["37,212 more requests from 10.0.0.9 ended with not_pxe_client in the last 10 s"]
    clock.now = 20
    assert texts(sampler) == [], "nothing more"


def test_a_quiet_address_is_logged_in_full_beside_a_loud_one(clock: SimpleNamespace) -> None:
    sampler = Sampler()
    assert admitted(sampler, 10_000) == 60
    assert admitted(sampler, 20, source="10.0.0.8") == 20
    assert admitted(sampler, 20, reason="unknown_computers_off") == 20
    clock.now = 60
    assert admitted(sampler, 1000) == 60, "later again"


def test_a_flood_from_forged_addresses_is_bounded_by_its_reason(clock: SimpleNamespace) -> None:
    sampler = Sampler()
    logged = sum(
        admitted(sampler, 1, "unknown_computers_off", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}")
        for n in range(50_000)
    )
    assert logged == 300
    clock.now = 10
    (text,) = texts(sampler)
    assert text == (
        "49,700 more requests from 1,024 or more addresses ended with unknown_computers_off in the last 10 s"
    )
    assert len(sampler._of_source) <= 4096, "memory is bounded"


def test_the_loudest_addresses_of_a_flood_are_named_and_the_others_counted(clock: SimpleNamespace) -> None:
    sampler = Sampler()
    admitted(sampler, 1060)
    for number in range(20):
        admitted(sampler, 70, source=f"10.0.1.{number}")
    admitted(sampler, 70, reason="relay_refused", source="10.0.2.1")
    clock.now = 10.4
    assert texts(sampler) == [
        "1,000 more requests from 10.0.0.9 ended with not_pxe_client in the last 10 s",
        f"{20 * 70 - 240} more requests from 20 addresses ended with not_pxe_client in the last 10 s".replace(
            "1160", "1,160"
        ),
        "10 more requests from 10.0.2.1 ended with relay_refused in the last 10 s",
    ]


def test_at_the_end_nothing_is_left_uncounted(clock: SimpleNamespace) -> None:
    sampler = Sampler()
    admitted(sampler, 100)
    clock.now = 2
    (summary,) = sampler.summaries(end=True)
    assert (summary.events, summary.seconds) == (40, 2)


def test_a_flood_of_strangers_is_sampled_and_each_question_of_a_known_machine_is_logged(point: Point) -> None:
    machine, listed = point.machine("available"), point.machine(None)
    after = len(point.service.events)
    counted = point.home.status()["actions"].get("ignore", 0)
    port, ending = point.service.ports["dhcp"], threading.Event()
    sent = 0

    def flood() -> None:
        nonlocal sent
        stranger = Client("02:00:00:00:99:01", "99999999-0000-0000-0000-000000000001", address="127.0.9.1")
        with stranger, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.9.2", 0))
            while not ending.wait(0.001):
                for _ in range(2):
                    sender.sendto(stranger.packet(DISCOVER, 0x70000000 + sent), ("127.0.0.1", port))
                    sent += 1

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        for _ in range(150):
            assert machine.discover().reply is not None
            assert listed.discover().reply is None
        eventually(lambda: sent > 300)
    finally:
        ending.set()
        flooding.join()
    told = point.service.event(
        "sampled", lambda event: event["source"] == "127.0.9.2", after=after, seconds=2 * PATIENCE
    )
    assert told["reason"] == "unknown_computers_off"
    requests = [event for event in point.service.events[after:] if event["event"] == "request"]
    by_mac = {mac: sum(event["mac"] == mac for event in requests) for mac in (machine.mac, listed.mac)}
    assert by_mac == {machine.mac: 150, listed.mac: 150}
    strangers = len(requests) - sum(by_mac.values())
    assert strangers < sent / 2
    # Nothing is lost from the numbers.
    eventually(lambda: point.home.status()["actions"]["ignore"] >= counted + 150 + strangers + told["count"])
