"""Marks of the snapshot: what the ledger says of each deployment and device, as decisions need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Connection, select

from pxefast.config import LONGEST_SESSION
from pxefast.decide.reasons import time_text
from pxefast.decide.records import Mark
from pxefast.site import schema
from pxefast.site.ledger_row import unreported_since
from pxefast.site.schema import LIVE

__all__ = ["Marks", "read_marks"]


class Marks(NamedTuple):
    """Marks of the newest generations by deployment id and device id, of live rows and of unreported launches."""

    newest: dict[str, dict[int, Mark]]
    live: dict[int, Mark]
    launches: dict[int, Mark]


def read_marks(connection: Connection, numbers: Mapping[int, int], settles_hours: int, now: float) -> Marks:
    """Return every mark of the ledger.

    Args:
        connection: a connection inside the transaction of the snapshot.
        numbers: each device id's one integer object, so that many marks share it.
        settles_hours: the setting launch_settles_hours; launches that surely settled before `now` are left out.
        now: the time in Unix seconds.
    """
    c = schema.ledger.c
    columns = (c.deployment_id, c.generation, c.state, c.armed_at, c.claimed_at, c.step, c.xid, c.session)
    more = (c.stepped_at, c.launch, c.returns, c.launched_at, c.why, c.mac, c.peer, c.reported_at)
    query = select(c.device_id, *columns, *more, c.ended_at, c.ended_by, c.ended_from)
    # No launch settles while its session lasts; each distribution point has its own `session.seconds`.
    oldest = now - max(settles_hours * 3600.0, LONGEST_SESSION) if settles_hours else 0.0
    found = Marks({}, {}, {})
    armed: dict[tuple[str, int, float, int], Mark] = {}
    histories: dict[tuple[str, int, int], str] = {}
    for (
        number, deployment, generation, state, armed_at, claimed_at, step, xid, session, stepped_at, launch, returns,
        launched_at, why, mac, peer, reported_at, ended_at, ended_by, ended_from,
    ) in connection.execute(query):  # fmt: skip
        number = numbers.get(number, number)
        if state == "CLEARED":
            history = _history(launched_at, reported_at, ended_at, ended_by, ended_from)
            histories[deployment, number, generation] = history
        of_deployment = found.newest.get(deployment)
        if of_deployment is None:
            of_deployment = found.newest[deployment] = {}
        before = of_deployment.get(number)
        if before is not None and before.generation > generation:
            continue
        if state == "ARMED":
            alike = (deployment, generation, armed_at, returns)
            mark = armed.get(alike)
            if mark is None:
                mark = armed[alike] = Mark(deployment, generation, state, armed_at, returns=returns)
        else:
            unreported = unreported_since(state, launch is not None, claimed_at, launched_at, reported_at)
            mark = Mark(
                deployment, generation, state, armed_at, claimed_at or 0.0, step or 0, xid or 0, session or "",
                stepped_at or 0.0, launch is not None, returns, launched_at or 0.0, why or "", mac, peer,
                unreported,
            )  # fmt: skip
            if state in LIVE:
                found.live[number] = mark
            launched = found.launches.get(number)
            if unreported > oldest and (launched is None or launched.unreported < unreported):
                found.launches[number] = mark
        of_deployment[number] = mark
    _add_histories(found.newest, histories)
    return found


def _add_histories(newest: dict[str, dict[int, Mark]], histories: Mapping[tuple[str, int, int], str]) -> None:
    """Give each armed mark the history of the generation that was cleared before it."""
    shared: dict[tuple[str, int, float, int, str], Mark] = {}
    for (deployment, number, generation), history in histories.items():
        mark = newest[deployment][number]
        if mark.state == "ARMED" and mark.generation == generation + 1:
            alike = (deployment, mark.generation, mark.armed_at, mark.returns, history)
            newest[deployment][number] = shared.setdefault(alike, replace(mark, history=history))


def _history(
    launched_at: float | None,
    reported_at: float | None,
    ended_at: float | None,
    ended_by: str | None,
    ended_from: str | None,
) -> str:
    """Return what became of a cleared generation, in one line."""
    parts = [f"launched {time_text(launched_at)}" if launched_at else "never launched"]
    reports = {"STARTED": "its start", "DONE": "done", "FAILED": "failed"}
    if reported_at:
        parts.append(f"reported {reports.get(ended_from or '', 'last')} {time_text(reported_at)}")
    elif launched_at:
        parts.append("not reported")
    when = f" {time_text(ended_at)}" if ended_at else ""
    return ", ".join([*parts, f"cleared by {ended_by or 'a person'}{when}"])
