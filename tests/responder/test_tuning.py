"""When a transfer's gaps show that its window was too large for the machine, and when they do not (W-105)."""

from __future__ import annotations

import random

import pytest
from pxefast.decide import DistributionPoint, Reason, Request, Site
from pxefast.responder.tuning import limit_of, lowered, model_of


def ask(mac: str, architecture: int = 7, ipxe: bool = False) -> Request:
    return Request(mac, None, architecture, True, ipxe, "request", 0, 1, "eth0", None, 0.0)


def through_a_ring(room: int, window: int, blocks: int) -> tuple[int, int, int]:
    """Windows, windows with a gap, and the fewest blocks that arrived of one, where all beyond `room` is dropped."""
    windows = gaps = done = 0
    fewest = 0
    while done < blocks:
        sent = min(window, blocks - done)
        windows += 1
        arrived = min(sent, room)
        if arrived < sent:
            gaps, fewest = gaps + 1, arrived if not gaps else min(fewest, arrived)
        done += arrived
    return windows, gaps, fewest


def through_a_network(loss: float, window: int, blocks: int, dice: random.Random) -> tuple[int, int, int]:
    """The same where any block is lost by chance."""
    windows = gaps = done = 0
    fewest = 0
    while done < blocks:
        sent = min(window, blocks - done)
        windows += 1
        arrived = next((number for number in range(sent) if dice.random() < loss), sent)
        if arrived < sent:
            gaps, fewest = gaps + 1, arrived if not gaps else min(fewest, arrived)
        done += arrived
    return windows, gaps, fewest


@pytest.mark.parametrize(("room", "blocks"), [(4, 4), (7, 4), (8, 8), (20, 16), (33, 32)])
def test_a_machine_with_room_for_few_packets_gets_what_always_arrived(room: int, blocks: int) -> None:
    assert lowered(64, *through_a_ring(room, 64, 2000), 4) == blocks
    # What it gets then is not lost again.
    assert lowered(blocks, *through_a_ring(room, blocks, 2000), 4) is None


def test_a_window_that_fits_is_left_alone() -> None:
    assert lowered(16, *through_a_ring(16, 16, 5000), 4) is None
    assert lowered(1, *through_a_ring(1, 1, 5000), 4) is None


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("window", [4, 8, 16, 64])
def test_a_network_that_loses_blocks_is_no_reason(loss: float, window: int, seed: int) -> None:
    dice = random.Random(f"{seed} {loss} {window}")
    print(f"seed {seed}")
    learned = [lowered(window, *through_a_network(loss, window, 100_000, dice), 4) for _ in range(5)]
    assert learned == [None] * 5


def test_a_few_gaps_are_no_reason() -> None:
    assert lowered(64, 7, 7, 20, 4) is None
    assert lowered(64, 1000, 240, 20, 4) is None
    assert lowered(64, 960, 240, 20, 4) == 16


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
