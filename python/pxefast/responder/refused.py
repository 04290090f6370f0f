"""Names that TFTP refused, told to people: each once in a while, and never more than they can read."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pxefast.responder.audit import Audit
from pxefast.responder.handed import Memory

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Refusals"]

# The same name is told of the same address once in this time: loaders try names that need not be there.
_AGAIN_SECONDS = 60.0
_MOST_KNOWN = 4096
# All of them together, a second; what is more is counted in the next one that is told.
_PER_SECOND = 10


class Refusals:
    """Tells of refused names, as the loop finds them."""

    def __init__(self, audit: Audit, memory: Memory) -> None:
        self._audit = audit
        self._memory = memory
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._left = float(_PER_SECOND)
        self._at = time.monotonic()
        self._unsaid = 0

    def tell(self, refused: Sequence[_native.Refused]) -> None:
        """Tell of these, less what was told lately or is too much."""
        if not refused:
            return
        now = time.monotonic()
        self._left = min(self._left + (now - self._at) * _PER_SECOND, _PER_SECOND)
        self._at = now
        for each in refused:
            address = each.peer.rpartition(":")[0]
            if now - self._told.get((address, each.name), -_AGAIN_SECONDS) < _AGAIN_SECONDS:
                continue
            if self._left < 1:
                self._unsaid += 1
                continue
            self._left -= 1
            self._told[address, each.name] = now
            self._told.move_to_end((address, each.name))
            if len(self._told) > _MOST_KNOWN:
                self._told.popitem(last=False)
            self._audit.refused(each, self._memory.find(None, address), self._unsaid)
            self._unsaid = 0
