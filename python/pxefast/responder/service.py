"""The service's life: bind, be ready, answer, notice changes, end."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pxefast import __version__, decide
from pxefast.config import Settings
from pxefast.content.library import Library
from pxefast.decide import DistributionPoint
from pxefast.errors import CannotBind
from pxefast.responder.audit import Audit
from pxefast.responder.reply import Answers
from pxefast.responder.status import Lock, StatusFile
from pxefast.responder.view import Published, View
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Service"]

# How long a quiet wait is: changes, transfers and the status are looked at in between.
_MILLISECONDS = 200


class Service:
    """One distribution point, serving until it is told to stop.

    Raises CannotBind, CannotOpen, ExclusionError when it cannot begin.
    """

    def __init__(
        self, home: Path, settings: Settings, store: Store, library: Library, stream: TextIO
    ) -> None:
        self.audit = Audit(settings.log, stream)
        self._lock = Lock(home / "run")
        self._status = StatusFile(home / "run")
        self._library = library
        self._stopping = False
        self._since = time.time()
        dp = store.dps.get()
        self._listens_on_dhcp_port = dp.listen_on_dhcp_port
        self._server = _bind(settings, dp)
        self._view = View(store, library, settings.session.seconds, self._publish, self.audit.tell)
        self._answers = Answers(self._server, self._view, Ledger(store, store.point), settings.dhcp)

    @property
    def ports(self) -> dict[str, int]:
        """The port that each of `dhcp` (unless switched off), `boot` and `tftp` is bound to."""
        return self._server.ports

    def stop(self) -> None:
        """End `run` soon; from any thread, or a signal handler."""
        self._stopping = True
        self._server.wake()

    def run(self, ready: Callable[[], None]) -> None:
        """Serve. Calls `ready` once every port answers; returns after `stop`."""
        try:
            self._introduce()
            self._write_status()
            ready()
            _tell_systemd("READY=1")
            while not self._stopping:
                questions = self._server.wait(_MILLISECONDS)
                self._view.refresh()
                if questions:
                    self._answer(questions)
                for transfer in self._server.transfers():
                    self.audit.transferred(transfer)
                if self._status.due():
                    self._write_status()
        finally:
            _tell_systemd("STOPPING=1")
            self._end()

    def _answer(self, questions: Sequence[_native.Request]) -> None:
        try:
            for answer in self._answers.answer(questions):
                self.audit.answered(answer)
        except Exception as error:
            # A defect costs the question that met it, never the others or the service. One that was
            # answered already is answered alike once more.
            if len(questions) > 1:
                for question in questions:
                    self._answer([question])
                return
            self.audit.tell(
                "error",
                f"a question was lost to a defect of pxefast, please report it: {type(error).__name__}: {error}",
                packet=questions[0].packet.hex(),
            )

    def _end(self) -> None:
        self._server.stop()
        for transfer in self._server.transfers():
            self.audit.transferred(transfer)
        self._view.close()
        self._status.remove()
        self._lock.release()
        self.audit.tell("info", "stopped")

    def _publish(self, files: Published) -> None:
        self._server.publish(str(self._library.folder), files)

    def _introduce(self) -> None:
        dp = self._view.site.dp
        listed = len(self._view.exclusion_file.exclusions.macs)
        # CM-59: the start says whether a list is configured.
        exclusion = f"{listed} excluded by {dp.mac_ignore_list_file}" if dp.mac_ignore_list_file else "none"
        ports = ", ".join(f"{name} {port}" for name, port in self.ports.items())
        self.audit.tell(
            "info",
            f"pxefast {__version__} serves site {dp.site}: UDP {ports}; exclusion list: {exclusion}",
            ports=self.ports,
        )
        if not (dp.enable_pxe and dp.allow_pxe_response):
            self.audit.tell(
                "warning",
                "everything is decided and logged, nobody is answered; "
                "when the decisions are right run: pxefast dp set --enable-pxe --allow-pxe-response",
            )

    def _write_status(self) -> None:
        site = self._view.site
        known = (self._view.problem, self._view.exclusion_file.problem, self.audit.problem)
        problems = [problem for problem in known if problem]
        if site.dp.listen_on_dhcp_port != self._listens_on_dhcp_port:
            problems.append("listen-on-dhcp-port was changed; restart pxefast for it to count")
        self._status.write(
            {
                "pid": os.getpid(),
                "version": __version__,
                "since": self._since,
                "written": time.time(),
                "site": site.dp.site,
                "answers": site.dp.enable_pxe and site.dp.allow_pxe_response,
                "ports": self.ports,
                "offload": self._server.offload,
                "decide_compiled": decide.compiled,
                "snapshot": {
                    "loaded": self._view.loaded,
                    "devices": len({device.id for device in site.devices_by_mac.values()}),
                    "boot_images": len(site.boot_images),
                    "excluded": len(self._view.exclusion_file.exclusions.macs),
                },
                "problems": problems,
                "actions": dict(self.audit.actions),
                "counters": self._server.counters(),
            }
        )


def _bind(settings: Settings, dp: DistributionPoint) -> _native.Server:
    from pxefast import _native

    tftp, dhcp = settings.tftp, settings.dhcp
    named = _native.ServerSettings(
        address=str(settings.listen.address),
        dhcp_port=dhcp.port if dp.listen_on_dhcp_port else None,
        boot_port=dhcp.boot_port,
        tftp_port=tftp.port,
        accept_option82_without_giaddr=dhcp.option82_without_giaddr == "echo",
        max_block_size=tftp.max_block_size,
        max_window_size=tftp.max_window_size,
        max_transfers=tftp.max_transfers,
        max_transfers_per_client=tftp.max_transfers_per_client,
        requests_per_second_per_client=tftp.requests_per_second_per_client,
        request_burst_per_client=tftp.request_burst_per_client,
        retransmit_milliseconds=tftp.retransmit_milliseconds,
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


def _tell_systemd(state: str) -> None:
    """sd_notify(3), where systemd asked for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        try:
            notify.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return
