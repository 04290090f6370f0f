"""The ledger's protocol: what each event makes of a row. Pure, and total over all states.

    ARMED -> CLAIMED -> LAUNCHED -> STARTED -> DONE | FAILED     HOLD: a person decides     CLEARED: an old generation
    WITHDRAWN: the deployment was removed before it was done

A row whose launch file is known and that is not LAUNCHED has surely run nothing (I3), so that it may be returned at any
moment and no clock need be trusted. After LAUNCHED nothing leads back to ARMED but a person's clear (I5).
"""

from __future__ import annotations

from typing import assert_never

from pxefast.decide.reasons import (
    already_offered,
    arming_expired,
    held,
    other_machine,
    other_session,
    same_session,
    time_text,
    waits_behind,
    withdrawn,
)
from pxefast.decide.records import Reason, State
from pxefast.site.ledger_events import (
    Approving,
    Claiming,
    Clearing,
    Event,
    Holding,
    Launching,
    Limits,
    Outcome,
    Reporting,
    TimePassing,
    Withdrawing,
    Yielding,
)
from pxefast.site.ledger_row import Row, successor, unreported_since

__all__ = [
    "CLAIMED",
    "Approving",
    "Claiming",
    "Clearing",
    "Event",
    "Holding",
    "Launching",
    "Limits",
    "Outcome",
    "Reporting",
    "Row",
    "TimePassing",
    "Withdrawing",
    "Yielding",
    "offered",
    "same_file",
    "step",
    "successor",
    "unreported_since",
]

CLAIMED = Reason("claimed", "claimed in the ledger", "I1")
_NO_SESSION = Reason("unknown_session", "there is no such session now", "I2")
_NOTHING = Outcome(True, Reason("unchanged", "nothing to do", ""), "accepted")


def step(row: Row, event: Event, now: float, limits: Limits, device: str = "") -> tuple[Row, Outcome]:
    """The row after an event, and what is to be said of it. A refused event may still have moved the row on by time.

    `device` is the name that reasons name the device by, "" where it is not known.
    """
    match event:
        case Claiming():
            return _claim(row, event, now, limits, device)
        case Launching():
            return _launch(row, event, now, device)
        case Reporting():
            return _report(row, event, now)
        case TimePassing():
            return _age(row, now, limits), _NOTHING
        case Yielding():
            return _yield(row, event, now, limits, device)
        case Holding():
            return _hold(row, event.why, device)
        case Approving():
            return _approve(row, now, limits)
        case Clearing():
            return _clear(row, event, now)
        case Withdrawing():
            return _withdraw(row, event, now, device)
    assert_never(event)


def same_file(one: str, other: str) -> bool:
    """Whether two published names are one file, for those who type them in another case."""
    return one.replace("\\", "/").casefold() == other.replace("\\", "/").casefold()


def offered(row: Row, device: str = "") -> Reason:
    """Why a device is not given what the row says it was given."""
    if row.state == "ARMED" or row.state == "CLEARED":
        return _NO_SESSION
    if row.state == "HOLD":
        return held(row.deployment_id, row.why or "", device)
    if row.state == "WITHDRAWN":
        return withdrawn(row.deployment_id)
    since = row.claimed_at if row.state == "CLAIMED" else row.launched_at
    return already_offered(row.deployment_id, row.state, since or 0.0, device)


def _claim(row: Row, event: Claiming, now: float, limits: Limits, device: str) -> tuple[Row, Outcome]:
    standing = row.mark.standing(event.step, event.xid, now, limits.session_seconds, limits.max_returns)
    match standing:
        case "armed":
            return _begin(row, event, now, limits)
        case "return":
            return _begin(_returned(row), event, now, limits)
        case "same":
            if not row.mark.passes(event.step, event.xid, event.mac, event.peer):
                return row, Outcome(False, other_machine(row.mark, event.mac, event.peer))
            again = not row.mark.continues(event.step, event.xid, now, limits.session_seconds)
            if again or event.step > (row.step or 0):
                row = row._replace(step=event.step, xid=event.xid, stepped_at=now)
            # The newest word on the launch file counts: whatever else is asked for, the gate refuses.
            # A claim with an IPv4 address stays that of the MAC address that made it: a later program with another one
            # never takes it to another address (D28).
            mac = event.mac if row.mac is None or row.peer is None else row.mac
            launch, peer = event.launch or row.launch, event.peer or row.peer
            known = row._replace(owner=event.owner, peer=peer, launch=launch, mac=mac)
            return known, Outcome(True, same_session(row.deployment_id), "accepted")
        case "worn" | "hold" | "given":
            row = _age(row, now, limits)
            return row, Outcome(False, offered(row, device))
    assert_never(standing)


def _begin(row: Row, event: Claiming, now: float, limits: Limits) -> tuple[Row, Outcome]:
    """A new session of an armed row."""
    if now > row.armed_until(limits.armed_hours):
        return row, Outcome(False, arming_expired(row.deployment_id, row.armed_at, limits.armed_hours))
    claimed = row._replace(
        state="CLAIMED",
        session=event.session,
        token=event.token,
        owner=event.owner,
        peer=event.peer,
        step=event.step,
        xid=event.xid,
        claimed_at=now,
        stepped_at=now,
        launch=event.launch,
        mac=event.mac,
    )
    return claimed, Outcome(True, CLAIMED, "accepted")


def _returned(row: Row) -> Row:
    """A claim that launched nothing: it waits for the next boot."""
    return Row(*row[:3], "ARMED", row.armed_at, row.returns + 1)


def _launch(row: Row, event: Launching, now: float, device: str) -> tuple[Row, Outcome]:
    if row.state != "CLAIMED":
        return row, Outcome(False, offered(row, device))
    if row.peer is not None and row.peer != event.peer:
        text = f"the session of {row.deployment_id} is at {row.peer}, not at {event.peer}"
        return row, Outcome(False, Reason("other_peer", text, "I3"))
    if row.launch is None or not same_file(row.launch, event.name):
        text = f"{event.name} is not the launch file of the session of {row.deployment_id} ({row.launch or 'unknown'})"
        return row, Outcome(False, Reason("not_launch_file", text, "I3"), "other_file")
    launched = row._replace(state="LAUNCHED", transfer=event.transfer, peer=event.peer, launched_at=now)
    reason = Reason("launched", f"{row.deployment_id} launched by {event.name}", "I3")
    return launched, Outcome(True, reason, "accepted")


def _report(row: Row, event: Reporting, now: float) -> tuple[Row, Outcome]:
    wanted: State = "STARTED" if event.kind == "started" else "DONE" if event.kind == "done" else "FAILED"
    if row.session is None:
        return row, Outcome(False, _NO_SESSION, "no_session")
    said = Outcome(
        True, Reason("reported", f"{row.deployment_id} is reported {event.kind}", "G3"), "accepted"
    )
    match row.state:
        case "DONE" | "FAILED":
            if wanted == "STARTED" or wanted == row.state:
                return row, said
            text = f"{row.deployment_id} was reported {row.state.lower()} before; the first report stands"
            return row, Outcome(False, Reason("contradicts", text, "G3"))
        case "STARTED" if wanted == "STARTED":
            return row, said
        case "HOLD" if wanted == "STARTED" and not event.alone:
            # The device has another live session by now (I2): a person still has to look.
            return row._replace(reported_at=now, why=f"{row.why}; reported started late"), said
        case "WITHDRAWN" if wanted == "STARTED":
            # The deployment was removed: its work is heard of, and never live again (D32).
            first = now if row.launched_at is None else row.launched_at
            return row._replace(reported_at=now, launched_at=first, why="removed, and reported started"), said
        case "CLAIMED" | "LAUNCHED" | "STARTED" | "HOLD" | "WITHDRAWN":
            # Also from CLAIMED: what says that it runs has run, however it got its files.
            return row._replace(
                state=wanted,
                reported_at=now,
                launched_at=now if row.launched_at is None else row.launched_at,
                why=event.text or None,
            ), said
        case "CLEARED":
            text = f"{row.deployment_id} was cleared for this device; this report is of its former run"
            return row, Outcome(False, Reason("cleared", text, "I5"), "cleared")
        case "ARMED":
            return row, Outcome(False, _NO_SESSION, "no_session")
    assert_never(row.state)


def _age(row: Row, now: float, limits: Limits) -> Row:
    """What time alone does.

    A claim whose launch file is known stays as it is, so that a slow transfer may take its time: the next start
    returns it. Only one that was returned too often is held, for its image does not get through (R-80).
    """
    match row.state:
        case "CLAIMED" if _over(row.claimed_at, limits.session_seconds, now):
            if row.launch is None:
                # It may have run: its launch file was never known.
                return row._replace(state="LAUNCHED", launched_at=row.claimed_at)
            if row.returns >= limits.max_returns:
                why = f"it was handed out {row.returns + 1} times and never launched"
                return row._replace(state="HOLD", why=why)
        case "LAUNCHED" if _over(row.launched_at, limits.started_seconds, now):
            return row._replace(state="HOLD", why="launched, and nothing reported its start")
        case "STARTED" if _over(row.reported_at, limits.finished_seconds, now):
            return row._replace(state="HOLD", why="started, and nothing reported its end")
        case (
            "CLAIMED"
            | "LAUNCHED"
            | "STARTED"
            | "ARMED"
            | "DONE"
            | "FAILED"
            | "HOLD"
            | "CLEARED"
            | "WITHDRAWN"
        ):
            pass
        case _:
            assert_never(row.state)
    return row


def _over(since: float | None, seconds: float | None, now: float) -> bool:
    return seconds is not None and now - (since or 0.0) > seconds


def _yield(row: Row, event: Yielding, now: float, limits: Limits, device: str) -> tuple[Row, Outcome]:
    """Make way for another deployment: only for what has surely run nothing, or has settled (I2, D34)."""
    row = _age(row, now, limits)
    if row.state == "CLAIMED" and row.launch is None:
        return row, Outcome(False, other_session(row.deployment_id))
    if row.state == "CLAIMED":
        return Row(*row[:3], "ARMED", row.armed_at, row.returns), _NOTHING
    until = row.settles_at(limits.settles_hours, limits.session_seconds)
    if now < until:
        reason = waits_behind(row.deployment_id, until, device, row.state == "WITHDRAWN")
        return row, Outcome(False, reason)
    if row.state == "LAUNCHED":
        why = f"launched, and nothing was reported before {event.to or 'another deployment'} was given"
        return row._replace(state="HOLD", why=why), _NOTHING
    return row, _NOTHING


def _hold(row: Row, why: str, device: str) -> tuple[Row, Outcome]:
    if row.state in ("DONE", "FAILED", "CLEARED", "WITHDRAWN"):
        return row, Outcome(False, offered(row, device), "unchanged")
    return _stopped(row)._replace(state="HOLD", why=why), Outcome(True, Reason("hold", why, "G3"), "accepted")


def _stopped(row: Row) -> Row:
    """The row of a session that is stopped: a claim whose launch file was never known counts as launched."""
    if row.state == "CLAIMED" and row.launch is None:
        return row._replace(launched_at=row.claimed_at)
    return row


def _approve(row: Row, now: float, limits: Limits) -> tuple[Row, Outcome]:
    if row.state == "ARMED" and now > row.armed_until(limits.armed_hours):
        return row._replace(armed_at=now), Outcome(True, Reason("armed", "armed again", "R-63"), "accepted")
    reason = Reason("unchanged", f"it is {row.state} and needs no approval", "R-58")
    return row, Outcome(False, reason, "unchanged")


def _clear(row: Row, event: Clearing, now: float) -> tuple[Row, Outcome]:
    if row.state in ("ARMED", "CLEARED"):
        reason = Reason("unchanged", "it waits for the device's next boot already", "R-64")
        return row, Outcome(False, reason, "unchanged")
    if row.state == "STARTED" and not event.force:
        text = (
            f"{row.deployment_id} started {time_text(row.reported_at or 0.0)} and may be at work; add --force"
        )
        return row, Outcome(False, Reason("started", text, "D11"))
    old = _ended(row, "CLEARED", event.by, now)
    return old, Outcome(True, Reason("cleared", "cleared", "D11"), "accepted")


def _withdraw(row: Row, event: Withdrawing, now: float, device: str) -> tuple[Row, Outcome]:
    """End a case whose deployment is removed. What is done or failed stays so; what ran may still report (D32)."""
    if row.state in ("DONE", "FAILED", "CLEARED", "WITHDRAWN"):
        return row, Outcome(False, offered(row, device), "unchanged")
    reason = Reason("withdrawn", f"{row.deployment_id} was removed", "D32")
    return _ended(_stopped(row), "WITHDRAWN", event.by, now), Outcome(True, reason, "accepted")


def _ended(row: Row, state: State, by: str, now: float) -> Row:
    return row._replace(state=state, ended_at=now, ended_by=by or None, ended_from=row.state)
