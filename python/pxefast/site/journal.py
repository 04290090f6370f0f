"""The journal: this host's own copy of the audit chain, on disk before a destructive packet leaves (D23, safety 5.5).

A database that was restored from a backup, or a replica that lags, has forgotten what machines were given. The
journal has not: where it knows more than the database, or cannot be trusted itself, required deployments stay off until
a person has reconciled both. A journal that is missing although the database says that there was one is as grave (D38).

`audit.log` holds JSON lines: first `{"segment", "seq", "hash", "home", "host"}`, the record that the segment begins
after and where it was begun, then records as the table `audit` has them. A former segment is kept as `audit-N.log`. A
service that ends and the one that has taken over from it write in turns.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from pxefast.errors import CannotOpen, SiteError
from pxefast.site import audit, schema
from pxefast.site.audit import FIRST_HASH, AuditRow, follow
from pxefast.site.host_identity import host_identity
from pxefast.site.journal_checks import (
    BEGUN,
    NAMES,
    Head,
    Role,
    begun,
    records_after,
    require_database,
    require_first,
    require_here,
)
from pxefast.site.segment import (
    Header,
    JournalError,
    cannot_write,
    cut_unfinished,
    former_segments,
    line_of,
    read_header,
    read_lines,
    read_records,
)

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["Head", "Journal", "JournalError", "Role"]

# How long another process's turn is waited for, and how often it is looked whether that is over.
_TURN_SECONDS = 1.0
_LOOK_SECONDS = 0.002
# What must be writable again after a write failed, before the journal is trusted to hold what comes (D40).
_PROBE_BYTES = 1 << 16


class Journal:
    """The journal in a folder, which is made if it is not there.

    `home` is the id that the segments of a copy must have; a home's own journal brings its id along.
    """

    def __init__(self, folder: Path, role: Role = "home", home: str = "") -> None:
        self.folder = folder
        self.file = folder / "audit.log"
        self.role = role
        self.home = home
        # What was put right by itself, to be told once.
        self.told: list[str] = []
        self.head = Head(0, FIRST_HASH)
        self._descriptor: int | None = None
        # So many bytes of this file are surely on disk.
        self._durable = 0
        self._inode = 0
        self._failed = False

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
                if self._failed:
                    self._probe()
                if self._descriptor is None or self._replaced():
                    self._open(store)
                else:
                    self._read_on(store)
                with store.read() as connection:
                    rows = list(records_after(connection, self.head, self.role))
                if rows:
                    self._append(rows)
        except (SiteError, CannotOpen):
            # A person puts it right, and then it is read anew.
            self._give_up()
            raise
        except OSError as error:
            self._give_up()
            self._failed = True
            raise CannotOpen(cannot_write(f"{self._name} {self.file}", self.folder, error)) from error

    def check(self, store: Store) -> str | None:
        """As `catch_up`: why required deployments must be off, as a sentence; None if both agree."""
        try:
            self.catch_up(store)
        except (SiteError, CannotOpen) as error:
            return str(error)
        return None

    def verify(self) -> Head:
        """Walk the journal's whole chain: its newest record. Raises JournalError at the first bad one, CannotOpen."""
        header = read_header(self.file)
        seq, head, problem = follow(header.seq, header.hash, read_records(self.file))
        if problem is not None:
            raise JournalError(f"{self.file} was changed: {problem}")
        return Head(seq, head)

    def examine(self, store: Store) -> str | None:
        """As `check`, for people: nothing is written, and a journal that only lags is good."""
        try:
            if not self.file.exists():
                require_first(store, self.file, self.role)
                return None
            head = self.verify()
            require_here(read_header(self.file), self.file, self.role, self.home)
            require_database(store, self.file, self.role, head)
        except (SiteError, CannotOpen) as error:
            return str(error)
        except OSError as error:
            return f"{self.file}: {error.strerror}; run as its owner"
        return None

    def foreign(self) -> str | None:
        """Why this journal is not, or may not be, this home's alone; None if it is, or cannot be read."""
        try:
            require_here(read_header(self.file), self.file, self.role, self.home)
        except JournalError as error:
            return str(error)
        except CannotOpen:
            pass
        return None

    def lines(self) -> Iterator[AuditRow | None]:
        """Yield every record since the last `reconcile`; None for a damaged line."""
        if self.file.exists():
            yield from read_lines(self.file)

    def begin_segment(self, store: Store, home: str = "") -> Path | None:
        """Put the journal aside and begin one at the database's newest record; where the old one is now.

        `home` "" keeps the id of the home. Raises OSError.
        """
        self.close()
        aside = None
        with self._turn():
            if not home:
                with suppress(SiteError, CannotOpen):
                    home = read_header(self.file).home
            self.home = home
            if self.file.exists():
                aside = self._put_aside()
            self._create(store)
        return aside

    @property
    def _name(self) -> str:
        return NAMES[self.role]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Nobody else writes meanwhile; the kernel ends the turn of a process that dies."""
        # What a copy is kept on may not be mounted: its parent is not made.
        self.folder.mkdir(mode=0o700, parents=self.role == "home", exist_ok=True)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(folder)
            yield
        finally:
            os.close(folder)

    def _probe(self) -> None:
        """Write and flush as much as many records take. Raises OSError."""
        file = self.folder / ".probe"
        try:
            with file.open("wb") as writer:
                writer.write(secrets.token_bytes(_PROBE_BYTES))
                writer.flush()
                os.fsync(writer.fileno())
        finally:
            file.unlink(missing_ok=True)
        self._failed = False

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
            seq, head, problem = follow(*self.head, read_records(self.file, self._durable))
            if problem is not None:
                raise JournalError(f"{self.file} was changed: {problem}")
            # Its flush may have failed: only our own tells us.
            os.fsync(self._descriptor)
            self.head, self._durable = Head(seq, head), size

    def _open(self, store: Store) -> None:
        if not self.file.exists():
            require_first(store, self.file, self.role)
            self._create(store)
            self._announce(store)
            return
        inode = self.file.stat().st_ino
        if self._durable and inode == self._inode:
            # An earlier write failed: what came after it may be in memory alone, and is written again.
            os.truncate(self.file, self._durable)
        else:
            self._durable, self._inode = self._mend(), inode
        self.head = self.verify()
        header = read_header(self.file)
        require_here(header, self.file, self.role, self.home)
        require_database(store, self.file, self.role, self.head)
        if not header.home:
            # From before journals knew where they belong; it agrees, so nothing of it is needed beyond this point.
            self._put_aside()
            self._create(store)
        else:
            self.home = header.home
            self._descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._announce(store)

    def _replaced(self) -> bool:
        """Whether a reconciliation began a new segment."""
        try:
            replaced = self.file.stat().st_ino != self._inode
        except FileNotFoundError:
            replaced = True
        if replaced:
            self._give_up()
        return replaced

    def _number(self) -> int:
        """The number of the newest segment that was put aside, 0 if there is none."""
        return max((number for number, _ in former_segments(self.folder)), default=0)

    def _put_aside(self) -> Path:
        return self.file.rename(self.folder / f"audit-{self._number() + 1}.log")

    def _create(self, store: Store) -> None:
        """A segment that begins after the newest record of the database."""
        with store.read() as connection:
            h = schema.hierarchy.c
            self.head = Head(*connection.execute(select(h.audit_seq, h.audit_hash)).one())
        self.home = self.home or secrets.token_hex(16)
        header = Header(self._number() + 1, *self.head, self.home, host_identity(self.home))
        self._durable = 0
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self.file, flags, 0o600)
        self._inode = os.fstat(self._descriptor).st_ino
        self._write(f"{json.dumps(header._asdict())}\n".encode())
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _announce(self, store: Store) -> None:
        """Let the database know that there is this journal, so that it is missed when it is gone."""
        point = store.own_point or ""
        with store.read() as connection:
            if self.home in begun(connection, point, self.role):
                return
        facts = {"point": point, "role": self.role, "home": self.home}
        with store.record() as connection:
            audit.append(connection, [(BEGUN, f"{point}: {self._name[4:]} of home {self.home[:8]}", facts)])

    def _append(self, rows: Iterable[AuditRow]) -> None:
        seq, head, problem = follow(*self.head, rows)
        if problem is not None:
            raise JournalError(f"the database's audit is broken: {problem}")
        self._write("".join(map(line_of, rows)).encode())
        self.head = Head(seq, head)

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
            raise JournalError(f"{self.file} has no first line")
        return end

    def _cut_unfinished(self, at: int = 0) -> int:
        end, was_cut = cut_unfinished(self.file, at)
        if was_cut:
            self.told.append(
                f"the last record of {self.file} was unfinished, as a crash leaves it; it is copied again"
            )
        return end


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
