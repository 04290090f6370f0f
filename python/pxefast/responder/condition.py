"""How the service is, as its status file and the commands that read it say it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pxefast import __version__, decide
from pxefast.responder.audit import Audit, reason_dict
from pxefast.responder.courier import Courier
from pxefast.responder.distributions import summary
from pxefast.responder.effective_exclusions import EffectiveList
from pxefast.responder.heartbeat import clock
from pxefast.responder.keeper import Keeper
from pxefast.responder.view import View
from pxefast.responder.watchdog import Watchdog
from pxefast.site.store import Store

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Condition"]


class Condition:
    """Looks at the parts of one service, whose start this is."""

    def __init__(
        self,
        store: Store,
        server: _native.Server,
        view: View,
        keeper: Keeper,
        courier: Courier | None,
        audit: Audit,
        watchdog: Watchdog,
        reports: Callable[[], Mapping[str, int]],
        ports: Mapping[str, int],
        dry_run: bool,
        effective: EffectiveList,
        max_transfers: int,
    ) -> None:
        self._store = store
        self._server = server
        self._view = view
        self._keeper = keeper
        self._courier = courier
        self._audit = audit
        self._watchdog = watchdog
        self._reports = reports
        self._ports = ports
        self._dry_run = dry_run
        self._effective = effective
        self._max_transfers = max_transfers
        self._since = time.time()

    def read(self, draining: int | None) -> dict[str, Any]:
        """Everything, as JSON takes it; `draining`: the transfers that a service that ends still waits for."""
        view, keeper = self._view, self._keeper
        site, off, problem, held = view.site, view.required_off(), view.problem(), view.held()
        macs = view.exclusion_file.exclusions.macs
        return {
            "pid": os.getpid(),
            "version": __version__,
            "since": self._since,
            "written": time.time(),
            "written_boot_time": clock(),
            "site": site.dp.site,
            "distribution_point": site.dp.name,
            "database": self._store.where,
            "answers": site.dp.enable_pxe and site.dp.allow_pxe_response and not self._dry_run,
            "dry_run": self._dry_run,
            "required_off": off and reason_dict(off),
            "held": held and reason_dict(held),
            "problem": problem and reason_dict(problem),
            "draining": draining,
            "ports": dict(self._ports),
            "max_transfers": self._server.max_transfers,
            "offload": self._server.offload,
            "decide_compiled": decide.compiled,
            "snapshot": {
                "loaded": view.loaded,
                "devices": view.devices,
                "boot_images": len(site.boot_images),
                "excluded": len(macs),
                "revision": view.revision,
                "exclusions": {
                    "file": site.dp.mac_ignore_list_file,
                    "count": len(macs),
                    "sha256": self._effective.write(macs),
                    "problem": view.exclusion_file.problem,
                },
            },
            "content": self._courier and self._courier.work,
            "ledger": keeper.states,
            "waiting_behind": keeper.blocked,
            "budget": keeper.budget and keeper.budget._asdict(),
            "problems": self._problems(),
            "actions": dict(self._audit.actions),
            "counters": {**self._server.counters(), **self._reports()},
            "histograms": {name: summary(each) for name, each in self._server.histograms().items()},
        }

    def _problems(self) -> list[str]:
        problems = [*self._view.problems(), *self._keeper.problems()]
        problems += (text for text in self._watchdog.problems() if text not in problems)
        if self._server.max_transfers < self._max_transfers:
            problems.append(
                f"at most {self._server.max_transfers} transfers run at once, not {self._max_transfers}: the limit "
                "of open files is too low for more; raise it with LimitNOFILE= of the unit or ulimit -n, and restart"
            )
        if self._audit.problem:
            problems.append(self._audit.problem)
        if self._view.site.dp.listen_on_dhcp_port != ("dhcp" in self._ports):
            problems.append("listen-on-dhcp-port was changed; restart pxefast for it to count")
        return problems
