"""From questions to answers: decide, claim what is required, then name the boot program, in this order (I1)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

from pxefast.config import Dhcp
from pxefast.content.namespace import boot_file
from pxefast.decide import Decision, Mark, Reason, Request, decide
from pxefast.errors import PxefastError
from pxefast.responder.view import View
from pxefast.site.ledger import Claim, Ledger

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Answer", "Answers"]

# A claim that took longer is not answered: the client has asked again by now, and that is answered (safety 5.4).
_TOO_LATE_SECONDS = 2.0
# The header's `file` field less its NUL (W-1).
_LONGEST_BOOT_FILE = 127

_NOWHERE = Reason("no_destination", "no honest client or relay could be where the answer would go", "R-14")
_TOO_LATE = Reason("too_late", "the claim took too long; the client asks again", "W-20")
_NOT_SENT = Reason("not_sent", "the kernel did not take the answer; see the counter dhcp.send_failed", "W-13")


class Answer(NamedTuple):
    """One question and what came of it. `sent_to` is None where nothing was sent."""

    question: _native.Request
    fields: _native.Fields
    request: Request
    decision: Decision
    sent_to: str | None


class Answers:
    """Answers batches of questions from one server."""

    def __init__(self, server: _native.Server, view: View, ledger: Ledger, dhcp: Dhcp) -> None:
        self._server = server
        self._view = view
        self._ledger = ledger
        self._dhcp = dhcp
        self._style = dhcp.style.model_dump()
        self._any_relay = any(network.prefixlen == 0 for network in dhcp.relays)

    def answer(self, questions: Sequence[_native.Request]) -> list[Answer]:
        """Decide, claim and send. Each question yields one Answer, also where nothing is sent."""
        heard = time.monotonic()
        now = time.time()
        asked = [(question, question.fields()) for question in questions]
        requests = [_request(question, fields, now) for question, fields in asked]
        decisions = [
            self._decide(question, request) for (question, _), request in zip(asked, requests, strict=True)
        ]
        self._claim(requests, decisions, heard)
        return [
            self._send(question, fields, request, decision)
            for (question, fields), request, decision in zip(asked, requests, decisions, strict=True)
        ]

    def _decide(self, question: _native.Request, request: Request) -> Decision:
        if question.destination is None:
            return Decision("ignore", (_NOWHERE,))
        if request.giaddr is not None and not self._listed(request.giaddr):
            text = f"relay {request.giaddr} is not in [dhcp] relays of pxefast.toml"
            return Decision("ignore", (Reason("relay_not_listed", text, "D16"),))
        if self._view.problem is not None:
            return Decision("ignore", (Reason("site_unreadable", self._view.problem, "T18"),))
        decision = decide(request, self._view.site, self._view.exclusion_file.exclusions)
        named = _named(decision)
        if len(named.encode()) > _LONGEST_BOOT_FILE:
            text = f"boot file {named} is longer than the {_LONGEST_BOOT_FILE} bytes that a client reads"
            return _refused(decision, Reason("boot_file_too_long", text, "W-1"))
        return decision

    def _listed(self, relay: str) -> bool:
        return self._any_relay or any(IPv4Address(relay) in network for network in self._dhcp.relays)

    def _claim(self, requests: Sequence[Request], decisions: list[Decision], heard: float) -> None:
        """Claim, in one durable transaction, every required boot whose program would be named now."""
        claims: dict[int, Claim] = {}
        for place, (request, decision) in enumerate(zip(requests, decisions, strict=True)):
            if not (decision.claim and self._names_program(request, decision)):
                continue
            if decision.device_id is not None and decision.deployment is not None:
                claims[place] = Claim(
                    decision.device_id,
                    decision.identities,
                    decision.deployment,
                    request.step,
                    request.xid,
                    request.now,
                    self._view.site.session_seconds,
                    None,
                    None,
                )
        if not claims:
            return
        try:
            results = self._ledger.claim(list(claims.values()))
        except PxefastError as error:
            # The outcome is unknown: nothing is sent, the client asks again (safety 5.4).
            reason = Reason("ledger_unavailable", f"the claim could not be made durable: {error}", "T18")
            for place in claims:
                decisions[place] = _refused(decisions[place], reason)
            return
        late = time.monotonic() - heard > _TOO_LATE_SECONDS
        for (place, claim), result in zip(claims.items(), results, strict=True):
            if result.mark is not None and result.device_id is not None:
                self._view.site.marks.setdefault(claim.deployment_id, {})[result.device_id] = result.mark
            if not result.ok:
                decisions[place] = _refused(decisions[place], result.reason)
            elif late:
                decisions[place] = _refused(decisions[place], _TOO_LATE)
            elif result.reason not in decisions[place].reasons:
                decisions[place] = replace(
                    decisions[place], reasons=(*decisions[place].reasons, result.reason)
                )

    def _names_program(self, request: Request, decision: Decision) -> bool:
        """Microsoft's shape names the boot program on port 4011 only; the direct style also in the offer."""
        if request.door == "request":
            return True
        kind = "ipxe" if request.ipxe else "bios"
        if not request.ipxe and decision.firmware == "uefi":
            kind = f"uefi_{decision.architecture}"
        return bool(self._style[kind] == "direct")

    def _send(
        self, question: _native.Request, fields: _native.Fields, request: Request, decision: Decision
    ) -> Answer:
        if decision.action not in ("boot", "prompt"):
            return Answer(question, fields, request, decision, None)
        named = _named(decision) if self._names_program(request, decision) else ""
        sent_to = self._server.answer(question, named)
        if decision.action == "prompt" and named and decision.device_id is not None and decision.deployment:
            # Not a claim, only what tells a later stage of this boot from its beginning (F-42).
            mark = Mark(
                decision.deployment,
                0,
                "CLAIMED",
                request.now,
                request.now,
                request.step,
                request.xid,
                "",
                request.now,
            )
            self._view.site.marks.setdefault(decision.deployment, {})[decision.device_id] = mark
        if sent_to is None:
            decision = replace(decision, reasons=(*decision.reasons, _NOT_SENT))
        return Answer(question, fields, request, decision, sent_to)


def _request(question: _native.Request, fields: _native.Fields, now: float) -> Request:
    # The native side lets nothing through that is no PXE client.
    return Request(
        fields.mac,
        fields.guid,
        fields.architecture,
        True,
        fields.ipxe,
        fields.door,
        # 0xFFFF is what clients send that do not count (W-21).
        fields.secs,
        fields.xid,
        question.interface,
        fields.giaddr,
        now,
    )


def _named(decision: Decision) -> str:
    if decision.boot_image is None or decision.boot_program is None:
        return ""
    return boot_file(decision.boot_image, decision.boot_program)


def _refused(decision: Decision, reason: Reason) -> Decision:
    return replace(
        decision, action="ignore", boot_program=None, claim=False, reasons=(*decision.reasons, reason)
    )
