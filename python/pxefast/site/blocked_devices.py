"""Machines that wait: a required deployment is armed for them, and another launch of theirs is not settled (D34)."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from pxefast.site import schema
from pxefast.site.case_names import names_of
from pxefast.site.ledger_row import Row
from pxefast.site.ledger_rows import chunks
from pxefast.site.policy import read_policy

__all__ = ["Behind", "blocked_devices", "count_blocked", "read_blocked", "unsettled"]


class Behind(NamedTuple):
    """A device that waits, the deployment it was launched by, and until when.

    `until` is in Unix seconds, infinite where time alone does not end the wait.
    """

    device: str
    deployment: str
    until: float


def unsettled(connection: Connection, now: float | None = None) -> dict[int, list[Row]]:
    """Return the rows of unreported launches that are not settled, by device."""
    c = schema.ledger.c
    moment = time.time() if now is None else now
    hours = read_policy(connection).decision.launch_settles_hours
    # A claim whose launch file is not known may have run.
    query = select(schema.ledger).where(
        or_(
            c.state == "STARTED",
            c.state.in_(("LAUNCHED", "HOLD", "WITHDRAWN")) & c.launched_at.is_not(None),
            (c.state == "CLAIMED") & c.launch.is_(None),
        )
    )
    found: dict[int, list[Row]] = {}
    for row in (Row(*columns) for columns in connection.execute(query)):
        if moment < row.settles_at(hours):
            found.setdefault(row.device_id, []).append(row)
    return found


def blocked_devices(
    connection: Connection, deployment_id: str, device_ids: Collection[int], now: float | None = None
) -> list[Behind]:
    """Return those of the devices that a required deployment must wait for, by name; the last launch to settle."""
    hours = read_policy(connection).decision.launch_settles_hours
    wanted = set(device_ids)
    found: list[tuple[int, str, float]] = []
    for device_id, rows in unsettled(connection, now).items():
        others = [row for row in rows if row.deployment_id != deployment_id]
        if device_id in wanted and others:
            last = max(others, key=lambda row: row.settles_at(hours))
            found.append((device_id, last.deployment_id, last.settles_at(hours)))
    names = names_of(connection, [device_id for device_id, _, _ in found])
    return sorted(Behind(names[device_id], behind, until) for device_id, behind, until in found)


def read_blocked(connection: Connection, deployment_id: str) -> list[Behind]:
    """Return the devices that a required deployment is armed for and that wait behind another launch."""
    c = schema.ledger.c
    armed = select(c.device_id).where(c.deployment_id == deployment_id, c.state == "ARMED")
    return blocked_devices(connection, deployment_id, set(connection.execute(armed).scalars()))


def count_blocked(connection: Connection) -> dict[str, int]:
    """Return how many devices wait behind another launch, by the deployment that they wait for."""
    c, counts = schema.ledger.c, dict[str, int]()
    launches = unsettled(connection)
    for part in chunks(launches):
        query = select(c.device_id, c.deployment_id).where(c.device_id.in_(part), c.state == "ARMED")
        for device_id, deployment_id in connection.execute(query):
            if any(row.deployment_id != deployment_id for row in launches[device_id]):
                counts[deployment_id] = counts.get(deployment_id, 0) + 1
    return counts
