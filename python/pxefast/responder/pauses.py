"""Why required deployments are off at the moment: one reason of five places, the gravest first.

The halt file (D8), the journal (D23), the database (D10), the budget (D6), the exclusion list (R-53). The service asks
its view of them; `look` asks all of them once, for those who explain.
"""

from __future__ import annotations

from pathlib import Path

from pxefast.config import Settings
from pxefast.decide import DistributionPoint, Exclusions, Reason
from pxefast.errors import ExclusionError, PxefastError
from pxefast.responder.exclusions import held_by_list, read
from pxefast.responder.halt import Halt
from pxefast.site.budget import Budget
from pxefast.site.journal import Journal
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store

__all__ = ["budget_exhausted", "journal_broken", "journal_folder", "look", "no_database"]


def journal_folder(home: Path) -> Path:
    """Where a distribution point's own audit journal is."""
    return home / "journal"


def journal_broken(why: str) -> Reason:
    """The journal and the database do not tell the same story, or it cannot be written."""
    return Reason("journal_broken", f"required deployments are off: {why}", "D23")


def no_database(why: str) -> Reason:
    """The database cannot be read or written, or it is not known what it holds."""
    return Reason("database_unavailable", f"required deployments are off: {why}", "D10")


def budget_exhausted(budget: Budget) -> Reason | None:
    """The budget's reason while it is tripped."""
    if budget.tripped_at is None:
        return None
    text = f"more than {budget.claims} required boots began within {budget.seconds:g} s"
    return Reason("budget_exhausted", f"{text}; when that was meant run: pxefast budget reset", "D6")


def look(home: Path, settings: Settings, store: Store, dp: DistributionPoint) -> Exclusions:
    """What a service of this home would add to its decisions now. Writes nothing, and raises nothing for a bad list."""
    listed, macs = None, frozenset[str]()
    if dp.mac_ignore_list_file is not None:
        try:
            macs = read(dp.mac_ignore_list_file)
        except ExclusionError as error:
            listed = held_by_list(str(error))
    return Exclusions(macs, Halt(home, settings.safety.halt_file).check() or _stored(home, store) or listed)


def _stored(home: Path, store: Store) -> Reason | None:
    try:
        why = Journal(journal_folder(home)).examine(store)
        if why is not None:
            return journal_broken(why)
        return budget_exhausted(Ledger(store, store.point).budget())
    except PxefastError as error:
        return no_database(str(error))
