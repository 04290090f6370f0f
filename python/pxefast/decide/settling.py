"""Launches whose end nobody reported, and how long they bar other deployments from their machine (D34)."""

from __future__ import annotations

from .identity import Machine
from .reasons import already_offered, held, waits_behind
from .records import Mark, Reason, Request, Site

_NEVER = float("inf")


def settles_after(since: float, hours: int, session_seconds: float) -> float:
    """Return when a launch that is unreported since `since` settles, in Unix seconds; infinite for 0 hours (D34)."""
    return since + max(hours * 3600.0, session_seconds) if hours else _NEVER


def settles_at(launch: Mark, site: Site) -> float:
    """Return when an unreported launch lets other required deployments go on, in Unix seconds (D34).

    It does not before its session is over.
    """
    return settles_after(launch.unreported, site.policy.launch_settles_hours, site.session_seconds)


def name_of(machine: Machine) -> str:
    """Return what commands take as the machine's name: its record's name, or an identity where it has no record."""
    if machine.known:
        return machine.device.name
    return "mac:" + machine.mac if machine.mac else "guid:" + (machine.guid or "")


def unsettled(request: Request, site: Site, machine: Machine) -> Mark | None:
    """The machine's newest launch that nobody reported and that time has not settled, or None (D34)."""
    launch = machine.launch
    if launch is None or request.now >= settles_at(launch, site):
        return None
    return launch


def in_session(launch: Mark, request: Request, site: Site) -> bool:
    """True while the session's time of a claim or launch is not over."""
    return request.now - max(launch.claimed_at, launch.launched_at) <= site.session_seconds


def unreported(launch: Mark, site: Site, machine: Machine) -> Reason:
    """Why a machine gets nothing while the session's time of its launch is not over."""
    if launch.state == "HOLD":
        return held(launch.deployment_id, launch.why, name_of(machine))
    if launch.state == "WITHDRAWN":
        return waits(launch, site, machine)
    return already_offered(launch.deployment_id, launch.state, launch.launched_at, name_of(machine))


def waits(launch: Mark, site: Site, machine: Machine) -> Reason:
    """Why another required deployment waits for this launch."""
    until, removed = settles_at(launch, site), launch.state == "WITHDRAWN"
    return waits_behind(launch.deployment_id, until, name_of(machine), removed)
