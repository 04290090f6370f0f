"""The ledger: what was handed out to which machine. The one place where "once" is decided (I1, I5, I6).

A row is (device, deployment, generation); the newest generation counts. A claim is durable when `claim`
returns; if it raises, nothing is known and nothing may be sent. Rows are never deleted.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, insert, select, tuple_, update

from pxefast.decide.records import Mark, Reason, already_offered, same_session
from pxefast.site import schema
from pxefast.site.collections import find_collection, member_ids
from pxefast.site.devices import find_device, read_devices
from pxefast.site.store import Store

__all__ = ["Claim", "ClaimResult", "Cleared", "Ledger"]

# SQLite allows 999 variables in a statement where it is old; a key takes two.
_CHUNK = 450

_CLAIMED = Reason("claimed", "claimed in the ledger", "I1")
_WITHDRAWN = Reason("withdrawn", "the deployment no longer reaches this device", "I1")
_STOPPED = Reason("responses_not_allowed", "the distribution point was told to answer nobody", "CM-2")

Key = tuple[int, str]


class Claim(NamedTuple):
    """A wish to hand a required deployment's boot program to a device; `now` in Unix seconds."""

    device_id: int
    deployment_id: str
    step: int
    xid: int
    now: float
    session_seconds: float


class ClaimResult(NamedTuple):
    """Whether the boot program may be named on the wire, why, and the mark that now stands."""

    ok: bool
    reason: Reason
    mark: Mark | None


class Cleared(NamedTuple):
    """One mark that was, or would be, cleared."""

    device: str
    deployment: str


class _Row(NamedTuple):
    generation: int
    mark: Mark | None


class Ledger:
    """Claims and clears, each call one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, claims: Sequence[Claim]) -> list[ClaimResult]:
        """Decide a batch of claims in their order, all in one durable transaction.

        Raises CannotOpen or SiteError.
        """
        if not claims:
            return []
        keys = list(dict.fromkeys((claim.device_id, claim.deployment_id) for claim in claims))
        with self._store.record() as connection:
            if not _answers(connection):
                return [ClaimResult(False, _STOPPED, None) for _ in claims]
            reachable = _reachable(connection, keys)
            before = _newest(connection, keys)
            now = dict(before)
            results = [_decide(claim, now, reachable) for claim in claims]
            _save(connection, before, now)
            return results

    def clear_device(self, name: str, dry_run: bool = False) -> list[Cleared]:
        """Let a device's required deployments run again (CM-79); with `dry_run` only say which."""
        with self._clearing("device", name, dry_run) as connection:
            return _clear(connection, [find_device(connection, name).id], dry_run)

    def clear_collection(self, name: str, dry_run: bool = False) -> list[Cleared]:
        """The same for every device that is in a collection now."""
        with self._clearing("collection", name, dry_run) as connection:
            return _clear(connection, member_ids(connection, find_collection(connection, name).id), dry_run)

    def _clearing(self, noun: str, name: str, dry_run: bool) -> Any:
        return self._store.read() if dry_run else self._store.write("deployment clear", f"{noun} {name}")


def _decide(claim: Claim, rows: dict[Key, _Row], reachable: set[Key]) -> ClaimResult:
    """One claim against the rows as they stand, which it updates."""
    key = (claim.device_id, claim.deployment_id)
    row = rows.get(key)
    mark = None if row is None else row.mark
    if key not in reachable:
        return ClaimResult(False, _WITHDRAWN, mark)
    if mark is None:
        generation = 1 if row is None else row.generation
        session = secrets.token_hex(16)
        mark = Mark(
            key[1], generation, "CLAIMED", claim.now, claim.now, claim.step, claim.xid, session, claim.now
        )
        rows[key] = _Row(generation, mark)
        return ClaimResult(True, _CLAIMED, mark)
    if not mark.continues(claim.step, claim.xid, claim.now, claim.session_seconds):
        return ClaimResult(False, already_offered(key[1]), mark)
    if claim.step > mark.step:
        mark = replace(mark, step=claim.step, xid=claim.xid, stepped_at=claim.now)
        rows[key] = _Row(mark.generation, mark)
    return ClaimResult(True, same_session(key[1]), mark)


def _answers(connection: Connection) -> bool:
    c = schema.distribution_point.c
    return all(all(row) for row in connection.execute(select(c.enable_pxe, c.allow_pxe_response)))


def _reachable(connection: Connection, keys: Sequence[Key]) -> set[Key]:
    """Those keys whose deployment still reaches the device and is required."""
    d, m = schema.deployment.c, schema.collection_member.c
    joined = select(m.device_id, d.id).join_from(
        schema.deployment, schema.collection_member, d.collection_id == m.collection_id
    )
    found: set[Key] = set()
    for part in _chunks(keys):
        query = joined.where(d.purpose == "required", tuple_(m.device_id, d.id).in_(part))
        found.update((row[0], row[1]) for row in connection.execute(query))
    return found


def _newest(connection: Connection, keys: Sequence[Key]) -> dict[Key, _Row]:
    c = schema.ledger.c
    rows: dict[Key, _Row] = {}
    for part in _chunks(keys):
        query = (
            select(schema.ledger).where(tuple_(c.device_id, c.deployment_id).in_(part)).order_by(c.generation)
        )
        for row in connection.execute(query):
            mark = None
            if row.state == "CLAIMED":
                mark = Mark(
                    row.deployment_id,
                    row.generation,
                    row.state,
                    row.armed_at,
                    row.claimed_at,
                    row.step,
                    row.xid,
                    row.session,
                    row.stepped_at,
                )
            rows[row.device_id, row.deployment_id] = _Row(row.generation, mark)
    return rows


def _save(connection: Connection, before: dict[Key, _Row], now: dict[Key, _Row]) -> None:
    c = schema.ledger.c
    new = [_values(key, row) for key, row in now.items() if key not in before]
    changed = [
        {f"old_{name}" if name in _KEY else name: value for name, value in _values(key, row).items()}
        for key, row in now.items()
        if key in before and before[key] != row
    ]
    if new:
        connection.execute(insert(schema.ledger), new)
    if changed:
        same_row = and_(*(c[name] == bindparam(f"old_{name}") for name in _KEY))
        written: dict[str, Any] = {
            name: bindparam(name) for name in ("state", "session", "step", "xid", "claimed_at", "stepped_at")
        }
        connection.execute(update(schema.ledger).where(same_row).values(written), changed)


_KEY = ("device_id", "deployment_id", "generation")


def _values(key: Key, row: _Row) -> dict[str, object]:
    values: dict[str, object] = {"device_id": key[0], "deployment_id": key[1], "generation": row.generation}
    if row.mark is None:
        return {**values, "state": "ARMED", "armed_at": time.time(), "returns": 0}
    mark = row.mark
    return {
        **values,
        "state": "CLAIMED",
        "armed_at": mark.armed_at,
        "returns": mark.returns,
        "session": mark.session,
        "step": mark.step,
        "xid": mark.xid,
        "claimed_at": mark.claimed_at,
        "stepped_at": mark.stepped_at,
    }


def _clear(connection: Connection, device_ids: Sequence[int], dry_run: bool) -> list[Cleared]:
    """A new generation for each claimed row of a required deployment; clearing twice makes one."""
    d = schema.deployment.c
    required = list(connection.execute(select(d.id).where(d.purpose == "required").order_by(d.id)).scalars())
    wanted = set(device_ids)
    c = schema.ledger.c
    claimed: dict[Key, int] = {}
    for part in _chunks(required):
        query = select(c.device_id, c.deployment_id, c.generation, c.state).where(c.deployment_id.in_(part))
        for device_id, deployment_id, generation, state in connection.execute(query.order_by(c.generation)):
            if device_id not in wanted:
                continue
            if state == "CLAIMED":
                claimed[device_id, deployment_id] = generation
            else:
                claimed.pop((device_id, deployment_id), None)
    if not claimed:
        return []
    names = {device.id: device.name for device in read_devices(connection) if device.id in wanted}
    if not dry_run:
        connection.execute(
            insert(schema.ledger),
            [_values(key, _Row(generation + 1, None)) for key, generation in claimed.items()],
        )
    return sorted(Cleared(names[device_id], deployment_id) for device_id, deployment_id in claimed)


def _chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
