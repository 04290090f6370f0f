"""The ledger as another program reads it: plain SQL by sqlite3 or psycopg, without pxefast's code."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

# So long a database may take to be there again.
BACK_SECONDS = 20
COLUMNS = (
    "device_mac.mac, device_id, deployment_id, generation, state, armed_at, claimed_at, session, peer, transfer, "
    "launched_at"
)


class Row(NamedTuple):
    """One generation of one deployment on one machine."""

    mac: str
    device_id: int
    deployment_id: str
    generation: int
    state: str
    armed_at: float
    claimed_at: float | None
    session: str | None
    peer: str | None
    transfer: str | None
    launched_at: float | None


class Record(NamedTuple):
    """One entry of the audit chain."""

    seq: int
    at: float
    action: str
    subject: str
    details: str | None = None
    """The record's fields as JSON."""


class Database:
    """A place, not a connection: each `rows` of another thread may have its own by `Database(place)`.

    `place` is a file, or a PostgreSQL URL.
    """

    def __init__(self, place: Path | str) -> None:
        self.place = place
        self._connection: Any = None

    def _query(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        if isinstance(self.place, Path):
            if self._connection is None:
                self._connection = sqlite3.connect(
                    f"file:{self.place}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
                )
            return self._connection.execute(query, values).fetchall()  # type: ignore[no-any-return]
        if self._connection is None:
            url = self.place.replace("postgresql+psycopg:", "postgresql:")
            self._connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
        return self._connection.execute(query.replace("?", "%s"), values).fetchall()  # type: ignore[no-any-return]

    def _patiently(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The same, over a new connection where the server was killed under the old one."""
        deadline, again = time.monotonic() + BACK_SECONDS, threading.Event()
        while True:
            try:
                return self._query(query, values)
            except psycopg.OperationalError:
                self.close()
                if time.monotonic() > deadline:
                    raise
                again.wait(0.1)

    def rows(self, mac: str | None = None) -> list[Row]:
        """Every generation of every machine, or of the one with this MAC; oldest first."""
        return [Row(*row) for row in self._patiently(*_ledger(mac))]

    def audit(self) -> list[Record]:
        return [
            Record(*row)
            for row in self._patiently("SELECT seq, at, action, subject, details FROM audit ORDER BY seq")
        ]

    def devices(self) -> list[tuple[str, int]]:
        """The MAC address and the id of every device."""
        return [(mac, number) for mac, number in self._patiently("SELECT mac, device_id FROM device_mac")]

    def deployments(self) -> list[str]:
        """The ids of the deployments that there are."""
        return [found for (found,) in self._patiently("SELECT id FROM deployment ORDER BY id")]

    def withdrawn(self) -> list[str]:
        """The ids of the removed deployments that machines were launched by and that nobody reported or cleared."""
        query = (
            "SELECT DISTINCT deployment_id FROM ledger WHERE state = 'WITHDRAWN' AND launched_at IS NOT NULL"
        )
        return sorted(found for (found,) in self._patiently(query))

    def look(self, mac: str) -> list[Row] | None:
        """The rows of one machine, at once; None while the database does not answer."""
        try:
            return [Row(*row) for row in self._query(*_ledger(mac))]
        except (sqlite3.Error, psycopg.Error):
            self.close()
            return None

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; the next question opens another."""
        if self._connection is not None:
            with closing(self._connection):
                self._connection = None


def _ledger(mac: str | None) -> tuple[str, list[object]]:
    query = f"SELECT {COLUMNS} FROM ledger JOIN device_mac USING (device_id)"
    where, values = ("", []) if mac is None else (" WHERE device_mac.mac = ?", [mac])
    return f"{query}{where} ORDER BY device_id, deployment_id, generation", values
