"""The launch barrier: whether the last byte of a launch file may leave (B2, I3).

The transfer waits meanwhile, and asks once. What was offered by an available deployment opens at once, for a person
said yes at the machine; everything else is the ledger's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from pxefast.content.namespace import image_of
from pxefast.decide import Reason
from pxefast.decide.reasons import excluded
from pxefast.responder.barrier import Verdict
from pxefast.responder.handed import Handed, Memory
from pxefast.responder.view import View
from pxefast.site.launches import Launch

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Gates", "Passage", "Waiting"]

_PROMPTED = Reason("available_deployment", "an available deployment was offered to this address", "CM-74")
_DRY_RUN = Reason("dry_run", "this is a dry run: no launch file is completed", "R-61")


class Passage(NamedTuple):
    """One gate and what came of it: a launch, a mere opening that nothing destructive needs, or a refusal."""

    gate: _native.Gate
    result: Literal["launched", "opened", "refused"]
    reason: Reason
    device: str | None = None
    deployment: str | None = None
    session: str | None = None
    mac: str | None = None


class Waiting(NamedTuple):
    """The gates that the ledger decides on, and those that are decided already."""

    gates: list[_native.Gate]
    launches: list[Launch]
    decided: list[Passage]


class Gates:
    """Opens and refuses gates of one server."""

    def __init__(self, server: _native.Server, view: View, memory: Memory, dry_run: bool) -> None:
        self._server = server
        self._view = view
        self._memory = memory
        self._dry_run = dry_run

    def prepare(self, gates: Sequence[_native.Gate]) -> Waiting:
        """Decide what needs no ledger, and ask it for the rest."""
        waiting = Waiting([], [], [])
        for gate in gates:
            known = self._memory.find(gate.session, gate.address)
            off = _DRY_RUN if self._dry_run else self._view.problem() or self._excluded(known)
            if off is None and known is not None and known.prompt and known.image == image_of(gate.name):
                waiting.decided.append(self._pass(gate, "opened", _PROMPTED, known))
                continue
            off = off or self._view.launches_off()
            if off is not None:
                waiting.decided.append(self._pass(gate, "refused", off, known))
                continue
            waiting.gates.append(gate)
            # An address may have passed to another machine since the ledger wrote it down: the session cannot.
            session = gate.session or (known.session if known is not None and not known.prompt else None)
            waiting.launches.append(Launch(session, gate.address, gate.name, gate.transfer, time.time()))
        return waiting

    def settle(self, waiting: Waiting, verdict: Verdict) -> list[Passage]:
        """Open what the ledger has recorded, refuse the rest."""
        passages = list(waiting.decided)
        for place, gate in enumerate(waiting.gates):
            known = self._memory.find(gate.session, gate.address)
            if verdict.failed is not None:
                passages.append(self._pass(gate, "refused", verdict.failed, known))
                continue
            result = verdict.launches[place]
            # It may have been stopped while the ledger wrote.
            off = self._view.launches_off() if result.ok else None
            outcome: Literal["launched", "opened", "refused"] = "launched" if result.launched else "opened"
            if off is not None or not result.ok:
                outcome = "refused"
            passage = self._pass(gate, outcome, off or result.reason, known)
            passages.append(
                passage._replace(
                    device=self._view.device_name(result.device_id) or passage.device,
                    deployment=result.deployment_id or passage.deployment,
                    session=result.session,
                )
            )
        return passages

    def _excluded(self, known: Handed | None) -> Reason | None:
        """The exclusion list beats everything, also what was handed out before it grew (D7).

        It is of the device: any MAC address of its record counts (D31). Whose an address is that nothing is known of
        here, the ledger finds out, and looks at the list too.
        """
        listed = self._view.exclusion_file.exclusions.macs
        if known is None or not listed:
            return None
        if known.mac in listed:
            return excluded(known.mac)
        device = self._view.device(known.device_id)
        mac = None if device is None else next((mac for mac in device.macs if mac in listed), None)
        return None if device is None or mac is None else excluded(mac, device.name)

    def _pass(
        self,
        gate: _native.Gate,
        result: Literal["launched", "opened", "refused"],
        reason: Reason,
        known: Handed | None,
    ) -> Passage:
        if result == "refused":
            self._server.refuse(gate, reason.text)
        else:
            self._server.open(gate)
        if known is None:
            return Passage(gate, result, reason)
        return Passage(gate, result, reason, known.device, known.deployment, None, known.mac)
