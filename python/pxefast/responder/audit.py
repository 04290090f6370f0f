"""What is told: one structured event a request with its reasons, and with it a line that a person can read.

Every event has `time` (UTC, ISO 8601), `level`, `event` and `text`. A `request` event has the keys that
`explain --json` promises, and the addresses, identifiers and architecture of the client.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

import structlog

from pxefast.config import Log
from pxefast.decide import Reason
from pxefast.responder.cases import Answer
from pxefast.responder.events import line_of, transfer_facts
from pxefast.responder.feed import Feed
from pxefast.responder.gates import Passage
from pxefast.responder.handed import Handed
from pxefast.responder.lines import Lines
from pxefast.responder.reports import Reported
from pxefast.responder.sampling import Sampler
from pxefast.responder.sessions import Handout
from pxefast.site.ledger import Swept

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Audit"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Audit:
    """Writes events, one a line, to `stream` (JSON, or the readable line alone) and, all of them as JSON, to `feed`."""

    def __init__(self, settings: Log, stream: TextIO, feed: Feed) -> None:
        self._as_json = settings.format == "json" or (settings.format == "auto" and not stream.isatty())
        self._level = _LEVELS[settings.level]
        self.actions: Counter[str] = Counter()
        self.sampler = Sampler()
        self._lines = Lines(stream)
        self._feed = feed
        self._log = structlog.wrap_logger(
            self._lines,
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                self._render,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(0),
        )

    def _render(self, _logger: object, _name: str, event: structlog.types.EventDict) -> str:
        as_json = ""
        if self._as_json or self._feed.heard:
            # ASCII only: no byte from the wire can reach a terminal unescaped (T14).
            as_json = json.dumps({"time": event["time"], **event})
            self._feed.tell(as_json)
        if _LEVELS[event["level"]] < self._level:
            raise structlog.DropEvent
        return as_json if self._as_json else line_of(event)

    def close(self, seconds: float) -> None:
        """Write what waits to be written, for at most so long."""
        self._lines.close(seconds)

    @property
    def alive(self) -> bool:
        """True while the thread that writes runs; it may wait for a reader of the log that hangs (R-105)."""
        return self._lines.alive

    @property
    def problem(self) -> str | None:
        """What is wrong with the log itself."""
        return f"{self._lines.lost} log lines could not be written" if self._lines.lost else None

    def tell(self, level: str, text: str, **more: object) -> None:
        """Something about the service itself."""
        self._log.log(_LEVELS[level], "service", text=text, **more)

    def summarize(self, end: bool = False) -> None:
        """Log how many events were not logged one by one, every ten seconds; and at the `end`."""
        for summary in self.sampler.summaries(end):
            self._log.warning(
                "sampled",
                text=summary.text,
                kind=summary.kind,
                reason=summary.reason,
                source=summary.source,
                sources=summary.sources,
                count=summary.events,
                seconds=round(summary.seconds, 1),
            )

    def answered(self, answer: Answer, known: bool = True, guid: str | None = None) -> None:
        """Log a question and what came of it. Unless the machine is `known`, a flood of them is sampled (D41).

        `guid` is what alone identifies a machine that is `known`: a flood that sends one GUID with ever new MAC
        addresses is sampled by that GUID, and takes nothing from the events of other machines.
        """
        decision, fields = answer.decision, answer.fields
        self.actions[decision.action] += 1
        # Without the port: whoever floods takes a new one each time.
        source = fields.source.rpartition(":")[0]
        if not known:
            if not self.sampler.admit("request", _outcome(answer), source):
                return
        elif guid is not None and not self.sampler.admit_guid("request", _outcome(answer), guid):
            return
        self._log.info(
            "request",
            text=_request_line(answer),
            **decision.as_dict(),
            door=fields.door,
            interface=answer.request.interface,
            source=fields.source,
            server=fields.server,
            sent_to=answer.sent_to,
            mac=fields.mac or None,
            guid=fields.guid,
            xid=f"{fields.xid:08x}",
            secs=fields.secs,
            architecture=decision.architecture,
            architecture_code=fields.architecture,
            firmware=decision.firmware,
            ipxe=fields.ipxe,
            giaddr=fields.giaddr,
            ciaddr=fields.ciaddr,
            relay_agent=_hex(answer.question.relay_agent),
            **({} if answer.handout is None else _handed_out(answer.handout)),
        )

    def launched(self, passage: Passage) -> None:
        """One gate of a launch file, and whether its last byte left."""
        gate, reason = passage.gate, passage.reason
        known = passage.device is not None or passage.mac is not None or passage.result != "refused"
        if not known and not self.sampler.admit("launch", reason.code, gate.address):
            return
        who = passage.device or passage.mac or "?"
        what = {
            "launched": "gets the last byte",
            "opened": f"gets the last byte of {gate.name}",
            "refused": f"does not get the last byte of {gate.name}",
        }[passage.result]
        self._log.log(
            _LEVELS["warning" if passage.result == "refused" else "info"],
            "launch",
            text=f"{who} at {gate.peer} {what}: {reason.text} [{reason.rule}]",
            device=passage.device,
            mac=passage.mac,
            deployment=passage.deployment,
            session=passage.session,
            file=gate.name,
            peer=gate.peer,
            transfer=gate.transfer,
            result=passage.result,
            reasons=[reason_dict(reason)],
        )

    def reported(self, reported: Reported, device: str | None, known: Handed | None) -> None:
        """What a boot environment said, and whether the ledger believed it."""
        result = reported.result
        said = f"{reported.kind}: {reported.text}" if reported.text else reported.kind
        what = f"says {said!r}" if result.ok else f"says {said!r} in vain: {result.reason.text}"
        worth = "warning" if not result.ok or reported.kind == "failed" else "info"
        self._log.log(
            _LEVELS[worth],
            "report",
            text=f"{device or '?'} at {reported.address} {what}",
            device=device,
            mac=known.mac if known else None,
            deployment=result.deployment_id,
            session=reported.session if result.device_id is not None else None,
            kind=reported.kind,
            why=reported.text or None,
            state=result.state,
            peer=reported.address,
            ok=result.ok,
            reasons=[reason_dict(result.reason)],
        )

    def swept(self, row: Swept, device: str | None) -> None:
        """What the passing of time did to a boot; a person must look at one that is held (G3)."""
        self.tell(
            "warning" if row.after == "HOLD" else "info",
            f"{device or row.device_id}: required deployment {row.deployment_id} was {row.before}, "
            f"is {row.after}: {row.why}",
            device=device,
            deployment=row.deployment_id,
            before=row.before,
            after=row.after,
        )

    def transferred(self, transfer: _native.Transfer, known: Handed | None) -> None:
        """One ended transfer; `known` is what was last answered to its address."""
        if known is None:
            address = transfer.peer.rpartition(":")[0]
            if not self.sampler.admit("transfer", transfer.outcome, address):
                return
        facts = transfer_facts(transfer, known.device, known.window) if known else transfer_facts(transfer)
        self._log.log(
            _LEVELS[facts.pop("level")],
            "transfer",
            text=facts.pop("text"),
            device=known.device if known else None,
            mac=known.mac if known else None,
            **facts,
        )

    def refused(self, refused: _native.Refused, known: Handed | None) -> None:
        """A name that TFTP refused."""
        who = f"{known.device or known.mac} at {refused.peer}" if known else refused.peer
        self._log.info(
            "refused",
            text=f"{who} asked for {refused.name}: {refused.reason.replace('_', ' ')}",
            device=known.device if known else None,
            mac=known.mac if known else None,
            peer=refused.peer,
            name=refused.name,
            reason=refused.reason,
        )


def reason_dict(reason: Reason) -> dict[str, str]:
    """A reason as every event has it."""
    return {"code": reason.code, "text": reason.text, "rule": reason.rule}


def _handed_out(handout: Handout) -> dict[str, object]:
    """What went with an answer: the decoded store of this boot (B-50), and what could not be told."""
    return {
        "windows": None if handout.store is None else {"bcd": handout.files[0][0], **asdict(handout.store)},
        "left_out": list(handout.left_out),
    }


def _request_line(answer: Answer) -> str:
    decision, fields = answer.decision, answer.fields
    who = f"{decision.device} ({fields.mac})" if decision.device else fields.mac or fields.guid or "?"
    where = f" via {fields.giaddr}" if fields.giaddr else ""
    what = {
        "boot": f"boots {decision.deployment} with {decision.boot_image}/{decision.boot_program}",
        "prompt": f"may boot {decision.deployment} with {decision.boot_image}/{decision.boot_program}",
        "pending": f"waits until {decision.deployment} is approved",
        "abort": "is told to go on to its next boot device",
        "ignore": "gets no answer",
    }[decision.action]
    if answer.sent_to is None and decision.action != "ignore":
        what = f"is not answered, but {what}"
    because = "; ".join(f"{reason.text} [{reason.rule}]" for reason in decision.reasons)
    return f"{fields.door} {who}{where} {what}: {because}"


def _outcome(answer: Answer) -> str:
    """Return the code of the reason that a question ended with."""
    reasons = answer.decision.reasons
    return reasons[-1].code if reasons else answer.decision.action


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
