"""The names that files are served under: `SMSImages/<ID>/<name>`, in the publisher's spelling (CM-114).

The native side folds case and backslashes; no two names fold to the same, for the library refused that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from pxefast.content.builtin import ABORT_BIOS, ABORT_IPXE, FILES
from pxefast.content.library import Library
from pxefast.content.source import PREFIX, fold

__all__ = ["File", "abort_file", "boot_file", "build", "image_of"]


class File(NamedTuple):
    """A file to serve: full name, its path relative to the library's folder, size in bytes.

    `gated`: its last byte leaves only when the service says so (I3).
    """

    name: str
    path: str
    size: int
    gated: bool


def build(library: Library, gated: Collection[str]) -> list[File]:
    """Every file to serve; `gated` holds full names, folded. Raises CannotOpen."""
    files = [
        File(name, file.blob, file.size, fold(name) in gated)
        for image in library.published().values()
        for file in image.files
        for name in (boot_file(image.id, file.name),)
    ]
    return files + [File(*file, False) for file in library.bring(FILES)]


def boot_file(image_id: str, name: str, session: str | None = None) -> str:
    """The full name of an image's file, as a DHCP reply says it.

    With a session, 32 hexadecimal digits, for a client whose address is not known: the TFTP server takes it out again.
    """
    return f"{PREFIX}/{image_id}/{name}" if session is None else f"{PREFIX}/{image_id}/{session}/{name}"


def image_of(full_name: str) -> str | None:
    """The boot image that a full name is a file of."""
    prefix, _, rest = full_name.partition("/")
    return rest.partition("/")[0] if prefix == PREFIX else None


def abort_file(firmware: str | None, ipxe: bool) -> str | None:
    """The program that ends a client's network boot, or None where there is none for it (CM-89)."""
    if ipxe:
        return ABORT_IPXE
    return ABORT_BIOS if firmware == "bios" else None
