"""The ledger: what was handed out to which machine. The one place where "once" is decided (I1 to I6).

Each call is one durable change; many claims and launches share one. What a call returns is durable; if it raises,
nothing is known and nothing may be sent: the machine asks again, and the row answers. `protocol` says what each event
makes of a row, `grounds` whether the deployment still reaches the device. Rows are never deleted.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from pxefast.decide.reasons import other_machine
from pxefast.decide.records import Mark, Policy, Reason, State
from pxefast.site import session_facts
from pxefast.site.budget import Budget, Spending, read_budget, refill
from pxefast.site.grounds import Grounds
from pxefast.site.hardware import Hardware
from pxefast.site.launches import Launch, LaunchResult, find_session, launched
from pxefast.site.ledger_events import Result
from pxefast.site.ledger_rows import Rows
from pxefast.site.policy import read_policy
from pxefast.site.protocol import Claiming, Limits, Reporting, Row, TimePassing, Yielding, step
from pxefast.site.removal import count_cases
from pxefast.site.schema import LIVE
from pxefast.site.session_facts import Ask, SessionFacts
from pxefast.site.store import Store
from pxefast.site.waiting import count_blocked

__all__ = ["Claim", "ClaimResult", "Launch", "LaunchResult", "Ledger", "ReportResult", "Swept"]

# What a boot environment may say about itself is kept this far.
_LONGEST_TEXT = 500

_NO_SESSION = Reason("unknown_session", "there is no such session, or the token is not its own", "I2")


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


class ReportResult(NamedTuple):
    """What became of a report; `state` and `mark` are those of the row. The same report again is accepted again."""

    ok: bool
    reason: Reason
    result: Result
    device_id: int | None = None
    deployment_id: str | None = None
    state: State | None = None
    mark: Mark | None = None


class Swept(NamedTuple):
    """A row that time moved on."""

    device_id: int
    deployment_id: str
    before: State
    after: State
    why: str | None
    mark: Mark


class Ledger:
    """What the service of a distribution point asks of the ledger."""

    def __init__(self, store: Store, point: str) -> None:
        self._store = store
        self._point = point

    def claim(self, claims: Sequence[Claim]) -> list[ClaimResult]:
        """Decide claims in their order. Raises CannotOpen or SiteError."""
        return self.commit(claims, ())[0]

    def launch(self, launches: Sequence[Launch]) -> list[LaunchResult]:
        """Decide, before its last byte leaves, whether a transfer may finish its launch file (B2).

        A transfer that was let through is never let through again (I3). Raises CannotOpen or SiteError.
        """
        return self.commit((), launches)[1]

    def commit(
        self, claims: Sequence[Claim], launches: Sequence[Launch], excluded: frozenset[str] = frozenset()
    ) -> tuple[list[ClaimResult], list[LaunchResult]]:
        """Launches, then claims, all in one durable change; `excluded` are the MAC addresses of the exclusion list."""
        if not claims and not launches:
            return [], []
        with self._store.record() as connection:
            policy = read_policy(connection)
            rows = Rows(connection)
            hardware = Hardware(
                connection, [text for c in claims if c.device_id is None for text in c.identities]
            )
            numbers = [hardware.number(c.identities) if c.device_id is None else c.device_id for c in claims]
            rows.load_devices(number for number in numbers if isinstance(number, int))
            rows.load_peers(
                [claim.peer for claim in claims if claim.peer] + [launch.peer for launch in launches]
            )
            rows.load_sessions(launch.session for launch in launches if launch.session)
            if launches:
                # What else was launched on the same devices.
                rows.load_devices(row.device_id for row in rows.all())
            every = rows.all()
            grounds = Grounds(
                connection,
                self._point,
                policy.decision,
                {row.deployment_id for row in every} | {claim.deployment_id for claim in claims},
                {row.device_id for row in every} | {n for n in numbers if isinstance(n, int)},
                excluded,
            )
            hours = policy.decision.launch_settles_hours
            opened = [launched(connection, rows, grounds, launch, hours) for launch in launches]
            results = []
            if claims:
                spending = Spending(connection, rows, policy, max(claim.now for claim in claims))
                taking = _Claims(self._point, policy.decision, rows, grounds, spending)
                results = [taking.take(*pair) for pair in zip(claims, numbers, strict=True)]
                results = self._with_facts(connection, claims, results)
            rows.save()
        return results, opened

    def _with_facts(
        self, connection: Connection, claims: Sequence[Claim], results: Sequence[ClaimResult]
    ) -> list[ClaimResult]:
        asks = [claim.ask for claim, result in zip(claims, results, strict=True) if result.ok and claim.ask]
        facts = iter(session_facts.read(connection, self._point, asks))
        return [
            result._replace(facts=next(facts)) if result.ok and claim.ask else result
            for claim, result in zip(claims, results, strict=True)
        ]

    def report(
        self, session: str, token: str, kind: Literal["started", "done", "failed"], text: str, now: float
    ) -> ReportResult:
        """What a boot environment says of its session. Raises CannotOpen or SiteError."""
        # Before the lock of all changes is taken: whoever only guesses holds up no claim.
        with self._store.read() as connection:
            row = find_session(connection, session)
        if row is None or not hmac.compare_digest((row.token or "").encode(), token.encode()):
            return ReportResult(False, _NO_SESSION, "no_session")
        with self._store.record() as connection:
            rows = Rows(connection)
            row = find_session(connection, session)
            if row is None:
                return ReportResult(False, _NO_SESSION, "no_session")
            rows.load_devices([row.device_id])
            alone = not any(r.state in LIVE and r[:3] != row[:3] for r in rows.of_device(row.device_id))
            event = Reporting(kind, _one_line(text), alone)
            after, outcome = step(row, event, now, Limits(0.0))
            if after != row:
                rows.put(after, "ledger report", report=kind)
                rows.save()
            return ReportResult(
                outcome.ok,
                outcome.reason,
                outcome.result,
                row.device_id,
                row.deployment_id,
                after.state,
                after.mark,
            )

    def sweep(
        self,
        now: float,
        started_seconds: float | None,
        finished_seconds: float | None,
        session_seconds: float,
    ) -> list[Swept]:
        """Move on what time moves on; None: never by time. Raises CannotOpen or SiteError."""
        with self._store.read() as connection:
            limits = Limits(
                session_seconds,
                started_seconds,
                finished_seconds,
                max_returns=read_policy(connection).decision.max_returns,
            )
            rows = Rows(connection)
            rows.load_live()
            if all(step(row, TimePassing(), now, limits)[0] == row for row in rows.all()):
                return []
        swept: list[Swept] = []
        with self._store.record() as connection:
            rows = Rows(connection)
            rows.load_live()
            for row in rows.all():
                after, _ = step(row, TimePassing(), now, limits)
                if after != row:
                    rows.put(after, "ledger sweep", before=row.state)
                    swept.append(
                        Swept(row.device_id, row.deployment_id, row.state, after.state, after.why, after.mark)
                    )
            rows.save()
        return swept

    def counts(self) -> dict[str, int]:
        """Return how many cases are in each state; the newest generation of each counts.

        Withdrawn ones are counted apart by what they were, such as `WITHDRAWN (launched)`.
        """
        with self._store.read() as connection:
            return count_cases(connection)

    def blocked(self) -> int:
        """Return how many required boots wait behind another launch of their machine (D34)."""
        with self._store.read() as connection:
            return sum(count_blocked(connection).values())

    def live(self, known: Iterable[int] = ()) -> list[tuple[int, Mark]]:
        """Device and mark of every live session of the hierarchy, and of the devices `known` to have had one."""
        with self._store.read() as connection:
            rows = Rows(connection)
            rows.load_devices(known)
            rows.load_live()
            return [(row.device_id, row.mark) for row in rows.all()]

    def budget(self, now: float | None = None) -> Budget:
        """How many required boots began before now, and whether that stopped them (D6)."""
        with self._store.read() as connection:
            return read_budget(connection, time.time() if now is None else now)

    def reset_budget(self, now: float | None = None) -> None:
        """Let required boots go on after the budget was used up."""
        with self._store.write("budget reset", "") as connection:
            refill(connection, time.time() if now is None else now)


class _Claims:
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


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST_TEXT]).strip()
