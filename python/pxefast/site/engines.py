"""Where a site database is, and everything in which SQLite and PostgreSQL differ; postgresql.py has the other half."""

from __future__ import annotations

import os
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool, StaticPool

from pxefast.errors import CannotOpen, SiteError
from pxefast.site.database_file import DatabaseFile
from pxefast.site.migrations import create_tables
from pxefast.site.rows import copy_rows

__all__ = ["Check", "Database", "Pulse", "SQLite", "database"]

_SCHEMES = ("postgresql://", "postgres://")
_MOUNTS = Path("/proc/self/mountinfo")
# WAL needs memory that all processes share, and locks and flushes that are kept: one host, a local disk.
_NETWORK = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "vboxsf",
    ]
)


class Check(NamedTuple):
    """One thing that must be so before a claim means anything; `text` says what to do where `ok` is False."""

    name: str
    value: str
    ok: bool
    text: str


class Pulse(Protocol):
    """Asks for the hierarchy's revision many times a second, without waiting."""

    def revision(self) -> int | None:
        """The newest revision, or None where there is no news. Raises CannotOpen."""

    def close(self) -> None:
        """Give back the connection."""


class Database(ABC):
    """A place with a site database; `where` names it for people, without a password."""

    engine: Engine
    where: str

    def __init__(self, address: Path | str, busy_seconds: float) -> None:
        self.address = address
        self.busy_seconds = busy_seconds

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @property
    def inode(self) -> int | None:
        """Inode of the database file that was opened; None for a server and for memory."""
        return None

    @abstractmethod
    def connect(self, change: bool) -> Connection:
        """A connection whose transaction is of one moment, or may change things. Raises DBAPIError."""

    @abstractmethod
    def lock(self, connection: Connection) -> None:
        """Wait for every other change to end, at most `busy_seconds`."""

    @abstractmethod
    def reserve(self, connection: Connection) -> None:
        """Keep others from making or changing tables at the same time, whatever tables there are."""

    @contextmanager
    def transaction(self, change: bool, lock: bool = True) -> Iterator[Connection]:
        """One transaction: all of it or nothing; a change waits for every other one unless `lock` is False.

        After an error of the database every connection is discarded, never tried again: of one that failed in its
        COMMIT nobody knows the outcome (R-73). Raises SiteError or CannotOpen.
        """
        ended = False
        try:
            connection = self.connect(change)
            try:
                connection.begin()
                if change and lock:
                    self.lock(connection)
                yield connection
                ended = True
                connection.commit()
                if change:
                    self.confirm()
            except BaseException as error:
                if ended or isinstance(error, DBAPIError):
                    connection.invalidate()
                raise
            finally:
                # What was not committed is rolled back with it.
                connection.close()
        except DBAPIError as error:
            self.engine.dispose()
            said = self.said(error)
            if ended and change:
                raise CannotOpen(
                    f"{said}; whether the change was made is not known: look before it is made again"
                ) from error
            raise said from error

    def confirm(self) -> None:  # noqa: B027  a server needs nothing
        """Make sure that what was committed is where others read it. Raises CannotOpen."""

    def recover(self) -> None:  # noqa: B027  a server needs nothing
        """Take a database back into use that was found damaged, if it is good now. Raises CannotOpen."""

    @abstractmethod
    def announce(self, connection: Connection, revision: int) -> None:
        """Tell those who listen of this change, once it is committed."""

    @abstractmethod
    def pulse(self) -> Pulse:
        """A watch on the revision, over a connection of its own."""

    @abstractmethod
    def check(self, connection: Connection, deep: bool) -> list[Check]:
        """What makes "durable" true here (R-76); `deep` also reads the whole database."""

    def in_memory(self) -> SQLite:
        """A copy of everything but the audit, at one moment."""
        copied = SQLite(None, self.busy_seconds)
        with self.transaction(change=False) as source, copied.transaction(change=True) as target:
            create_tables(target)
            copy_rows(source, target)
        return copied

    @abstractmethod
    def said(self, error: DBAPIError) -> SiteError | CannotOpen:
        """The driver's error as ours."""

    def busy(self) -> SiteError:
        """The error of a change that waited in vain."""
        return SiteError(
            f"{self.where} is busy: another change took longer than {self.busy_seconds:g} s; try again"
        )


class SQLite(Database):
    """One file on a local disk: WAL, synchronous=FULL. `file` None is a database in memory.

    No connection creates the file, unless it is `new`. Before each transaction, and after each change, the file at the
    path must be the one that was opened first (D37).
    """

    def __init__(self, file: Path | None, busy_seconds: float, new: bool = False) -> None:
        super().__init__(file or "memory", busy_seconds)
        self.file = file
        self.where = str(file) if file else "memory"
        self.watched: DatabaseFile | None = None
        if file is None:
            self.engine = create_engine("sqlite://", poolclass=StaticPool)
        elif new:
            url = URL.create("sqlite", database=str(file))
            self.engine = create_engine(url, connect_args={"timeout": busy_seconds})
        else:
            watched = self.watched = DatabaseFile(file)
            self.engine = create_engine(
                "sqlite://", creator=lambda: watched.connect(busy_seconds), poolclass=QueuePool
            )
        event.listen(self.engine, "connect", _prepare)
        event.listen(self.engine, "begin", _begin)

    def connect(self, change: bool) -> Connection:  # noqa: D102
        if self.watched is not None:
            self.watched.check()
        return self.engine.connect().execution_options(change=change)

    @property
    def inode(self) -> int | None:  # noqa: D102
        return None if self.watched is None else self.watched.inode

    def confirm(self) -> None:  # noqa: D102
        if self.watched is not None:
            self.watched.check()

    def recover(self) -> None:  # noqa: D102
        if self.watched is not None:
            self.watched.recover(self.busy_seconds)

    def lock(self, connection: Connection) -> None:  # noqa: D102
        # The transaction began with BEGIN IMMEDIATE, which is the lock.
        _ = connection

    def reserve(self, connection: Connection) -> None:  # noqa: D102
        self.lock(connection)

    def announce(self, connection: Connection, revision: int) -> None:  # noqa: D102
        # Whoever listens sees it by `PRAGMA data_version`.
        _ = connection, revision

    def pulse(self) -> Pulse:  # noqa: D102
        assert self.watched is not None, "nobody watches a database in memory"
        return _SQLitePulse(self.watched, self.busy_seconds)

    def check(self, connection: Connection, deep: bool) -> list[Check]:  # noqa: D102
        journal = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())
        synchronous = int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())
        system = _file_system(self.file or Path("/"))
        checks = [
            Check("journal_mode", journal, journal in ("wal", "memory"), "a claim needs journal_mode=WAL"),
            Check(
                "synchronous",
                str(synchronous),
                synchronous >= 2,
                "a claim needs synchronous=FULL to be durable",
            ),
            Check(
                "file system",
                system,
                system.partition(".")[0] not in _NETWORK,
                f"{self.where} must lie on a local disk; or let the distribution points share a PostgreSQL database",
            ),
        ]
        if deep:
            found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
            checks.append(
                Check(
                    "integrity", found, found == "ok", f"{self.where} is damaged; put a backup in its place"
                )
            )
        return checks

    def in_memory(self) -> SQLite:
        """A copy of everything, at one moment."""
        copied = SQLite(None, self.busy_seconds)
        with self.engine.connect() as source, copied.engine.connect() as target:
            ours, theirs = source.connection.driver_connection, target.connection.driver_connection
            assert ours is not None
            ours.backup(theirs)
        return copied

    def said(self, error: DBAPIError) -> SiteError | CannotOpen:  # noqa: D102
        text = str(error.orig)
        if "locked" in text or "busy" in text:
            return self.busy()
        if isinstance(error, IntegrityError):
            return SiteError(f"{self.where}: {text}; this is a defect, please report it")
        return (self.watched or DatabaseFile(self.file or Path("memory"))).failed(error.orig)


class _SQLitePulse:
    """In autocommit: an open read transaction would hide every change made after it began."""

    def __init__(self, file: DatabaseFile, busy_seconds: float) -> None:
        self._file = file
        self._data_version = -1
        file.check()
        try:
            self._connection = file.connect(busy_seconds, autocommit=True)
            self._connection.execute("PRAGMA query_only = ON")
            # The first read opens the files beside it, which stay as long as this connection is open.
            self._read("SELECT revision FROM hierarchy")
        except sqlite3.Error as error:
            raise file.failed(error) from error
        self._beside = file.beside()

    def revision(self) -> int | None:
        self._file.check_beside(self._beside)
        try:
            data_version = self._read("PRAGMA data_version")
            if data_version == self._data_version:
                return None
            revision = self._read("SELECT revision FROM hierarchy")
        except sqlite3.Error as error:
            raise self._file.failed(error) from error
        self._data_version = data_version
        return revision

    def close(self) -> None:
        self._connection.close()

    def _read(self, statement: str) -> int:
        return int(self._connection.execute(statement).fetchone()[0])


def _prepare(connection: Any, _: object) -> None:
    # The driver must not begin transactions by itself: `_begin` does, and says which kind.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")


def _begin(connection: Connection) -> None:
    change = connection.get_execution_options().get("change", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if change else "BEGIN")


def _file_system(file: Path) -> str:
    """The type of the file system that a file is on, as the kernel names it: `ext4`, `nfs4`, `fuse.sshfs`."""
    found, length = "unknown", -1
    path = os.path.realpath(file)
    for line in _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        mount, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mount.split()[4])
        below = path == point or path.startswith(point.rstrip("/") + "/")
        if below and len(point) >= length:
            found, length = rest.split()[0], len(point)
    return found


def database(where: Path | str, busy_seconds: float) -> Database:
    """The database at a file or a postgresql:// URL; nothing is opened yet. Raises CannotOpen."""
    if isinstance(where, str) and where.startswith(_SCHEMES):
        try:
            from pxefast.site.postgresql import PostgreSQL
        except ImportError:
            raise CannotOpen("PostgreSQL needs its driver: pip install 'pxefast[postgres]'") from None
        return PostgreSQL(where, busy_seconds)
    if isinstance(where, str) and "://" in where:
        raise CannotOpen(f"{where.split('://')[0]}:// is no site database; write postgresql://USER@HOST/NAME")
    return SQLite(Path(where), busy_seconds)
