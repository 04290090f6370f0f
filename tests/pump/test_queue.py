"""Clients that have to wait: where more start than can be served at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..loopback.peer import ERROR, OACK, Peer, request
from ..loopback.service import eventually, moved
from .native import Native

FILES = {"file": bytes(range(256)) * 20}
OPTIONS = [("blksize", 1024), ("windowsize", 2)]
PLACES = 16


@contextmanager
def crowded(folder: Path, **limits: int) -> Iterator[tuple[Native, list[Peer]]]:
    """A server with two workers of eight places, and a proven transfer in each."""
    native = Native(folder, FILES, {"file": "file"}, workers=2, max_transfers=PLACES, **limits)
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(native.door)) for _ in range(PLACES)]
        for peer in peers:
            assert peer.ask("file", OPTIONS).opcode == OACK
            peer.ack(0)
            peer.receive()
        yield native, peers
        native.server.stop()


def source(peer: Peer) -> str:
    return "{}:{}".format(*peer.socket.getsockname())


def waiting(native: Native) -> list[str]:
    return [row.peer for row in native.server.waiting()]


def wait_in_turn(native: Native, stack: ExitStack, count: int) -> list[Peer]:
    """Clients that ask one after the other and find no place."""
    peers = [stack.enter_context(Peer(native.door)) for _ in range(count)]
    for place, peer in enumerate(peers, 1):
        peer.tell(request("file", OPTIONS))
        eventually(lambda: len(waiting(native)) == place, what="a client in the queue")  # noqa: B023
    return peers


def test_who_finds_no_place_is_served_in_turn_and_told_nothing_before(tmp_path: Path) -> None:
    with crowded(tmp_path) as (native, served), ExitStack() as stack:
        before = native.server.counters()
        peers = wait_in_turn(native, stack, 3)
        assert waiting(native) == [source(peer) for peer in peers]
        assert native.server.counters()["tftp.queue.length"] == 3
        assert all(row.name == "file" and row.seconds >= 0 for row in native.server.waiting())
        begun = {}
        for place, peer in enumerate(peers, 1):
            served.pop().send(ERROR, 0)
            assert peer.receive().opcode == OACK, "its turn, and no error before it"
            assert waiting(native) == [source(later) for later in peers[place:]]
            peer.ack(0)
            begun[peer] = peer.receive()
        for peer, first in begun.items():
            assert peer.rest(first, 1024, 2) == FILES["file"]
        changes = moved(before, native.server.counters())
        assert changes["tftp.queue.entered"] == 3
        assert native.server.counters()["tftp.queue.length"] == 0


def test_who_asks_again_keeps_its_place(tmp_path: Path) -> None:
    with crowded(tmp_path) as (native, served), ExitStack() as stack:
        first, second = wait_in_turn(native, stack, 2)
        first.tell(request("file", OPTIONS))
        eventually(lambda: native.server.counters()["tftp.repeated"], what="the repeat")
        assert waiting(native) == [source(first), source(second)]
        served[0].send(ERROR, 0)
        assert first.receive().opcode == OACK
        assert waiting(native) == [source(second)]


def test_who_does_not_ask_again_within_its_patience_is_forgotten(tmp_path: Path) -> None:
    with crowded(tmp_path, queue_seconds=1) as (native, served), ExitStack() as stack:
        _gone, patient = wait_in_turn(native, stack, 2)

        def only_one_waits() -> bool:
            patient.tell(request("file", OPTIONS))
            return waiting(native) == [source(patient)]

        eventually(only_one_waits, what="the end of a client's patience")
        served[0].send(ERROR, 0)
        assert patient.receive().opcode == OACK
        assert native.server.counters()["tftp.queue.given_up"] == 1


def test_a_full_queue_drops_who_waited_longest_and_one_of_no_length_everybody(tmp_path: Path) -> None:
    with crowded(tmp_path / "two", queue=2) as (native, served), ExitStack() as stack:
        peers = wait_in_turn(native, stack, 2)
        peers.append(stack.enter_context(Peer(native.door)))
        peers[2].tell(request("file", OPTIONS))
        eventually(lambda: native.server.counters()["tftp.queue.overflowed"], what="the oldest to go")
        assert waiting(native) == [source(peer) for peer in peers[1:]]
        served[0].send(ERROR, 0)
        assert peers[1].receive().opcode == OACK
    with crowded(tmp_path / "none", queue=0) as (native, _), Peer(native.door) as peer:
        peer.tell(request("file", OPTIONS))
        eventually(lambda: native.server.counters()["tftp.queue.overflowed"], what="its end")
        assert waiting(native) == []


def test_who_asks_faster_than_all_together_may_is_served_all_the_same(tmp_path: Path) -> None:
    native = Native(tmp_path, FILES, {"file": "file"}, requests_per_second=50)
    try:
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer(native.door)) for _ in range(60)]
            for peer in peers:
                peer.tell(request("file", OPTIONS))
            assert all(peer.receive().opcode == OACK for peer in peers)
            assert native.server.counters()["tftp.queue.entered"] > 0
            for peer in peers:
                peer.send(ERROR, 0)
    finally:
        native.server.stop()


# A quarter of the places of one worker may be half open.
SHARE = PLACES // 4


def test_in_a_storm_nobody_loses_its_transfer_to_those_who_come_after_it(tmp_path: Path) -> None:
    native = Native(
        tmp_path, FILES, {"file": "file"}, workers=1, max_transfers=PLACES, retransmit_milliseconds=3000
    )
    with ExitStack() as stack:
        stack.callback(native.server.stop)
        peers = [stack.enter_context(Peer(native.door)) for _ in range(PLACES)]
        # All ask before any of them says a word.
        for peer in peers:
            peer.tell(request("file", OPTIONS))
        native.barrier()
        assert waiting(native) == [source(peer) for peer in peers[SHARE:]]
        for peer in peers:
            assert peer.receive().opcode == OACK
            peer.ack(0)
            assert peer.rest(peer.receive(), 1024, 2) == FILES["file"]
        assert {transfer.outcome for transfer in native.ended_all(PLACES)} == {"complete"}


def test_who_said_nothing_for_a_whole_timeout_gives_way_to_who_waits(tmp_path: Path) -> None:
    native = Native(tmp_path, FILES, {"file": "file"}, workers=2, max_transfers=2 * PLACES)
    with ExitStack() as stack:
        stack.callback(native.server.stop)
        silent = [stack.enter_context(Peer(native.door)) for _ in range(2 * SHARE)]
        for peer in silent:
            assert peer.ask("file", OPTIONS).opcode == OACK
        with Peer(native.door) as peer:
            assert peer.fetch("file", OPTIONS) == FILES["file"]
        displaced = native.ended_all(2)
        assert {transfer.outcome for transfer in displaced} == {"displaced", "complete"}
        assert source(silent[0]) in {transfer.peer for transfer in displaced}
