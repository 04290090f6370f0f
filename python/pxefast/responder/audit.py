"""What is told: one structured event a request with its reasons, and with it a line that a person can read.

Every event has `time` (UTC, ISO 8601), `level`, `event` and `text`. A `request` event has the keys that
`explain --json` promises, and the addresses, identifiers and architecture of the client.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, TextIO

import structlog

from pxefast.config import Log
from pxefast.responder.reply import Answer

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Audit"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# How a transfer ended that nobody needs to look at (F-50, W-89); GRUB stops each as it likes (F-54).
_NORMAL_ENDS = {"complete", "unconfirmed", "size_probe", "aborted"}


class _Lines:
    """Writes lines. One that cannot be written is counted: a log without reader or room ends nothing (R-105)."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def msg(self, line: str) -> None:
        try:
            print(line, file=self._stream, flush=True)
        except OSError:
            self.lost += 1

    debug = info = warning = error = msg


class Audit:
    """Writes events, one a line, to `stream`; JSON, or the readable line alone."""

    def __init__(self, settings: Log, stream: TextIO) -> None:
        as_json = settings.format == "json" or (settings.format == "auto" and not stream.isatty())
        self.actions: Counter[str] = Counter()
        self._lines = _Lines(stream)
        self._log = structlog.wrap_logger(
            self._lines,
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                _json if as_json else _line,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        )

    @property
    def problem(self) -> str | None:
        """What is wrong with the log itself."""
        return f"{self._lines.lost} log lines could not be written" if self._lines.lost else None

    def tell(self, level: str, text: str, **more: object) -> None:
        """Something about the service itself."""
        self._log.log(_LEVELS[level], "service", text=text, **more)

    def answered(self, answer: Answer) -> None:
        """One question and what came of it."""
        decision, fields = answer.decision, answer.fields
        self.actions[decision.action] += 1
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
        )

    def transferred(self, transfer: _native.Transfer) -> None:
        """One ended transfer."""
        level = "info" if transfer.outcome in _NORMAL_ENDS else "warning"
        rate = transfer.bytes / 1e6 / transfer.seconds if transfer.seconds > 0 else 0.0
        self._log.log(
            _LEVELS[level],
            "transfer",
            text=f"{transfer.peer} {transfer.name}: {transfer.outcome.replace('_', ' ')}, "
            f"{transfer.bytes} of {transfer.size} bytes in {transfer.seconds:.3f} s ({rate:.1f} MB/s), "
            f"block {transfer.block_size} window {transfer.window_size}, {transfer.resent} resent",
            peer=transfer.peer,
            name=transfer.name,
            outcome=transfer.outcome,
            size=transfer.size,
            bytes=transfer.bytes,
            seconds=round(transfer.seconds, 6),
            block_size=transfer.block_size,
            window_size=transfer.window_size,
            resent=transfer.resent,
        )


def _request_line(answer: Answer) -> str:
    decision, fields = answer.decision, answer.fields
    who = f"{decision.device} ({fields.mac})" if decision.device else fields.mac or fields.guid or "?"
    where = f" via {fields.giaddr}" if fields.giaddr else ""
    what = {
        "boot": f"boots {decision.deployment} with {decision.boot_image}/{decision.boot_program}",
        "prompt": f"may boot {decision.deployment} with {decision.boot_image}/{decision.boot_program}",
        "abort": "is told to go on to its next boot device",
        "ignore": "gets no answer",
    }[decision.action]
    because = "; ".join(f"{reason.text} [{reason.rule}]" for reason in decision.reasons)
    return f"{fields.door} {who}{where} {what}: {because}"


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _json(_logger: object, _name: str, event: structlog.types.EventDict) -> str:
    # ASCII only: no byte from the wire can reach a terminal unescaped (T14).
    return json.dumps({"time": event.pop("time"), **event})


def _line(_logger: object, _name: str, event: structlog.types.EventDict) -> str:
    text = str(event["text"]).encode("unicode_escape").decode("ascii")
    return f"{event['time']} {event['level']:<7} {text}"
