"""The ledger's rows inside one change: read in bulk, moved on in memory, and written at its end with their audit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, insert, select, update

from pxefast.site import audit, schema
from pxefast.site.protocol import Row
from pxefast.site.schema import LIVE

__all__ = ["Rows", "chunks"]

# SQLite allows 999 variables in a statement where it is old.
_CHUNK = 450
_KEY = ("device_id", "deployment_id", "generation")


def chunks(items: Iterable[Any]) -> Iterator[Sequence[Any]]:
    """The items in lists short enough for one statement, each item once."""
    every = list(dict.fromkeys(items))
    return (every[start : start + _CHUNK] for start in range(0, len(every), _CHUNK))


class Rows:
    """The newest generations of those devices, sessions and addresses that were loaded."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stored: dict[tuple[int, str, int], Row] = {}
        self._changed: dict[tuple[int, str, int], Row] = {}
        self._devices: dict[int, dict[str, Row]] = {}
        self._peers: dict[str, set[tuple[int, str]]] = {}
        self._entries: list[audit.Entry] = []

    def load_devices(self, device_ids: Iterable[int]) -> None:
        """Read every row of these devices."""
        self._load(_OF_DEVICES, device_ids)

    def load_sessions(self, sessions: Iterable[str]) -> None:
        """Read the rows of these sessions."""
        self._load(_OF_SESSIONS, sessions)

    def load_peers(self, peers: Iterable[str]) -> None:
        """Read the live rows at these addresses."""
        self._load(_AT_PEERS, peers)

    def load_deployments(self, deployment_ids: Iterable[str], armed: bool = True) -> None:
        """Read every row of these deployments; if `armed` is False, those that something was given by."""
        self._load(_OF_DEPLOYMENTS if armed else _GIVEN_BY_DEPLOYMENTS, deployment_ids)

    def load_live(self) -> None:
        """Read every row that is live on its device."""
        self._load(_IN_STATES, LIVE)

    def get(self, device_id: int, deployment_id: str) -> Row | None:
        """The newest generation, if there is any."""
        return self._devices.get(device_id, {}).get(deployment_id)

    def of_device(self, device_id: int) -> list[Row]:
        """Those of one device."""
        return list(self._devices.get(device_id, {}).values())

    def at_address(self, peer: str) -> list[Row]:
        """Those at an IPv4 address."""
        return [
            row for key in sorted(self._peers.get(peer, ())) if (row := self.get(*key)) and row.peer == peer
        ]

    def take_address(self, row: Row) -> None:
        """The address of this row is its machine's now: no other claim can be launched by it."""
        for other in self.at_address(row.peer or ""):
            if other.device_id != row.device_id and other.state == "CLAIMED":
                self.put(other._replace(peer=None))

    def all(self) -> list[Row]:
        """All that were loaded, in the order of devices and deployments."""
        return sorted(row for rows in self._devices.values() for row in rows.values())

    def put(self, row: Row, action: str | None = None, **more: object) -> None:
        """Change a row or add one.

        `action`, where there is one, is audited with the row as it is now and `more` facts of the change.
        """
        self._changed[row[:3]] = row
        self._remember(row)
        if action is not None:
            facts = {**_facts(row), **more}
            self._entries.append((action, _sentence(facts), facts))

    def note(self, action: str, text: str) -> None:
        """Audit something that is in no row."""
        self._entries.append((action, text))

    def save(self) -> None:
        """Write what changed; those that end being live first, for a device has one live row (I2)."""
        changed = [row for key, row in self._changed.items() if self._stored.get(key) != row]
        old = [row for row in changed if row[:3] in self._stored]
        old.sort(key=lambda row: row.state in LIVE)
        if old:
            self._connection.execute(
                _UPDATE, [{f"row_{k}": v for k, v in row._asdict().items()} for row in old]
            )
        new = [row._asdict() for row in changed if row[:3] not in self._stored]
        if new:
            self._connection.execute(insert(schema.ledger), new)
        audit.append(self._connection, self._entries)

    def _load(self, query: Select[Any], keys: Iterable[object]) -> None:
        for part in chunks(keys):
            for found in self._connection.execute(query, {"keys": part}):
                row = Row(*found)
                if row[:3] not in self._stored:
                    self._stored[row[:3]] = row
                    self._remember(row)

    def _remember(self, row: Row) -> None:
        self._devices.setdefault(row.device_id, {})[row.deployment_id] = row
        if row.peer is not None:
            self._peers.setdefault(row.peer, set()).add(row[:2])


def _facts(row: Row) -> dict[str, object]:
    """A row as the audit records it: `reconcile` reads these facts, never their sentence (D39)."""
    facts = {
        "deployment": row.deployment_id,
        "device": row.device_id,
        "generation": row.generation,
        "state": row.state,
        "session": (row.session or "")[:8],
        "peer": row.peer,
        "point": row.owner,
        "returns": row.returns,
    }
    return {name: value for name, value in facts.items() if value}


def _sentence(facts: Mapping[str, object]) -> str:
    """The facts for people, `name=value` each."""
    words = {
        name: ",".join(value) if isinstance(value, (list, tuple)) else value for name, value in facts.items()
    }
    return " ".join(f"{name}={value}" for name, value in words.items())


def _newest(column: ColumnElement[Any], *more: ColumnElement[bool]) -> Select[Any]:
    """The rows of some keys; those of cleared generations are history. Built once, for building takes its time."""
    wanted = column.in_(bindparam("keys"))
    return select(schema.ledger).where(wanted, schema.ledger.c.state != "CLEARED", *more)


_C = schema.ledger.c
_OF_DEVICES = _newest(_C.device_id)
_OF_DEPLOYMENTS = _newest(_C.deployment_id)
_GIVEN_BY_DEPLOYMENTS = _newest(_C.deployment_id, _C.state != "ARMED")
_OF_SESSIONS = _newest(_C.session)
_AT_PEERS = _newest(_C.peer, _C.state.in_(LIVE))
_IN_STATES = _newest(_C.state)
_UPDATE = (
    update(schema.ledger)
    .where(and_(*(_C[name] == bindparam(f"row_{name}") for name in _KEY)))
    .values({name: bindparam(f"row_{name}") for name in Row._fields if name not in _KEY})
)
