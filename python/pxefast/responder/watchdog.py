"""Watches the threads of a service: says what is stuck, and keeps systemd's watchdog quiet while every one lives (D36).

A thread that waits for the database is not dead: a restart would not bring the database back, and would cut transfers
under way. It counts as dead after five minutes. The thread that reads the exclusion list is not watched here: it may
hang for as long as its file system does, and required deployments are held meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from pxefast.decide import Reason
from pxefast.responder.heartbeat import Heartbeat, Stuck, clock
from pxefast.responder.systemd import tell_systemd

__all__ = ["Watchdog"]

_FEED_SECONDS = 1.0
_DATABASE_SECONDS = 300.0
# Said only when it lasts: after a pause of the whole host every thread is late for a moment.
_TELL_SECONDS = 1.0
_TASKS = Path("/proc/self/task")
_WORKER = "pxefast-tftp"
_KEEPER = "pxefast-keeper"

Tell = Callable[[str, str], None]


class Watchdog:
    """Watches one service; its methods are for the thread that answers machines.

    Args:
        keeper: Life signs of the thread that follows changes.
        off: Returns why nothing, or nothing required, is handed out.
        hearts: Life signs of other threads, by name.
        threads: Functions that return True while a thread without life signs runs, by name.
        workers: Number of native threads that send files.
        tell: Logs a level and a text.
    """

    def __init__(
        self,
        keeper: Heartbeat,
        off: Callable[[], Reason | None],
        hearts: Mapping[str, Heartbeat],
        threads: Mapping[str, Callable[[], bool]],
        workers: Callable[[], int],
        tell: Tell,
    ) -> None:
        self._off = off
        self._hearts = {_KEEPER: keeper, **hearts}
        self._threads = threads
        self._workers = workers
        self._tell = tell
        self._next = 0.0
        self._stuck_since: dict[str, float] = {}
        self._told: set[str] = set()

    def tick(self, feed: bool) -> None:
        """Look after every thread; several times a second. Only a service that is systemd's main process is to feed."""
        for heart in self._hearts.values():
            heart.tick()
        now = clock()
        if now < self._next:
            return
        self._next = now + _FEED_SECONDS
        dead = self._dead(now)
        if feed and not dead and os.environ.get("WATCHDOG_USEC"):
            tell_systemd("WATCHDOG=1")

    def problems(self) -> list[str]:
        """Return a sentence for each thread that is stuck or has ended."""
        stuck = [stuck.text for heart in self._hearts.values() if (stuck := heart.look())]
        return [*stuck, *self._ended()]

    def _ended(self) -> list[str]:
        ended = [f"thread {name} has ended" for name, lives in self._threads.items() if not lives()]
        missing = self._workers() - _native_threads()
        if missing > 0:
            ended.append(f"{missing} of {self._workers()} threads that send files have ended")
        return [f"{text}; restart pxefast" for text in ended]

    def _dead(self, now: float) -> bool:
        """Return True if a restart is the only help left; log what is new."""
        dead = False
        for name, heart in self._hearts.items():
            stuck = heart.look()
            if stuck is None:
                self._recovered(name)
                continue
            dead = dead or not stuck.in_database or stuck.seconds > _DATABASE_SECONDS
            self._stuck(name, stuck, now)
        for text in (ended := self._ended()):
            if text not in self._told:
                self._told.add(text)
                self._tell("error", text)
        return dead or bool(ended)

    def _stuck(self, name: str, stuck: Stuck, now: float) -> None:
        since = self._stuck_since.setdefault(name, now)
        if name not in self._told and now - since >= _TELL_SECONDS / 2:
            self._told.add(name)
            off = self._off() if name == _KEEPER else None
            self._tell("error", stuck.text if off is None else f"{stuck.text}; {off.text}")

    def _recovered(self, name: str) -> None:
        since = self._stuck_since.pop(name, None)
        if since is not None and name in self._told:
            self._told.discard(name)
            self._tell("warning", f"thread {name} goes on, {clock() - since:.0f} s after it was found stuck")


def _native_threads() -> int:
    """Return the number of threads of this process that send files."""
    count = 0
    for task in _TASKS.iterdir():
        with suppress(OSError):
            count += (task / "comm").read_text(encoding="ascii", errors="replace").strip() == _WORKER
    return count
