"""Removal of a deployment: its own cases end with it, as WITHDRAWN, and nothing is left to clear (D32)."""

from __future__ import annotations

import time
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from pxefast.site import audit, schema
from pxefast.site.case_names import names_of
from pxefast.site.ledger_rows import Rows
from pxefast.site.policy import read_policy
from pxefast.site.protocol import Limits, Row, Withdrawing, step

__all__ = ["Launched", "Removal", "count_cases", "read_removal", "remove", "withdrawn_kind"]


class Launched(NamedTuple):
    """A device that was launched and has not reported its end.

    `until` is when other required deployments may boot it, in Unix seconds; infinite if time alone does not settle it.
    """

    device: str
    until: float


class Removal(NamedTuple):
    """What a removal ends: how many cases are armed or claimed, how many are held, and what was launched.

    `finished` cases are done or failed; they stay as they are.
    """

    armed: int
    held: int
    launched: list[Launched]
    finished: int


def withdrawn_kind(row: Row) -> str:
    """Return what a withdrawn case was: `launched`, `held` or `armed`."""
    return _kind(row.launched_at is not None, row.ended_from)


def _kind(launched: bool, ended_from: str | None) -> str:
    if launched:
        return "launched"
    return "held" if ended_from == "HOLD" else "armed"


def count_cases(connection: Connection) -> dict[str, int]:
    """Return how many cases are in each state; withdrawn ones apart, by what they were."""
    c, counts = schema.ledger.c, dict[str, int]()
    launched = c.launched_at.is_not(None)
    query = select(c.state, launched, c.ended_from, func.count()).where(c.state != "CLEARED")
    for state, ran, ended_from, number in connection.execute(query.group_by(c.state, launched, c.ended_from)):
        name = f"{state} ({_kind(ran, ended_from)})" if state == "WITHDRAWN" else state
        counts[name] = counts.get(name, 0) + number
    return dict(sorted(counts.items()))


def read_removal(connection: Connection, deployment_id: str) -> Removal:
    """Return what a removal of this deployment would end now."""
    now = time.time()
    rows = _unarmed(connection, deployment_id)
    return _removal(connection, deployment_id, _withdrawn(rows, now, ""))


def remove(connection: Connection, deployment_id: str) -> Removal:
    """Remove a deployment and withdraw its cases, inside the caller's change. Return what was ended."""
    now, by, c = time.time(), audit.person(), schema.ledger.c
    rows = _unarmed(connection, deployment_id)
    ended = _withdrawn(rows, now, by)
    found = _removal(connection, deployment_id, ended)
    for row in ended:
        rows.put(row, "ledger withdraw", before=row.ended_from)
    rows.save()
    # Armed cases may be many, and nothing was ever given by them.
    where = (c.deployment_id == deployment_id) & (c.state == "ARMED")
    values = {"state": "WITHDRAWN", "ended_at": now, "ended_by": by, "ended_from": "ARMED"}
    connection.execute(update(schema.ledger).where(where).values(values))
    connection.execute(delete(schema.deployment).where(schema.deployment.c.id == deployment_id))
    return found


def _unarmed(connection: Connection, deployment_id: str) -> Rows:
    rows = Rows(connection)
    rows.load_deployments([deployment_id], armed=False)
    return rows


def _withdrawn(rows: Rows, now: float, by: str) -> list[Row]:
    """The rows that a removal changes, as they are after it."""
    changed = [(row, step(row, Withdrawing(by), now, Limits(0.0))) for row in rows.all()]
    return [after for _, (after, outcome) in changed if outcome.ok]


def _removal(connection: Connection, deployment_id: str, ended: list[Row]) -> Removal:
    c = schema.ledger.c
    query = select(c.state, func.count()).where(c.deployment_id == deployment_id).group_by(c.state)
    states: dict[str, int] = dict(connection.execute(query).all())
    launched = [row for row in ended if withdrawn_kind(row) == "launched"]
    names = names_of(connection, [row.device_id for row in launched])
    hours = read_policy(connection).decision.launch_settles_hours
    kinds = [withdrawn_kind(row) for row in ended]
    return Removal(
        states.get("ARMED", 0) + kinds.count("armed"),
        kinds.count("held"),
        sorted(
            Launched(names.get(row.device_id, f"device {row.device_id}"), row.settles_at(hours))
            for row in launched
        ),
        states.get("DONE", 0) + states.get("FAILED", 0),
    )
