"""A machine: real firmware in QEMU, without disk, with its serial console on a pipe."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .net import Namespace
from .process import GoneError, Program, printable

# A disk's first sector that prints this on the serial port, and stops.
DISK_MARKER = "rig: disk"
BOOT_SECTOR = (
    bytes.fromhex("31c0 8ed8 be147c baf803 ac 84c0 7403 ee ebf8 ebfe") + DISK_MARKER.encode() + b"\r\n\0"
)
SECTOR = 512

OVMF_CODE, OVMF_VARIABLES = Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
Firmware = Literal["bios", "uefi"]


@dataclass(frozen=True)
class Machine:
    """What stays of a machine between its starts: firmware, MAC, SMBIOS GUID, and its tap."""

    name: str
    firmware: Firmware
    mac: str
    guid: str
    namespace: Namespace
    tap: str

    def start(self, folder: Path, disk: bool = False) -> Start:
        """Switch on. `folder` takes the firmware's variables, fresh at every start.

        With a `disk` it comes second in the boot order of BIOS, and says DISK_MARKER when it is booted from.
        """
        argv = ["qemu-system-x86_64", "-name", self.name, "-uuid", self.guid, "-accel", "tcg", "-m", "256"]
        argv += ["-nodefaults", "-nographic", "-serial", "stdio", "-boot", "nc", "-no-reboot"]
        argv += ["-netdev", f"tap,id=net,ifname={self.tap},script=no,downscript=no"]
        nic = f"virtio-net-pci,netdev=net,mac={self.mac}"
        if disk:
            image = folder / f"{self.name}.disk"
            image.write_bytes(BOOT_SECTOR.ljust(SECTOR - 2, b"\0") + b"\x55\xaa" + bytes(2047 * SECTOR))
            argv += ["-drive", f"if=ide,format=raw,file={image}"]
        if self.firmware == "bios":
            argv += ["-machine", "pc", "-device", nic]
        else:
            variables = folder / f"{self.name}.variables"
            shutil.copyfile(OVMF_VARIABLES, variables)
            argv += ["-machine", "q35", "-device", f"{nic},romfile="]  # no option ROM: EDK2's own PXE runs
            argv += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}"]
            argv += ["-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
        return Start(Program(argv, self.namespace, self.name))


class Start:
    """One switching on of a machine, until `end()`."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def console(self) -> str:
        """What the serial console has shown, without control sequences."""
        return printable(str(self._program.out))

    def reaches(self, marker: str, seconds: float) -> bool:
        """Wait for a pattern on the console; False if it does not come, or the machine ends before."""
        try:
            self._program.out.wait(lambda text: re.search(marker, printable(text)), seconds, marker)
        except GoneError:
            return False
        return True

    def end(self) -> None:
        self._program.end()
