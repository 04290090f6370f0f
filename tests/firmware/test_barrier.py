"""Once is counted from the launch file's last byte: before it a machine boots again by itself, after it never."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from . import image
from .lab import Lab
from .machine import DISK_MARKER, Firmware, Machine
from .service import Event

BOOT_SECONDS = 240
PLAN: dict[str, Firmware] = {"bios-cut": "bios", "uefi-cut": "uefi"}


@dataclass(frozen=True)
class Cut:
    """A machine that was switched off while it read its launch file, and all that came of its second start."""

    machine: Machine
    image: image.Image
    transfers: list[Event]
    booted: bool
    console: str


@pytest.fixture(scope="module")
def cut(lab: Lab, seed: int) -> dict[str, Cut]:
    work = image.build("work", lab.folder / "work", seed)
    boot_image = lab.service.publish(work)
    machines = {name: lab.machine(name, firmware, lab.network.lan) for name, firmware in PLAN.items()}
    lab.service.deploy("work", boot_image, list(machines), "required")
    lab.service.start()
    starts = {name: machine.start(lab.folder) for name, machine in machines.items()}
    for name, start in starts.items():
        # It has asked for the launch file, 20 MB, and reads for seconds.
        assert start.reaches("rig: payload", BOOT_SECONDS), f"{name}: {start.console}"
        start.end()
    before = len(lab.service.events)
    starts = {name: machine.start(lab.folder) for name, machine in machines.items()}
    booted = {name: start.reaches(work.marker, BOOT_SECONDS) for name, start in starts.items()}
    transfers = [event for event in lab.service.events[:before] if event["event"] == "transfer"]
    for start in starts.values():
        start.end()
    return {
        name: Cut(machines[name], work, transfers, booted[name], start.console)
        for name, start in starts.items()
    }


@pytest.mark.parametrize("name", PLAN)
def test_a_machine_switched_off_before_the_last_block_boots_again_by_itself(
    cut: dict[str, Cut], name: str
) -> None:
    assert cut[name].booted, cut[name].console
    assert f"{cut[name].image.sha256}  /payload.bin" in cut[name].console
    launched = [
        event
        for event in cut[name].transfers
        if event["name"].endswith("payload.bin") and event["outcome"] == "complete"
    ]
    assert launched == [], "it was switched off too late"


def test_a_bios_machine_that_was_launched_is_told_to_go_on_to_its_disk(lab: Lab, cut: dict[str, Cut]) -> None:
    start = cut["bios-cut"].machine.start(lab.folder, disk=True)
    try:
        assert start.reaches(DISK_MARKER, BOOT_SECONDS), start.console
        assert "rig: payload" not in start.console
    finally:
        start.end()
    last = lab.service.requests(cut["bios-cut"].machine.mac)[-1]
    assert "already_offered" in {reason["code"] for reason in last["reasons"]}
    assert last["action"] == "abort"
