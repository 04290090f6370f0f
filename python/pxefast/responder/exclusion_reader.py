"""The thread that looks at the exclusion list's file: it alone hangs when the file system hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from pxefast import named_files
from pxefast.errors import ExclusionError

__all__ = ["ListReader", "Look", "Stamp"]

# Time between two looks.
_SECONDS = 0.2

#: `named_files.stamp` of a file: None for a file that has no status, "" for one that was never looked at.
Stamp = tuple[int, ...] | None | str


class Look(NamedTuple):
    """Content of a list that has changed, or the error that kept it from being read."""

    stamp: Stamp
    macs: frozenset[str]
    error: ExclusionError | None


class ListReader:
    """Looks at one file again and again; `take` gets each change, in this thread.

    Attributes:
        file: Path of the list.
        confirmed: Boot time, in seconds, at which the newest look that was completed began.
        unsettled: True if the newest look met a file that is being written to.
    """

    def __init__(
        self,
        file: str,
        look: Callable[[str, Stamp], Look | None],
        take: Callable[[ListReader, Look], None],
        confirmed: float | None = None,
    ) -> None:
        self.file = file
        self.confirmed = _clock() if confirmed is None else confirmed
        self.unsettled = False
        self._look = look
        self._take = take
        self._stamp: Stamp = ""
        self._news = threading.Condition()
        self._asked = 0
        self._answered = 0
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="pxefast-list", daemon=True)

    @property
    def alive(self) -> bool:
        """True until the thread has ended, which it cannot while the kernel does not return."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        with self._news:
            self._ending = True
            self._news.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait for a look that begins after this call. Return False if none is completed in time."""
        with self._news:
            self._asked += 1
            mine = self._asked
            self._news.notify_all()
            return self._news.wait_for(lambda: self._answered >= mine or self._ending, seconds)

    def _run(self) -> None:
        while True:
            with self._news:
                if self._ending:
                    return
                asked = self._asked
            began = _clock()
            try:
                look = self._look(self.file, self._stamp)
            except named_files.Unsettled:
                self.unsettled = True
            else:
                if look is not None:
                    self._stamp = look.stamp
                    self._take(self, look)
                with self._news:
                    self.unsettled, self.confirmed, self._answered = False, began, asked
                    self._news.notify_all()
            with self._news:
                self._news.wait_for(lambda: self._ending or self._asked > self._answered, _SECONDS)
            if self.unsettled:
                # A writer is at work: no busy loop meanwhile.
                time.sleep(_SECONDS / 4)


def _clock() -> float:
    """Return seconds that also pass while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
