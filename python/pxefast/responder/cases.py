"""One question on its way to an answer, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pxefast.decide import Decision, Request
from pxefast.responder.interfaces import interface_mac
from pxefast.responder.sessions import Handout
from pxefast.site.ledger import Claim
from pxefast.site.session_facts import Ask, SessionFacts

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Answer", "Case", "peer_of", "request_of"]


class Answer(NamedTuple):
    """One question and what came of it. `sent_to` is None where nothing was sent, `handout` what went with it."""

    question: _native.Request
    fields: _native.Fields
    request: Request
    decision: Decision
    sent_to: str | None
    handout: Handout | None = None


@dataclass
class Case:
    """One question on its way to an answer.

    `peer` is the client's address where it is known. `claim` is what must be durable first; `session`, `token` and
    `device_id` are the ledger's. `ask` is what must be known of the site where nothing is claimed, `facts` the answer.
    """

    question: _native.Request
    fields: _native.Fields
    request: Request
    decision: Decision
    peer: str | None
    claim: Claim | None = None
    session: str | None = None
    token: str | None = None
    device_id: int | None = None
    ask: Ask | None = None
    facts: SessionFacts | None = None
    handout: Handout | None = None


def peer_of(fields: _native.Fields) -> str | None:
    """The client's own address, where the question shows it: from there it will ask for files."""
    if fields.door == "discover":
        return None
    source = fields.source.rpartition(":")[0]
    return fields.ciaddr if fields.giaddr is not None or source == "0.0.0.0" else source


def request_of(question: _native.Request, fields: _native.Fields, now: float) -> Request:
    """What the decision sees of a question; `now` is Unix seconds."""
    # The native side lets nothing through that is no PXE client.
    loader = fields.loader
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
        interface_mac(question.interface),
        loader is not None,
        None if loader is None else loader.architecture,
        peer_of(fields),
    )
