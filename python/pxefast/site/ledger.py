"""The ledger: what was handed out to which machine. The one place where "once" is decided (I1 to I6).

Each call is one durable change; many claims and launches share one. What a call returns is durable; if it raises,
nothing is known and nothing may be sent: the machine asks again, and the row answers. `protocol` says what each event
makes of a row, `grounds` whether the deployment still reaches the device. Rows are never deleted.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from pxefast.decide.records import Mark, Reason, State
from pxefast.site import session_facts
from pxefast.site.blocked_devices import count_blocked
from pxefast.site.budget import Budget, Spending, read_budget, refill
from pxefast.site.claims import Claim, ClaimResult, Claims
from pxefast.site.grounds import Grounds
from pxefast.site.hardware import Hardware
from pxefast.site.launches import Launch, LaunchResult, find_session, launched
from pxefast.site.ledger_events import Result
from pxefast.site.ledger_rows import Rows
from pxefast.site.policy import read_policy
from pxefast.site.protocol import Limits, Reporting, TimePassing, step
from pxefast.site.removal import count_cases
from pxefast.site.schema import LIVE
from pxefast.site.store import Store

__all__ = ["Claim", "ClaimResult", "Launch", "LaunchResult", "Ledger", "ReportResult", "Swept"]

# What a boot environment may say about itself is kept this far.
_LONGEST_TEXT = 500

_NO_SESSION = Reason("unknown_session", "there is no such session, or the token is not its own", "I2")


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
                taking = Claims(self._point, policy.decision, rows, grounds, spending)
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
        if row is None or not row.token or not hmac.compare_digest(row.token.encode(), token.encode()):
            return ReportResult(False, _NO_SESSION, "no_session")
        with self._store.record() as connection:
            rows = Rows(connection)
            row = find_session(connection, session)
            if row is None:
                return ReportResult(False, _NO_SESSION, "no_session")
            rows.load_devices([row.device_id])
            alone = not any(r.state in LIVE and r.session != session for r in rows.of_device(row.device_id))
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


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST_TEXT]).strip()
