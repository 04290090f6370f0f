"""Caps on bandwidth, of the point, of a network and of a transfer, and networks that are served.

Caps are judged by the server's own times, and from above: what a slow machine does not reach is no fault.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pxefast import _native

from ..loopback.peer import Peer, request
from .native import Native

SIZE = 700_000
# What may leave at once after a silence.
BURST = 64 << 10
MEGABIT = 125_000


def fetch(native: Native, address: str) -> bytes:
    client = _native.Download("127.0.0.1", native.door, "file", block_size=1024, window_size=8, local=address)
    while not client.run(20):
        pass
    return client.data


def seconds(tmp_path: Path, seed: int, clients: list[str], **limits: Any) -> list[float]:
    """How long each of these clients' transfers took, by address, when all ask at once."""
    files = {"file": Random(seed).randbytes(SIZE)}
    native = Native(tmp_path, files, {"file": "file"}, workers=2, **limits)
    try:
        with ThreadPoolExecutor(len(clients)) as pool:
            got = list(pool.map(lambda address: fetch(native, address), clients))
        assert all(data == files["file"] for data in got)
        reports = native.ended_all(len(clients))
        ended = {report.peer.split(":")[0]: report.seconds for report in reports}
        return [ended[address] for address in clients]
    finally:
        native.server.stop()


def least(size: int, megabits: int) -> float:
    """The seconds that so many bytes take at least; their headers come on top."""
    return (size - BURST) / (megabits * MEGABIT)


def test_no_transfer_is_faster_than_its_cap(tmp_path: Path, seed: int) -> None:
    took = seconds(tmp_path, seed, ["127.0.0.51", "127.0.0.52"], max_mbit_per_second_per_transfer=8)
    assert min(took) >= least(SIZE, 8)


def test_all_transfers_together_are_no_faster_than_the_points_cap(tmp_path: Path, seed: int) -> None:
    took = seconds(tmp_path, seed, ["127.0.0.51", "127.0.0.52", "127.0.0.53"], max_mbit_per_second=16)
    assert max(took) >= least(3 * SIZE, 16)
    assert min(took) >= max(took) / 2, "and all have their share"


def test_the_cap_of_a_network_is_its_clients_alone(tmp_path: Path, seed: int) -> None:
    capped = {"127.0.0.52/31": 8}
    *_, elsewhere = took = seconds(
        tmp_path, seed, ["127.0.0.52", "127.0.0.53", "127.0.0.51"], max_mbit_per_second_of=capped
    )
    assert max(took) >= least(2 * SIZE, 8)
    assert elsewhere < max(took)


def test_who_is_held_by_a_cap_is_seen(tmp_path: Path, seed: int) -> None:
    native = Native(
        tmp_path, {"file": Random(seed).randbytes(SIZE)}, {"file": "file"}, max_mbit_per_second_per_transfer=4
    )
    try:
        client = _native.Download("127.0.0.1", native.door, "file", block_size=1024, window_size=8)
        states = set()
        while not client.run(0.05):
            states |= {row.state for row in native.server.live()}
        assert "held" in states
        transfer = native.reported()
        assert transfer.slow_side == "server"
        assert transfer.waited_server >= transfer.seconds / 2
        assert transfer.resent == 0, "what waits for its turn is not taken as lost"
    finally:
        native.server.stop()


@pytest.mark.parametrize("networks", [("127.0.0.51/32", "127.0.0.64/26"), ()])
def test_requests_are_taken_from_the_named_networks_alone(tmp_path: Path, networks: tuple[str, ...]) -> None:
    native = Native(tmp_path, {"file": b"x"}, {"file": "file"}, networks=list(networks))
    try:
        with Peer(native.door, "127.0.0.52") as elsewhere:
            elsewhere.tell(request("file"))
            for address in ("127.0.0.51", "127.0.0.64", "127.0.0.127"):
                assert fetch(native, address) == b"x"
            counters = native.server.counters()
            assert counters["tftp.dropped.source_network"] == len(networks[:1])
            assert counters["tftp.started"] == 4 - len(networks[:1])
    finally:
        native.server.stop()
