"""The site database as one object: opened and migrated, with a transaction a change and one member a noun.

SQLite in WAL mode, synchronous=FULL: what `write` has committed survives a power cut. Readers never wait for
writers.
"""

from __future__ import annotations

import os
import pwd
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, select, update
from sqlalchemy.exc import DatabaseError

from pxefast.errors import AlreadyExists, CannotOpen, Invalid, SiteError
from pxefast.site import schema
from pxefast.site.boot_images import BootImages
from pxefast.site.collections import ALL_UNKNOWN_COMPUTERS, Collections
from pxefast.site.deployments import Deployments
from pxefast.site.devices import Devices
from pxefast.site.distribution_points import DistributionPoints
from pxefast.site.migrations import HEAD, upgrade
from pxefast.site.task_sequences import TaskSequences

__all__ = ["Store", "check_site_code"]

_ID = re.compile(r"[A-Z0-9]{3}[0-9A-F]{5}")
_CODE = re.compile(r"[A-Z0-9]{3}")
_FIRST_DEPLOYMENT = 0x20001
_LAST_NUMBER = 0xFFFFF


class Store:
    """An open site database. `create` makes one, `open` opens one; close it, or use it in a `with`."""

    def __init__(self, file: Path, busy_seconds: float) -> None:
        self.file = file
        self._busy_seconds = busy_seconds
        self._reader = _engine(file, busy_seconds)
        self._writer = self._reader.execution_options(begin="BEGIN IMMEDIATE")
        self.code = ""
        self.devices = Devices(self)
        self.collections = Collections(self)
        self.boot_images = BootImages(self)
        self.task_sequences = TaskSequences(self)
        self.deployments = Deployments(self)
        self.dp = DistributionPoints(self)

    @classmethod
    def create(cls, file: Path, site_code: str, busy_seconds: float = 5) -> Store:
        """A new database for a site. Raises Invalid for a bad code, AlreadyExists if there is a file."""
        check_site_code(site_code)
        if file.exists():
            raise AlreadyExists(f"{file} already exists")
        # Made under another name: a database is there whole, or not at all.
        unfinished = file.with_name(f".new-{file.name}")
        try:
            unfinished.unlink(missing_ok=True)
            with cls(unfinished, busy_seconds) as store, store._transaction(store._writer) as connection:
                upgrade(connection)
                connection.execute(
                    schema.site.insert().values(
                        id=1,
                        code=site_code,
                        revision=1,
                        next_device=1,
                        next_object=1,
                        next_deployment=_FIRST_DEPLOYMENT,
                    )
                )
                connection.execute(
                    schema.distribution_point.insert().values(DistributionPoints.first_row(site_code))
                )
                unknown = {"id": ALL_UNKNOWN_COMPUTERS, "name": "All Unknown Computers"}
                connection.execute(
                    schema.collection.insert().values(key=unknown["name"].casefold(), **unknown)
                )
                store._audit(connection, "init", site_code)
            os.link(unfinished, file)
            unfinished.unlink()
        except FileExistsError:
            raise AlreadyExists(f"{file} already exists") from None
        except OSError as error:
            raise CannotOpen(f"cannot make {file}: {error.strerror}; check the owner of its folder") from None
        return cls.open(file, busy_seconds)

    @classmethod
    def open(cls, file: Path, busy_seconds: float = 5) -> Store:
        """The database of an initialised home, migrated if an older pxefast made it. Raises CannotOpen."""
        if not file.is_file():
            raise CannotOpen(
                f"there is no site database at {file}; make one with: pxefast init --site-code XYZ"
            )
        store = cls(file, busy_seconds)
        try:
            store._migrate()
            with store.read() as connection:
                store.code = connection.execute(select(schema.site.c.code)).scalar_one()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Give back every connection."""
        self._reader.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction: everything read in it is of one moment."""
        with self._transaction(self._reader) as connection:
            yield connection

    @contextmanager
    def write(self, action: str, subject: str) -> Iterator[Connection]:
        """One change: all of it or nothing, audited, and seen by a running service.

        Durable when the block has ended.
        """
        with self._transaction(self._writer) as connection:
            yield connection
            connection.execute(update(schema.site).values(revision=schema.site.c.revision + 1))
            self._audit(connection, action, subject)

    @contextmanager
    def record(self) -> Iterator[Connection]:
        """A durable write of the service itself, such as a claim, that no snapshot must follow."""
        with self._transaction(self._writer) as connection:
            yield connection

    def watch(self) -> sqlite3.Connection:
        """A connection of its own in autocommit, for asking whether others changed the database. Close it."""
        try:
            connection = sqlite3.connect(
                self.file, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            raise CannotOpen(f"{self.file}: {error}; check the disk and the file's owner and mode") from error
        return connection

    def touch(self, action: str, subject: str) -> None:
        """Tell a running service of a change outside the database, such as newly distributed content."""
        with self.write(action, subject):
            pass

    def new_id(self, connection: Connection, table: Table, wanted: str | None) -> str:
        """The id asked for, checked, or the next free one: site code and five hexadecimal digits."""
        if wanted is not None:
            if not _ID.fullmatch(wanted):
                raise Invalid(
                    f"id {wanted!r} must be a site code and five hexadecimal digits, such as {self.code}00001"
                )
            taken = _has_id(connection, table, wanted)
            if taken is not None:
                raise AlreadyExists(f"{taken} {wanted} already exists")
            return wanted
        counter = schema.site.c.next_deployment if table is schema.deployment else schema.site.c.next_object
        number = int(connection.execute(select(counter)).scalar_one())
        while True:
            if number > _LAST_NUMBER:
                raise Invalid(f"site {self.code} has used all its ids; give one with another prefix by --id")
            candidate = f"{self.code}{number:05X}"
            number += 1
            if _has_id(connection, table, candidate) is None:
                break
        connection.execute(update(schema.site).values({counter: number}))
        return candidate

    def _migrate(self) -> None:
        with self.read() as connection:
            found = _version(connection)
        if found == HEAD:
            return
        if found is None:
            raise CannotOpen(f"{self.file} is not a pxefast site database; name another home with --home")
        with self._transaction(self._writer) as connection:
            if _version(connection) != HEAD:
                upgrade(connection)

    def _audit(self, connection: Connection, action: str, subject: str) -> None:
        values = {"at": time.time(), "actor": _actor(), "action": action, "subject": subject}
        connection.execute(schema.audit.insert().values(values))

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except DatabaseError as error:
            raise self._said(error) from error

    def _said(self, error: DatabaseError) -> SiteError | CannotOpen:
        text = str(error.orig)
        if "locked" in text or "busy" in text:
            return SiteError(
                f"{self.file} is busy: another change took longer than {self._busy_seconds} s; try again"
            )
        return CannotOpen(f"{self.file}: {text}; check the disk and the file's owner and mode")


def _has_id(connection: Connection, table: Table, wanted: str) -> str | None:
    """What has this id already, among the tables that share the counter of `table`; None if nothing has."""
    sharing = (
        [table]
        if table is schema.deployment
        else [schema.boot_image, schema.task_sequence, schema.collection]
    )
    for other in sharing:
        if connection.execute(select(other.c.id).where(other.c.id == wanted)).first() is not None:
            return str(other.name).replace("_", " ")
    return None


def check_site_code(code: str) -> None:
    """Raises Invalid unless this is a site code: three characters of A-Z and 0-9."""
    if not _CODE.fullmatch(code):
        raise Invalid(f"site code {code!r} must be three characters of A-Z and 0-9, such as PS1")


def _version(connection: Connection) -> str | None:
    found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").first()
    if found is None:
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def _actor() -> str:
    """The person, also behind sudo; the number of a user without a name."""
    uid = os.environ.get("SUDO_UID") if os.getuid() == 0 else None
    number = int(uid) if uid is not None and uid.isdecimal() else os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _engine(file: Path, busy_seconds: float) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(file)), connect_args={"timeout": busy_seconds})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        # The driver must not begin transactions by itself: `begin` below does, and says which kind.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine
