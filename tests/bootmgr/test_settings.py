"""What is not known for sure of Windows' programs is a setting: a machine that bears its value boots."""

from __future__ import annotations

import pytest

from . import hive, pxe, tftp
from .conftest import Floor
from .pxe import BIOS, ROM, UEFI_X64, Firmware
from .test_outcomes import outcome

SETTINGS = {
    "option_250_in_final_ack": ("never", "always", "echo"),
    "option_252_nul": ("no", "yes"),
    "option_243": ("no", "yes"),
    "windows_bcd_shape": ("minimal", "full"),
    "option_250_architecture": ("trust", "ignore"),
}
VALUES = [(name, value) for name, values in SETTINGS.items() for value in values]


@pytest.mark.parametrize("purpose", ["required", "available"])
@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
@pytest.mark.parametrize(("name", "value"), VALUES, ids=[f"{name} {value}" for name, value in VALUES])
def test_a_machine_boots_by_the_long_chain_with_every_value_of_a_setting(
    floor: Floor, firmware: Firmware, purpose: str, name: str, value: str
) -> None:
    home = floor.site.home
    home.run("setting", "set", "windows_bios_chain", "wdsnbp")
    home.run("setting", "set", "windows_uefi_chain", "wdsmgfw")
    home.run("setting", "set", name, value)
    machine = floor.site.machine(firmware, floor.images["x64"], purpose)
    started = machine.boot()
    last = machine.answers[-1]
    assert started.answer is last
    loader_asked = [answer for answer in machine.answers[2:] if answer.said is not None]
    match name, value:
        case "option_250_in_final_ack", "always":
            assert all(answer.said is not None for answer in machine.answers[1:])
        case "option_250_in_final_ack", "never":
            # But to have a person asked, which only wdsmgfw.efi does by it.
            assert bool(loader_asked) == (purpose == "available" and firmware.architecture != BIOS)
        case "option_252_nul", _:
            assert last.options[252].endswith(b"\0") == (value == "yes")
        case "option_243", "no":
            assert 243 not in last.options
            assert b"PXEFAST_SESSION=" in machine.client.fetch("session.env", tftp.PLAIN).content
        case "windows_bcd_shape", _:
            objects = hive.decode(started.bcd)["Objects"]
            assert isinstance(objects, dict)
            assert (len(objects) == 3) == (value == "minimal")


@pytest.mark.parametrize(
    ("processor", "architecture"), [(pxe.X64, "x64"), (9, "x64"), (pxe.X86, "x86"), (0, "x86")]
)
def test_a_bios_machine_gets_the_image_for_the_processor_that_wdsnbp_found(
    floor: Floor, processor: int, architecture: str
) -> None:
    floor.site.home.run("setting", "set", "windows_bios_chain", "wdsnbp")
    floor.site.home.run("setting", "set", "option_250_architecture", "trust")
    machine = floor.site.machine(ROM, floor.images[architecture], processor=processor)
    machine.boot()
    other = {"x64": "x86", "x86": "x64"}[architecture]
    stranger = floor.site.machine(ROM, floor.images[other], processor=processor)
    if architecture == "x64":
        # A 64-bit processor runs an x86 image where there is no other (CM-105).
        stranger.boot()
    else:
        assert outcome(stranger)[0] == "no answer"
