"""What must not make a machine wait, in a thread of its own: following changes, sweeping, looking after the stores."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pxefast.config import Session
from pxefast.errors import PxefastError
from pxefast.responder.audit import Audit
from pxefast.responder.barrier import Barrier
from pxefast.responder.courier import Courier
from pxefast.responder.disk_space import DiskSpace
from pxefast.responder.heartbeat import Heartbeat, clock
from pxefast.responder.pauses import budget_exhausted, journal_broken, no_database
from pxefast.responder.sightings import Witness
from pxefast.responder.tuning import Tuner
from pxefast.responder.view import View
from pxefast.site.budget import Budget
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store
from pxefast.site.witnesses import alarms

__all__ = ["Keeper"]

# How often changes are looked for; how often the ledger, the sweep and the database's own settings have their turn.
_SECONDS = 0.2
_LEDGER_SECONDS = 1.0
_SWEEP_SECONDS = 10.0
_SETTINGS_SECONDS = 60.0
_CONTENT_SECONDS = 1.0
_LESSON_SECONDS = 1.0
_SIGHTING_SECONDS = 1.0
_HOST_SECONDS = 60.0
# A round that comes so late was held up with the whole process.
_STOOD_STILL_SECONDS = 2.0
# How long the start waits for the first round.
_FIRST_SECONDS = 1.0


class Keeper:
    """The thread. `barrier` None in a dry run, which writes nothing; `courier` None where nobody brings content;
    `tuner` None where nothing is learned; `witness` and `host` None in a dry run. `host` records this host's own
    identities.

    `live` is told from time to time, and asks back which sessions are live.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        view: View,
        barrier: Barrier | None,
        session: Session,
        audit: Audit,
        courier: Courier | None,
        live: Callable[[Callable[[], set[str]]], None],
        tuner: Tuner | None,
        disk_space: DiskSpace,
        witness: Witness | None = None,
        host: Callable[[], None] | None = None,
    ) -> None:
        self._disk_space = disk_space
        self._tuner = tuner
        self._witness = witness
        self._host = host
        self._courier = courier
        self._store = store
        self._ledger = ledger
        self._view = view
        self._barrier = barrier
        self._session = session
        self._audit = audit
        self._live = live
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pxefast-keeper", daemon=True)
        self._first_round = threading.Event()
        #: Life signs of the thread that answers machines; None once that thread has nothing to answer any more.
        self.loop: Heartbeat | None = None
        self._loop_stuck = False
        self._looked_at = 0.0
        self._passed_over = False
        self._next: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._off: tuple[bool, str] | None = None
        self.states: dict[str, int] = {}
        self.blocked = 0
        self.budget: Budget | None = None

    def start(self) -> None:
        """Begin. The first round ends before this returns, unless the database is slow."""
        self._thread.start()
        self._first_round.wait(_FIRST_SECONDS)

    def stop(self, seconds: float) -> None:
        """End, waiting for at most so long: it may hang in a database that is gone."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if self._courier is not None:
            self._courier.stop()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def problems(self) -> list[str]:
        """What of its work cannot be done at the moment."""
        return [f"{what}: {why}" for what, why in list(self._failed.items())]

    def _run(self) -> None:
        self._view.heart.attach()
        while True:
            self._view.refresh()
            if self._witness is not None:
                self._witness.follow()
            self._first_round.set()
            self._tell_what_is_off()
            self._watch_loop()
            self._work()
            self._view.heart.enter("wait for the next round")
            if self._ending.wait(_SECONDS):
                return

    def _work(self) -> None:
        """Do what is due beside following changes."""
        if self._view.lost is not None:
            # That says it all.
            self._failed.clear()
            return
        self._do("ledger", _LEDGER_SECONDS, self._follow_ledger)
        self._do("sweep", _SWEEP_SECONDS, self._sweep)
        if self._courier is not None:
            self._do("content", _CONTENT_SECONDS, self._courier.tick)
        if self._tuner is not None:
            self._do("learned windows", _LESSON_SECONDS, self._tuner.write)
        if self._witness is not None:
            self._do("sightings", _SIGHTING_SECONDS, self._witness.write)
        if self._host is not None:
            self._do("this host's identities", _HOST_SECONDS, self._host)
        self._do("database settings", _SETTINGS_SECONDS, self._check_settings)

    def _tell_what_is_off(self) -> None:
        """Say once when machines are no longer served as they should be, and when they are again."""
        nothing = self._view.problem()
        off = nothing or self._view.required_off()
        now = (nothing is not None, off.code) if off else None
        if now == self._off:
            return
        self._off = now
        if off is None:
            self._audit.tell("warning", "everything is handed out again")
        else:
            self._audit.tell("error", f"nothing is handed out: {off.text}" if nothing else off.text)

    def _watch_loop(self) -> None:
        """Say when the thread that answers machines hangs: it cannot say so itself."""
        loop = self.loop
        if loop is None:
            return
        looked, self._looked_at = self._looked_at, clock()
        late = self._looked_at - looked > _STOOD_STILL_SECONDS
        if late and not self._passed_over:
            # This thread was late as well: the process was stopped, and the other one has its turn first. It has one
            # turn, for this thread may be late again for a reason of its own.
            self._passed_over = True
            return
        self._passed_over = False
        loop.tick()
        stuck = loop.look()
        if (stuck is not None) == self._loop_stuck:
            return
        self._loop_stuck = stuck is not None
        if stuck is not None:
            self._audit.tell("error", stuck.text)
        else:
            self._audit.tell("warning", "machines are answered again")

    def _do(self, what: str, seconds: float, job: Callable[[], None]) -> None:
        """Do a job when it is due. What fails is told once, and tried again at its next turn."""
        if time.monotonic() < self._next.get(what, 0.0):
            return
        self._next[what] = time.monotonic() + seconds
        # Each of these jobs asks the database.
        self._view.heart.enter(f"database: {what}")
        try:
            job()
        except Exception as error:
            why = str(error) or type(error).__name__
            if self._failed.get(what) != why:
                self._audit.tell("error", f"{what}: {why}")
            self._failed[what] = why
        else:
            self._failed.pop(what, None)

    def _follow_ledger(self) -> None:
        self._view.full = self._disk_space.look()
        try:
            self.budget = self._ledger.budget()
            with self._store.read() as connection:
                alarm = next(iter(alarms(connection, self._store.point)), None)
        except PxefastError as error:
            self._view.doubt(error)
            raise
        self._view.budget = budget_exhausted(self.budget)
        self._view.alarm = None if alarm is None else journal_broken(alarm)
        # What other distribution points gave to machines that may ask here next (I4).
        for device_id, mark in self._ledger.live([*self._view.site.live, *self._view.site.launches]):
            self._view.mark(device_id, mark)
        self._live(lambda: {mark.session for mark in list(self._view.site.live.values())})
        if self._barrier is None:
            return
        if self._view.journal is not None:
            self._barrier.check()
        else:
            self._barrier.catch_up()
        for text in self._barrier.mended():
            self._audit.tell("warning", text)

    def _sweep(self) -> None:
        if self._barrier is not None:
            session = self._session
            swept = self._ledger.sweep(
                time.time(),
                session.started_seconds if session.expect_reports else None,
                session.finished_seconds,
                session.seconds,
            )
            for row in swept:
                self._view.mark(row.device_id, row.mark)
                self._audit.swept(row, self._view.device_name(row.device_id))
        self.states = self._ledger.counts()
        self.blocked = self._ledger.blocked()

    def _check_settings(self) -> None:
        problems = [check.text for check in self._store.check(deep=False) if not check.ok]
        self._view.unsafe = no_database("; ".join(problems)) if problems else None
        if problems:
            # Somebody mends it at this moment: no machine shall wait a minute more.
            self._next["database settings"] = time.monotonic() + _LEDGER_SECONDS
