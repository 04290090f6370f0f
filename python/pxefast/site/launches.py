"""The launch: the moment before the last byte of a launch file leaves (B2, I3)."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select

from pxefast.decide.records import Mark, Reason
from pxefast.site import schema
from pxefast.site.grounds import Grounds
from pxefast.site.ledger_rows import Rows
from pxefast.site.protocol import Launching, Limits, Row, Yielding, same_file, step
from pxefast.site.schema import LIVE

__all__ = ["Launch", "LaunchResult", "find_session", "launched"]

_STAGE = Reason("earlier_stage", "the program of an earlier stage; nothing is launched by it", "F-42")
_NO_SESSION = Reason(
    "no_session", "no required boot of this machine was claimed that ends with this file", "I3"
)
_TWO = Reason("two_sessions", "two machines were claimed at this address; the newest asks again", "I3")


class Launch(NamedTuple):
    """A transfer that stands before the last byte of a gated file.

    `session` is the one named in the file's path, if any; `peer` the client's IPv4 address; `name` the file's full
    published name; `transfer` this transfer's own id. `now` is Unix seconds.
    """

    session: str | None
    peer: str
    name: str
    transfer: str
    now: float


class LaunchResult(NamedTuple):
    """Whether the transfer may end, why, and whose it is. `launched`: the row says LAUNCHED now, for this transfer.

    Without it the file is the program of an earlier stage, and nothing was recorded.
    """

    ok: bool
    reason: Reason
    launched: bool = False
    mark: Mark | None = None
    session: str | None = None
    device_id: int | None = None
    deployment_id: str | None = None


def launched(
    connection: Connection, rows: Rows, grounds: Grounds, launch: Launch, settles_hours: int
) -> LaunchResult:
    """Decide one launch against the rows, which it moves on."""
    if launch.session:
        found = [row for row in rows.all() if row.session == launch.session]
    else:
        there = [row for row in rows.at_address(launch.peer) if row.state in LIVE]
        found = [row for row in there if row.state == "CLAIMED"] or there
    if not found:
        return LaunchResult(False, _NO_SESSION)
    row = found[0]
    if row.state == "CLAIMED" and len(found) > 1:
        return LaunchResult(False, _TWO)
    refusal = grounds.refusal(row.device_id, row.deployment_id)
    if refusal is None and row.state == "CLAIMED" and row.mac is not None:
        refusal = grounds.unsure(row.device_id, row.mac, launch.now)
    if refusal is not None:
        return _of(row, refusal)
    limits, device = Limits(0.0, settles_hours=settles_hours), grounds.name(row.device_id)
    after, outcome = step(
        row, Launching(launch.name, launch.transfer, launch.peer), launch.now, limits, device
    )
    if outcome.ok:
        # Another deployment's work may have reported its start since this one was claimed (D34).
        refusal = _behind(rows, row, launch.now, limits, device)
        if refusal is not None:
            return _of(row, refusal)
        rows.put(after, "ledger launch", transfer=launch.transfer, file=launch.name)
        return _of(after, outcome.reason, ok=True, launched=True)
    if outcome.result == "other_file" and _is_stage(connection, row.deployment_id, launch.name):
        return _of(row, _STAGE, ok=True)
    return _of(row, outcome.reason)


def _behind(rows: Rows, row: Row, now: float, limits: Limits, device: str) -> Reason | None:
    """Why another launch of the same device bars this one, or None."""
    for other in rows.of_device(row.device_id):
        if other.deployment_id != row.deployment_id:
            _, outcome = step(other, Yielding(row.deployment_id), now, limits, device)
            if not outcome.ok:
                return outcome.reason
    return None


def find_session(connection: Connection, session: str) -> Row | None:
    """The row of a session, of whatever generation."""
    found = connection.execute(select(schema.ledger).where(schema.ledger.c.session == session)).first()
    return None if found is None else Row(*found)


def _of(row: Row, reason: Reason, ok: bool = False, launched: bool = False) -> LaunchResult:
    return LaunchResult(ok, reason, launched, row.mark, row.session, row.device_id, row.deployment_id)


def _is_stage(connection: Connection, deployment_id: str, name: str) -> bool:
    """Whether the file only leads to iPXE's own program, with which the deployment's image ends."""
    d, t, i, p = (
        schema.deployment.c,
        schema.task_sequence.c,
        schema.boot_image.c,
        schema.boot_program.c,
    )
    query = (
        select(i.id, p.firmware, p.file)
        .join_from(schema.deployment, schema.task_sequence, t.id == d.task_sequence_id)
        .join(schema.boot_image, i.id == t.boot_image_id)
        .join(schema.boot_program, p.boot_image_id == i.id)
        .where(d.id == deployment_id, i.launch_file.is_(None))
    )
    programs = {firmware: f"SMSImages/{image}/{file}" for image, firmware, file in connection.execute(query)}
    last = programs.pop("ipxe", None)
    if last is None or same_file(name, last):
        return False
    return any(same_file(name, program) for program in programs.values())
