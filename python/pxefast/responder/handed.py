"""What this service has handed out lately, and to whom: an address that asks for a file does not say why.

Only a memory. What the ledger knows of an address counts wherever a required deployment is concerned.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Handed", "Memory"]

_SECONDS = 3600.0
_MOST = 65_536


class Handed(NamedTuple):
    """The newest answer that went to an address.

    `prompt`: of an available deployment, which needs no ledger; else `session` is the ledger's. `peer` is
    that address, None where it was not known. `stem` is what the names of the session's files begin with. `model`
    is what its TFTP window is learned for, `window` the largest that it is granted, in blocks; 0: any.
    """

    prompt: bool
    session: str
    image: str
    deployment: str
    device: str | None
    device_id: int | None
    mac: str
    peer: str | None = None
    stem: str = ""
    model: str | None = None
    window: int = 0


class Memory:
    """The newest answer by address and by session, for an hour; the oldest are forgotten first when there are many."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, Handed]] = OrderedDict()
        # Whoever changes what an address sees: nobody ends a session whose place a newer one takes at that moment.
        self.turn = threading.Lock()
        # Sessions of required boots that have not ended.
        self.open: set[str] = set()
        # What the names of boots of available deployments are drawn with.
        self.secret = secrets.token_bytes(16)

    def note(self, keys: tuple[str | None, ...], handed: Handed) -> None:
        """Remember an answer by each of these addresses and sessions, in place of what was there."""
        if not handed.prompt:
            self.open.add(handed.session)
        until = time.monotonic() + _SECONDS
        for key in keys:
            if key is not None:
                self._known.pop(key, None)
                self._known[key] = (until, handed)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    def end(self, session: str) -> str | None:
        """Forget a session that has ended; the address that it was handed out to, unless that has a newer one."""
        self.open.discard(session)
        _, handed = self._known.pop(session, (0.0, None))
        if handed is None or handed.peer is None:
            return None
        newest = self.find(None, handed.peer)
        return handed.peer if newest is not None and newest.session == session else None

    def leave(self) -> dict[str, Any]:
        """Everything, as JSON takes it, for the process that takes over: their clocks are one."""
        with self.turn:
            known = [[key, until, handed._asdict()] for key, (until, handed) in self._known.items()]
            return {"known": known, "open": sorted(self.open), "secret": self.secret.hex()}

    def inherit(self, left: Mapping[str, Any]) -> None:
        """Take over what `leave` said."""
        self._known = OrderedDict((key, (until, Handed(**handed))) for key, until, handed in left["known"])
        self.open = set(left["open"])
        self.secret = bytes.fromhex(left["secret"])

    def find(self, session: str | None, address: str) -> Handed | None:
        """What was answered to a session, else to an address."""
        for key in (address,) if session is None else (session,):
            until, handed = self._known.get(key, (0.0, None))
            if handed is not None and time.monotonic() < until:
                return handed
        return None
