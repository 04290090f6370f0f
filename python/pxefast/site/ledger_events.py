"""Events of the ledger's protocol, the settings that they depend on, and their outcome."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pxefast.decide.records import Reason

__all__ = [
    "Approving",
    "Claiming",
    "Clearing",
    "Event",
    "Holding",
    "Launching",
    "Limits",
    "Outcome",
    "Reporting",
    "Result",
    "TimePassing",
    "Withdrawing",
    "Yielding",
]


class Limits(NamedTuple):
    """The settings that a transition depends on. None: never by time."""

    session_seconds: float
    started_seconds: float | None = None
    finished_seconds: float | None = None
    armed_hours: int = 0
    max_returns: int = 5
    settles_hours: int = 0


class Claiming(NamedTuple):
    """A boot program is about to be named to the machine; `session` and `token` are fresh secrets.

    `mac` is the MAC address of the request, "" for a request without a usable one.
    """

    step: int
    xid: int
    launch: str | None
    peer: str | None
    owner: str
    session: str
    token: str
    mac: str = ""


class Launching(NamedTuple):
    """A transfer is about to send the last byte of the launch file."""

    name: str
    transfer: str
    peer: str


class Reporting(NamedTuple):
    """The boot environment says how far its work is. `alone`: no other row of the device is live."""

    kind: Literal["started", "done", "failed"]
    text: str
    alone: bool = True


class TimePassing(NamedTuple):
    """The sweep looks at the row."""


class Yielding(NamedTuple):
    """Another deployment, `to`, is about to be claimed or launched on the same device."""

    to: str = ""


class Holding(NamedTuple):
    """A person stops it."""

    why: str


class Approving(NamedTuple):
    """A person arms it, or arms it again after its arming ran out."""


class Clearing(NamedTuple):
    """A person, `by`, lets the deployment run once more on the device, in a new generation."""

    force: bool
    by: str = ""


class Withdrawing(NamedTuple):
    """A person, `by`, removes the deployment."""

    by: str = ""


Event = (
    Claiming | Launching | Reporting | TimePassing | Yielding | Holding | Approving | Clearing | Withdrawing
)
# What came of an event: accepted, or refused because nothing is to do, because another file is asked for, because there
# is no such session, because the case was cleared, or for another reason.
Result = Literal["accepted", "unchanged", "other_file", "no_session", "cleared", "refused"]


class Outcome(NamedTuple):
    """Whether the event was accepted, and why. Control flow depends on `result`, never on the reason's code."""

    ok: bool
    reason: Reason
    result: Result = "refused"
