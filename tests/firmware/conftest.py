"""What the firmware tests need of the machine they run on, and one laboratory a module."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import image, machine
from .lab import Lab, laboratory
from .net import Namespace

# Debian package -> a program or a file that it brings. packages.txt names the same packages, for apt-get.
TOOLS = {
    "ethtool": "ethtool",
    "grub-common": "grub-mkimage",
    "grub-efi-amd64-bin": "/usr/lib/grub/x86_64-efi/moddep.lst",
    "grub-pc-bin": "/usr/lib/grub/i386-pc/moddep.lst",
    "iproute2": "ip",
    "ipxe": str(image.IPXE_BOOT_PROGRAM),
    "ipxe-qemu": "/usr/lib/ipxe/qemu/efi-virtio.rom",
    "isc-dhcp-relay": "dhcrelay",
    "isc-dhcp-server": "dhcpd",
    "nftables": "nft",
    "ovmf": str(machine.OVMF_CODE),
    "qemu-system-x86": "qemu-system-x86_64",
    "tcpdump": "tcpdump",
    "tshark": "tshark",
}


def what_is_missing() -> str | None:
    """Why no firmware can boot here, or None."""
    if os.geteuid() != 0:
        return "the firmware tests make network namespaces and must run as root"
    absent = [package for package, tool in TOOLS.items() if not (shutil.which(tool) or Path(tool).is_file())]
    if absent:
        return f"the firmware tests need Debian packages: apt-get install {' '.join(absent)}"
    try:
        namespace = Namespace()
        namespace.ip("tuntap add tap0 mode tap")
        namespace.close()
    except OSError as error:
        return f"the firmware tests need network namespaces and taps: {error}"
    return None


@pytest.fixture(scope="session", autouse=True)
def rig() -> None:
    """Skip with the exact reason where no firmware can boot."""
    if why := what_is_missing():
        pytest.skip(why)


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A laboratory whose service is not started yet. Its files stay if a test of the module failed."""
    folder = tmp_path_factory.mktemp("lab")
    failed_before = request.session.testsfailed
    with laboratory(folder) as laboratory_:
        yield laboratory_
    if request.session.testsfailed == failed_before:
        shutil.rmtree(folder)
