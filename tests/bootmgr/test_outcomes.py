"""No Windows PE: who gets silence, who gets the program that ends it, and what is said about it (CM-87, CM-89)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .. import wims
from .chain import EndedError, Machine, base
from .conftest import Floor
from .pxe import BIOS, IPXE_BIOS, IPXE_UEFI, ROM, UEFI_ARM64, UEFI_X64, UEFI_X86, Firmware

FIRMWARES = [ROM, UEFI_X64, UEFI_X86, UEFI_ARM64, IPXE_BIOS, IPXE_UEFI]
NAMES = [firmware.name for firmware in FIRMWARES]


def outcome(machine: Machine) -> tuple[str, list[str]]:
    """How a boot ends, and the reasons of the last decision."""
    with pytest.raises(EndedError) as ended:
        machine.boot()
    events = machine.line.events  # type: ignore[attr-defined]
    return ended.value.how, [reason["code"] for reason in events[-1]["reasons"]]


def refusal(firmware: Firmware) -> str:
    """To whom nothing is deployed: BIOS is told to go on; UEFI goes on by itself (CM-89)."""
    return "abort program" if firmware.architecture == BIOS else "no offer"


@pytest.mark.parametrize("firmware", FIRMWARES, ids=NAMES)
def test_a_machine_with_nothing_deployed_goes_on_to_its_next_boot_device(
    floor: Floor, firmware: Firmware
) -> None:
    machine = floor.site.machine(firmware, floor.images["x64"], None)
    how, codes = outcome(machine)
    assert how == refusal(firmware)
    assert "no_deployment" in codes
    assert {base(asked.name) for asked in machine.files} <= {"abortpxe.com", "abort.ipxe"}


@pytest.mark.parametrize("purpose", ["required", "available"])
@pytest.mark.parametrize("firmware", FIRMWARES, ids=NAMES)
def test_an_excluded_machine_hears_nothing_whatever_is_deployed(
    floor: Floor, firmware: Firmware, purpose: str
) -> None:
    machine = floor.site.machine(firmware, floor.images["x64"], purpose)
    listed = floor.site.home.folder / "excluded.txt"
    listed.write_text(f"{machine.mac}\n")
    floor.site.home.run("dp", "set", "--mac-ignore-list-file", str(listed))
    floor.site.settle()
    how, codes = outcome(machine)
    assert (how, codes) == ("no offer", ["excluded"])
    assert not machine.files
    floor.site.home.run("dp", "set", "--no-mac-ignore-list-file")


@pytest.mark.parametrize(
    ("firmware", "architecture"),
    [(UEFI_X64, "arm64"), (UEFI_X64, "x86"), (UEFI_ARM64, "x64"), (UEFI_X86, "x64"), (ROM, "arm64")],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_an_image_of_another_architecture_boots_nothing(
    floor: Floor, firmware: Firmware, architecture: str
) -> None:
    how, codes = outcome(floor.site.machine(firmware, floor.images[architecture]))
    assert (how, codes[-1]) == ("no offer", "no_boot_image")


@pytest.fixture(scope="module")
def only_added(floor: Floor, wim_files: dict[str, wims.Wim]) -> str:
    """An image that was never distributed."""
    return floor.site.image(wim_files["x64"], distribute=False)


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64, IPXE_UEFI], ids=["BIOS", "UEFI", "iPXE"])
def test_an_image_that_is_not_distributed_boots_nothing_until_it_is(
    floor: Floor, only_added: str, firmware: Firmware
) -> None:
    how, codes = outcome(floor.site.machine(firmware, only_added))
    assert (how, codes[-1]) == ("no offer", "boot_image_not_distributed")


def test_an_image_boots_once_it_is_distributed(floor: Floor, wim_files: dict[str, wims.Wim]) -> None:
    image = floor.site.image(wim_files["x64"], distribute=False)
    machine = floor.site.machine(UEFI_X64, image)
    assert outcome(machine)[0] == "no offer"
    floor.site.home.run("content", "distribute", image)
    floor.site.settle()
    machine.boot()
    assert floor.site.launches(machine) == 1


@pytest.fixture(scope="module")
def poor(floor: Floor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image without BIOS programs and without wdsmgfw.efi, where that is to come first."""
    wim = wims.make(
        tmp_path_factory.mktemp("poor") / "poor.wim",
        bios=False,
        wdsmgfw=False,
        fonts=False,
        stl=False,
        seed=9,
    )
    yield floor.site.image(wim)
    for name in ("windows_uefi_chain", "windows_uefi_prompt"):
        floor.site.home.run("setting", "reset", name)
    floor.site.settle()


def test_a_program_that_the_image_lacks_is_named_and_nothing_boots(floor: Floor, poor: str) -> None:
    machine = floor.site.machine(ROM, poor)
    how, codes = outcome(machine)
    assert (how, codes[-1]) == ("no offer", "no_windows_program")
    assert "lack pxeboot.n12" in machine.line.events[-1]["reasons"][-1]["text"]  # type: ignore[attr-defined]


def test_without_wdsmgfw_nobody_asks_a_person_so_that_an_available_deployment_is_refused(
    floor: Floor, poor: str
) -> None:
    machine = floor.site.machine(UEFI_X64, poor, "available")
    how, codes = outcome(machine)
    assert how == "no offer"
    assert "no_windows_program" in codes
    floor.site.home.run("setting", "set", "windows_uefi_prompt", "none")
    floor.site.settle()
    machine.boot()
    assert machine.programs == ["bootmgfw.efi"]
    floor.site.home.run("setting", "set", "windows_uefi_prompt", "refuse")
    floor.site.settle()
    assert outcome(machine)[0] == "no offer"


def test_a_required_deployment_needs_no_wdsmgfw_but_where_it_is_to_come_first(
    floor: Floor, poor: str
) -> None:
    machine = floor.site.machine(UEFI_X64, poor)
    floor.site.home.run("setting", "set", "windows_uefi_chain", "wdsmgfw")
    floor.site.settle()
    how, codes = outcome(machine)
    assert how == "no offer"
    assert "no_windows_program" in codes
    floor.site.home.run("setting", "set", "windows_uefi_chain", "simple")
    floor.site.settle()
    machine.boot()
    assert floor.site.launches(machine) == 1
