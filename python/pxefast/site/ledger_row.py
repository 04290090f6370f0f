"""Row of the ledger: one generation of a (device, deployment)."""

from __future__ import annotations

from typing import NamedTuple

from pxefast.decide.records import Mark, State
from pxefast.decide.settling import settles_after

__all__ = ["Row", "successor", "unreported_since"]

_HOUR = 3600.0
_NEVER = float("inf")


class Row(NamedTuple):
    """One generation of a (device, deployment), column by column as in `schema.ledger`; times in Unix seconds."""

    device_id: int
    deployment_id: str
    generation: int
    state: State
    armed_at: float
    returns: int = 0
    session: str | None = None
    token: str | None = None
    owner: str | None = None
    peer: str | None = None
    step: int | None = None
    xid: int | None = None
    claimed_at: float | None = None
    stepped_at: float | None = None
    launch: str | None = None
    transfer: str | None = None
    launched_at: float | None = None
    reported_at: float | None = None
    why: str | None = None
    mac: str | None = None
    ended_at: float | None = None
    ended_by: str | None = None
    ended_from: str | None = None

    @property
    def mark(self) -> Mark:
        """What decisions need to know of it."""
        return Mark(
            self.deployment_id,
            self.generation,
            self.state,
            self.armed_at,
            self.claimed_at or 0.0,
            self.step or 0,
            self.xid or 0,
            self.session or "",
            self.stepped_at or 0.0,
            self.launch is not None,
            self.returns,
            self.launched_at or 0.0,
            self.why or "",
            self.mac,
            self.peer,
            unreported_since(
                self.state, self.launch is not None, self.claimed_at, self.launched_at, self.reported_at
            ),
        )

    def settles_at(self, hours: int, session_seconds: float = 0.0) -> float:
        """Return when its unreported launch settles, in Unix seconds: 0 if there is none, infinite for never (D34).

        A launch settles `hours` after its newest sign, and not before its session is over.
        """
        since = self.mark.unreported
        return settles_after(since, hours, session_seconds) if since else 0.0

    def armed_until(self, hours: int) -> float:
        """When its arming ends; 0 hours is never (R-63)."""
        return self.armed_at + hours * _HOUR if hours else float("inf")


def unreported_since(
    state: State,
    launch_known: bool,
    claimed_at: float | None,
    launched_at: float | None,
    reported_at: float | None,
) -> float:
    """Return the time of the newest sign of a launch whose end was not reported, in Unix seconds (D34).

    0 means that there is no such launch, infinity that its work is known to run. A claim whose launch file was never
    known may have run since it was claimed.
    """
    if state == "STARTED":
        return _NEVER
    if state == "CLAIMED":
        return 0.0 if launch_known else claimed_at or 0.0
    if launched_at is None or state not in ("LAUNCHED", "HOLD", "WITHDRAWN"):
        return 0.0
    return max(launched_at, reported_at or 0.0)


def successor(row: Row, now: float) -> Row:
    """The armed row of the next generation."""
    return Row(row.device_id, row.deployment_id, row.generation + 1, "ARMED", now)
