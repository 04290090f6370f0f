"""One distribution point with files of every size that matters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

import pytest

from ..loopback.home import LOOPBACK
from ..loopback.peer import Peer
from ..loopback.point import FILES, Point

BLOCK = 1428
# A silent client is given up after 50 + 100 ms.
SETTINGS = {**LOOPBACK, "tftp": {"port": 0, "retransmit_milliseconds": 50}}


@pytest.fixture(scope="session")
def files(seed: int) -> dict[str, bytes]:
    """Random bytes, one file a size: none, one, and about one block of each of two sizes; several megabytes."""
    sizes = [0, 1, *(size + more for size in (512, BLOCK) for more in (-1, 0, 1)), 3_000_007]
    random = Random(seed)
    sized = {f"sized/{size}.bin": random.randbytes(size) for size in sizes}
    # Block numbers of two bytes go round twice where a block has eight.
    wraps = random.randbytes(2 * 65536 * 8 + 99)
    return {
        **FILES,
        **sized,
        "grub/grub.cfg": b"the first's menu",
        "wraps.bin": wraps,
        "changing.bin": random.randbytes(100_000),
    }


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> Iterator[Point]:
    with Point(tmp_path_factory.mktemp("point"), SETTINGS, files) as point_:
        yield point_


@pytest.fixture
def peer(point: Point) -> Iterator[Peer]:
    """A client's port that nobody had before: an event of its address is of its own transfer."""
    with ExitStack() as stack:
        while True:
            peer_ = stack.enter_context(Peer(point.service.ports["tftp"]))
            source = "{}:{}".format(*peer_.socket.getsockname())
            if all(event.get("peer") != source for event in point.service.events):
                break
        yield peer_
