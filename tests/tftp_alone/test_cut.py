"""Files that are cut, replaced and rewritten at any moment of a transfer, thousands of times (R-37, R-38, R-39)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from ..loopback.alone import Alone
from ..loopback.lossy import Link, Quality
from ..loopback.peer import DATA, ERROR, OACK, Peer

CHANGED = "the file changed\0"
PAGE = 4096
SIZE = 40 * PAGE + 123


@contextmanager
def meanwhile(deed: Iterator[None]) -> Iterator[None]:
    """Do it step by step, over and over; now and then slowly enough for a whole transfer to pass between two."""
    stop, pauses = threading.Event(), Random(0)

    def run() -> None:
        while not stop.is_set():
            next(deed)
            stop.wait(pauses.choice((0, 0, 0.001, 0.01)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def transfer(port: int, block: int, window: int) -> tuple[str, bytes]:
    """How a transfer of `file` ended, and the bytes that came before that, in their order."""
    content = bytearray()
    with Peer(port) as peer:
        link = Link(peer, Quality(), Random(0))
        first = peer.ask("file", [("blksize", block), ("windowsize", window)])
        if first.opcode == ERROR:
            return first.rest.decode(), b""
        assert first.opcode == OACK
        received = 0
        link.ack(0)
        while True:
            packet = link.receive(0.2)
            if packet is None:
                link.ack(received)
                continue
            if packet.opcode == ERROR:
                return packet.rest.decode(), bytes(content)
            assert packet.opcode == DATA
            if packet.number != (received + 1) % 65536:
                continue
            received += 1
            content += packet.rest
            last = len(packet.rest) < block
            if last or received % window == 0:
                link.ack(received)
            if last:
                return "complete", bytes(content)


def cutting(file: Path, content: bytes, random: Random) -> Iterator[None]:
    """Cut the file anywhere, then have it whole again; the same file all the time."""
    while True:
        with file.open("r+b") as writer:
            writer.truncate(random.randrange(len(content)))
            yield
            writer.seek(0)
            writer.write(content)
        yield


def test_a_file_that_is_cut_at_any_moment_never_ends_well_with_a_byte_that_it_never_had(
    tmp_path: Path, seed: int, long: bool
) -> None:
    """R-37, R-39: and nothing crashes. What was cut between a look at its size and its sending may leave as zeros, but
    the error follows.
    """
    random = Random(seed)
    content = bytes(random.randrange(1, 256) for _ in range(SIZE))
    file = tmp_path / "served" / "file"
    file.parent.mkdir()
    file.write_bytes(content)
    ended: Counter[str] = Counter()
    with Alone(file.parent, tmp_path / "log") as alone:
        with meanwhile(cutting(file, content, random)):
            for _ in range(5_000 if long else 300):
                block, window = random.choice((512, 1456, 8192)), random.choice((1, 4, 16))
                how, came = transfer(alone.port, block, window)
                ended[how] += 1
                assert how in ("complete", CHANGED)
                if not content.startswith(came):
                    assert how == CHANGED
                    assert all(byte in (0, had) for byte, had in zip(came, content, strict=False))
        file.write_bytes(content)
        assert transfer(alone.port, 1456, 16) == ("complete", content)
    assert len(ended) > 1, ended


def replacing(file: Path, versions: list[bytes], random: Random) -> Iterator[None]:
    """Another version takes the file's name, whole."""
    other = file.parent.parent / "next"
    while True:
        other.write_bytes(random.choice(versions))
        other.rename(file)
        yield


def test_a_file_that_is_replaced_at_any_moment_comes_whole_in_one_of_its_versions(
    tmp_path: Path, seed: int, long: bool
) -> None:
    """R-38."""
    random = Random(seed)
    versions = [random.randbytes(size) for size in (SIZE, SIZE - 1, PAGE, 1)]
    file = tmp_path / "served" / "file"
    file.parent.mkdir()
    file.write_bytes(versions[0])
    with Alone(file.parent, tmp_path / "log") as alone, meanwhile(replacing(file, versions, random)):
        seen: Counter[int] = Counter()
        while seen.total() < (5_000 if long else 300) or len(seen) < len(versions):
            how, came = transfer(alone.port, random.choice((512, 1456, 8192)), random.choice((1, 4, 16)))
            assert how == "complete" and came in versions, how
            seen[len(came)] += 1
