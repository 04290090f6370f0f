"""Claims: a required deployment's boot program is about to be named to a machine (B1, I1)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from pxefast.decide.reasons import other_machine
from pxefast.decide.records import Mark, Policy, Reason
from pxefast.site.budget import Spending
from pxefast.site.grounds import Grounds
from pxefast.site.ledger_rows import Rows
from pxefast.site.protocol import Claiming, Limits, Row, Yielding, step
from pxefast.site.session_facts import Ask, SessionFacts

__all__ = ["Claim", "ClaimResult", "Claims"]


class Claim(NamedTuple):
    """A wish to name a required deployment's boot program to a machine.

    `device_id` is None for a machine that nobody ever numbered; `identities` are the `mac:..` and `guid:..` of the
    request that identify it. `launch` is the full published name of its launch file, None while that is not known;
    `peer` its IPv4 address, None while it has none. `now` is Unix seconds. `ask`: what its session needs to know of
    the site, which is read in the same transaction. `mac` is the MAC address of the request, "" for a request without
    a usable one.
    """

    device_id: int | None
    identities: tuple[str, ...]
    deployment_id: str
    step: int
    xid: int
    now: float
    session_seconds: float
    launch: str | None
    peer: str | None
    ask: Ask | None = None
    mac: str = ""


class ClaimResult(NamedTuple):
    """Whether the boot program may be named on the wire, why, and the mark that now stands, if there is one.

    `token` is the secret with which the machine's boot environment reports, `facts` what its session needs to know.
    """

    ok: bool
    reason: Reason
    mark: Mark | None
    device_id: int | None
    token: str | None = None
    facts: SessionFacts | None = None


class Claims:
    """The claims of one batch, each against what those before it left."""

    def __init__(self, point: str, policy: Policy, rows: Rows, grounds: Grounds, spending: Spending) -> None:
        self._point = point
        self._policy = policy
        self._rows = rows
        self._grounds = grounds
        self._spending = spending

    def take(self, claim: Claim, number: int | Reason) -> ClaimResult:
        """Decide one claim of the machine with this number."""
        if isinstance(number, Reason):
            return ClaimResult(False, number, None, None)
        row = self._rows.get(number, claim.deployment_id)
        before = None if row is None else row.mark
        refusal = (
            self._grounds.refusal(number, claim.deployment_id, claim.identities)
            or self._elsewhere(claim, number)
            or self._grounds.unsure(number, claim.mac, claim.now, self._of_record(claim, number))
            or self._spending.refusal()
        )
        if refusal is not None:
            return ClaimResult(False, refusal, before, number)
        first = self._grounds.first(number, claim.deployment_id) if row is None else row
        if isinstance(first, Reason):
            return ClaimResult(False, first, None, number)
        limits = Limits(
            claim.session_seconds,
            armed_hours=self._policy.armed_hours,
            max_returns=self._policy.max_returns,
            settles_hours=self._policy.launch_settles_hours,
        )
        device = self._grounds.name(number, claim.identities)
        event = Claiming(
            claim.step,
            claim.xid,
            claim.launch,
            claim.peer,
            self._point,
            secrets.token_hex(16),
            secrets.token_hex(16),
            claim.mac,
        )
        after, outcome = step(first, event, claim.now, limits, device)
        begins = outcome.ok and after.session == event.session
        refusal = (
            self._make_way(after, claim.now, limits, device) or self._spending.spend(claim.now)
            if begins
            else None
        )
        if refusal is not None:
            return ClaimResult(False, refusal, before, number)
        if after != row and (outcome.ok or row is not None):
            moved = begins or after.state != first.state
            self._rows.put(after, "ledger claim" if moved else None, identities=list(claim.identities))
        if outcome.ok and after.peer is not None:
            self._rows.take_address(after)
        return ClaimResult(
            outcome.ok, outcome.reason, after.mark, number, after.token if outcome.ok else None
        )

    def _live(self, claim: Claim, number: int) -> Row | None:
        """Return the device's claim whose session is not over."""
        for row in self._rows.of_device(number):
            if row.state == "CLAIMED" and claim.now - (row.claimed_at or 0.0) <= claim.session_seconds:
                return row
        return None

    def _elsewhere(self, claim: Claim, number: int) -> Reason | None:
        """Return the refusal of a claim while another machine has the device's live claim, of whatever deployment."""
        row = self._live(claim, number)
        if row is None or row.mark.passes(claim.step, claim.xid, claim.mac, claim.peer):
            return None
        return other_machine(row.mark, claim.mac, claim.peer)

    def _of_record(self, claim: Claim, number: int) -> str | None:
        """Return the MAC address of the live claim, bound to an IPv4 address, that this claim is a later stage of."""
        row = self._live(claim, number)
        return None if row is None or row.peer is None else row.mac

    def _make_way(self, claimed: Row, now: float, limits: Limits, device: str) -> Reason | None:
        """End what the device's other deployments left, or say why that cannot be (I2, D34)."""
        moved: list[Row] = []
        for other in self._rows.of_device(claimed.device_id):
            if other.deployment_id == claimed.deployment_id:
                continue
            after, outcome = step(other, Yielding(claimed.deployment_id), now, limits, device)
            if not outcome.ok:
                # What time alone has done stands.
                self._put([after] if after != other else [], claimed.deployment_id)
                return outcome.reason
            if after != other:
                moved.append(after)
        self._put(moved, claimed.deployment_id)
        return None

    def _put(self, moved: Sequence[Row], deployment_id: str) -> None:
        for row in moved:
            action = "ledger settle" if row.state == "HOLD" else "ledger return"
            self._rows.put(row, action, made_way_for=deployment_id)
