"""One file of a journal: its first line, and the records below it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pxefast.errors import CannotOpen, SiteError
from pxefast.site.audit import AuditRow

__all__ = [
    "Header",
    "JournalError",
    "cannot_write",
    "cut_unfinished",
    "former_lines",
    "former_segments",
    "line_of",
    "read_header",
    "read_records",
]

# How much of the journal is looked at in one go for the end of its last record.
_PIECE_BYTES = 1 << 16
_RECONCILE = "look at both with: pxefast reconcile"


class JournalError(SiteError):
    """The journal and the database do not agree, or the journal was changed.

    `behind`: it is the database that has lost records.
    """

    def __init__(self, text: str, behind: bool = False) -> None:
        super().__init__(f"{text}; {_RECONCILE}")
        self.behind = behind


class Header(NamedTuple):
    """The record that a segment begins after, and where it was begun: `home` and `host` are "" in old ones."""

    segment: int
    seq: int
    hash: str
    home: str = ""
    host: str = ""


def read_header(file: Path) -> Header:
    """The first line. Raises JournalError or CannotOpen."""
    try:
        with file.open("rb") as lines:
            value = json.loads(lines.readline())
        return Header(
            int(value["segment"]),
            int(value["seq"]),
            str(value["hash"]),
            str(value.get("home", "")),
            str(value.get("host", "")),
        )
    except OSError as error:
        raise CannotOpen(f"{file}: {error.strerror}; check its owner and mode") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise JournalError(f"{file}: its first line is damaged") from None


def read_records(file: Path, at: int = 0) -> Iterator[AuditRow]:
    """The records from byte `at` on. Raises JournalError at a damaged line."""
    for number, found in enumerate(read_lines(file, at), start=1 if at else 2):
        if found is None:
            where = f"line {number}" + (f" after byte {at}" if at else "")
            raise JournalError(f"{file}: {where} is damaged")
        yield found


def read_lines(file: Path, at: int = 0) -> Iterator[AuditRow | None]:
    """The same, with None in the place of a damaged line."""
    with file.open("rb") as lines:
        lines.seek(at)
        for number, line in enumerate(lines):
            # An unfinished last line is being written, or was when a crash came: it says nothing yet.
            if (number == 0 and at == 0) or not line.endswith(b"\n"):
                continue
            yield _record(line)


def line_of(row: AuditRow) -> str:
    """A record as a line; without details as it was before there were any."""
    value = row._asdict()
    if row.details is None:
        del value["details"]
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def former_segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments that were put aside, with their numbers, the oldest first."""
    found = ((path.stem.removeprefix("audit-"), path) for path in folder.glob("audit-*.log"))
    return sorted((int(number), path) for number, path in found if number.isdecimal())


def cut_unfinished(file: Path, at: int = 0) -> tuple[int, bool]:
    """Cut off a last line that a crash left unfinished: the table still has it.

    What is before byte `at` is known to be whole. Returns the length that remains, and whether anything was cut.
    """
    with file.open("rb") as reader:
        size = end = reader.seek(0, os.SEEK_END)
        while end > at:
            start = max(at, end - _PIECE_BYTES)
            reader.seek(start)
            if found := reader.read(end - start).rfind(b"\n") + 1:
                end = start + found
                break
            end = start
    if end < size:
        os.truncate(file, end)
    return end, end < size


def cannot_write(what: str, folder: Path, error: OSError) -> str:
    """What failed, why, and what to do, of a file that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        try:
            status = os.statvfs(folder)
            free = f"{status.f_bavail * status.f_frsize:,} bytes are free for {folder}"
        except OSError:
            free = f"{folder} does not say what is free"
        words = "no space left on device" if error.errno == errno.ENOSPC else error.strerror
        return f"{what} cannot be written: {words} ({free}); free space, and what stopped goes on by itself"
    return f"{what} cannot be written: {error.strerror}; check its disk and its owner"


def _record(line: bytes) -> AuditRow | None:
    try:
        return AuditRow(**json.loads(line))
    except (ValueError, TypeError):
        return None


def former_lines(folder: Path) -> Iterator[AuditRow | None]:
    """Yield every record of the segments that were put aside, the oldest first; None for a damaged line."""
    for _, file in former_segments(folder):
        yield from read_lines(file)
