"""The journal: this host's own copy of the audit chain, on disk before a destructive packet leaves (D23, safety 5.5).

A database that was restored from a backup, or a replica that lags, has forgotten what machines were given. The
journal has not: where it knows more than the database, or cannot be trusted itself, required deployments stay off until
a person has reconciled both.

`audit.log` holds JSON lines: first `{"segment", "seq", "hash"}`, the record that the segment begins after, then records
as the table `audit` has them. A former segment is kept as `audit-N.log`. A service that ends and the one that has
taken over from it write in turns.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, select

from pxefast.errors import CannotOpen, SiteError
from pxefast.site import schema
from pxefast.site.audit import FIRST_HASH, AuditRow, follow

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["Ahead", "Head", "Journal", "JournalError"]

# How long another process's turn is waited for, and how often it is looked whether that is over.
_TURN_SECONDS = 1.0
_LOOK_SECONDS = 0.002
# How much of the journal is looked at in one go for the end of its last record.
_PIECE_BYTES = 1 << 16

_RECONCILE = "look at both with: pxefast reconcile"


class JournalError(SiteError):
    """The journal and the database do not agree, or the journal was changed."""


class Head(NamedTuple):
    """The newest record of a chain."""

    seq: int
    hash: str


class Ahead(NamedTuple):
    """What the journal holds that the database does not, and what is wrong with the journal itself, if anything."""

    records: list[AuditRow]
    problem: str | None


class Journal:
    """The journal in a folder, which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "audit.log"
        # What was put right by itself, to be told once.
        self.told: list[str] = []
        self._descriptor: int | None = None
        self._head = Head(0, FIRST_HASH)
        # So many bytes of this file are surely on disk.
        self._durable = 0
        self._inode = 0

    def close(self) -> None:
        """Give back the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def catch_up(self, store: Store) -> None:
        """Copy what the audit table has beyond the journal; on disk when this returns.

        Raises JournalError where they do not agree, CannotOpen where the journal cannot be written: nothing destructive
        may be sent then.
        """
        try:
            with self._turn():
                if self._descriptor is None or self._replaced():
                    self._open(store)
                else:
                    self._read_on(store)
                with store.read() as connection:
                    rows = list(_after(connection, self._head))
                if rows:
                    self._append(rows)
        except (SiteError, CannotOpen):
            # A person puts it right, and then it is read anew.
            self._give_up()
            raise
        except OSError as error:
            self._give_up()
            raise CannotOpen(
                f"the journal {self.file} cannot be written: {error.strerror}; check its disk and its owner"
            ) from error

    def check(self, store: Store) -> str | None:
        """Why required deployments must be off, as a sentence; None if the journal and the database agree.

        What is missing in the journal alone is copied.
        """
        try:
            self.catch_up(store)
        except (SiteError, CannotOpen) as error:
            return str(error)
        return None

    def verify(self) -> Head:
        """Walk the journal's whole chain: its newest record. Raises JournalError at the first bad one, CannotOpen."""
        seq, head, problem = follow(*self._first(), self._records())
        if problem is not None:
            raise JournalError(f"{self.file} was changed: {problem}; {_RECONCILE}")
        return Head(seq, head)

    def examine(self, store: Store) -> str | None:
        """As `check`, for people: nothing is written, and a journal that only lags is good."""
        if not self.file.exists():
            return None
        try:
            head = self.verify()
            with store.read() as connection:
                next(_after(connection, head), None)
        except (SiteError, CannotOpen) as error:
            return str(error)
        return None

    def ahead(self, store: Store) -> Ahead:
        """What the journal alone knows; of a damaged one what can be read. Raises CannotOpen."""
        if not self.file.exists():
            return Ahead([], None)
        a = schema.audit.c
        with store.read() as connection:
            known = set(connection.execute(select(a.hash)).scalars())
        problem = None
        try:
            self.verify()
        except JournalError as error:
            problem = str(error)
        return Ahead([row for row in self._records(skip=True) if row.hash not in known], problem)

    def begin_segment(self, store: Store) -> Path | None:
        """Put the journal aside and begin one at the database's newest record; where the old one is now.

        Raises OSError.
        """
        self.close()
        aside = None
        with self._turn():
            if self.file.exists():
                aside = self.file.rename(self.folder / f"audit-{self._former() + 1}.log")
            self._create(store)
        return aside

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else writes meanwhile; the kernel ends the turn of a process that dies."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(folder)
            yield
        finally:
            os.close(folder)

    def _read_on(self, store: Store) -> None:
        """Follow what another process wrote since the last turn; on disk when this returns."""
        assert self._descriptor is not None
        size = os.fstat(self._descriptor).st_size
        if size < self._durable:
            # Its write failed, and it cut off what came after its own last flush.
            self._give_up()
            self._durable = 0
            self._open(store)
        elif size > self._durable:
            size = self._cut_unfinished(self._durable)
            seq, head, problem = follow(*self._head, self._records(self._durable))
            if problem is not None:
                raise JournalError(f"{self.file} was changed: {problem}; {_RECONCILE}")
            # Its flush may have failed: only our own tells us.
            os.fsync(self._descriptor)
            self._head, self._durable = Head(seq, head), size

    def _open(self, store: Store) -> None:
        if not self.file.exists():
            self._create(store)
            return
        inode = self.file.stat().st_ino
        if self._durable and inode == self._inode:
            # An earlier write failed: what came after it may be in memory alone, and is written again.
            os.truncate(self.file, self._durable)
        else:
            self._durable, self._inode = self._mend(), inode
        self._head = self.verify()
        self._descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def _replaced(self) -> bool:
        """Whether a reconciliation began a new segment."""
        try:
            replaced = self.file.stat().st_ino != self._inode
        except FileNotFoundError:
            replaced = True
        if replaced:
            self._give_up()
        return replaced

    def _former(self) -> int:
        """The number of the newest former segment, 0 if there is none."""
        numbers = (path.stem.removeprefix("audit-") for path in self.folder.glob("audit-*.log"))
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def _create(self, store: Store) -> None:
        """A segment that begins after the newest record of the database."""
        with store.read() as connection:
            h = schema.hierarchy.c
            self._head = Head(*connection.execute(select(h.audit_seq, h.audit_hash)).one())
        header = {"segment": self._former() + 1, **self._head._asdict()}
        self._durable = 0
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self.file, flags, 0o600)
        self._inode = os.fstat(self._descriptor).st_ino
        self._write(f"{json.dumps(header)}\n".encode())
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _append(self, rows: Iterable[AuditRow]) -> None:
        seq, head, problem = follow(*self._head, rows)
        if problem is not None:
            raise JournalError(f"the database's audit is broken: {problem}; {_RECONCILE}")
        lines = (json.dumps(row._asdict(), ensure_ascii=False, separators=(",", ":")) for row in rows)
        self._write("".join(f"{line}\n" for line in lines).encode())
        self._head = Head(seq, head)

    def _write(self, data: bytes) -> None:
        assert self._descriptor is not None
        whole = len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fsync(self._descriptor)
        self._durable += whole

    def _give_up(self) -> None:
        """After an error of a write or a flush nothing is known of this descriptor: it is never used again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            try:
                os.close(descriptor)
            except OSError as error:
                self.told.append(f"closing {self.file}: {error.strerror}")

    def _mend(self) -> int:
        """The length of what can be read; a journal has at least its first line."""
        end = self._cut_unfinished()
        if end == 0:
            raise JournalError(f"{self.file} has no first line; {_RECONCILE}")
        return end

    def _cut_unfinished(self, at: int = 0) -> int:
        """Cut off a last line that a crash left unfinished: the table still has it. The length that remains.

        What is before byte `at` is known to be whole.
        """
        with self.file.open("rb") as file:
            size = end = file.seek(0, os.SEEK_END)
            while end > at:
                start = max(at, end - _PIECE_BYTES)
                file.seek(start)
                if found := file.read(end - start).rfind(b"\n") + 1:
                    end = start + found
                    break
                end = start
        if end < size:
            os.truncate(self.file, end)
            self.told.append(
                f"the last record of {self.file} was unfinished, as a crash leaves it; it is copied again"
            )
        return end

    def _first(self) -> Head:
        try:
            with self.file.open("rb") as lines:
                header = json.loads(lines.readline())
            return Head(int(header["seq"]), str(header["hash"]))
        except OSError as error:
            raise CannotOpen(f"{self.file}: {error.strerror}; check its owner and mode") from error
        except (ValueError, KeyError, TypeError):
            raise JournalError(f"{self.file}: its first line is damaged; {_RECONCILE}") from None

    def _records(self, at: int = 0, skip: bool = False) -> Iterator[AuditRow]:
        """The records from byte `at` on. Raises JournalError at a damaged line, unless those are to be skipped."""
        with self.file.open("rb") as lines:
            lines.seek(at)
            for number, line in enumerate(lines, start=1):
                # An unfinished last line is being written, or was when a crash came: it says nothing yet.
                if (number == 1 and at == 0) or not line.endswith(b"\n"):
                    continue
                try:
                    yield AuditRow(**json.loads(line))
                except (ValueError, TypeError):
                    if skip:
                        continue
                    where = f"line {number}" + (f" after byte {at}" if at else "")
                    raise JournalError(f"{self.file}: {where} is damaged; {_RECONCILE}") from None


def _lock(descriptor: int) -> None:
    """Wait for a turn, but not for a process that hangs in its own. Raises TimeoutError."""
    end = time.monotonic() + _TURN_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, "another process is at it and does not end") from None
            time.sleep(_LOOK_SECONDS)


def _after(connection: Connection, head: Head) -> Iterator[AuditRow]:
    """The records after the journal's newest, which the database must have too (I6)."""
    a = schema.audit.c
    query = select(schema.audit).where(a.seq >= head.seq).order_by(a.seq)
    rows = (AuditRow(*row) for row in connection.execute(query))
    if head.seq:
        newest = next(rows, None)
        if newest is None:
            raise JournalError(
                f"the journal knows of record {head.seq}, which the database has lost, as after a restored backup; "
                f"{_RECONCILE}"
            )
        if (newest.seq, newest.hash) != head:
            raise JournalError(
                f"record {head.seq} of the journal is another one in the database, as after a restored backup; "
                f"{_RECONCILE}"
            )
    yield from rows
