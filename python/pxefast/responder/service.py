"""The service's life: bind, be ready, answer, notice changes, end."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pxefast import __version__, decide
from pxefast.config import Settings
from pxefast.content.library import Library
from pxefast.content.namespace import File
from pxefast.decide import DistributionPoint
from pxefast.errors import CannotBind, CannotOpen
from pxefast.responder.audit import Audit, reason_dict
from pxefast.responder.barrier import Barrier
from pxefast.responder.courier import Courier
from pxefast.responder.feed import Feed
from pxefast.responder.gates import Gates
from pxefast.responder.halt import Halt
from pxefast.responder.handed import Memory
from pxefast.responder.interfaces import own_identities
from pxefast.responder.keeper import Keeper
from pxefast.responder.pauses import journal_folder
from pxefast.responder.reply import Answers, clock
from pxefast.responder.reports import Reported, Reports
from pxefast.responder.status import Lock, StatusFile
from pxefast.responder.systemd import tell_systemd
from pxefast.responder.view import View
from pxefast.site.journal import Journal
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store

if TYPE_CHECKING:
    from pxefast import _native

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
        self._since = time.time()
        dp = store.dps.get()
        self._listens_on_dhcp_port = dp.listen_on_dhcp_port
        ledger = Ledger(store, store.point)
        self._server = _bind(settings, dp)
        self._reports: Reports | None = None
        if settings.report.enabled and not dry_run:
            self._reports = Reports(settings.report, settings.listen.address, ledger, self._reported)
        halt = Halt(home, settings.safety.halt_file)
        self._view = View(store, library, settings, halt, self._publish, self.audit.tell)
        self._barrier = Barrier(store, ledger, Journal(journal_folder(home)), self._view)
        self._courier: Courier | None = None
        if courier is not None and not dry_run:
            self._courier = Courier(courier, store, library, settings.content.validate_hours, self.audit)
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
        )
        self._memory = Memory()
        self._answers = Answers(
            self._server,
            self._view,
            self._memory,
            settings.dhcp,
            report_port=self._reports.port if self._reports else None,
            dry_run=dry_run,
        )
        self._gates = Gates(self._server, self._view, self._memory, dry_run)

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
            self._write_status()
            ready()
            tell_systemd("READY=1")
            heard = clock()
            while not self._stopping:
                questions = self._server.wait(_MILLISECONDS)
                waited = clock()
                self._feed.admit()
                self._turn(questions, self._server.gates(), heard)
                self._tell_transfers()
                if self._status.due():
                    self._write_status()
                # What is asked next came in after this.
                heard = waited
        finally:
            tell_systemd("STOPPING=1")
            self._end()

    def _turn(
        self, questions: Sequence[_native.Request], gates: Sequence[_native.Gate], heard: float
    ) -> None:
        """Everything that waits, with one durable write for all of it (B1, B2)."""
        try:
            cases = self._answers.prepare(questions, heard)
        except Exception as error:
            # A defect costs the question that met it, never the others or the service.
            self._apart(questions, heard, error)
            cases = []
        waiting = self._gates.prepare(gates)
        verdict = self._barrier.commit(
            [case.claim for case in cases if case.claim],
            waiting.launches,
            [case.ask for case in cases if case.ask],
        )
        for passage in self._gates.settle(waiting, verdict):
            self.audit.launched(passage)
        self._answers.settle(cases, verdict)
        for case in cases:
            try:
                self.audit.answered(self._answers.send(case, heard))
            except Exception as error:
                self._lost(case.question, error)

    def _apart(self, questions: Sequence[_native.Request], heard: float, error: Exception) -> None:
        if len(questions) == 1:
            self._lost(questions[0], error)
            return
        for question in questions:
            self._turn([question], [], heard)

    def _lost(self, question: _native.Request, error: Exception) -> None:
        self.audit.tell(
            "error",
            f"a question was lost to a defect of pxefast, please report it: {type(error).__name__}: {error}",
            packet=question.packet.hex(),
        )

    def _tell_transfers(self) -> None:
        for transfer in self._server.transfers():
            known = self._memory.find(None, transfer.peer.rpartition(":")[0])
            self.audit.transferred(transfer, known)

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
        self._server.stop()
        self._tell_transfers()
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

    def _write_status(self) -> None:
        site, view, budget = self._view.site, self._view, self._keeper.budget
        problems = [*view.problems(), *self._keeper.problems()]
        if self.audit.problem:
            problems.append(self.audit.problem)
        if site.dp.listen_on_dhcp_port != self._listens_on_dhcp_port:
            problems.append("listen-on-dhcp-port was changed; restart pxefast for it to count")
        off = view.required_off()
        self._status.write(
            {
                "pid": os.getpid(),
                "version": __version__,
                "since": self._since,
                "written": time.time(),
                "site": site.dp.site,
                "distribution_point": site.dp.name,
                "database": self._store.where,
                "answers": site.dp.enable_pxe and site.dp.allow_pxe_response and not self._dry_run,
                "dry_run": self._dry_run,
                "required_off": off and reason_dict(off),
                "ports": self.ports,
                "offload": self._server.offload,
                "decide_compiled": decide.compiled,
                "snapshot": {
                    "loaded": view.loaded,
                    "devices": view.devices,
                    "boot_images": len(site.boot_images),
                    "excluded": len(view.exclusion_file.exclusions.macs),
                },
                "content": self._courier and self._courier.work,
                "ledger": self._keeper.states,
                "budget": budget and budget._asdict(),
                "problems": problems,
                "actions": dict(self.audit.actions),
                "counters": self._server.counters(),
            }
        )


def _check(store: Store) -> None:
    """Raises CannotOpen for a database whose settings lose what it has confirmed (R-76)."""
    problems = [check.text for check in store.check() if not check.ok]
    if problems:
        raise CannotOpen(f"{store.where} is not safe to keep a ledger in: {'; '.join(problems)}")


def _bind(settings: Settings, dp: DistributionPoint) -> _native.Server:
    from pxefast import _native

    dhcp = settings.dhcp
    named = _native.ServerSettings(
        address=str(settings.listen.address),
        dhcp_port=dhcp.port if dp.listen_on_dhcp_port else None,
        boot_port=dhcp.boot_port,
        accept_option82_without_giaddr=dhcp.option82_without_giaddr == "echo",
        **settings.tftp.limits(),
    )
    try:
        return _native.Server(named)
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "; a DHCP server on this host? then run: "
            "pxefast dp set --no-listen-on-dhcp-port; else end what uses the port, or change it in pxefast.toml",
            errno.EACCES: "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
            errno.EADDRNOTAVAIL: "; no interface has this address: see [listen] in pxefast.toml",
        }.get(error.errno or 0, "")
        raise CannotBind(f"cannot bind {error.strerror or error}{advice}") from None
