"""What becomes of transfers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pxefast.site.learned_windows import Lesson
from pxefast.site.store import Store

from ..loopback.machine import Machine
from ..loopback.peer import ERROR, Peer
from ..loopback.point import FILES, PROGRAMS, Point
from ..loopback.service import SOON, eventually

BLOCK = 512
IMAGE = bytes(range(256)) * 800
MODEL = "02:00:00/x64-uefi/PXEClient"


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    files = {**FILES, "big.wim": IMAGE}
    with Point(tmp_path_factory.mktemp("transfers"), files=files, programs=PROGRAMS) as point_:
        yield point_


def granted(machine: Machine, name: str, window: int) -> int:
    """The window that a machine is granted which asks for this one."""
    with Peer(machine.service.ports["tftp"], machine.address[0]) as peer:
        offer = peer.ask(name, [("windowsize", window)])
        peer.send(ERROR, 8)
        return int(dict(offer.options)["windowsize"])


def test_a_learned_window_counts_for_all_machines_of_the_model_from_their_next_boot_on(point: Point) -> None:
    name = point.name("big.wim")
    machine, other = point.machine("available"), point.machine("available")
    machine.boot()
    assert granted(machine, name, 16) == 16
    with Store.open(point.home.database) as store:
        store.learned_windows.learn(Lesson(MODEL, 4, 16, 5, 40, 50, "another"))
    for each in (machine, other):
        eventually(lambda each=each: "learned_window" in each.boot().codes, SOON)
        assert granted(each, name, 16) == 4
        assert granted(each, name, 2) == 2
    # iPXE brings a driver of its own.
    assert "learned_window" not in point.stage(other, ipxe=True).boot().codes
    assert granted(other, name, 16) == 16
    point.home.run("tune", "clear", MODEL, "--yes")
    eventually(lambda: "learned_window" not in machine.boot().codes, SOON)
    assert granted(machine, name, 16) == 16
