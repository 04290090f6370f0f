"""Where a site database is, and everything in which SQLite and PostgreSQL differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from pxefast.errors import CannotOpen, SiteError

__all__ = ["Database", "database"]

_POSTGRESQL = ("postgresql://", "postgres://", "postgresql+psycopg://")
_DRIVER = "pip install 'pxefast[postgres]'"
_CONNECT_SECONDS = 2
# What a read may take: a snapshot of a large site over a slow line.
_READ_SECONDS = 30


class Database(ABC):
    """A place with a site database; `where` names it for people, without a password."""

    where: str
    engine: Engine

    def __init__(self, busy_seconds: float) -> None:
        self.busy_seconds = busy_seconds

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @abstractmethod
    def lock(self, connection: Connection) -> None:
        """Begin a change: wait for every other one, at most `busy_seconds`."""

    def announce(self, connection: Connection) -> None:
        """Tell those who listen that this change, once committed, is to be followed."""
        _ = connection

    @abstractmethod
    def said(self, error: DBAPIError) -> SiteError | CannotOpen:
        """The driver's error as ours."""


class SQLite(Database):
    """One file on a local disk: WAL, synchronous=FULL. `file` None is a database in memory."""

    def __init__(self, file: Path | None, busy_seconds: float) -> None:
        super().__init__(busy_seconds)
        self.file = file
        self.where = str(file) if file else "memory"
        if file is None:
            self.engine = create_engine("sqlite://", poolclass=StaticPool)
        else:
            url = URL.create("sqlite", database=str(file))
            self.engine = create_engine(url, connect_args={"timeout": busy_seconds})
        event.listen(self.engine, "connect", _prepare_sqlite)
        event.listen(self.engine, "begin", _begin_sqlite)

    def lock(self, connection: Connection) -> None:
        # `_begin_sqlite` began with BEGIN IMMEDIATE, which is the lock.
        pass

    def said(self, error: DBAPIError) -> SiteError | CannotOpen:
        text = str(error.orig)
        if "locked" in text or "busy" in text:
            return SiteError(
                f"{self.where} is busy: another change took longer than {self.busy_seconds} s; try again"
            )
        return CannotOpen(f"{self.where}: {text}; check the disk and the file's owner and mode")


def _prepare_sqlite(connection: Any, _: object) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` does, and says which kind.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    change = connection.get_execution_options().get("change", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if change else "BEGIN")


def database(where: Path | str, busy_seconds: float) -> Database:
    """The database at a file or a postgresql:// URL; nothing is opened yet. Raises CannotOpen."""
    if isinstance(where, str) and where.startswith(_POSTGRESQL):
        raise CannotOpen(f"PostgreSQL needs its driver: {_DRIVER}")
    if isinstance(where, str) and "://" in where:
        raise CannotOpen(f"{where.split('://')[0]}:// is no site database; write postgresql://USER@HOST/NAME")
    return SQLite(Path(where), busy_seconds)
