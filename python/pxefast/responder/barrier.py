"""What must be durable before a packet leaves that an installation can follow from (B1, B2).

The ledger first, in one transaction for the whole batch; then the home's own journal, flushed. If either fails nobody
knows what holds: nothing is sent, and nothing further is tried before the database was read anew.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from pxefast.decide import Reason
from pxefast.responder.pauses import journal_broken
from pxefast.responder.view import View
from pxefast.site import session_facts
from pxefast.site.launches import Launch, LaunchResult
from pxefast.site.ledger import Claim, ClaimResult, Ledger
from pxefast.site.session_facts import Ask, SessionFacts
from pxefast.site.store import Store
from pxefast.site.witnesses import Witnesses

__all__ = ["Barrier", "Verdict"]


class Verdict(NamedTuple):
    """The results in the order of what was asked, or `failed`: nothing is known, and nothing may be sent.

    `facts` answers what was asked of the site for boots that nothing is claimed for, unless `unread` says why not.
    """

    claims: Sequence[ClaimResult] = ()
    launches: Sequence[LaunchResult] = ()
    failed: Reason | None = None
    facts: Sequence[SessionFacts] = ()
    unread: Reason | None = None


class Barrier:
    """The ledger with the journal behind it."""

    def __init__(self, store: Store, ledger: Ledger, witnesses: Witnesses, view: View) -> None:
        self._store = store
        self._ledger = ledger
        self._witnesses = witnesses
        self._view = view
        # The loop and the keeper both write the journal.
        self._turn = threading.Lock()

    def commit(
        self, claims: Sequence[Claim], launches: Sequence[Launch], asks: Sequence[Ask] = ()
    ) -> Verdict:
        """Make claims and launches durable, all together, and read what `asks` want. Raises nothing."""
        verdict = self._commit(claims, launches)
        return self._read(asks, verdict) if asks else verdict

    def _read(self, asks: Sequence[Ask], verdict: Verdict) -> Verdict:
        gone = self._view.database_gone()
        if gone is not None:
            return verdict._replace(unread=gone)
        try:
            with self._store.read() as connection:
                return verdict._replace(facts=session_facts.read(connection, self._store.point, asks))
        except Exception as error:
            self._view.doubt(error)
            text = f"what the machine boots with cannot be read: {error}"
            return verdict._replace(unread=Reason("site_unreadable", text, "T18"))

    def _commit(self, claims: Sequence[Claim], launches: Sequence[Launch]) -> Verdict:
        if not claims and not launches:
            return Verdict()
        try:
            results = self._ledger.commit(claims, launches, self._view.exclusion_file.exclusions.macs)
        except Exception as error:
            self._view.doubt(error)
            text = f"the ledger could not be written: {error}"
            return Verdict(failed=Reason("ledger_unavailable", text, "T18"))
        for claim in results[0]:
            if claim.mark is not None and claim.device_id is not None:
                self._view.mark(claim.device_id, claim.mark)
        for launch in results[1]:
            if launch.mark is not None and launch.device_id is not None:
                self._view.mark(launch.device_id, launch.mark)
        failed = self.catch_up()
        return Verdict(*results, failed)

    def prove(self) -> None:
        """Write durably what claims will need, after a write has failed. Raises CannotOpen or SiteError (D40)."""
        self._store.probe()
        with self._turn:
            self._witnesses.catch_up(self._store)

    def catch_up(self) -> Reason | None:
        """Bring the journal level with the database. Returns why it could not be, which then holds all launches."""
        with self._turn:
            try:
                self._witnesses.catch_up(self._store)
            except Exception as error:
                reason = journal_broken(f"the audit journal cannot be written: {error}")
                self._view.journal = reason
                return reason
        return None

    def mended(self) -> list[str]:
        """What the journal put right by itself since the last call, for people."""
        with self._turn:
            return self._witnesses.take_told()

    def check(self) -> None:
        """Whether journal and database tell the same story; the view knows the answer afterwards."""
        with self._turn:
            try:
                why = self._witnesses.check(self._store)
            except Exception as error:
                why = f"the audit journal cannot be checked: {error}"
            self._view.journal = None if why is None else journal_broken(why)
