"""Many transfers in several workers behind one door."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from ..loopback.peer import DATA, ERROR, OACK, Peer, request
from ..loopback.service import eventually, moved
from .native import Native

CLIENTS = 64
SIZE = 60_000
OPTIONS = [("blksize", 1000), ("windowsize", 4)]


@pytest.fixture
def files(seed: int) -> dict[str, bytes]:
    random = Random(seed)
    return {f"file-{number}": random.randbytes(SIZE + number) for number in range(CLIENTS)}


@pytest.fixture
def native(tmp_path: Path, files: dict[str, bytes]) -> Iterator[Native]:
    native = Native(
        tmp_path,
        files,
        {name: name for name in files},
        workers=2,
        max_transfers=1000,
        retransmit_milliseconds=2000,
    )
    yield native
    native.server.stop()


def begin(native: Native, peer: Peer, name: str) -> None:
    """A transfer whose options are agreed and none of whose blocks has been asked for."""
    assert peer.ask(name, OPTIONS).opcode == OACK


def finish(peer: Peer) -> bytes:
    """Fetches the file of a transfer that has begun."""
    peer.ack(0)
    return peer.rest(peer.receive(), 1000, 4)


def test_two_workers_share_64_clients_and_each_gets_its_own_file(
    native: Native, files: dict[str, bytes]
) -> None:
    assert native.server.workers == 2
    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(Peer(native.door, f"127.0.1.{place}"))
            for place, name in enumerate(files, 1)
        }
        for name, peer in peers.items():
            begin(native, peer, name)
        live = native.server.live()
        assert Counter(row.worker for row in live) == {0: CLIENTS // 2, 1: CLIENTS // 2}
        assert native.server.transferring == CLIENTS
        by_name = {row.name: row for row in live}
        for name, peer in peers.items():
            row = by_name[name]
            assert row.peer == "{}:{}".format(*peer.socket.getsockname())
            assert (row.size, row.bytes, row.block_size, row.window_size) == (len(files[name]), 0, 1000, 4)
            assert (row.state, row.resent, row.round_trip) == ("offered", 0, None)
            assert row.seconds >= 0
        for name, peer in peers.items():
            assert finish(peer) == files[name], name
        eventually(lambda: not native.server.transferring, what="the end of all transfers")
        assert native.server.live() == []
        ended = native.server.transfers()
        assert Counter(transfer.outcome for transfer in ended) == {"complete": CLIENTS}
        assert {transfer.name for transfer in ended} == set(files)


def test_what_a_transfer_has_sent_so_far_is_seen_while_it_runs(native: Native) -> None:
    with Peer(native.door) as peer:
        begin(native, peer, "file-0")
        peer.ack(0)
        for block in range(1, 5):
            assert peer.receive()[:2] == (DATA, block)
        peer.ack(4)
        assert peer.receive()[:2] == (DATA, 5)
        (row,) = native.server.live()
        assert (row.state, row.bytes) == ("flowing", 4000)
        assert row.round_trip is not None and row.round_trip > 0
        peer.send(ERROR, 0)


def test_a_repeated_request_meets_its_transfer_on_whichever_worker_it_runs(native: Native) -> None:
    before = native.server.counters()
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(native.door)) for _ in range(8)]
        for number, peer in enumerate(peers):
            begin(native, peer, f"file-{number}")
            port = peer.server
            assert peer.ask(f"file-{number}", OPTIONS).opcode == OACK
            assert peer.server == port
        changes = moved(before, native.server.counters())
        assert (changes["tftp.started"], changes["tftp.repeated"]) == (8, 8)
        for peer in peers:
            peer.send(ERROR, 0)


def test_another_request_of_the_same_port_takes_the_place_of_its_transfer(
    native: Native, files: dict[str, bytes]
) -> None:
    with Peer(native.door) as peer:
        begin(native, peer, "file-1")
        first = peer.server
        peer.tell(request("file-2", OPTIONS))
        assert peer.receive().opcode == OACK
        assert peer.server != first
        assert finish(peer) == files["file-2"]
        displaced, complete = native.ended_all(2)
        assert (displaced.name, displaced.outcome) == ("file-1", "displaced")
        assert (complete.name, complete.outcome) == ("file-2", "complete")
