"""PostgreSQL: one database for the distribution points of a whole hierarchy. Imported only where it is used."""

from __future__ import annotations

import select as readiness
import time
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, create_engine, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from pxefast.errors import CannotOpen, SiteError
from pxefast.site import schema
from pxefast.site.engines import Check, Database, Pulse

__all__ = ["PostgreSQL"]

_CHANNEL = "pxefast"
_CONNECT_SECONDS = 2
# What one statement of a read may take: a snapshot of a large site over a slow line.
_READ_SECONDS = 30
# Whoever holds the hierarchy's lock and falls silent (a host that lost its power) is put out by the server after this.
_IDLE_SECONDS = 10
# A notification may be lost with its connection; the revision is asked for at least this often.
_POLL_SECONDS = 5.0
_OLDEST = 130000
# "pxefast" in ASCII: who makes or changes tables holds this.
_ADVISORY = 0x70786566617374

_BUSY = ("55P03", "57014")
# By SQLSTATE; a connection that is refused has none, only words.
_HINTS = {
    "42501": "the user must own the database",
    "25006": "this is a read-only standby: name the primary",
    "password": "check the user and the password, which belongs into ~/.pgpass",
    "pg_hba.conf": "let the user in by pg_hba.conf on the server",
    "does not exist": "make it on the server, by createuser or createdb",
}


class _Connection(psycopg.Connection[Any]):
    """A connection that gives up on a server that says nothing: a paused one never ends a statement by itself."""

    patience: float = _READ_SECONDS

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        return super().wait(self._patient(gen), *arguments, **options)

    def _patient(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """`gen`, ended by an error when nothing has come for `patience` seconds; 0 is what `wait` sends then."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if ready:
                    heard = now
                elif now - heard > self.patience:
                    # Not cancelled but cut: a cancelled COMMIT might be reported as one that is safe.
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server said nothing for {self.patience:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value


class PostgreSQL(Database):
    """A database by its URL; a password comes from there or from ~/.pgpass."""

    def __init__(self, url: str, busy_seconds: float) -> None:
        super().__init__(url, busy_seconds)
        self.where = "postgresql://"
        wait = max(1, round(busy_seconds * 1000))
        try:
            named = conninfo_to_dict(url)
            self.where = _printable(named)
            limits = (
                f"-c lock_timeout={wait} -c statement_timeout={_READ_SECONDS * 1000} "
                f"-c idle_in_transaction_session_timeout={_IDLE_SECONDS * 1000}"
            )
            self.conninfo = make_conninfo(
                url,
                options=f"{named.get('options', '')} {limits}".strip(),
                connect_timeout=_CONNECT_SECONDS,
                tcp_user_timeout=wait + 1000,
                keepalives_idle=1,
                keepalives_interval=1,
                keepalives_count=3,
                application_name=named.get("application_name", "pxefast"),
            )
        except psycopg.Error as error:
            raise CannotOpen(f"the database's URL is wrong: {_first_line(error)}") from None
        self.engine = create_engine(
            "postgresql+psycopg://", creator=lambda: _Connection.connect(self.conninfo)
        )

    def connect(self, change: bool) -> Connection:  # noqa: D102
        connection = self.engine.connect()
        driver = connection.connection.driver_connection
        assert isinstance(driver, _Connection)
        # The lock may take `busy_seconds`; the server says so by itself.
        driver.patience = self.busy_seconds + 1 if change else _READ_SECONDS
        if change:
            return connection
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def lock(self, connection: Connection) -> None:  # noqa: D102
        connection.execute(select(schema.hierarchy.c.id).with_for_update())

    def reserve(self, connection: Connection) -> None:  # noqa: D102
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY)))

    def announce(self, connection: Connection, revision: int) -> None:  # noqa: D102
        connection.execute(select(func.pg_notify(_CHANNEL, str(revision))))

    def pulse(self) -> Pulse:  # noqa: D102
        return _PostgreSQLPulse(self)

    def check(self, connection: Connection, deep: bool) -> list[Check]:  # noqa: D102
        _ = deep
        query = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
        names = ["fsync", "full_page_writes", "server_encoding", "server_version_num", "synchronous_commit"]
        found: dict[str, str] = dict(connection.execute(query, {"names": names}).all())
        standby = bool(connection.execute(select(func.pg_is_in_recovery())).scalar_one())
        default = str(connection.execute(text("SHOW default_transaction_read_only")).scalar_one())
        server = "set it in postgresql.conf, or no claim is safe"
        return [
            Check("fsync", found["fsync"], found["fsync"] == "on", f"fsync must be on: {server}"),
            Check(
                "full_page_writes",
                found["full_page_writes"],
                found["full_page_writes"] == "on",
                f"full_page_writes must be on: {server}",
            ),
            Check(
                "synchronous_commit",
                found["synchronous_commit"],
                found["synchronous_commit"] in ("on", "remote_apply"),
                f"synchronous_commit must be on or remote_apply, also for this user and database: {server}",
            ),
            Check(
                "writable",
                "no" if standby or default == "on" else "yes",
                not standby and default == "off",
                "this server takes no changes: name the primary in [database] url",
            ),
            Check(
                "server_version_num",
                found["server_version_num"],
                int(found["server_version_num"]) >= _OLDEST,
                "PostgreSQL 13 or newer is needed",
            ),
            Check(
                "server_encoding",
                found["server_encoding"],
                found["server_encoding"] == "UTF8",
                "the database must be made with ENCODING 'UTF8'",
            ),
        ]

    def said(self, error: DBAPIError) -> SiteError | CannotOpen:  # noqa: D102
        state = getattr(error.orig, "sqlstate", None) or ""
        if state in _BUSY:
            return self.busy()
        line = _first_line(error.orig)
        if isinstance(error, IntegrityError):
            return SiteError(f"{self.where}: {line}; this is a defect, please report it")
        hints = (hint for sign, hint in _HINTS.items() if sign == state or sign in line)
        return CannotOpen(f"{self.where}: {line}; {next(hints, 'check the server and the network')}")


class _PostgreSQLPulse:
    """LISTEN, and a question now and then whether the connection lives; nothing of it ever waits."""

    def __init__(self, place: PostgreSQL) -> None:
        self._where = place.where
        self._connection = pq.PGconn.connect_start(place.conninfo.encode())
        if self._connection.status == pq.ConnStatus.BAD:
            raise self._lost(self._connection.get_error_message())
        self._connected = False
        self._wants: int = pq.PollingStatus.WRITING
        # Since when an answer is due; None where none is.
        self._asked: float | None = time.monotonic()
        self._next_poll = 0.0

    def revision(self) -> int | None:
        now = time.monotonic()
        try:
            newest = self._hear(now)
        except psycopg.Error as error:
            raise self._lost(_first_line(error)) from None
        if self._asked is not None and now - self._asked > _CONNECT_SECONDS:
            raise self._lost(f"the server said nothing for {_CONNECT_SECONDS} s")
        return newest

    def close(self) -> None:
        self._connection.finish()

    def _hear(self, now: float) -> int | None:
        if not self._connected:
            if not self._connect():
                return None
            self._ask(b"LISTEN " + _CHANNEL.encode(), now)
        self._connection.consume_input()
        newest = self._answer()
        while (notice := self._connection.notifies()) is not None:
            newest = max(newest or 0, int(notice.extra))
        if self._asked is None and now >= self._next_poll:
            self._ask(b"SELECT revision FROM hierarchy", now)
            self._next_poll = now + _POLL_SECONDS
        return newest

    def _connect(self) -> bool:
        """One step towards the connection, if there is news of it; True when it stands."""
        wait = [self._connection.socket]
        wants_write = self._wants == pq.PollingStatus.WRITING
        read, write, _ = readiness.select([] if wants_write else wait, wait if wants_write else [], [], 0)
        if not read and not write:
            return False
        self._wants = self._connection.connect_poll()
        if self._wants == pq.PollingStatus.FAILED:
            raise psycopg.OperationalError(self._connection.get_error_message())
        self._connected = self._wants == pq.PollingStatus.OK
        return self._connected

    def _ask(self, question: bytes, now: float) -> None:
        self._connection.send_query(question)
        self._asked = now

    def _answer(self) -> int | None:
        newest = None
        while self._asked is not None and not self._connection.is_busy():
            result = self._connection.get_result()
            if result is None:
                self._asked = None
            elif result.status == pq.ExecStatus.TUPLES_OK and (value := result.get_value(0, 0)) is not None:
                newest = int(value)
            elif result.status != pq.ExecStatus.COMMAND_OK:
                raise psycopg.OperationalError(result.get_error_message())
        return newest

    def _lost(self, why: str) -> CannotOpen:
        return CannotOpen(f"{self._where}: {why}; check the server and the network")


def _printable(named: dict[str, Any]) -> str:
    """A URL for people: no password, no options."""
    user = f"{named['user']}@" if named.get("user") else ""
    port = f":{named['port']}" if named.get("port") else ""
    return f"postgresql://{user}{named.get('host', '')}{port}/{named.get('dbname', '')}"


def _first_line(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
