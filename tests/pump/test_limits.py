"""How much one client may have, on a network with the settings that everybody has (T1, T9, T11, D15)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from ..loopback.lan import CLIENT, OTHER, SERVER, Lan
from ..loopback.machine import pending
from ..loopback.peer import ERROR, OACK, RRQ, WRQ, Packet, Peer, request
from ..loopback.point import Point
from ..loopback.service import moved

NAME = "boot.efi"
Open = Callable[..., Peer]


@pytest.fixture
def opened(lan: Lan) -> object:
    """Makes a client's port on the network."""
    with ExitStack() as stack:

        def open_(address: str = CLIENT, port: int = 0, server: str = SERVER) -> Peer:
            with lan.client:
                return stack.enter_context(Peer(69, address, server, port))

        yield open_


def asked(peer: Peer, name: str) -> Packet | None:
    """The answer to a request for this name, or None where it gets none."""
    peer.tell(request(name, [("tsize", 0)]))
    try:
        return peer.receive(0.2)
    except TimeoutError:
        return None


def test_one_client_has_eight_transfers_at_once_and_another_has_its_own(
    lan_point: Point, opened: Open
) -> None:
    """R-40."""
    name = lan_point.name(NAME)
    before = lan_point.service.counters()
    peers = [opened() for _ in range(9)]
    answers = [asked(peer, name) for peer in peers]
    assert [answer is not None and answer.opcode == OACK for answer in answers] == [True] * 8 + [False]
    other = asked(opened(OTHER), name)
    assert other is not None
    assert other.opcode == OACK
    peers[0].send(ERROR, 0)
    ended = "{}:{}".format(*peers[0].socket.getsockname())
    lan_point.service.event("transfer", lambda event: event["peer"] == ended)
    assert asked(opened(), name), "there is room again"
    changes = moved(before, lan_point.service.counters())
    assert changes["tftp.dropped.client_transfers"] == 1
    for peer in peers[1:8]:
        peer.send(ERROR, 0)


def test_one_client_asks_forty_times_at_once_and_twenty_times_a_second(
    lan_point: Point, opened: Open
) -> None:
    """R-40."""
    name = lan_point.name(NAME)
    before = lan_point.service.counters()
    began, served = time.monotonic(), 0
    while asked(peer := opened(OTHER), name):
        peer.send(ERROR, 0)
        served += 1
    assert 40 <= served <= 41 + 20 * (time.monotonic() - began)
    honest = asked(opened(CLIENT), name)
    assert honest is not None
    assert honest.opcode == OACK, "others are not made to wait"
    changes = moved(before, lan_point.service.counters())
    assert changes["tftp.dropped.client_rate"] == 1


@pytest.mark.parametrize("port", [67, 68, 69, 1023, 4011])
@pytest.mark.parametrize("opcode", [RRQ, WRQ])
def test_a_port_that_no_client_uses_gets_no_answer(
    lan_point: Point, opened: Open, port: int, opcode: int
) -> None:
    """R-32."""
    peer = opened(port=port)
    peer.tell(request(lan_point.name(NAME), opcode=opcode))
    peer.tell(b"\0\5\0\0no\0")
    assert asked(opened(OTHER), lan_point.name("missing")), "what came before was dealt with"
    assert pending(peer.socket) == []


def test_a_request_by_broadcast_gets_no_answer(lan_point: Point, opened: Open) -> None:
    before = lan_point.service.counters()
    for address in ("255.255.255.255", "192.0.2.255"):
        peer = opened(server=address)
        assert asked(peer, lan_point.name(NAME)) is None
    assert moved(before, lan_point.service.counters())["tftp.dropped.broadcast"] == 2


@pytest.mark.parametrize("window", [1, 4, 64])
def test_a_block_is_what_the_path_carries_whole(lan_point: Point, opened: Open, window: int) -> None:
    name, options = lan_point.name("large.bin"), [("blksize", 65464), ("windowsize", window)]
    peer = opened()
    assert peer.ask(name, options).options == [("blksize", "1468"), ("windowsize", str(window))]
    peer.send(ERROR, 0)
    content = (lan_point.home.folder.parent / "image" / "large.bin").read_bytes()
    assert opened().fetch(name, options) == content
