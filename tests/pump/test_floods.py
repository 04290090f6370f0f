"""Thousands of requests a second, and of clients that vanish: bounded, and over when they are (R-36, R-40)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from scapy.layers.inet import IP, UDP

from ..loopback.alone import Alone
from ..loopback.home import write_files
from ..loopback.lan import CLIENT, SERVER, Forger, Lan, Wire
from ..loopback.lossy import Link, Quality, fetch
from ..loopback.peer import DATA, ERROR, OACK, Option, Peer, request
from ..loopback.service import eventually

DOOR = 69
REQUESTS = 5_000
# A quarter of all places, and one for each of several workers that round it up.
HALF_OPEN = 4_096 // 4 + 8
FULL: list[Option] = [("blksize", 1456), ("windowsize", 16)]


@pytest.fixture(scope="module")
def content(seed: int) -> bytes:
    return Random(seed).randbytes(300_007)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> Path:
    return write_files(tmp_path_factory.mktemp("served"), {"file": content, "other": content})


@pytest.fixture
def alone(lan: Lan, folder: Path, tmp_path: Path) -> Iterator[Alone]:
    with lan.server:
        alone_ = Alone(folder, tmp_path / "log", SERVER, DOOR)
    with alone_:
        good_client(lan, folder)
        yield alone_


def good_client(lan: Lan, folder: Path) -> None:
    """An honest client is served, by repeating what gets no answer as every client does."""
    with lan.client:
        peer = Peer(DOOR, CLIENT, SERVER)
    with peer:
        assert fetch(Link(peer, Quality(), Random(0)), "other", FULL) == (folder / "other").read_bytes()


def flood(lan: Lan, alone: Alone, folder: Path, sources: list[tuple[str, int]]) -> int:
    """A request from each source, an honest client after each five hundred; the most sockets that were open."""
    most = 0
    with Forger(lan.client) as forger:
        for number, source in enumerate(sources, start=1):
            forger.send(source, (SERVER, DOOR), request("file", FULL if number % 2 else ()))
            if number % 500 == 0:
                most = max(most, alone.sockets)
                good_client(lan, folder)
    return max(most, alone.sockets)


def test_a_flood_from_one_address_has_eight_transfers_and_the_rest_gets_no_answer(
    lan: Lan, alone: Alone, folder: Path
) -> None:
    """R-40."""
    files, sockets, wire = alone.open_files, alone.sockets, Wire(lan)
    sources = [("10.20.0.9", 20_000 + number) for number in range(REQUESTS)]
    with wire.socket:
        most = flood(lan, alone, folder, sources)
        packets = [IP(packet) for packet in wire.packets()]
        eventually(lambda: alone.open_files <= files, what="the end of the last transfer")
    answers = [packet for packet in packets if packet.dst == "10.20.0.9"]
    told = Counter(bytes(packet[UDP].payload)[1] for packet in answers)
    assert set(told) <= {DATA, OACK}, told
    assert most - sockets <= 8 + 1, "and the honest client's"
    counters = alone.end()
    assert counters["tftp.dropped.client_transfers"] + counters["tftp.dropped.client_rate"] > REQUESTS // 2
    assert counters["tftp.ended.complete"] == 1 + REQUESTS // 500


def test_a_flood_from_thousands_of_addresses_fills_a_quarter_of_the_places_and_no_more(
    lan: Lan, alone: Alone, folder: Path
) -> None:
    """R-40: the oldest half-open ones give way."""
    files, sockets, memory = alone.open_files, alone.sockets, alone.resident_bytes
    sources = [(f"10.20.{number // 250}.{number % 250 + 1}", 20_000 + number) for number in range(REQUESTS)]
    most = flood(lan, alone, folder, sources)
    assert most - sockets <= HALF_OPEN
    eventually(lambda: alone.open_files <= files, what="the end of the last transfer")
    assert alone.resident_bytes - memory < 16 << 20
    good_client(lan, folder)
    counters = alone.end()
    assert counters["tftp.ended.complete"] == 2 + REQUESTS // 500
    ended = sum(count for name, count in counters.items() if name.startswith("tftp.ended."))
    assert ended == counters["tftp.started"], "each was told to have ended"


def test_clients_that_vanish_leave_nothing_behind(folder: Path, tmp_path: Path, long: bool) -> None:
    """R-36: some in the midst of a window, some before their first acknowledgment; ten thousand in the long form.

    Who is gone is told by ICMP, in the short form; in the long one they stay and say nothing.
    """
    crowd = 2_000 if long else 150
    with Alone(folder, tmp_path / "log") as alone:

        def wave() -> None:
            with ExitStack() as stack:
                for number in range(crowd):
                    peer = stack.enter_context(Peer(alone.port))
                    assert peer.ask("file", [*FULL, ("tsize", 0)]).opcode == OACK
                    if number % 4:
                        peer.ack(0)
                        assert peer.receive().opcode == DATA
                assert alone.open_files > files + crowd // 2
                if long:
                    eventually(lambda: alone.open_files <= files, 120, "the end of the last transfer")
            eventually(lambda: alone.open_files <= files, 120, "the end of the last transfer")
            with Peer(alone.port) as peer:
                assert peer.fetch("file", FULL) == (folder / "file").read_bytes()

        with Peer(alone.port) as peer:
            assert peer.ask("nothing").opcode == ERROR
            assert peer.fetch("file", FULL)
        files = alone.open_files
        wave()
        memory = alone.resident_bytes
        for _ in range(4):
            wave()
        assert alone.resident_bytes <= memory * 1.05
        outcomes = Counter(event["outcome"] for event in alone.transfers)
        assert set(outcomes) <= {"complete", "refused", "timed_out", "unconfirmed"}, outcomes
