"""Windows PE for machines without a record, and for firmware with habits of its own."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from .chain import EndedError, Machine
from .conftest import Floor
from .pxe import ROM, UEFI_X64, Firmware
from .test_boot import programs

EBC_MEANT_AS_X64 = replace(UEFI_X64, name="UEFI with architecture 9", architecture=9)  # W-31
FIRMWARES = [ROM, UEFI_X64, EBC_MEANT_AS_X64]


@pytest.fixture(scope="module", autouse=True)
def unknown(floor: Floor) -> None:
    """An available deployment to the machines that nobody knows, with a variable of theirs."""
    home = floor.site.home
    home.run("dp", "set", "--unknown-computers")
    everybody = "All Unknown Computers"
    sequence = home.run(
        "task-sequence", "create", "--name", "new", "--boot-image", floor.images["x64"], "--quiet"
    )
    home.run("deployment", "create", "--task-sequence", sequence, "--collection", everybody, "--purpose", "available",
             "--make-available-to", "media-pxe", "--quiet")  # fmt: skip
    home.run("collection", "variable", "set", everybody, "ROLE", "new one")
    floor.site.settle()


def nobody(floor: Floor, number: int, firmware: Firmware, **more: bool) -> Machine:
    """A machine without a record."""
    mac = f"02:00:00:00:08:{number:02x}"
    guid = uuid.uuid5(uuid.NAMESPACE_DNS, f"nobody {number}")
    return floor.site.at(200 + number, firmware, floor.site.expected(floor.images["x64"]), mac, guid, **more)


@pytest.mark.parametrize("firmware", FIRMWARES, ids=[firmware.name for firmware in FIRMWARES])
def test_a_machine_without_a_record_boots_when_a_person_says_so(floor: Floor, firmware: Firmware) -> None:
    number = FIRMWARES.index(firmware)
    machine = nobody(floor, number, firmware)
    started = machine.boot()
    assert machine.programs == programs(firmware, "simple", asked=True)
    variables = machine.variables(started.answer)
    assert variables["ROLE"] == "new one"
    idle = nobody(floor, 50 + number, firmware, key=False)
    with pytest.raises(EndedError) as ended:
        idle.boot()
    assert ended.value.how == "no key"
