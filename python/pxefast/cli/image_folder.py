"""What the commands make of a boot image that is a folder: its boot programs, and its files as it spells them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pxefast.errors import ContentError, UsageError

__all__ = ["file_of", "names_of", "programs_of"]


def programs_of(options: Sequence[str]) -> dict[str, str]:
    """The boot programs by kind of client, of options KIND=FILE. Raises UsageError."""
    programs: dict[str, str] = {}
    for option in options:
        kind, sign, file = option.partition("=")
        if kind not in ("bios", "uefi", "ipxe") or not sign or not file:
            raise UsageError(f"--boot-program {option!r} must be bios=FILE, uefi=FILE or ipxe=FILE")
        if kind in programs:
            raise UsageError(f"--boot-program {kind} is given twice")
        programs[kind] = file.replace("\\", "/").lstrip("/")
    return programs


def names_of(folder: Path) -> list[str]:
    """The names of a folder's files. Raises ContentError."""
    from pxefast.content.source import scan

    return [file.name for file in scan(folder)]


def file_of(folder: Path, names: Sequence[str], wanted: str) -> str:
    """A file of the folder as the folder spells it. Raises ContentError."""
    from pxefast.content.source import fold

    spelled = {fold(name): name for name in names}
    found = spelled.get(fold(wanted).lstrip("/"))
    if found is None:
        raise ContentError(f"the launch file {wanted!r} is not a file of {folder}")
    return found
