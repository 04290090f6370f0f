"""What may leave for each acknowledgment, told by a model, and where each of its bytes is from (R-33, R-44)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random

import pytest
from pxefast import TftpServer

from ..loopback.home import write_files
from ..loopback.machine import pending
from ..loopback.peer import DATA, ERROR, OACK, Option, Peer, request
from .test_hostile import hostile

BLOCK = 100
# The shortest time after which a server's own timer may send a block again, in seconds.
TIMER = 0.05
# Of one window that a repeated acknowledgment may draw, so many windows pass until the next.
WINDOWS_BETWEEN = 4


class Model:
    """What the server has sent and what of it was acknowledged: RFC 7440, and that no ACK is answered twice."""

    def __init__(self, window: int, last: int) -> None:
        self.window, self.last = window, last
        self.base, self.next = 1, window + 1
        self.windows = WINDOWS_BETWEEN

    @property
    def end(self) -> int:
        """The last block that may be on its way."""
        return min(self.base + self.window - 1, self.last)

    def nothing_new(self, random: Random) -> Iterator[int]:
        """ACKs of a random burst that say nothing new: repeated, old, of blocks never sent."""
        old = random.randrange(max(0, self.base - 200), self.base)
        future = random.randrange(self.next, self.next + 20_000)
        for _ in range(random.randrange(40)):
            yield random.choice((self.base - 1, self.base - 1, old, future))

    def something_new(self, random: Random) -> int:
        """The ACK of a whole window, mostly; else of a gap in it."""
        return self.end if random.random() < 0.7 else random.randrange(self.base, self.end + 1)

    def acknowledged(self, block: int) -> None:
        self.windows += 1
        self.base = block + 1
        self.next = self.end + 1

    def permits(self, blocks: int, repeats: bool, seconds: float) -> bool:
        """Whether so many may follow an acknowledgment of something new, and the burst before it."""
        most = self.window * (1 + int(seconds / TIMER))
        if blocks > most and repeats and self.window > 1 and self.windows >= WINDOWS_BETWEEN:
            self.windows = 0
            most += self.window
        return blocks <= most


@pytest.fixture(scope="module")
def files(seed: int) -> dict[str, bytes]:
    return {"file": Random(seed).randbytes(3_000 * BLOCK + 7), "tiny": b"!", "empty": b"", "même": b"utf-8"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> Iterator[TftpServer]:
    folder = write_files(tmp_path_factory.mktemp("served"), files)
    with TftpServer(folder, host="127.0.0.1", port=0) as server_:
        yield server_


@pytest.mark.parametrize("window", [1, 2, 4, 16, 64])
def test_an_acknowledgment_is_answered_once_and_one_that_says_nothing_new_never(
    server: TftpServer, files: dict[str, bytes], seed: int, window: int
) -> None:
    """R-33: what comes between two acknowledgments of something new is at most what the model says."""
    random, content = Random(seed), files["file"]
    model = Model(window, len(content) // BLOCK + 1)
    blocks: dict[int, bytes] = {}
    with Peer(server.port) as peer:
        assert peer.ask("file", [("blksize", BLOCK), ("windowsize", window)]).opcode == OACK
        peer.ack(0)
        repeats = False
        before = began = time.monotonic()
        while True:
            counted = 0
            while model.end not in blocks:
                packet = peer.receive()
                # What left before the acknowledgment came may arrive after it.
                oldest = model.base - window
                block = oldest + (packet.number - oldest) % 65536
                assert packet.opcode == DATA and block <= model.end, (block, vars(model))
                assert blocks.setdefault(block, packet.rest) == packet.rest
                counted += 1
            # What a timer sent at the end of the round before may be counted in this one.
            assert model.permits(counted, repeats, time.monotonic() - before), (counted, vars(model))
            burst = list(model.nothing_new(random))
            before, began = began, time.monotonic()
            for block in burst:
                peer.ack(block)
            repeats = model.base - 1 in burst
            new = model.something_new(random)
            peer.ack(new)
            model.acknowledged(new)
            if model.base > model.last:
                break
    assert b"".join(blocks[block] for block in sorted(blocks)) == content


def account(datagram: bytes, asked: bytes, files: Mapping[str, bytes]) -> None:
    """Where every byte of an answer is from: the request, a file, or the protocol."""
    match datagram[1]:
        case 3:
            assert datagram[:4] == b"\0\3\0\1"
            assert datagram[4:] in {content[:512] for content in files.values()}
        case 5:
            code, words = datagram[2:4], datagram[4:]
            assert code in (b"\0\0", b"\0\1", b"\0\2", b"\0\4")
            assert words.endswith(b"\0") and words[:-1].decode("ascii").isprintable(), words
        case 6:
            words = datagram[2:].split(b"\0")
            assert words.pop() == b"" and len(words) % 2 == 0 and words
            for option, value in zip(words[::2], words[1::2], strict=True):
                assert option in asked.split(b"\0"), (option, asked)
                assert str(int(value)).encode() == value
        case opcode:
            pytest.fail(f"opcode {opcode}")


def test_every_byte_that_leaves_is_the_files_or_the_protocols(
    server: TftpServer, files: dict[str, bytes], seed: int, long: bool
) -> None:
    """R-44: after each long datagram come shorter ones, which would show what is left of it in a buffer."""
    random = Random(seed)
    seen: Counter[int] = Counter()
    options: list[Option] = [("BlkSize", 65464), ("TSIZE", 0), ("windowSize", 2), ("x" * 200, "y" * 200)]
    for number in range(10_000 if long else 1_500):
        name = random.choice(list(files)).encode()
        asked = random.choice(
            (request(name), request(name, options[: random.randrange(5)]), hostile(random, name))
        )
        with Peer(server.port) as peer, Peer(server.port) as other:
            peer.tell(asked)
            assert other.ask("nothing").opcode == ERROR
            for datagram, _ in pending(peer.socket):
                seen[datagram[1]] += 1
                account(datagram, asked, files)
            if number % 10 == 0:
                assert other.fetch("file", [("blksize", 65464), ("windowsize", 4)]) == files["file"]
    assert set(seen) == {DATA, ERROR, OACK}
