"""Windows PE boots: every firmware, by the simple chain and by the long one, to the last byte and its report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from . import chain, pxe, tftp
from .chain import Asked, EndedError, Machine, architecture_of
from .conftest import Floor
from .pxe import IPXE_BIOS, IPXE_UEFI, ROM, UEFI_ARM64, UEFI_X64, UEFI_X86, Firmware
from .tftp import Granted, Luck, RefusedError

FIRMWARES = [ROM, UEFI_X64, UEFI_X86, UEFI_ARM64, IPXE_BIOS, IPXE_UEFI]
NAMES = [firmware.name for firmware in FIRMWARES]
# `\SMSTemp\<yyyy.mm.dd.hh.mm.ss.nnnn>.{GUID}.boot.bcd` (B-1).
TEMPORARY = (
    r"\\SMSTemp\\\d{4}(\.\d\d){5}\.\d{4}\.\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}\.boot\."
)
CHAINS = {"simple": ("simple", "simple"), "long": ("wdsnbp", "wdsmgfw")}


@pytest.fixture(scope="module", params=CHAINS)
def chained(request: pytest.FixtureRequest, floor: Floor) -> Iterator[str]:
    """Which chain is set."""
    bios, uefi = CHAINS[request.param]
    floor.site.home.run("setting", "set", "windows_bios_chain", bios)
    floor.site.home.run("setting", "set", "windows_uefi_chain", uefi)
    yield request.param
    for name in ("windows_bios_chain", "windows_uefi_chain"):
        floor.site.home.run("setting", "reset", name)


def programs(firmware: Firmware, chained: str, asked: bool = False) -> list[str]:
    """Which programs run, one after the other (CM-86 to CM-88)."""
    if firmware.architecture == pxe.BIOS:
        first = ["wdsnbp.com"] if chained == "long" else []
        return [*first, "pxeboot.com" if asked else "pxeboot.n12", "bootmgr.exe"]
    return ["wdsmgfw.efi", "bootmgfw.efi"] if chained == "long" or asked else ["bootmgfw.efi"]


@pytest.mark.parametrize("firmware", FIRMWARES, ids=NAMES)
def test_a_required_deployment_boots_once_to_its_last_byte_and_reports(
    floor: Floor, chained: str, firmware: Firmware
) -> None:
    image = floor.images[architecture_of(firmware)]
    machine = floor.site.machine(firmware, image)
    started = machine.boot()
    assert machine.programs == programs(firmware, chained)
    assert started.answer.options[252].endswith(b".boot.bcd\0"), "W-58"
    assert started.entry.wim == f"\\SMSImages\\{image}\\boot.{image}.wim"
    assert floor.site.states(machine) == ["LAUNCHED"]
    assert floor.site.launches(machine) == 1
    variables = machine.variables(started.answer)
    for kind, state in (("started", "STARTED"), ("done", "DONE")):
        assert machine.report(variables, kind) == 200
        assert floor.site.states(machine) == [state]
    with pytest.raises(EndedError) as refused:
        machine.boot()
    assert refused.value.how == ("abort program" if firmware.architecture == pxe.BIOS else "no offer")
    assert floor.site.launches(machine) == 1


@pytest.mark.parametrize("firmware", FIRMWARES, ids=NAMES)
def test_an_available_deployment_boots_when_a_person_says_so_as_often_as_they_do(
    floor: Floor, chained: str, firmware: Firmware
) -> None:
    machine = floor.site.machine(firmware, floor.images[architecture_of(firmware)], "available")
    for _ in range(2):
        started = machine.boot()
        assert machine.programs == programs(firmware, chained, asked=True)
        assert machine.variables(started.answer)["PXEFAST_DEPLOYMENT"]
    assert floor.site.states(machine) == []


@pytest.mark.parametrize("firmware", FIRMWARES, ids=NAMES)
def test_who_presses_no_key_goes_to_the_disk_and_nothing_more_is_asked(
    floor: Floor, chained: str, firmware: Firmware
) -> None:
    machine = floor.site.machine(firmware, floor.images[architecture_of(firmware)], "available", key=False)
    with pytest.raises(EndedError) as ended:
        machine.boot()
    assert ended.value.how == "no key"
    programs_asked = {chain.base(asked.name) for asked in machine.files}
    assert programs_asked == set(machine.programs), "no store, no image"


def test_wdsmgfw_that_asks_again_after_the_key_gets_the_boot_manager(floor: Floor) -> None:
    machine = floor.site.machine(UEFI_X64, floor.images["x64"], "available", asks_again_after_key=True)
    machine.boot()
    assert machine.programs == ["wdsmgfw.efi", "bootmgfw.efi"]


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
def test_session_files_have_names_that_nobody_guesses_and_say_what_the_machine_may_do(
    floor: Floor, firmware: Firmware
) -> None:
    first = floor.site.machine(firmware, floor.images["x64"])
    second = floor.site.machine(firmware, floor.images["x64"])
    names = []
    for machine in (first, second):
        answer = machine.boot().answer
        assert answer.bcd is not None
        assert answer.variables is not None
        assert re.fullmatch(TEMPORARY + "bcd", answer.bcd)
        assert answer.variables == answer.bcd.removesuffix("bcd") + "var"
        assert machine.variables(answer)["PXEFAST_DEVICE"] == floor.site.name(machine)
        names.append(answer.bcd)
    assert len(set(names)) == 2
    for name in (names[0], names[0].removesuffix("bcd") + "var"):
        assert first.client.fetch(name, tftp.PLAIN).content
        for stranger in (second.client, floor.site.stranger):
            with pytest.raises(RefusedError) as refused:
                stranger.fetch(name, tftp.PLAIN)
            assert refused.value.code == 1, "as if there were no such file"


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
def test_the_store_is_also_where_a_boot_manager_without_option_252_looks(
    floor: Floor, firmware: Firmware
) -> None:
    machine = floor.site.machine(firmware, floor.images["x64"])
    started = machine.boot()
    for name in ("\\Boot\\BCD", "/boot/bcd", "\\EFI\\Microsoft\\Boot\\BCD"):
        assert machine.client.fetch(name, chain.BUILT_IN).content == started.bcd
    assert floor.site.stranger.probe("\\Boot\\BCD", chain.BUILT_IN) is None


@pytest.mark.parametrize("spelled", [str.upper, str.lower, lambda name: name.replace("\\", "/")])
def test_session_files_are_found_in_any_spelling(floor: Floor, spelled: object) -> None:
    machine = floor.site.machine(UEFI_X64, floor.images["x64"])
    started = machine.boot()
    assert started.answer.bcd is not None
    name = spelled(started.answer.bcd)  # type: ignore[operator]
    for raw in (name, name.lstrip("\\/"), "\\" + name):
        for end in (b"", b"\xff", b"\xff\r\n"):
            assert machine.client.fetch(raw.encode() + end, tftp.PLAIN).content == started.bcd


SIZES = {
    "as set": (["--ramdisk-tftp-block-size", "8192", "--ramdisk-tftp-window-size", "8"], False),
    "variable": (["--ramdisk-tftp-block-size", "16384", "--ramdisk-tftp-window-size", "4"], True),
    "default": (["--no-ramdisk-tftp-block-size", "--no-ramdisk-tftp-window-size"], False),
}


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_boot_manager_reads_with_the_sizes_of_the_site(
    floor: Floor, firmware: Firmware, sizes: str
) -> None:
    words, variable = SIZES[sizes]
    numbers = [int(word) for word in words if word.isdigit()] or [4096, 1]
    switch = "--ramdisk-tftp-variable-window" if variable else "--no-ramdisk-tftp-variable-window"
    floor.site.home.run("dp", "set", *words, switch)
    started = floor.site.machine(firmware, floor.images["x64"]).boot()
    assert [started.entry.block, started.entry.window, started.entry.variable] == [*numbers, variable]
    for done in (started.sdi, started.wim):
        assert done.granted == Granted(*numbers, variable, len(done.content))
    assert (started.wim.largest_window > numbers[1]) == variable


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
def test_a_machine_on_a_bad_cable_boots_all_the_same(floor: Floor, firmware: Firmware, seed: int) -> None:
    luck = Luck(rate=0.01, seed=seed)
    machine = floor.site.machine(firmware, floor.images["x64"], luck=luck)
    machine.boot()
    assert luck.lost
    assert floor.site.launches(machine) == 1


@pytest.mark.parametrize("firmware", FIRMWARES, ids=NAMES)
def test_a_boot_that_was_cut_before_the_last_block_begins_again_by_itself(
    floor: Floor, chained: str, firmware: Firmware
) -> None:
    machine = floor.site.machine(firmware, floor.images[architecture_of(firmware)])
    machine.stop_before_last_block = True
    machine.boot()
    assert floor.site.states(machine) == ["CLAIMED"]
    machine.stop_before_last_block = False
    machine.boot()
    assert floor.site.launches(machine) == 1


def test_the_last_block_is_denied_after_the_launch(floor: Floor) -> None:
    machine = floor.site.machine(UEFI_X64, floor.images["x64"])
    started = machine.boot()
    with pytest.raises(RefusedError) as refused:
        machine.client.fetch(started.entry.wim, chain.ramdisk_wish(started.entry))
    assert refused.value.code == 2
    assert floor.site.launches(machine) == 1


@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
def test_fonts_and_policies_are_answered_from_the_image_or_not_found(
    floor: Floor, firmware: Firmware
) -> None:
    machine = floor.site.machine(firmware, floor.images["x64"])
    machine.boot()
    how = {asked.name: asked.how for asked in machine.files}
    assert how["\\Boot\\Fonts\\wgl4_boot.ttf"] == "read" if firmware is ROM else True
    absent = [asked for asked in machine.files if asked.how == "absent"]
    if firmware is ROM:
        assert absent == [Asked("\\hiberfil.sys", "absent")]
    else:
        assert {asked.name for asked in absent} == {
            *chain.POLICIES,
            f"{chain.BOOT_FOLDER}resources\\bootres.dll",
        }


def test_machines_that_boot_at_once_get_each_its_own(floor: Floor, seed: int) -> None:
    machines: list[Machine] = [
        floor.site.machine(
            firmware, floor.images[architecture_of(firmware)], luck=Luck(rate=0.002, seed=seed + number)
        )
        for number, firmware in enumerate(FIRMWARES * 3)
    ]

    def boot(machine: Machine) -> None:
        variables = machine.variables(machine.boot().answer)
        assert variables["PXEFAST_DEVICE"] == floor.site.name(machine)
        assert machine.report(variables, "started") == 200

    with ThreadPoolExecutor(len(machines)) as pool:
        assert len(list(pool.map(boot, machines))) == len(machines)
    assert {floor.site.launches(machine) for machine in machines} == {1}
