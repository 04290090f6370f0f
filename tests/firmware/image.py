"""Boot image folders: a boot program per firmware, its script, a token and a payload.

What boots is GRUB, and once iPXE. It asks for `/grub/grub.cfg`, `/token.txt` and `/payload.bin`, names
that exist only for a machine in a session, and prints on the serial console the token, the payload's
SHA-256 and then the marker.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .net import PXE_SERVER

PAYLOAD_BYTES = 20 * 1024 * 1024 + 12_345  # over 20 MB; the last block is a short one
IPXE_BOOT_PROGRAM = Path("/usr/lib/ipxe/snponly.efi")
MODULES = ["tftp", "normal", "configfile", "echo", "cat", "hashsum", "gcry_sha256", "serial", "halt"]
PAYLOAD, TOKEN = "payload.bin", "token.txt"
BIOS_PROGRAM, UEFI_PROGRAM, IPXE_SCRIPT = "grub.0", "grubx64.efi", "boot.ipxe"

GRUB_SCRIPT = """\
serial --unit=0 --speed=115200
terminal_output serial
echo "rig: token"
cat /token.txt
echo "rig: payload"
sha256sum /payload.bin
echo "rig: booted {name}"
echo "rig: end"
halt
"""

# EFI GRUB knows only the DHCP server (F-58), so its image carries pxefast's address. GRUB for BIOS finds it.
EFI_EARLY_SCRIPT = f"""\
set net_default_server={PXE_SERVER}
set root=(tftp,{PXE_SERVER})
set prefix=($root)/grub
"""

IPXE_FIRST_SCRIPT = """\
#!ipxe
chain tftp://${next-server}/second.ipxe
"""

IPXE_SECOND_SCRIPT = """\
#!ipxe
imgfetch tftp://${{next-server}}/token.txt
echo rig: token
echo {token}
echo rig: booted {name}
echo rig: end
sleep 600
"""


@dataclass(frozen=True)
class Image:
    """A folder that pxefast can publish; `token` and `sha256` are what a machine that read it prints.

    `launch_file` is what the machine reads last before its marker.
    """

    name: str
    folder: Path
    token: str
    sha256: str
    programs: dict[str, str]
    launch_file: str

    @property
    def marker(self) -> str:
        """A pattern for the console: every file before it was asked for, and it has left the UART."""
        return rf"rig: booted {self.name}\s+rig: end"


def build(name: str, folder: Path, seed: int) -> Image:
    """A GRUB image for BIOS and UEFI x64; the same seed gives the same bytes."""
    numbers = random.Random(f"{seed} {name}")
    token = f"{numbers.getrandbits(128):032x}"
    payload = numbers.randbytes(PAYLOAD_BYTES)
    (folder / "grub").mkdir(parents=True)
    (folder / "grub" / "grub.cfg").write_text(GRUB_SCRIPT.format(name=name))
    (folder / TOKEN).write_text(token + "\n")
    (folder / PAYLOAD).write_bytes(payload)
    return Image(name, folder, token, hashlib.sha256(payload).hexdigest(), grub_programs(folder), PAYLOAD)


def grub_programs(folder: Path) -> dict[str, str]:
    """GRUB for both firmwares in an image's folder; it runs `/grub/grub.cfg`."""
    early = folder.parent / f"{folder.name}-early.cfg"
    early.write_text(EFI_EARLY_SCRIPT)
    _grub("i386-pc-pxe", folder / BIOS_PROGRAM, ["--prefix=(pxe)/grub", "pxe", *MODULES])
    _grub("x86_64-efi", folder / UEFI_PROGRAM, ["--prefix=/grub", f"--config={early}", "efinet", *MODULES])
    return {"bios": BIOS_PROGRAM, "uefi": UEFI_PROGRAM}


def build_ipxe(name: str, folder: Path, seed: int) -> Image:
    """An image whose UEFI boot program is iPXE, which asks DHCP again by itself and gets a script (F-42)."""
    token = f"{random.Random(f'{seed} {name}').getrandbits(128):032x}"
    folder.mkdir(parents=True)
    shutil.copy(IPXE_BOOT_PROGRAM, folder / IPXE_BOOT_PROGRAM.name)
    (folder / IPXE_SCRIPT).write_text(IPXE_FIRST_SCRIPT)
    (folder / "second.ipxe").write_text(IPXE_SECOND_SCRIPT.format(name=name, token=token))
    (folder / TOKEN).write_text(token + "\n")
    programs = {"uefi": IPXE_BOOT_PROGRAM.name, "ipxe": IPXE_SCRIPT}
    return Image(name, folder, token, "", programs, TOKEN)


# Said by the embedded script, which has no `normal` around it.
WINDOWS_SCRIPT = """\
{early}serial --unit=0 --speed=115200
terminal_output serial
echo rig: image
sha256sum /boot.{id}.wim
echo rig: session
cat /session.env
echo rig: booted {id}
echo rig: end
halt
"""


def windows_programs(boot_image_id: str, folder: Path) -> dict[str, bytes]:
    """What stands in for Windows' boot programs in a test image: path in the image -> bytes.

    Each prints the SHA-256 of the image's wim, what the machine may report with, and the marker.
    """
    programs = {
        "Windows/Boot/PXE/pxeboot.n12": ("i386-pc-pxe", "--prefix=(pxe)", "pxe", ""),
        "Windows/Boot/EFI/bootmgfw.efi": ("x86_64-efi", "--prefix=/", "efinet", EFI_EARLY_SCRIPT),
    }
    made = {}
    for path, (target, prefix, network, early) in programs.items():
        script, program = folder / f"{target}.cfg", folder / f"{target}.grub"
        script.write_text(WINDOWS_SCRIPT.format(early=early, id=boot_image_id))
        _grub(target, program, [prefix, f"--config={script}", network, "terminal", *MODULES])
        made[path] = program.read_bytes()
    return made


def _grub(target: str, output: Path, arguments: list[str]) -> None:
    subprocess.run(["grub-mkimage", "-O", target, "-o", str(output), *arguments], check=True, timeout=60)
