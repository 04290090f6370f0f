"""The budget: how many required boots a hierarchy may begin in a stretch of time before all of them stop (D6, R-62)."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from pxefast.decide.reasons import time_text
from pxefast.decide.records import Reason
from pxefast.site import schema
from pxefast.site.ledger_rows import Rows
from pxefast.site.policy import SitePolicy, read_policy

__all__ = ["Budget", "Spending", "read_budget", "refill"]


class Budget(NamedTuple):
    """`used` of `claims` in the last `seconds`, counted from no earlier than `since`; 0 claims: no budget.

    `tripped_at` is when it ran out, None while it has not. Times are Unix seconds.
    """

    claims: int
    seconds: int
    used: int
    since: float
    tripped_at: float | None


def read_budget(connection: Connection, now: float, policy: SitePolicy | None = None) -> Budget:
    """The budget as it stands."""
    policy = policy or read_policy(connection)
    h, c = schema.hierarchy.c, schema.ledger.c
    since, tripped_at = connection.execute(select(h.budget_from, h.budget_tripped_at)).one()
    since = max(since, now - policy.budget_seconds)
    used = 0
    if policy.budget_claims:
        query = select(func.count()).select_from(schema.ledger).where(c.claimed_at > since)
        used = int(connection.execute(query).scalar_one())
    return Budget(policy.budget_claims, policy.budget_seconds, used, since, tripped_at)


def refill(connection: Connection, now: float) -> None:
    """Count anew from now on."""
    connection.execute(update(schema.hierarchy).values(budget_from=now, budget_tripped_at=None))


class Spending:
    """The budget during one batch of claims."""

    def __init__(self, connection: Connection, rows: Rows, policy: SitePolicy, now: float) -> None:
        self._connection = connection
        self._rows = rows
        self._budget = read_budget(connection, now, policy)

    def refusal(self) -> Reason | None:
        """Why no required boot goes on, or None."""
        if self._budget.tripped_at is None:
            return None
        text = f"required deployments are off: the budget was used up {time_text(self._budget.tripped_at)}"
        return Reason("budget_exhausted", f"{text}; look at what is imaged, then: pxefast budget reset", "D6")

    def spend(self, now: float) -> Reason | None:
        """Count one boot that begins, or trip and say why it must not."""
        budget = self._budget
        if budget.claims and budget.used >= budget.claims:
            self._budget = budget._replace(tripped_at=now)
            self._connection.execute(update(schema.hierarchy).values(budget_tripped_at=now))
            self._rows.note("budget trip", f"{budget.used} required boots in {budget.seconds} s")
            return self.refusal()
        self._budget = budget._replace(used=budget.used + 1)
        return None
