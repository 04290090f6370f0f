"""Why required deployments are off at the moment: one reason of five places, the gravest first.

The halt file (D8), the journal (D23), the database (D10), the budget (D6), the exclusion list (R-53). The service asks
its view of them; `look` asks all of them once, for those who explain.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pxefast.config import Settings
from pxefast.decide import DistributionPoint, Reason
from pxefast.errors import ExclusionError, PxefastError
from pxefast.responder.exclusions import held_by_list, read
from pxefast.responder.halt import Halt
from pxefast.site.budget import Budget
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store
from pxefast.site.witnesses import Witnesses, alarms

__all__ = [
    "Files",
    "budget_exhausted",
    "database_replaced",
    "journal_broken",
    "look",
    "no_database",
    "no_space",
]


def journal_broken(why: str) -> Reason:
    """The journal and the database do not tell the same story, or it cannot be written."""
    return Reason("journal_broken", f"required deployments are off: {why}", "D23")


def no_database(why: str) -> Reason:
    """The database cannot be read or written, or it is not known what it holds."""
    return Reason("database_unavailable", f"required deployments are off: {why}", "D10")


def database_replaced(why: str) -> Reason:
    """The file of the database is not the one that the service has opened: nothing that it holds is believed."""
    return Reason("database_replaced", f"everything is off: {why}", "D37")


def no_space(why: str) -> Reason:
    """There is too little room to record a boot."""
    return Reason("no_space", f"required deployments are off: {why}", "D40")


def budget_exhausted(budget: Budget) -> Reason | None:
    """The budget's reason while it is tripped."""
    if budget.tripped_at is None:
        return None
    text = f"more than {budget.claims} required boots began within {budget.seconds:g} s"
    return Reason("budget_exhausted", f"{text}; when that was meant run: pxefast budget reset", "D6")


class Files(NamedTuple):
    """What the files of a home and its database add to decisions: the exclusion list, and what holds required ones.

    `stored` is what the journal or the database says, other than a used-up `budget`; `listed` an exclusion list that
    cannot be read.
    """

    macs: frozenset[str]
    halt: Reason | None
    stored: Reason | None
    budget: Reason | None
    listed: Reason | None

    @property
    def paused(self) -> Reason | None:
        """The gravest of the reasons."""
        return self.halt or self.stored or self.budget or self.listed

    @property
    def held_by_list(self) -> bool:
        """True if nothing but the exclusion list holds required deployments."""
        return self.paused is not None and self.paused is self.listed

    @property
    def held_by_budget(self) -> bool:
        """True if nothing graver than the budget holds required deployments."""
        return self.paused is not None and self.paused is self.budget


def look(home: Path, settings: Settings, store: Store, dp: DistributionPoint) -> Files:
    """What a service of this home would add to its decisions now. Writes nothing, and raises nothing for a bad list."""
    listed, macs = None, frozenset[str]()
    if dp.mac_ignore_list_file is not None:
        try:
            macs = read(dp.mac_ignore_list_file)
        except ExclusionError as error:
            listed = held_by_list(str(error))
    stored, budget = _stored(home, settings, store)
    return Files(macs, Halt(home, settings.safety.halt_file).check(), stored, budget, listed)


def _stored(home: Path, settings: Settings, store: Store) -> tuple[Reason | None, Reason | None]:
    """Return what the journal or the database says, and what the budget says."""
    try:
        why = Witnesses(home, settings.journal.folder).examine(store)
        with store.read() as connection:
            why = why or next(iter(alarms(connection, store.point)), None)
        if why is not None:
            return journal_broken(why), None
        return None, budget_exhausted(Ledger(store, store.point).budget())
    except PxefastError as error:
        return no_database(str(error)), None
