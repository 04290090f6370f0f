"""The service's life: be ready, answer, notice changes; hand over to a successor, or not; let transfers end; end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from pxefast import __version__
from pxefast.config import Settings
from pxefast.content.library import Library
from pxefast.responder.doors import KINDS
from pxefast.responder.heartbeat import clock
from pxefast.responder.parts import Parts
from pxefast.responder.systemd import given_sockets, tell_systemd
from pxefast.responder.takeover import Heir, NotTaken, Predecessor, Sockets
from pxefast.site.store import Store

__all__ = ["Service"]

# How long a quiet wait is: changes, transfers and the status are looked at in between.
_MILLISECONDS = 200


class Service:
    """One distribution point, serving until it is told to stop. With `dry_run` it decides, tells, and answers nobody.

    `courier` is the command that brings content here when some is ordered; None: nobody does. `successor` is the
    command that starts a service in place of this one, `predecessor` the service whose place this one takes. Raises
    CannotBind, CannotOpen, SiteError, ExclusionError when it cannot begin.
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
        successor: Sequence[str] = (),
        predecessor: Predecessor | None = None,
    ) -> None:
        given = predecessor.sockets if predecessor else _given_by_systemd()
        self._parts = Parts(home, settings, store, library, stream, dry_run, courier, given)
        self._drain_seconds = settings.tftp.drain_seconds
        self._successor = successor
        self._predecessor = predecessor
        self._heir: Heir | None = None
        self._handed_over = False
        # Whether this is the service: not yet, and no more, while another process is.
        self._serves = False
        # What signals ask for.
        self._stops = 0
        self._reload = False

    @property
    def ports(self) -> dict[str, int]:
        """The port of each of `dhcp` (unless switched off), `boot`, `tftp` and, over TCP, `report` (unless off)."""
        return self._parts.ports

    def stop(self) -> None:
        """End `run` once the transfers under way have ended, or `drain_seconds` have passed; a second time at once.

        From any thread, or a signal handler.
        """
        self._stops += 1
        self._parts.server.wake()

    def reload(self) -> None:
        """Have a successor with the settings as they are now take over; where it cannot, this one serves on.

        From any thread, or a signal handler.
        """
        self._reload = True
        self._parts.server.wake()

    def run(self, ready: Callable[[], None]) -> None:
        """Serve. Calls `ready` once every port answers; returns after `stop`, or after a successor has taken over."""
        try:
            self._begin()
            ready()
            while not self._stops and not self._handed_over:
                self._turn()
                if self._reload:
                    self._begin_reload()
                if self._heir is not None:
                    self._hand_over(self._heir)
            self._drain()
        finally:
            if self._serves:
                tell_systemd("STOPPING=1")
            self._parts.close(self._serves)
            if self._heir is not None:
                self._heir.close()

    def _begin(self) -> None:
        parts, predecessor = self._parts, self._predecessor
        parts.prepare()
        if predecessor is not None:
            parts.inherit(predecessor.take())
        parts.open()
        parts.start()
        if predecessor is not None:
            predecessor.serving()
        else:
            tell_systemd("READY=1")
        self._serves = True
        self._tell_beginning()
        parts.status.write(parts.condition.read(None))

    def _turn(self) -> None:
        """Wait for something, and bring it to its end."""
        parts = self._parts
        parts.loop.beat(clock())
        parts.loop.enter("wait for requests")
        parts.watchdog.tick(self._serves)
        questions = parts.server.wait(_MILLISECONDS)
        parts.loop.enter("answer requests")
        parts.turns.take(questions, parts.server.gates())
        parts.turns.tell_transfers()
        if self._predecessor is not None:
            for event in self._predecessor.events():
                parts.feed.tell(event)
            if not self._predecessor.lives:
                self._predecessor = None
        if self._serves:
            parts.feed.admit()
        if self._serves and parts.status.due():
            parts.status.write(parts.condition.read(self._draining()))

    def _draining(self) -> int | None:
        """How many transfers of a service that ends have not ended: of this one, or of the one before."""
        if self._stops:
            return self._parts.server.transferring
        return None if self._predecessor is None else self._predecessor.draining

    # A successor.

    def _begin_reload(self) -> None:
        self._reload = False
        if self._heir is not None:
            return
        tell_systemd("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            if os.getpid() == 1:
                raise NotTaken("a container ends with its first process; restart it instead")
            self._heir = Heir(self._successor, self._parts.sockets())
        except NotTaken as why:
            self._serve_on(why)
        else:
            self._parts.audit.tell(
                "info", f"process {self._heir.pid} is to take over with the settings as they are"
            )

    def _hand_over(self, heir: Heir) -> None:
        """Once the successor is prepared: shut the doors, and give it what this one knows."""
        server = self._parts.server
        try:
            if not heir.prepared():
                return
            self._parts.shut()
            try:
                self._leave_to(heir)
            except NotTaken:
                server.resume()
                raise
        except NotTaken as why:
            self._heir = None
            heir.abandon()
            self._serve_on(why)
            return
        self._handed_over, self._serves = True, False
        self._parts.leave(heir)
        tell_systemd("READY=1", f"MAINPID={heir.pid}", "STATUS=")

    def _leave_to(self, heir: Heir) -> None:
        """Raises NotTaken, and everything is as it was."""
        try:
            estate = self._parts.estate()
        except RuntimeError as error:
            raise NotTaken(str(error)) from None
        try:
            heir.inherit(estate)
        except (NotTaken, OSError) as error:
            self._parts.server.adopt(estate.native)
            raise NotTaken(str(error)) from None

    def _serve_on(self, why: NotTaken) -> None:
        text = f"nothing was reloaded, and this process serves on with the settings it has: {why}"
        self._parts.audit.tell("error", text)
        tell_systemd("READY=1", f"STATUS={text}")

    # The end.

    def _drain(self) -> None:
        """Nothing new begins; what is under way may end, as long as that is allowed to take."""
        parts, heir = self._parts, self._heir
        if not self._handed_over:
            if heir is not None:
                self._heir = None
                heir.abandon()
            parts.shut()
            tell_systemd("STOPPING=1")
            parts.status.write(parts.condition.read(parts.server.transferring))
        until = time.monotonic() + self._drain_seconds
        told = None
        while (left := self._left()) and time.monotonic() < until and not self._hurried():
            if told is None:
                seconds = self._drain_seconds
                parts.audit.tell(
                    "info", f"{_transfers(left)} under way may take {seconds} s more", transfers=left
                )
            if left != told:
                told = left
                self._tell_left(left)
            self._turn()
        cut = parts.server.transferring
        if cut:
            parts.audit.tell("warning", f"{_transfers(cut)} had not ended and are cut", transfers=cut)

    def _left(self) -> int:
        """How many transfers are waited for; also of a service before this one, for the end of this one is the end."""
        before = self._predecessor.draining if self._predecessor is not None else None
        return self._parts.server.transferring + (before or 0)

    def _tell_left(self, left: int) -> None:
        if self._handed_over and self._heir is not None:
            self._heir.draining(left)
        else:
            tell_systemd(f"STATUS=ends; {_transfers(left)} under way")

    def _hurried(self) -> bool:
        """Whether somebody will not wait: who stops twice, or stops what is left of a service whose successor died."""
        if self._heir is not None:
            self._heir.look()
            if not self._heir.lives:
                return self._stops > 0
        return self._stops > 1

    def _tell_beginning(self) -> None:
        parts = self._parts
        dp = parts.view.site.dp
        listed = len(parts.view.exclusion_file.exclusions.macs)
        # CM-59: the start says whether a list is configured.
        exclusion = f"{listed} excluded by {dp.mac_ignore_list_file}" if dp.mac_ignore_list_file else "none"
        ports = ", ".join(f"{name} {port}" for name, port in self.ports.items())
        parts.audit.tell(
            "info",
            f"pxefast {__version__} serves site {dp.site} as {dp.name}: ports {ports}; exclusion list: {exclusion}",
            ports=self.ports,
        )
        if parts.dry_run:
            parts.audit.tell(
                "warning", "this is a dry run: everything is decided and logged, nobody is answered"
            )
        elif not (dp.enable_pxe and dp.allow_pxe_response):
            parts.audit.tell(
                "warning",
                "everything is decided and logged, nobody is answered; "
                "when the decisions are right run: pxefast dp set --enable-pxe --allow-pxe-response",
            )
        for problem in parts.view.problems():
            parts.audit.tell("warning", problem)


def _given_by_systemd() -> Sockets:
    given = given_sockets(KINDS)
    return Sockets(given, frozenset(given))


def _transfers(count: int) -> str:
    return "1 transfer" if count == 1 else f"{count} transfers"
