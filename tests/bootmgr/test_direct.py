"""Windows PE for firmware that never asks twice: the offer names the program and everything else (W-40, W-59)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .. import wims
from ..loopback.home import LOOPBACK
from . import tftp
from .chain import architecture_of
from .conftest import Floor
from .pxe import ACK, IPXE_BIOS, IPXE_UEFI, OFFER, ROM, UEFI_ARM64, UEFI_X64, Firmware
from .rig import Site

FIRMWARES = [ROM, UEFI_X64, UEFI_ARM64, IPXE_BIOS, IPXE_UEFI]
KINDS = ("bios", "uefi_x86", "uefi_x64", "uefi_arm64", "ipxe")


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory, wim_files: dict[str, wims.Wim]) -> Iterator[Floor]:
    site = Site(tmp_path_factory.mktemp("direct"), {**LOOPBACK, "dhcp.style": dict.fromkeys(KINDS, "direct")})
    images = {name: site.image(wim_files[name]) for name in ("x64", "arm64")}
    with site:
        yield Floor(site, images)


@pytest.mark.parametrize("firmware", FIRMWARES, ids=[firmware.name for firmware in FIRMWARES])
def test_an_offer_is_all_that_a_machine_needs(floor: Floor, firmware: Firmware) -> None:
    machine = floor.site.machine(firmware, floor.images[architecture_of(firmware)])
    started = machine.boot()
    assert [answer.message for answer in machine.answers] == [OFFER]
    assert started.answer.bcd is not None
    assert floor.site.launches(machine) == 1
    variables = machine.variables(started.answer)
    assert machine.report(variables, "started") == 200


def test_the_store_of_an_offer_belongs_to_the_first_address_that_knows_its_session(floor: Floor) -> None:
    machine = floor.site.machine(UEFI_X64, floor.images["x64"])
    answer = machine.ask_firmware()
    assert answer.bcd is not None
    stranger = floor.site.stranger
    with pytest.raises(tftp.RefusedError):
        stranger.fetch(answer.bcd, tftp.PLAIN)
    machine.client.fetch(answer.file, tftp.EDK2)
    assert machine.client.fetch(answer.bcd, tftp.PLAIN).content
    with pytest.raises(tftp.RefusedError):
        stranger.fetch(answer.bcd, tftp.PLAIN)


@pytest.mark.parametrize("purpose", ["required", "available"])
@pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])
def test_firmware_that_asks_port_4011_all_the_same_is_answered_and_boots(
    floor: Floor, firmware: Firmware, purpose: str
) -> None:
    """W-41."""
    machine = floor.site.machine(firmware, floor.images["x64"], purpose)
    machine.asks_port_4011_always = True
    started = machine.boot()
    assert [answer.message for answer in machine.answers[:2]] == [OFFER, ACK]
    assert started.answer.message == ACK
    assert machine.variables(started.answer)["PXEFAST_DEVICE"] == floor.site.name(machine)
    assert floor.site.launches(machine) == (1 if purpose == "required" else 0)
