"""Windows PE over a network whose packets are 1500 bytes: blocks larger than that arrive in fragments (W-110)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from .. import wims
from ..loopback.lan import OTHER, SERVER
from ..loopback.lan import Lan as Network
from . import tftp
from .chain import Machine, architecture_of
from .pxe import ROM, UEFI_ARM64, UEFI_X64, UEFI_X86, Firmware
from .rig import Lan, Site
from .tftp import Client, Granted, Luck, Wish

FIRMWARES = [ROM, UEFI_X64, UEFI_X86, UEFI_ARM64]
# Block, window, variable window; as the machine's own variables.
SIZES = {"variable": (16384, 4, True), "fixed": (8192, 8, False)}
VARIABLES = ("RamDiskTFTPBlockSize", "RamDiskTFTPWindowSize", "RamDiskTFTPVariableWindow")
WHOLE = 1468  # what 1500 bytes carry unbroken


@pytest.fixture(scope="module")
def site(
    lan: Network, tmp_path_factory: pytest.TempPathFactory, wim_files: dict[str, wims.Wim]
) -> Iterator[Site]:
    """With the ports that everybody has."""
    with lan.server:
        site_ = Site(tmp_path_factory.mktemp("lan"), {"log": {"format": "json"}})
        images = {name: site_.image(wim) for name, wim in wim_files.items()}
        for firmware in FIRMWARES:
            for kind, sizes in SIZES.items():
                name, mac, guid, address = identity(firmware, kind)
                lan.client.ip(f"address add {address}/24 dev eth0")
                site_.home.device(name, mac, guid)
                for variable, value in zip(VARIABLES, sizes, strict=True):
                    site_.home.run("device", "variable", "set", name, variable, str(value))
                site_.home.deploy(images[architecture_of(firmware)], [name])
        running = site_.__enter__()
    yield running
    site_.__exit__()


class Identity(NamedTuple):
    """Who a machine is, and where."""

    name: str
    mac: str
    guid: str
    address: str


def identity(firmware: Firmware, kind: str) -> Identity:
    name = f"{firmware.name} {kind}".replace(" ", "-")
    number = 2 * FIRMWARES.index(firmware) + (kind == "fixed")
    guid = uuid.uuid5(uuid.NAMESPACE_DNS, name)
    return Identity(name, f"02:00:00:00:05:{number:02x}", str(guid), f"192.0.2.{100 + number}")


def reassembled() -> int:
    """How many datagrams this namespace's kernel has put together from fragments."""
    names, values = Path("/proc/thread-self/net/snmp").read_text().splitlines()[:2]
    return int(dict(zip(names.split(), values.split(), strict=True))["ReasmOKs"])


@pytest.mark.parametrize("firmware", FIRMWARES, ids=[firmware.name for firmware in FIRMWARES])
@pytest.mark.parametrize("kind", SIZES)
def test_windows_boots_with_blocks_that_arrive_in_fragments(
    lan: Network, site: Site, firmware: Firmware, kind: str, seed: int
) -> None:
    image = next(id_ for id_, wim in site.images.items() if wim.architecture == architecture_of(firmware))
    name, mac, guid, address = identity(firmware, kind)
    block, window, variable = SIZES[kind]
    machine = Machine(
        Lan(site.service, SERVER), firmware, mac, uuid.UUID(guid), address, site.expected(image),
        key=False, luck=Luck(rate=0.005, seed=seed),
    )  # fmt: skip
    with lan.client:
        before = reassembled()
        started = machine.boot()
        whole = reassembled() - before
        assert machine.variables(started.answer)["PXEFAST_DEVICE"] == name
    assert started.wim.granted == Granted(block, window, variable, len(started.wim.content))
    assert (started.wim.largest_window > window) == variable
    blocks = (len(started.wim.content) + len(started.sdi.content)) // block
    assert whole >= blocks, "each of its blocks came in pieces"
    assert site.states(machine, name) == ["LAUNCHED"]


def test_only_a_windows_boot_manager_gets_blocks_that_the_path_does_not_carry_whole(
    lan: Network, site: Site
) -> None:
    name = "\\SMSBoot\\x64\\bootmgfw.efi"
    with lan.client:
        stranger = Client((SERVER, site.service.ports["tftp"]), OTHER)
        before = reassembled()
        for wish in (Wish(8192, 4, variable=False), Wish(65464, None, variable=False), tftp.EDK2, tftp.ROM):
            done = stranger.fetch(name, wish)
            assert done.granted.block == min(wish.block or 512, WHOLE)
        assert reassembled() == before, "nothing came in pieces"
        assert stranger.fetch(name, Wish(8192, 4)).granted.block == 8192
        assert stranger.fetch(name, Wish(65464, 4)).granted.block == 16384
        assert reassembled() > before
