"""From questions to answers: decide, have it claimed where it is required, then name the boot program (I1)."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pxefast.config import Dhcp
from pxefast.decide import Decision, Mark, Reason, Request
from pxefast.decide.identity import card_of
from pxefast.errors import ContentError
from pxefast.responder.barrier import Verdict
from pxefast.responder.cases import Answer, Case, peer_of, request_of
from pxefast.responder.handed import Handed, Memory
from pxefast.responder.sessions import Handout, ask_of, handout, new_stem, ramdisk_reason, waiting
from pxefast.responder.shape import (
    evaluate,
    launch_name,
    named,
    names_program,
    refused,
    relay_refused,
)
from pxefast.responder.sightings import Witness
from pxefast.responder.tuning import limit_of
from pxefast.responder.view import Sight, View
from pxefast.site.ledger import Claim, ClaimResult
from pxefast.site.session_facts import Ask

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Answers", "clock"]

# What took longer is not answered: the client has asked again by now, and that is answered (safety 5.4).
_TOO_LATE_SECONDS = 2.0

_NOWHERE = Reason("no_destination", "no honest client or relay could be where the answer would go", "R-14")
_TOO_LATE = Reason("too_late", "it took too long to get here; the client asks again", "W-20")
_NOT_SENT = Reason("not_sent", "the kernel did not take the answer; see the counter dhcp.send_failed", "W-13")
_DRY_RUN = Reason("dry_run", "this is a dry run: nobody is answered", "R-61")


def clock() -> float:
    """Seconds that also pass while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Answers:
    """Answers batches of questions from one server; `report_port` is where boot environments report, if anywhere."""

    def __init__(
        self,
        server: _native.Server,
        view: View,
        memory: Memory,
        dhcp: Dhcp,
        *,
        report_port: int | None,
        dry_run: bool,
        witness: Witness | None,
    ) -> None:
        self._server = server
        self._view = view
        self._memory = memory
        self._dhcp = dhcp
        self._report_port = report_port
        self._dry_run = dry_run
        self._witness = witness
        self._numbers = itertools.count(1)

    def prepare(self, questions: Sequence[_native.Request]) -> list[Case]:
        """Decide."""
        now, sight = time.time(), self._view.sight()
        cases: list[Case] = []
        claiming: dict[str, str] = {}
        for question in questions:
            fields = question.fields()
            request = request_of(question, fields, now)
            case = Case(question, fields, request, self._decide(question, request, sight), peer_of(fields))
            taken = self._taken(case, sight, claiming)
            if taken is not None:
                case.decision = refused(case.decision, taken)
            if case.decision.action in ("boot", "prompt") and self._names_program(case) and not self._dry_run:
                self._ask(case, sight)
                if case.claim is not None and case.peer is not None:
                    claiming[case.peer] = request.mac
            cases.append(case)
        return cases

    def _ask(self, case: Case, sight: Sight) -> None:
        """What must be durable, and what must be known, before a boot program is named."""
        if case.decision.claim and _late(case):
            case.decision = refused(case.decision, _TOO_LATE)
            return
        ask = ask_of(case.decision, sight.site, case.peer, case.request.giaddr)
        if case.decision.claim:
            case.claim = self._claim(case, sight, ask)
        elif case.decision.kind == "windows-pe":
            case.ask = ask

    def _decide(self, question: _native.Request, request: Request, sight: Sight) -> Decision:
        if question.destination is None:
            return Decision("ignore", (_NOWHERE,))
        if self._witness is not None and relay_refused(request, self._dhcp) is None:
            self._witness.note(request, sight.site)
        return evaluate(request, sight.site, sight.exclusions, sight.problem, self._dhcp, self._view.gated)

    def _taken(self, case: Case, sight: Sight, claiming: Mapping[str, str]) -> Reason | None:
        """Why this machine cannot be at this address: another one's required boot is on its way there.

        Whoever forges a question from that address would else have the one machine launched on the other's claim, and
        the one that was really imaged imaged again (T17). Any other answer to that address would end its session.
        """
        if case.peer is None or case.decision.action == "ignore":
            return None
        if claiming.get(case.peer, case.request.mac) != case.request.mac:
            return _address_in_use(case.peer, "another machine of this moment")
        known = self._memory.find(None, case.peer)
        if known is None or known.prompt or known.device_id is None or known.mac == case.request.mac:
            return None
        mark = sight.site.live.get(known.device_id)
        if mark is None or mark.state != "CLAIMED" or mark.session != known.session:
            return None
        if known.device_id == case.decision.device_id:
            return None
        if case.request.now - mark.claimed_at > sight.site.session_seconds:
            return None
        return _address_in_use(case.peer, known.device or known.mac)

    def _claim(self, case: Case, sight: Sight, ask: Ask) -> Claim:
        request, decision = case.request, case.decision
        assert decision.deployment is not None
        return Claim(
            decision.device_id,
            decision.identities,
            decision.deployment,
            request.step,
            request.xid,
            request.now,
            sight.site.session_seconds,
            launch_name(decision, self._view.gated),
            case.peer,
            ask,
            card_of(request),
        )

    def knows(self, case: Case) -> bool:
        """Return True if the site or the exclusion list has heard of the machine."""
        return (
            case.decision.device is not None
            or (case.decision.device_id, case.device_id) != (None, None)
            or case.request.guid in self._view.site.devices_by_guid
            or self._is_listed(case.request.mac)
        )

    def guid_alone(self, case: Case) -> str | None:
        """Return the GUID of a machine whose MAC address is on no list: anybody can send it with any other one."""
        return None if self._is_listed(case.request.mac) else case.request.guid

    def _is_listed(self, mac: str) -> bool:
        return mac in self._view.site.devices_by_mac or mac in self._view.exclusion_file.exclusions.macs

    def settle(self, cases: Sequence[Case], verdict: Verdict) -> None:
        """What became of the claims and questions of these cases, which are the verdict's in their order."""
        asked = [case for case in cases if case.ask is not None]
        for case, facts in zip(asked, verdict.facts, strict=verdict.unread is None):
            case.facts = facts
        if verdict.unread is not None:
            for case in asked:
                case.decision = refused(case.decision, verdict.unread)
        claimed = [case for case in cases if case.claim is not None]
        if verdict.failed is not None:
            # The outcome is unknown: nothing is sent, the client asks again (safety 5.4).
            for case in claimed:
                case.decision = refused(case.decision, verdict.failed)
            return
        for case, result in zip(claimed, verdict.claims, strict=True):
            self._settle(case, result)

    def _settle(self, case: Case, result: ClaimResult) -> None:
        if not result.ok or result.mark is None:
            case.decision = refused(case.decision, result.reason)
            return
        case.session, case.token, case.device_id = result.mark.session, result.token, result.device_id
        case.facts = result.facts
        if result.reason not in case.decision.reasons:
            case.decision = replace(case.decision, reasons=(*case.decision.reasons, result.reason))

    def send(self, case: Case) -> Answer:
        """Send what was decided, unless it was stopped, or got too old, meanwhile (R-60, R-72)."""
        if case.decision.action == "ignore":
            return _answer(case, None)
        if self._dry_run:
            case.decision = replace(case.decision, reasons=(*case.decision.reasons, _DRY_RUN))
            return _answer(case, None)
        names = self._names_program(case)
        if case.decision.action == "boot":
            off = self._view.required_off() or (_TOO_LATE if names and _late(case) else None)
            if off is not None:
                case.decision = refused(case.decision, off)
                return _answer(case, None)
        try:
            with self._memory.turn:
                sent_to = self._answer(case) if names else self._server.answer(case.question)
        except (ContentError, ValueError) as error:
            # What it was to be handed cannot be said; a claim waits for the machine's next start.
            case.decision = refused(case.decision, Reason("answer_not_possible", str(error), "W-8"))
            return _answer(case, None)
        if sent_to is None:
            case.decision = replace(case.decision, reasons=(*case.decision.reasons, _NOT_SENT))
        return _answer(case, sent_to)

    def _answer(self, case: Case) -> str | None:
        """Name the boot program, and remember to whom."""
        decision = case.decision
        if decision.action == "pending":
            return self._wait(case)
        if decision.boot_image is None or decision.deployment is None:
            return self._server.answer(case.question, named(decision, None))
        if case.session is None:
            case.session = self._session(case)
        # An offer goes to a client without address, whose files are known by the session in their names.
        boot_file = named(decision, None if case.peer is not None else case.session)
        before = self._memory.find(case.session, "")
        stem = before.stem if before is not None else new_stem(next(self._numbers))
        handed_out = self._handout(case, stem)
        limit = limit_of(case.request, self._view.site)
        if limit.blocks:
            case.decision = replace(decision, reasons=(*decision.reasons, *limit.reasons))
        handed = Handed(
            decision.action == "prompt",
            case.session,
            decision.boot_image,
            decision.deployment,
            decision.device,
            case.device_id,
            case.request.mac,
            case.peer,
            stem,
            limit.model,
            limit.blocks,
        )
        self._memory.note((case.peer, case.session), handed)
        if handed.prompt:
            self._remember(case)
        if handed_out is None:
            return self._server.answer(
                case.question, boot_file, image=decision.boot_image, window_size=limit.blocks
            )
        case.handout = handed_out
        if case.decision.kind == "windows-pe" and case.facts is not None:
            sizes = ramdisk_reason(case.facts)
            case.decision = replace(case.decision, reasons=(*case.decision.reasons, sizes))
        return self._server.answer(
            case.question,
            boot_file,
            image=decision.boot_image,
            files=handed_out.files,
            options=handed_out.options,
            block_size=handed_out.block_size,
            window_size=limit.blocks,
        )

    def _handout(self, case: Case, stem: str) -> Handout | None:
        """What goes with the answer; None for an available deployment of plain files, whose work knows no session."""
        if case.facts is None:
            return None
        policy, loader = self._view.site.policy, case.fields.loader
        return handout(
            case.decision, case.request, loader, policy, self._own_variables(case), case.facts, stem
        )

    def _wait(self, case: Case) -> str | None:
        """Name the loader that asks again until a person has decided, or tell it to wait on (W-69)."""
        decision = case.decision
        if decision.boot_program is not None:
            session = None if case.peer is not None else self._session(case)
            limit = limit_of(case.request, self._view.site)
            return self._server.answer(
                case.question, named(decision, session), image=decision.boot_image, window_size=limit.blocks
            )
        return self._server.answer(
            case.question, options=waiting(decision, case.request, self._view.site.policy)
        )

    def _session(self, case: Case) -> str:
        """A name for the boot of an available deployment, the same for each repeat of its question."""
        machine = f"{case.request.mac} {case.request.guid} {case.decision.boot_image}"
        return hashlib.blake2s(machine.encode(), key=self._memory.secret, digest_size=16).hexdigest()

    def _remember(self, case: Case) -> None:
        """Not a claim, only what tells a later stage of a prompted boot from its beginning (F-42)."""
        request, decision = case.request, case.decision
        if decision.device_id is not None and decision.deployment is not None:
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

    def _own_variables(self, case: Case) -> dict[str, str]:
        """What the boot environment needs to report."""
        values = {
            "PXEFAST_SESSION": case.session or "",
            "PXEFAST_DEPLOYMENT": case.decision.deployment or "",
            "PXEFAST_DEVICE": case.decision.device or case.request.mac,
        }
        if self._report_port is not None and case.token is not None:
            values["PXEFAST_REPORT_URL"] = (
                f"http://{case.fields.server}:{self._report_port}/session/{case.session}"
            )
            values["PXEFAST_TOKEN"] = case.token
        return values

    def _names_program(self, case: Case) -> bool:
        return names_program(case.request, case.decision, self._dhcp)


def _address_in_use(peer: str, who: str) -> Reason:
    text = f"{peer} is the address of {who}, whose required boot is on its way"
    return Reason("address_in_use", text, "T17")


def _late(case: Case) -> bool:
    return clock() - case.question.heard > _TOO_LATE_SECONDS


def _answer(case: Case, sent_to: str | None) -> Answer:
    return Answer(case.question, case.fields, case.request, case.decision, sent_to, case.handout)
