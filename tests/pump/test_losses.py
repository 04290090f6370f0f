"""Bad links: every transfer comes to its end, with the right bytes or with none (R-35, R-43)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from random import Random

import pytest
from pxefast import TftpServer

from ..loopback.home import write_files
from ..loopback.lan import CLIENT, SERVER, Lan
from ..loopback.lossy import Link, Quality, fetch
from ..loopback.peer import Peer
from ..loopback.service import eventually

BLOCK = 1024
WINDOWS = (1, 2, 4, 16, 64)
# Percent of loss, and how many blocks the file has: what is lost costs time.
LOSSES = {0: 150, 1: 150, 5: 80, 20: 20, 50: 2}
CLEAN_UNTIL = 20


def test_every_window_arrives_whole_over_links_that_lose_double_and_reorder(
    tmp_path: Path, seed: int, long: bool
) -> None:
    """R-35: both directions, 10 % doubled and 10 % late; beyond 20 % of loss it may end without the file."""
    files = {
        str(loss): Random(seed).randbytes(count * (10 if long else 1) * BLOCK + 7)
        for loss, count in LOSSES.items()
    }
    write_files(tmp_path, files)

    def client(loss: int, window: int, number: int) -> bytes | str:
        quality = Quality(loss, doubled=10, late=10)
        with Peer(server.port) as peer:
            link = Link(peer, quality, Random(f"{seed} {loss} {window} {number}"))
            return fetch(link, str(loss), [("blksize", BLOCK), ("windowsize", window)])

    clients = list(product(LOSSES, WINDOWS, range(4 if long else 1)))
    with (
        TftpServer(tmp_path, host="127.0.0.1", port=0) as server,
        ThreadPoolExecutor(len(clients)) as pool,
    ):
        fetched = dict(zip(clients, pool.map(client, *zip(*clients, strict=True)), strict=True))
    failed = {client: what for client, what in fetched.items() if isinstance(what, str)}
    assert [
        client for client, what in fetched.items() if what not in (files[str(client[0])], failed.get(client))
    ] == []
    assert not [client for client in failed if client[0] <= CLEAN_UNTIL], failed


@pytest.mark.parametrize("window", [1, 4, 16])
def test_blocks_in_fragments_arrive_though_fragments_are_lost(
    lan: Lan, tmp_path: Path, seed: int, window: int, long: bool
) -> None:
    """R-43: blocks of 16384 over an MTU of 1500, a fragment in a hundred lost: each ninth block."""
    content = Random(seed).randbytes((20_000_000 if long else 1_000_000) + 7)
    write_files(tmp_path, {"file": content})
    # Else what waits for lost fragments fills the memory for fragments, and then none is taken for half a minute.
    lan.client.sysctl("net.ipv4.ipfrag_time", 1)
    with lan.server:
        server = TftpServer(tmp_path, host=SERVER, port=0, block_max=16384)
    with server, lan.dropping("ip frag-off & 0x1fff != 0 numgen random mod 100 < 1"), lan.client:
        with Peer(server.port, CLIENT, SERVER) as peer:
            link = Link(peer, Quality(), Random(seed))
            # A silence of 30 s is a stall.
            options = [("blksize", 16384), ("windowsize", window)]
            assert fetch(link, "file", options, silences=120) == content
        (report,) = eventually(server.transfers)
    assert (report.outcome, report.block_size) == ("complete", 16384)
    assert report.resent > 0, "no fragment was lost: nothing was shown"
