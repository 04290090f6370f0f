"""A whole site database as one file of JSON lines, and back: a backup, and the way from SQLite to PostgreSQL.

The first line says which tables' revision it is of and how many rows each has; then comes each table's name and columns
before its rows; the last line holds the SHA-256 of all lines above it. The audit chain is proved when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from sqlalchemy import Connection, Table, func, insert, select

from pxefast import named_files
from pxefast.errors import CannotOpen, Invalid
from pxefast.site import audit, schema
from pxefast.site.migrations import HEAD
from pxefast.site.rows import CHUNK, TABLES, number_on, read_rows
from pxefast.site.store import Store
from pxefast.site.tables import new_database

__all__ = ["Contents", "check_export", "export", "import_"]

_FORMAT = 1

# How far it is: rows done, rows in all.
Progress = Callable[[int, int], None]


class Contents(NamedTuple):
    """What a file holds: rows by table, and the SHA-256 of its lines."""

    rows: dict[str, int]
    sha256: str


class _Digest:
    """Lines written or read, and their SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, value: object) -> None:
        line = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        self._hash.update(line)
        self._file.write(line)

    def read(self) -> Any:
        """The next value; None at the end. Raises ValueError."""
        line = self._file.readline()
        if not line:
            return None
        value = json.loads(line)
        if not (isinstance(value, dict) and "sha256" in value):
            self._hash.update(line)
        return value

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def export(store: Store, file: Path, progress: Progress | None = None) -> Contents:
    """Write all that a database holds at one moment to a new file that only its owner reads. Raises CannotOpen."""
    with store.read() as connection, _new_file(file) as writer:
        counts = {table.name: _count(connection, table) for table in TABLES}
        done, total = 0, sum(counts.values())
        lines = _Digest(writer)
        lines.write({"pxefast": _FORMAT, "tables": HEAD, "rows": counts})
        for table in TABLES:
            lines.write({"table": table.name, "columns": [column.name for column in table.columns]})
            for row in read_rows(connection, table):
                lines.write(list(row))
                done += 1
                if progress is not None and done % CHUNK == 0:
                    progress(done, total)
        writer.write(json.dumps({"sha256": lines.sha256}).encode() + b"\n")
        if progress is not None:
            progress(done, total)
        return Contents(counts, lines.sha256)


def check_export(file: Path) -> Contents:
    """What a file holds, when every line is as it was written. Raises CannotOpen or Invalid."""
    with _opened(file) as lines:
        head = _head(file, lines)
        found: dict[str, int] = dict.fromkeys(head, 0)
        table = ""
        while (value := lines.read()) is not None:
            if isinstance(value, list) and table in found:
                found[table] += 1
            elif isinstance(value, dict) and value.get("table") in found:
                table = value["table"]
            elif isinstance(value, dict) and value.get("sha256") == lines.sha256:
                break
            else:
                raise Invalid(f"{file} was changed after it was written; take another copy of it")
        if value is None or found != head or lines.read() is not None:
            raise Invalid(f"{file} is not whole; take another copy of it")
        return Contents(found, lines.sha256)


def import_(
    where: Path | str, file: Path, busy_seconds: float = 5, progress: Progress | None = None
) -> Contents:
    """Make a new database of a file. Raises AlreadyExists where there is one, CannotOpen, or Invalid."""
    contents = check_export(file)
    total = sum(contents.rows.values())
    with new_database(where, busy_seconds) as connection, _opened(file) as lines:
        _head(file, lines)
        done = 0
        for table, rows in _tables(lines):
            while part := list(islice(rows, CHUNK)):
                connection.execute(insert(table), part)
                done += len(part)
                if progress is not None:
                    progress(done, total)
        number_on(connection)
        problem = audit.verify(connection)
        if problem is not None:
            raise Invalid(f"{file} is not taken: {problem}")
    return contents


def _tables(lines: _Digest) -> Iterator[tuple[Table, Iterator[dict[str, Any]]]]:
    """Each table of a checked file with its rows, to be read in turn."""
    heading = lines.read()

    def rows(columns: list[str]) -> Iterator[dict[str, Any]]:
        nonlocal heading
        while isinstance(heading := lines.read(), list):
            yield dict(zip(columns, heading, strict=True))

    while "table" in heading:
        yield schema.metadata.tables[heading["table"]], rows(heading["columns"])


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _head(file: Path, lines: _Digest) -> dict[str, int]:
    head = lines.read()
    if not isinstance(head, dict) or head.get("pxefast") != _FORMAT:
        raise Invalid(f"{file} is no export of a site database; make one with: pxefast db export FILE")
    if head.get("tables") != HEAD:
        raise Invalid(
            f"{file} is of tables {head.get('tables')}, and this pxefast has {HEAD}; export it again with this one"
        )
    rows: dict[str, int] = head["rows"]
    return rows


@contextmanager
def _opened(file: Path) -> Iterator[_Digest]:
    try:
        with named_files.open_regular(file) as reader:
            yield _Digest(reader)
    except OSError as error:
        raise CannotOpen(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise Invalid(f"{file} is not whole, or no export; take another copy of it") from None


@contextmanager
def _new_file(file: Path) -> Iterator[IO[bytes]]:
    """A new file, durable at the end of the block, and removed where that is not reached."""
    try:
        writer = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise CannotOpen(f"cannot make {file}: {error.strerror}; name another") from None
    try:
        with writer:
            yield writer
            writer.flush()
            os.fsync(writer.fileno())
    except BaseException as error:
        file.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CannotOpen(f"cannot write {file}: {error.strerror}; name another") from None
        raise
