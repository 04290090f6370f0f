"""The names that files are served under, in the publisher's spelling (CM-113 to CM-117).

    SMSImages/<ID>/<name>           every file of an image of kind files; boot.<ID>.wim of one of kind windows-pe
    SMSBoot/<ID>/<arch>/<program>   the boot files of one of kind windows-pe, fonts and boot.sdi beside <arch>

A machine sees the folder of its image as its root, so that a Windows image's boot files have further names below it:
those that boot managers look for by themselves (B-2, W-72, W-73). SMSBoot/<arch> and the like are those of the image
with the highest id.
The native side folds case and backslashes; no two names fold to the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from pxefast.content.builtin import ABORT_BIOS, ABORT_IPXE, FILES
from pxefast.content.library import Library, Published
from pxefast.content.source import PREFIX, fold

__all__ = [
    "File",
    "abort_file",
    "boot_file",
    "build",
    "full_name",
    "image_of",
    "ramdisk_paths",
    "windows_programs",
]

_BOOT = "SMSBoot"
# Where the library keeps a Windows image's boot files.
_KEPT = "boot/"
_SDI = "boot.sdi"
_FONTS = "Fonts/"


class File(NamedTuple):
    """A file to serve: full name, its path relative to the library's folder, size in bytes.

    `gated`: its last byte leaves only when the service says so (I3).
    """

    name: str
    path: str
    size: int
    gated: bool


class RamdiskPaths(NamedTuple):
    """Where a Windows boot manager finds what it needs, as a BCD says it: from the TFTP root, with backslashes."""

    wim: str
    sdi: str
    fonts: str


def build(library: Library, gated: Collection[str]) -> list[File]:
    """Every file to serve; `gated` holds full names, folded. Raises CannotOpen."""
    images = library.published().values()
    files = [file for image in images for file in _files(image, gated)]
    files += _newest([image for image in images if image.kind == "windows-pe"], gated)
    return files + [File(*file, False) for file in library.bring(FILES)]


def _files(image: Published, gated: Collection[str]) -> Iterator[File]:
    for file in image.files:
        name = full_name(image, file.name)
        held = fold(name) in gated
        yield File(name, file.blob, file.size, held)
        if image.kind == "windows-pe" and file.name.startswith(_KEPT):
            for alias in _aliases(image, file.name.removeprefix(_KEPT)):
                yield File(f"{PREFIX}/{image.id}/{alias}", file.blob, file.size, held)


def _aliases(image: Published, name: str) -> Iterator[str]:
    """Further names of a boot file below the root of a machine that boots the image."""
    yield f"{_BOOT}/{name}"
    if name == _SDI or name.startswith(_FONTS):
        yield f"Boot/{name}"
    if name.startswith(_FONTS):
        yield f"EFI/Microsoft/Boot/{name}"
    if name == f"{image.architecture}/boot.stl":
        yield from ("boot.stl", "Boot/boot.stl", "EFI/Microsoft/Boot/boot.stl")
    if name == f"{image.architecture}/bootmgr.exe":
        yield "bootmgr.exe"


def _newest(images: Iterable[Published], gated: Collection[str]) -> Iterator[File]:
    """SMSBoot as it is without a package id, for whoever has no session: the boot files of the highest ids."""
    taken: set[str] = set()
    for image in sorted(images, key=lambda image: image.id, reverse=True):
        for file in image.files:
            name = f"{_BOOT}/{file.name.removeprefix(_KEPT)}"
            if file.name.startswith(_KEPT) and fold(name) not in taken:
                taken.add(fold(name))
                yield File(name, file.blob, file.size, fold(full_name(image, file.name)) in gated)


def full_name(image: Published, name: str) -> str:
    """The full name of an image's file."""
    if image.kind == "windows-pe" and name.startswith(_KEPT):
        return f"{_BOOT}/{image.id}/{name.removeprefix(_KEPT)}"
    return f"{PREFIX}/{image.id}/{name}"


def boot_file(image_id: str, name: str, session: str | None = None, *, windows: bool = False) -> str:
    """The full name of an image's boot program, as a DHCP reply says it; of a Windows image as Microsoft's do (W-64).

    With a session, 32 hexadecimal digits, for a client whose address is not known: the TFTP server takes it out again.
    """
    parts = [_BOOT if windows else PREFIX, image_id, *([session] if session else []), name]
    return "\\".join(parts).replace("/", "\\") if windows else "/".join(parts)


def image_of(full_name: str) -> str | None:
    """The boot image that a full name is a file of."""
    prefix, _, rest = full_name.partition("/")
    return rest.partition("/")[0] if prefix in (PREFIX, _BOOT) else None


def windows_programs(image: Published, roles: Mapping[str, str]) -> dict[str, str]:
    """The boot programs that a Windows image has, by role: files below SMSBoot/<ID>. `roles` names each role's program.

    A BIOS program needs bootmgr.exe beside it, and nothing starts without boot.sdi (B-39). {} for kind files.
    """
    if image.kind != "windows-pe":
        return {}
    names = {fold(file.name): file.name for file in image.files}
    folder = f"{_KEPT}{image.architecture}/"
    if _KEPT + _SDI not in names:
        return {}
    found = {role: names.get(fold(folder + program)) for role, program in roles.items()}
    bios = fold(f"{folder}bootmgr.exe") in names
    return {
        role: name.removeprefix(_KEPT)
        for role, name in found.items()
        if name is not None and (bios or not role.startswith("bios"))
    }


def ramdisk_paths(image_id: str, launch_file: str) -> RamdiskPaths:
    """The paths of a Windows image's parts; `launch_file` is its wim."""
    boot = f"\\{_BOOT}\\{image_id}\\"
    wim = f"\\{PREFIX}\\{image_id}\\{launch_file}"
    return RamdiskPaths(wim, boot + _SDI, boot + _FONTS.rstrip("/"))


def abort_file(firmware: str | None, ipxe: bool) -> str | None:
    """The program that ends a client's network boot, or None where there is none for it (CM-89)."""
    if ipxe:
        return ABORT_IPXE
    return ABORT_BIOS if firmware == "bios" else None
