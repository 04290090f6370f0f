"""A boot image's folder as it will be served: every file with its name, or an error that names the file.

What cannot be asked for by one unmistakable name is refused here, once, so that nothing has to guess later
(T6, CM-48).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pxefast.errors import ContentError

__all__ = ["PREFIX", "Progress", "SourceFile", "check_programs", "fold", "scan", "stamp"]

# Called with the bytes done, the bytes in all, and the name of the file in hand.
Progress = Callable[[int, int, str], None]

# Everything published is below this folder, as on a Configuration Manager distribution point (CM-114).
PREFIX = "SMSImages"

_LONGEST_PART = 255
# The `file` field of DHCP holds 128 bytes, one of them NUL (T25).
_LONGEST_PROGRAM = 127
# A TFTP request holds 512 bytes: opcode, name, mode and options (RFC 2347).
_LONGEST_NAME = 400


class SourceFile(NamedTuple):
    """A file to publish: its name with `/`, where it is, and its size in bytes."""

    name: str
    path: Path
    size: int


def fold(name: str) -> str:
    """The form that names are compared in: `/` for a backslash, ASCII letters in lower case (W-77)."""
    return (
        name.replace("\\", "/").encode("utf-8", "surrogateescape").lower().decode("utf-8", "surrogateescape")
    )


def scan(folder: Path) -> list[SourceFile]:
    """Every file below a folder, by name.

    Links are followed as long as they stay inside. Raises ContentError.
    """
    try:
        root = folder.resolve(strict=True)
        if not root.is_dir():
            raise ContentError(f"{folder} is not a folder; a boot image is a folder with its boot programs")
        found = sorted(_walk(root, root, "", (root,)))
    except OSError as error:
        raise ContentError(f"{error.filename or folder}: {error.strerror}") from None
    seen: dict[str, str] = {}
    for file in found:
        other = seen.setdefault(fold(file.name), file.name)
        if other != file.name:
            raise ContentError(
                f"{file.path}: clients cannot tell {file.name!r} from {other!r}; rename one of them"
            )
    return found


def check_programs(image_id: str, programs: Mapping[str, str], names: Iterable[str]) -> None:
    """Every boot program must be one of the files, with a name that fits a DHCP reply.

    Raises ContentError.
    """
    folded = {fold(name) for name in names}
    for firmware, program in programs.items():
        if fold(program) not in folded:
            raise ContentError(f"the {firmware} boot program {program!r} is not a file of the folder")
        full = f"{PREFIX}/{image_id}/{program}"
        if len(full.encode()) > _LONGEST_PROGRAM:
            raise ContentError(
                f"{full!r} is longer than the {_LONGEST_PROGRAM} bytes of a DHCP reply; shorten it"
            )


def stamp(source: Path) -> str:
    """A text that is another one when a file, or any file below a folder, was changed. Raises ContentError."""
    try:
        files = scan(source) if source.is_dir() else [SourceFile(source.name, source, source.stat().st_size)]
        lines = [f"{file.name}\0{file.size}\0{file.path.stat().st_mtime_ns}\n" for file in files]
    except OSError as error:
        raise ContentError(f"{error.filename or source}: {error.strerror}") from None
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _walk(root: Path, folder: Path, prefix: str, parents: tuple[Path, ...]) -> Iterator[SourceFile]:
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        name = prefix + entry.name
        path = folder / entry.name
        _check_name(entry.name, name, path)
        real = path.resolve(strict=True) if entry.is_symlink() else path
        if not real.is_relative_to(root):
            raise ContentError(f"{path}: the link leads out of the folder to {real}; copy the file into it")
        status = real.stat()
        if stat.S_ISDIR(status.st_mode):
            if real in parents:
                raise ContentError(f"{path}: the link leads back to a folder that holds it; remove it")
            yield from _walk(root, real, f"{name}/", (*parents, real))
        elif stat.S_ISREG(status.st_mode):
            yield SourceFile(name, real, status.st_size)
        else:
            raise ContentError(f"{path}: neither a file nor a folder; remove it")


def _check_name(part: str, name: str, path: Path) -> None:
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        raise ContentError(f"{os.fsencode(path)!r}: the name is not UTF-8; rename it") from None
    if size > _LONGEST_PART or len(f"{PREFIX}/XXXXXXXX/{name}".encode()) > _LONGEST_NAME:
        raise ContentError(f"{path}: the name is longer than a TFTP request can carry; shorten it")
    if part in (".", "..") or any(sign in ":\\" or sign < " " or sign == "\x7f" for sign in part):
        raise ContentError(
            f"{str(path)!r}: no client can ask for a name with ':', '\\' or a control byte; rename it"
        )
    if part != part.strip(" "):
        raise ContentError(f"{str(path)!r}: clients cut blanks off the ends of a name; rename it")
