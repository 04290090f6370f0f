"""What one service is made of, and who of it speaks with whom."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from pxefast.config import Settings
from pxefast.content.library import Library
from pxefast.content.namespace import File
from pxefast.errors import CannotOpen
from pxefast.responder.audit import Audit
from pxefast.responder.barrier import Barrier
from pxefast.responder.condition import Condition
from pxefast.responder.courier import Courier
from pxefast.responder.disk_space import DiskSpace
from pxefast.responder.doors import open_doors, usable
from pxefast.responder.effective_exclusions import EffectiveList
from pxefast.responder.feed import Feed
from pxefast.responder.gates import Gates
from pxefast.responder.halt import Halt
from pxefast.responder.handed import Memory
from pxefast.responder.heartbeat import Heartbeat
from pxefast.responder.interfaces import own_identities
from pxefast.responder.keeper import Keeper
from pxefast.responder.live import Live
from pxefast.responder.reply import Answers
from pxefast.responder.reports import Reported, Reports
from pxefast.responder.sightings import Witness
from pxefast.responder.status import Lock, StatusFile
from pxefast.responder.takeover import Estate, Heir, Sockets
from pxefast.responder.tuning import Tuner
from pxefast.responder.turns import Turns
from pxefast.responder.view import View
from pxefast.responder.watchdog import Watchdog
from pxefast.site import private_files
from pxefast.site.ledger import Ledger
from pxefast.site.policy import read_placeholders
from pxefast.site.store import Store
from pxefast.site.witnesses import Witnesses

__all__ = ["Parts"]

# What the end waits for a thread that may hang in a database or a log.
_PATIENCE_SECONDS = 2.0


class Parts:
    """Everything of a service, ready to serve; until `open` nothing is read from its doors.

    `given` are sockets that are open already. Raises CannotBind, CannotOpen, SiteError, ExclusionError.
    """

    def __init__(
        self,
        home: Path,
        settings: Settings,
        store: Store,
        library: Library,
        stream: TextIO,
        dry_run: bool,
        courier: Sequence[str] | None,
        given: Sockets,
    ) -> None:
        _check(store)
        self._lock = Lock(home / "run", given.open.get("lock"))
        self.feed = Feed(home / "run", given.open.get("events"))
        self.audit = Audit(settings.log, stream, self.feed)
        self.status = StatusFile(home / "run")
        self.dry_run = dry_run
        self._library = library
        self._store = store
        self._files: Sequence[File] = ()
        self._is_open = False
        self._fixed = given.fixed
        ledger = Ledger(store, store.point)
        self.server = open_doors(settings, store.dps.get(), given)
        self._reports: Reports | None = None
        if settings.report.enabled and not dry_run:
            self._reports = self._open_reports(settings, ledger, given)
        _close_unused(given, self._reports)
        halt = Halt(home, settings.safety.halt_file)
        self.view = View(store, library, settings, halt, self._publish, self.audit.tell)
        self.view.follow_recorded_machines(self.server.set_recorded_machines)
        witnesses = Witnesses(home, settings.journal.folder)
        self._barrier = Barrier(store, ledger, witnesses, self.view)
        if not dry_run:
            self.view.prove = self._barrier.prove
        self._courier: Courier | None = None
        if courier is not None and not dry_run:
            self._courier = Courier(courier, store, library, settings.content.validate_hours, self.audit)
        tuner: Tuner | None = None
        if settings.tftp.learn_windows and not dry_run:
            tuner = Tuner(settings.tftp, store.learned_windows, self.view, self.audit.tell)
        witness = None if dry_run else Witness(store.sightings, self.view)
        self._keeper = Keeper(
            store,
            ledger,
            self.view,
            None if dry_run else self._barrier,
            settings.session,
            self.audit,
            self._courier,
            self._sessions_live,
            tuner,
            DiskSpace([home, *witnesses.folders]),
            witness,
            None if dry_run else self._record_host,
        )
        #: Life signs of the thread that answers machines.
        self.loop = Heartbeat("main", "machines have not been answered")
        self.watchdog = self._watchdog()
        self._memory = Memory()
        self._live = Live(home / "run", self.server, self._memory, given.open.get("transfers"))
        answers = Answers(
            self.server,
            self.view,
            self._memory,
            settings.dhcp,
            report_port=self._reports.port if self._reports else None,
            dry_run=dry_run,
            witness=witness,
        )
        gates = Gates(self.server, self.view, self._memory, dry_run)
        self.turns = Turns(self.server, answers, gates, self._barrier, self._memory, self.audit, tuner)
        self.condition = Condition(
            store,
            self.server,
            self.view,
            self._keeper,
            self._courier,
            self.audit,
            self.watchdog,
            lambda: {} if self._reports is None else self._reports.counters,
            self.ports,
            dry_run,
            EffectiveList(home / "run"),
            settings.tftp.max_transfers,
        )

    def _watchdog(self) -> Watchdog:
        hearts = {} if self._reports is None else {"pxefast-reports": self._reports.heart}
        threads = {"pxefast-log": lambda: self.audit.alive, "pxefast-live": lambda: self._live.alive}
        view = self.view
        return Watchdog(
            view.heart,
            lambda: view.problem() or view.required_off(),
            hearts,
            threads,
            lambda: self.server.workers,
            self.audit.tell,
        )

    def _open_reports(self, settings: Settings, ledger: Ledger, given: Sockets) -> Reports:
        report, listen = settings.report, settings.listen.address
        opened = usable(given, "report", str(report.address or listen), report.port)
        taken = given.open["report"] if opened else None
        return Reports(report, listen, ledger, self._reported, self.audit.tell, taken)

    @property
    def ports(self) -> dict[str, int]:
        """The port of each of `dhcp` (unless switched off), `boot`, `tftp` and, over TCP, `report` (unless off)."""
        return {**self.server.ports, **({"report": self._reports.port} if self._reports else {})}

    # The beginning.

    def prepare(self) -> None:
        """What must be done, or known to be possible, before anything is answered."""
        database = self._store.address
        for text in private_files.tighten(database) if isinstance(database, Path) else ():
            self.audit.tell("warning", text)
        if not self.dry_run:
            self._record_host()
            self._barrier.check()

    def _record_host(self) -> None:
        with self._store.read() as connection:
            placeholders = read_placeholders(connection)
        self._store.dps.set_own(own_identities(placeholders))

    def inherit(self, estate: Estate) -> None:
        """Know all that the service before knew, also when its ports were empty: what is in them came later."""
        facts = estate.facts
        self._memory.inherit(facts["handed"])
        self.view.keep_gated(facts["gated"])
        self.server.adopt(estate.native)
        self.feed.adopt(estate.listeners)
        self.server.emptied(float(facts["heard"]))

    def open(self) -> None:
        """Read the doors from now on. Raises CannotOpen where no file could be served."""
        self._is_open = True
        try:
            self._publish(self._files)
        except OSError as error:
            raise CannotOpen(str(error.strerror or error)) from error

    def start(self) -> None:
        """Begin with all that has a thread of its own."""
        self.loop.attach()
        self._keeper.loop = self.loop
        self._keeper.start()
        if self._reports is not None:
            self._reports.start()
        self._live.start()

    def _publish(self, files: Sequence[File]) -> None:
        self._files = files
        if self._is_open:
            # A dry run completes no file, so it begins none.
            served = [] if self.dry_run else list[tuple[str, str, int, bool]](files)
            self.server.publish(str(self._library.folder), served)

    # The middle.

    def _reported(self, reported: Reported) -> None:
        result = reported.result
        if result.ok and result.device_id is not None and result.mark is not None:
            self.view.mark(result.device_id, result.mark)
        known = self._memory.find(reported.session, reported.address) if result.ok else None
        if result.ok and reported.kind != "started":
            self._session_ended(reported.session)
        self.audit.reported(reported, self.view.device_name(result.device_id), known)

    def _sessions_live(self, live: Callable[[], set[str]]) -> None:
        # In this order: one that begins meanwhile, in the other thread, is live before it is open.
        opened = set(self._memory.open)
        for session in opened - live():
            self._session_ended(session)

    def _session_ended(self, session: str) -> None:
        """Its files end with it: there is nothing to be fetched any more."""
        with self._memory.turn:
            address = self._memory.end(session)
            if address is not None:
                self.server.forget(address)

    # The end.

    def shut(self) -> None:
        """Read the doors no more; what was read before is among the transfers once this returns, and counts there.

        A request that the door has read may be in its hands, in a worker's, and back in the door's: so often both are
        asked, and answer after it.
        """
        self.server.drain()
        for _ in range(3):
            self.server.live()
            self.server.waiting()

    def sockets(self) -> Sockets:
        """What a successor serves with."""
        found = {
            **self.server.sockets(),
            "lock": self._lock.fileno(),
            "events": self.feed.fileno(),
            "transfers": self._live.fileno(),
        }
        if self._reports is not None:
            found["report"] = self._reports.fileno()
        return Sockets(found, self._fixed)

    def estate(self) -> Estate:
        """What a successor must know. The doors must not be read any more."""
        facts = {"handed": self._memory.leave(), "gated": self.view.gated, "heard": self.server.empty}
        return Estate(facts, self.server.leave(), self.feed.listeners)

    def leave(self, heir: Heir) -> None:
        """The successor serves: only the transfers under way, and their gates, are still this one's."""
        self.feed.leave(heir.tell)
        if self._courier is not None:
            self._courier.retire()
        if self._reports is not None:
            self._reports.leave()
        self._live.close(serves=False)

    def close(self, serves: bool) -> None:
        """End everything; transfers under way are cut. The files of a service are left alone unless it is this one."""
        self._keeper.loop = None
        if self._reports is not None:
            self._reports.close()
        self._live.close(serves)
        self.server.stop()
        self.turns.tell_transfers()
        self.audit.summarize(end=True)
        self._keeper.stop(_PATIENCE_SECONDS)
        self.view.close()
        if serves:
            self.status.remove()
            self.audit.tell("info", "stopped")
        self.feed.close(serves)
        self._lock.release()
        self.audit.close(_PATIENCE_SECONDS)


def _check(store: Store) -> None:
    """Raises CannotOpen for a database whose settings lose what it has confirmed (R-76)."""
    problems = [check.text for check in store.check() if not check.ok]
    if problems:
        raise CannotOpen(f"{store.where} is not safe to keep a ledger in: {'; '.join(problems)}")


def _close_unused(given: Sockets, reports: Reports | None) -> None:
    """The native server has its own of each door; what else is given is kept where it is used."""
    kept = {"lock", "events", "transfers"}
    for name, descriptor in given.open.items():
        if name not in kept and not (reports is not None and reports.fileno() == descriptor):
            os.close(descriptor)
