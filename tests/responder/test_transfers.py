"""What an operator sees of transfers: those under way, where an ended one's time went, and what was learned of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest
from pxefast.site.learned_windows import Lesson
from pxefast.site.store import Store

from ..loopback.machine import Machine
from ..loopback.peer import DATA, ERROR, OACK, Peer
from ..loopback.point import FILES, PROGRAMS, Point
from ..loopback.service import SOON, Event, eventually

BLOCK = 512
IMAGE = bytes(range(256)) * 800
MODEL = "02:00:00/x64-uefi/PXEClient"


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    files = {**FILES, "big.wim": IMAGE}
    with Point(tmp_path_factory.mktemp("transfers"), files=files, programs=PROGRAMS) as point_:
        yield point_


def granted(machine: Machine, name: str, window: int) -> int:
    """The window that a machine is granted which asks for this one."""
    with Peer(machine.service.ports["tftp"], machine.address[0]) as peer:
        offer = peer.ask(name, [("windowsize", window)])
        peer.send(ERROR, 8)
        return int(dict(offer.options)["windowsize"])


def fetched_into_a_ring(machine: Machine, name: str, window: int, room: int) -> bytes:
    """A file, by a client whose driver has room for so many blocks of a window and loses the next one."""
    with Peer(machine.service.ports["tftp"], machine.address[0]) as peer:
        offer = peer.ask(name, [("blksize", BLOCK), ("windowsize", window)])
        assert (offer.opcode, dict(offer.options)["windowsize"]) == (OACK, str(window))
        peer.ack(0)
        whole, held = b"", 0
        while True:
            packet = peer.receive()
            assert packet.opcode == DATA
            expected = len(whole) // BLOCK + 1
            if packet.number != expected:
                # As EDK2 does, to everything that is not the next block.
                peer.ack(expected - 1)
                held = 0
            elif held < room:
                whole, held = whole + packet.rest, held + 1
                if len(packet.rest) < BLOCK:
                    peer.ack(expected)
                    return whole


def transfer(point: Point, machine: Machine, after: int, outcome: str = "complete") -> Event:
    peer = f"{machine.address[0]}:"
    return point.service.event(
        "transfer", lambda event: event["peer"].startswith(peer) and event["outcome"] == outcome, after=after
    )


def rows(point: Point, *arguments: str) -> Sequence[Event]:
    found: Sequence[Event] = json.loads(point.home.run("status", "--transfers", "--json"))["transfers"]
    return found


def test_a_transfer_under_way_is_shown_with_its_machine_and_how_far_it_is(point: Point) -> None:
    machine = point.machine("available")
    machine.boot()
    name = point.name("big.wim")
    with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
        peer.ask(name, [("blksize", BLOCK), ("windowsize", 4), ("timeout", 5)])
        (row,) = rows(point)
        assert (row["device"], row["mac"], row["name"]) == ("pc001", machine.mac, name)
        assert (row["state"], row["bytes"], row["size"]) == ("offered", 0, len(IMAGE))
        peer.ack(0)
        for _ in range(4):
            packet = peer.receive()
        peer.ack(packet.number)
        peer.receive()
        (row,) = rows(point)
        assert (row["state"], row["bytes"], row["window_size"]) == ("flowing", 4 * BLOCK, 4)
        text = point.home.run("status", "--transfers")
        assert "1 transfer under way" in text
        assert any(line.startswith("pc001") and name in line for line in text.splitlines())
        peer.send(ERROR, 0)
        eventually(lambda: not rows(point))
    assert point.home.run("status", "--transfers") == "0 transfers under way"


def test_an_ended_transfer_says_what_was_granted_and_lost_and_where_its_time_went(point: Point) -> None:
    machine = point.machine("available")
    machine.boot()
    after = len(point.service.events)
    with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
        options = [("blksize", 1024), ("windowsize", 8)]
        assert peer.fetch(point.name("big.wim"), options) == IMAGE
    event = transfer(point, machine, after)
    assert (event["block_size"], event["window_granted"], event["window_size"]) == (1024, 8, 8)
    assert (event["resent"], event["timeouts"], event["gap_windows"], event["gap_at"]) == (0, 0, 0, None)
    assert event["windows"] == -(-(len(IMAGE) // 1024 + 1) // 8)
    assert 0 < event["round_trip"] < event["seconds"]
    assert 0 < event["first_block"] <= event["seconds"]
    assert event["slow_side"] in ("server", "network", "client")
    assert f"slow side: {event['slow_side']} (" in event["text"]
    assert sum(event["waited"].values()) <= event["seconds"] * 1.01


def test_the_status_says_how_the_ended_transfers_were(point: Point) -> None:
    machine = point.machine("available")
    machine.boot()
    with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
        peer.fetch(point.name("big.wim"), [("blksize", 1024), ("windowsize", 32)])
    point.service.counters()
    found = point.home.status()["histograms"]
    window = found["tftp.window_blocks"]
    assert (window["most"], sum(count for _, count in window["buckets"])) == (32, window["count"])
    assert found["tftp.bytes_per_second"]["median"] > 0
    assert found["tftp.resent_blocks"]["median"] == 0
    text = point.home.run("status")
    assert "ended transfers" in text
    assert "throughput" in text


def test_a_name_that_is_not_there_is_told_with_the_machine_that_asked(point: Point) -> None:
    machine = point.machine("available")
    machine.boot()
    with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
        assert peer.ask("boot/missing.efi").opcode == ERROR
    event = point.service.event("refused", lambda event: event["name"].endswith("missing.efi"))
    assert (event["mac"], event["reason"]) == (machine.mac, "not_found")


def test_a_learned_window_counts_for_all_machines_of_the_model_from_their_next_boot_on(point: Point) -> None:
    name = point.name("big.wim")
    machine, other = point.machine("available"), point.machine("available")
    machine.boot()
    assert granted(machine, name, 16) == 16
    with Store.open(point.home.database) as store:
        store.learned_windows.learn(Lesson(MODEL, 4, 16, 5, 40, 50, "another"))
    for each in (machine, other):
        eventually(lambda each=each: "learned_window" in each.boot().codes, SOON)
        assert granted(each, name, 16) == 4
        assert granted(each, name, 2) == 2
    # iPXE brings a driver of its own.
    assert "learned_window" not in point.stage(other, ipxe=True).boot().codes
    assert granted(other, name, 16) == 16
    point.home.run("tune", "clear", MODEL, "--yes")
    eventually(lambda: "learned_window" not in machine.boot().codes, SOON)
    assert granted(machine, name, 16) == 16


def test_machines_of_a_model_that_loses_blocks_of_a_large_window_get_a_smaller_one(point: Point) -> None:
    name = point.name("big.wim")
    machine, other = point.machine("available"), point.machine("available")
    machine.boot()
    after = len(point.service.events)
    assert fetched_into_a_ring(machine, name, 16, 5) == IMAGE
    event = transfer(point, machine, after)
    assert (event["gap_at"], event["window_granted"]) == (5, 16)
    assert event["gap_windows"] > 8
    told = point.service.event("service", lambda event: event.get("model") == MODEL)
    assert (told["level"], told["blocks"], told["machine"]) == ("warning", 4, event["device"])
    assert f"of at most 4 blocks from now on: {event['device']} lost blocks" in told["text"]
    assert json.loads(point.home.run("tune", "show", "--json"))[0]["model"] == MODEL

    eventually(lambda: "learned_window" in other.boot().codes, SOON)
    after = len(point.service.events)
    with Peer(point.service.ports["tftp"], other.address[0]) as peer:
        assert peer.fetch(name, [("blksize", BLOCK), ("windowsize", 16)]) == IMAGE
    event = transfer(point, other, after)
    assert (event["window_granted"], event["window_learned"], event["resent"]) == (4, 4, 0)
    assert "window 4 (learned)" in event["text"]

    point.home.run("tune", "clear", MODEL, "--yes")
    audit = point.home.run("audit", "list")
    assert f"{MODEL} 16 to 4" in audit
    assert "tune clear" in audit
