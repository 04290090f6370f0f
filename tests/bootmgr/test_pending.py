"""Machines that wait for a person's approval: they poll by option 250, and boot in the middle of it (W-69)."""

from __future__ import annotations

import json
import uuid

import pytest

from .chain import EndedError, Machine
from .conftest import Floor
from .pxe import BIOS, ROM, UEFI_ARM64, UEFI_X64, Firmware
from .test_outcomes import outcome, refusal

POLLS = 3


SETTINGS = {"pending_machines": "poll", "pending_poll_count": str(POLLS), "pending_poll_seconds": "7"}


@pytest.fixture(autouse=True, scope="module")
def polling(floor: Floor) -> None:
    for name, value in SETTINGS.items():
        floor.site.home.run("setting", "set", name, value)


def late(floor: Floor, firmware: Firmware, image: str) -> tuple[Machine, str]:
    """A machine that joins a required deployment's collection afterwards, and the deployment."""
    site = floor.site
    machine = site.machine(firmware, image, None)
    first = f"old{machine.mac[-2:]}"
    site.home.device(first, f"02:00:00:00:07:{machine.mac[-2:]}", str(uuid.uuid5(machine.guid, first)))
    deployed = site.home.deploy(image, [first])
    site.home.run("collection", "add", deployed.collection, site.name(machine))
    site.settle()
    pending = json.loads(site.home.run("deployment", "pending", deployed.id, "--json"))
    assert site.name(machine) in json.dumps(pending)
    return machine, deployed.id


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64, UEFI_ARM64], ids=["BIOS", "UEFI x64", "UEFI arm64"])
def test_a_machine_that_is_approved_while_it_waits_boots(floor: Floor, firmware: Firmware) -> None:
    image = floor.images["arm64" if firmware is UEFI_ARM64 else "x64"]
    machine, deployment = late(floor, firmware, image)
    polls: list[int] = []

    def approve_at_the_second(number: int) -> None:
        polls.append(number)
        if number == 2:
            floor.site.home.run(
                "deployment", "approve", deployment, "--device", floor.site.name(machine), "--yes"
            )
            floor.site.settle()

    machine.polled = approve_at_the_second
    machine.boot()
    assert polls == [1, 2]
    first = "wdsnbp.com" if firmware.architecture == BIOS else "wdsmgfw.efi"
    assert machine.programs[0] == first
    assert floor.site.launches(machine) == 1
    said = [answer.said for answer in machine.answers if answer.said is not None]
    assert [(each.interval, each.polls) for each in said[:2]] == [(7, POLLS)] * 2
    assert len({each.request_id for each in said[:2]}) == 1, "one number to read out to the help desk"


def test_a_machine_that_nobody_approves_gives_up_and_nothing_was_launched(floor: Floor) -> None:
    machine, deployment = late(floor, UEFI_X64, floor.images["x64"])
    with pytest.raises(EndedError) as ended:
        machine.boot()
    assert ended.value.how == "not approved"
    assert machine.programs == ["wdsmgfw.efi"]
    assert floor.site.states(machine) == []
    floor.site.home.run("deployment", "approve", deployment, "--device", floor.site.name(machine), "--yes")
    floor.site.settle()
    machine.boot()
    assert floor.site.launches(machine) == 1


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
def test_by_default_who_waits_for_approval_is_not_booted_at_all(floor: Floor, firmware: Firmware) -> None:
    floor.site.home.run("setting", "set", "pending_machines", "ignore")
    machine, _ = late(floor, firmware, floor.images["x64"])
    assert outcome(machine)[0] == refusal(firmware)
    floor.site.home.run("setting", "set", "pending_machines", "poll")
