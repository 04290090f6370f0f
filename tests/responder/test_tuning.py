"""When a transfer's gaps show that its window was too large for the machine, and when they do not (W-105)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from pxefast.decide import DistributionPoint, Reason, Request, Site
from pxefast.responder.tuning import Gaps, limit_of, lowered, model_of


def ask(mac: str, architecture: int = 7, ipxe: bool = False) -> Request:
    return Request(mac, None, architecture, True, ipxe, "request", 0, 1, "eth0", None, 0.0)


def fetched(window: int, blocks: int, arrives: Callable[[int], int]) -> Gaps:
    """A transfer of so many blocks, where of a window of n blocks `arrives(n)` come before the first that is lost."""
    windows = gap_windows = fewest = before_gaps = done = 0
    while done < blocks:
        sent = min(window, blocks - done)
        arrived = min(arrives(sent), sent)
        windows, done = windows + 1, done + arrived
        if arrived < sent:
            gap_windows, before_gaps = gap_windows + 1, before_gaps + arrived
            fewest = min(fewest or arrived, arrived or fewest)
    return Gaps(window, windows, gap_windows, fewest, before_gaps)


def by_chance(loss: float, dice: random.Random) -> Callable[[int], int]:
    """A network that loses any block."""
    return lambda sent: next((number for number in range(sent) if dice.random() < loss), sent)


@pytest.mark.parametrize(("room", "blocks"), [(2, 4), (4, 4), (7, 4), (8, 8), (20, 16), (33, 32)])
def test_a_machine_with_room_for_few_packets_gets_what_always_came_through(room: int, blocks: int) -> None:
    assert lowered(fetched(64, 2000, lambda _: room), 4) == blocks
    # It gets no less then.
    assert lowered(fetched(blocks, 2000, lambda _: room), 4) is None


@pytest.mark.parametrize("room", [8, 16, 32])
def test_a_driver_that_empties_its_ring_meanwhile_is_known_as_well(room: int, seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(seed)
    # It starts again with something left in it, or takes out some while more comes in.
    assert lowered(fetched(64, 5000, lambda _: dice.randint(room, room * 7 // 4)), 4) == room
    # Now and then the first block of a window is lost, too.
    assert lowered(fetched(64, 5000, lambda _: 0 if dice.random() < 0.1 else room), 4) == room


def test_a_window_that_fits_is_left_alone() -> None:
    assert lowered(fetched(16, 5000, lambda _: 16), 4) is None
    assert lowered(fetched(1, 5000, lambda _: 1), 4) is None


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("window", [4, 8, 16, 64])
def test_a_network_that_loses_blocks_is_no_reason(loss: float, window: int, seed: int) -> None:
    print(f"seed {seed}")
    dice = random.Random(f"{seed} {loss} {window}")
    # Boot files of half a megabyte up to an image.
    learned = [
        lowered(fetched(window, blocks, by_chance(loss, dice)), 4)
        for blocks in (350, 1000, 3000, 20_000)
        for _ in range(25 if blocks < 20_000 else 1)
    ]
    assert sum(blocks is not None for blocks in learned) <= 1


def test_a_few_gaps_are_no_reason() -> None:
    assert lowered(Gaps(64, 31, 31, 20, 620), 4) is None
    assert lowered(Gaps(64, 1000, 240, 20, 4800), 4) is None
    assert lowered(Gaps(64, 960, 240, 20, 4800), 4) == 16


SITE = Site(DistributionPoint("PS1"), windows={"52:54:00/x64-uefi/iPXE": 8})
FIRMWARE = ask("52:54:00:12:34:56")


def test_a_model_is_told_by_vendor_platform_and_whose_driver_it_is() -> None:
    assert model_of(FIRMWARE, SITE) == "52:54:00/x64-uefi/PXEClient"
    assert model_of(ask("52:54:00:12:34:56", ipxe=True), SITE) == "52:54:00/x64-uefi/iPXE"
    assert model_of(ask("52:54:00:12:34:56", architecture=0), SITE) == "52:54:00/x64-bios/PXEClient"
    assert model_of(ask(""), SITE) is None
    assert model_of(ask("52:54:00:12:34:56", architecture=99), SITE) is None


def test_only_machines_of_the_model_are_limited_and_told_why() -> None:
    assert (limit_of(FIRMWARE, SITE).blocks, limit_of(FIRMWARE, SITE).reasons) == (0, ())
    limit = limit_of(ask("52:54:00:99:99:99", ipxe=True), SITE)
    assert limit.blocks == 8
    (reason,) = limit.reasons
    assert isinstance(reason, Reason)
    assert "at most 8 blocks" in reason.text
    assert "pxefast tune show" in reason.text
