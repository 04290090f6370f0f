"""Files of every size about the edges of blocks, of windows and of block numbers (R-34)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from random import Random

import pytest
from pxefast import TftpServer

from ..loopback.home import write_files
from ..loopback.peer import OACK, Option, Peer

TURN = 1 << 16  # block numbers of two bytes


def about(edge: int) -> list[int]:
    return [edge - 1, edge, edge + 1]


@pytest.mark.parametrize(("block", "window"), [(8, 1), (8, 64), (512, 1), (512, 4), (1456, 16), (8192, 5)])
def test_a_file_about_the_edge_of_a_block_or_a_window_arrives_whole(
    tmp_path: Path, seed: int, block: int, window: int
) -> None:
    """R-34."""
    random = Random(seed)
    sizes = [0, 1, *about(block), *about(block * window), *about(2 * block * window)]
    files = {f"{size}": random.randbytes(size) for size in sizes if size >= 0}
    write_files(tmp_path, files)
    options: list[Option] = [("blksize", block), ("windowsize", window)]
    with TftpServer(tmp_path, host="127.0.0.1", port=0) as server:
        for name, content in files.items():
            with Peer(server.port) as peer:
                assert peer.fetch(name, options) == content, name


@pytest.mark.parametrize(
    ("blocks", "window"), [(TURN - 2, 64), (TURN - 1, 64), (TURN, 64), (TURN, 7), (TURN + 1, 64)]
)
def test_a_file_about_the_turn_of_the_block_numbers_arrives_whole(
    tmp_path: Path, seed: int, blocks: int, window: int
) -> None:
    """R-34: so many full blocks, with and without a short one behind them; after 65535 comes 0."""
    random = Random(seed)
    files = {str(more): random.randbytes(8 * blocks + more) for more in (0, 1)}
    write_files(tmp_path, files)
    with TftpServer(tmp_path, host="127.0.0.1", port=0) as server:
        for name, content in files.items():
            with Peer(server.port) as peer:
                assert peer.fetch(name, [("blksize", 8), ("windowsize", window)]) == content


def test_a_file_of_more_bytes_than_32_bits_count_arrives_whole(tmp_path: Path, seed: int, long: bool) -> None:
    """R-34: sparse, with bytes about each edge; 4 GiB and one byte in the long form."""
    random = Random(seed)
    size, block, window = (1 << 32) + 1 if long else (1 << 28) + 1, 65464, 16
    file = tmp_path / "served" / "sparse"
    file.parent.mkdir()
    with file.open("wb") as writer:
        writer.truncate(size)
        for place in (0, block - 1, TURN * block - 7, (1 << 31) - 9, size - 33):
            if place < size - 32:
                writer.seek(place)
                writer.write(random.randbytes(17))
    sent, arrived = hashlib.sha256(), hashlib.sha256()
    with TftpServer(file.parent, host="127.0.0.1", port=0) as server, Peer(server.port) as peer:
        oack = peer.ask("sparse", [("tsize", 0), ("blksize", block), ("windowsize", window)])
        assert (oack.opcode, dict(oack.options)["tsize"]) == (OACK, str(size))
        peer.ack(0)
        count = 0
        with file.open("rb") as reader:
            for piece in peer.blocks(peer.receive(), block, window):
                count += len(piece)
                arrived.update(piece)
                sent.update(reader.read(len(piece)))
    assert (count, arrived.digest()) == (size, sent.digest())
