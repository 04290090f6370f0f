"""Names that TFTP refused, told to people: each once in a while, and never more than they can read.

A machine that is known has a bound of its own, so that no flood of strangers hides what it asks for. D41 asks that
decisions on known machines are never left out; a name that TFTP refused is no decision, and its sender is known by an
IPv4 address alone, which anybody can forge.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pxefast.responder.audit import Audit
from pxefast.responder.handed import Handed, Memory

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Refusals"]

# The same name is told of the same address once in this time: loaders try names that need not be there.
_AGAIN_SECONDS = 60.0
_MOST_KNOWN = 4096
# Of all strangers together, a second; what is more is counted (`sampling.py`).
_PER_SECOND = 10
# Names of one machine that is known, in that minute: a boot asks for a few dozen that are not there. Any address can be
# forged, so that even this has an end.
_MOST_OF_MACHINE = 1000


class Refusals:
    """Tells of refused names, as the loop finds them."""

    def __init__(self, audit: Audit, memory: Memory) -> None:
        self._audit = audit
        self._memory = memory
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._left = float(_PER_SECOND)
        self._at = time.monotonic()
        self._of_machine: Counter[str] = Counter()
        self._minute = self._at

    def tell(self, refused: Sequence[_native.Refused]) -> None:
        """Tell of these, less what was told lately or is too much."""
        if not refused:
            return
        now = time.monotonic()
        self._left = min(self._left + (now - self._at) * _PER_SECOND, _PER_SECOND)
        self._at = now
        if now - self._minute >= _AGAIN_SECONDS:
            self._minute = now
            self._of_machine.clear()
        for each in refused:
            address = each.peer.rpartition(":")[0]
            if now - self._told.get((address, each.name), -_AGAIN_SECONDS) < _AGAIN_SECONDS:
                continue
            known = self._memory.find(None, address)
            if not self._room(known, address):
                self._audit.sampler.skip("refused", each.reason, address)
                continue
            self._told[address, each.name] = now
            self._told.move_to_end((address, each.name))
            if len(self._told) > _MOST_KNOWN:
                self._told.popitem(last=False)
            self._audit.refused(each, known)

    def _room(self, known: Handed | None, address: str) -> bool:
        """Return True, and count it, if one more name may be told."""
        if known is not None:
            self._of_machine[address] += 1
            return self._of_machine[address] <= _MOST_OF_MACHINE
        if self._left < 1:
            return False
        self._left -= 1
        return True
