"""The service's life: bind, be ready, answer, notice changes, end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from pxefast import __version__
from pxefast.config import Settings
from pxefast.content.library import Library
from pxefast.content.namespace import File
from pxefast.errors import CannotOpen
from pxefast.responder.audit import Audit
from pxefast.responder.barrier import Barrier
from pxefast.responder.condition import Condition
from pxefast.responder.courier import Courier
from pxefast.responder.doors import open_doors
from pxefast.responder.feed import Feed
from pxefast.responder.gates import Gates
from pxefast.responder.halt import Halt
from pxefast.responder.handed import Memory
from pxefast.responder.interfaces import own_identities
from pxefast.responder.keeper import Keeper
from pxefast.responder.live import Live
from pxefast.responder.pauses import journal_folder
from pxefast.responder.reply import Answers, clock
from pxefast.responder.reports import Reported, Reports
from pxefast.responder.status import Lock, StatusFile
from pxefast.responder.systemd import tell_systemd
from pxefast.responder.tuning import Tuner
from pxefast.responder.turns import Turns
from pxefast.responder.view import View
from pxefast.site.journal import Journal
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store

__all__ = ["Service"]

# How long a quiet wait is: changes, transfers and the status are looked at in between.
_MILLISECONDS = 200
# What the end waits for a thread that may hang in a database or a log.
_PATIENCE_SECONDS = 2.0


class Service:
    """One distribution point, serving until it is told to stop. With `dry_run` it decides, tells, and answers nobody.

    `courier` is the command that brings content here when some is ordered; None: nobody does. Raises CannotBind,
    CannotOpen, SiteError, ExclusionError when it cannot begin.
    """

    def __init__(
        self,
        home: Path,
        settings: Settings,
        store: Store,
        library: Library,
        stream: TextIO,
        dry_run: bool = False,
        courier: Sequence[str] | None = None,
    ) -> None:
        _check(store)
        self._lock = Lock(home / "run")
        self._feed = Feed(home / "run")
        self.audit = Audit(settings.log, stream, self._feed)
        self._status = StatusFile(home / "run")
        self._library = library
        self._store = store
        self._dry_run = dry_run
        self._stopping = False
        ledger = Ledger(store, store.point)
        self._server = open_doors(settings, store.dps.get())
        self._reports: Reports | None = None
        if settings.report.enabled and not dry_run:
            self._reports = Reports(settings.report, settings.listen.address, ledger, self._reported)
        halt = Halt(home, settings.safety.halt_file)
        self._view = View(store, library, settings, halt, self._publish, self.audit.tell)
        self._barrier = Barrier(store, ledger, Journal(journal_folder(home)), self._view)
        self._courier: Courier | None = None
        if courier is not None and not dry_run:
            self._courier = Courier(courier, store, library, settings.content.validate_hours, self.audit)
        tuner: Tuner | None = None
        if settings.tftp.learn_windows and not dry_run:
            tuner = Tuner(settings.tftp, store.learned_windows, self._view, self.audit.tell)
        barrier = None if dry_run else self._barrier
        self._keeper = Keeper(
            store,
            ledger,
            self._view,
            barrier,
            settings.session,
            self.audit,
            self._courier,
            self._sessions_live,
            tuner,
        )
        self._memory = Memory()
        self._live = Live(home / "run", self._server, self._memory)
        answers = Answers(
            self._server,
            self._view,
            self._memory,
            settings.dhcp,
            report_port=self._reports.port if self._reports else None,
            dry_run=dry_run,
        )
        gates = Gates(self._server, self._view, self._memory, dry_run)
        self._turns = Turns(self._server, answers, gates, self._barrier, self._memory, self.audit, tuner)
        self._condition = Condition(
            store,
            self._server,
            self._view,
            self._keeper,
            self._courier,
            self.audit,
            self.ports,
            dry_run,
        )

    @property
    def ports(self) -> dict[str, int]:
        """The port of each of `dhcp` (unless switched off), `boot`, `tftp` and, over TCP, `report` (unless off)."""
        return {**self._server.ports, **({"report": self._reports.port} if self._reports else {})}

    def stop(self) -> None:
        """End `run` soon; from any thread, or a signal handler."""
        self._stopping = True
        self._server.wake()

    def run(self, ready: Callable[[], None]) -> None:
        """Serve. Calls `ready` once every port answers; returns after `stop`."""
        try:
            self._begin()
            self._status.write(self._condition.read())
            ready()
            tell_systemd("READY=1")
            heard = clock()
            while not self._stopping:
                questions = self._server.wait(_MILLISECONDS)
                waited = clock()
                self._feed.admit()
                self._turns.take(questions, self._server.gates(), heard)
                self._turns.tell_transfers()
                if self._status.due():
                    self._status.write(self._condition.read())
                # What is asked next came in after this.
                heard = waited
        finally:
            tell_systemd("STOPPING=1")
            self._end()

    def _reported(self, reported: Reported) -> None:
        result = reported.result
        if result.ok and result.device_id is not None and result.deployment_id and result.state:
            self._view.moved(result.device_id, result.deployment_id, result.state)
        known = self._memory.find(reported.session, reported.address) if result.ok else None
        if result.ok and reported.kind != "started":
            self._session_ended(reported.session)
        self.audit.reported(reported, self._view.device_name(result.device_id), known)

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
                self._server.forget(address)

    def _end(self) -> None:
        if self._reports is not None:
            self._reports.close()
        self._live.close()
        self._server.stop()
        self._turns.tell_transfers()
        self._keeper.stop(_PATIENCE_SECONDS)
        self._view.close()
        self._status.remove()
        self.audit.tell("info", "stopped")
        self._feed.close()
        self._lock.release()
        self.audit.close(_PATIENCE_SECONDS)

    def _publish(self, files: Sequence[File]) -> None:
        # A dry run completes no file, so it begins none.
        self._server.publish(
            str(self._library.folder), [] if self._dry_run else list[tuple[str, str, int, bool]](files)
        )

    def _begin(self) -> None:
        if not self._dry_run:
            self._store.dps.set_own(own_identities())
            self._barrier.check()
        self._keeper.start()
        if self._reports is not None:
            self._reports.start()
        self._live.start()
        dp = self._view.site.dp
        listed = len(self._view.exclusion_file.exclusions.macs)
        # CM-59: the start says whether a list is configured.
        exclusion = f"{listed} excluded by {dp.mac_ignore_list_file}" if dp.mac_ignore_list_file else "none"
        ports = ", ".join(f"{name} {port}" for name, port in self.ports.items())
        self.audit.tell(
            "info",
            f"pxefast {__version__} serves site {dp.site} as {dp.name}: ports {ports}; exclusion list: {exclusion}",
            ports=self.ports,
        )
        if self._dry_run:
            self.audit.tell(
                "warning", "this is a dry run: everything is decided and logged, nobody is answered"
            )
        elif not (dp.enable_pxe and dp.allow_pxe_response):
            self.audit.tell(
                "warning",
                "everything is decided and logged, nobody is answered; "
                "when the decisions are right run: pxefast dp set --enable-pxe --allow-pxe-response",
            )
        for problem in self._view.problems():
            self.audit.tell("warning", problem)


def _check(store: Store) -> None:
    """Raises CannotOpen for a database whose settings lose what it has confirmed (R-76)."""
    problems = [check.text for check in store.check() if not check.ok]
    if problems:
        raise CannotOpen(f"{store.where} is not safe to keep a ledger in: {'; '.join(problems)}")
