"""Life signs of the threads of a service: what is stuck, in what, and since when (D36)."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

from pxefast.decide import Reason

__all__ = ["SILENT_SECONDS", "Heartbeat", "Stuck", "clock"]

# Changes that were not followed for so long turn everything off.
SILENT_SECONDS = 5.0
# A thread that computes is not stuck: a large site takes a while to load. This is the end of that, for a loop that
# never ends computes as well. 100,000 devices take about three seconds.
_LONGEST_WORK_SECONDS = 60.0
# Processor time that counts as a sign of life.
_WORK_SECONDS = 0.001
_DATABASE = "database"


def clock() -> float:
    """Return seconds that also pass while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Stuck(NamedTuple):
    """A thread that does not come to its end.

    Attributes:
        what: Clause that says what does not happen meanwhile.
        thread: Name of the thread.
        job: What the thread was doing last.
        seconds: Time since the last round that the thread completed.
        since: Time of day, in seconds since 1970, at which the job began.
    """

    what: str
    thread: str
    job: str
    seconds: float
    since: float

    @property
    def in_database(self) -> bool:
        """True if the thread waits for the database, which a restart of the service would not mend."""
        return self.job.startswith(_DATABASE)

    @property
    def text(self) -> str:
        """Sentence for people."""
        at = time.strftime("%H:%M:%S", time.gmtime(self.since))
        return (
            f"{self.what} for {self.seconds:.0f} s: "
            f"thread {self.thread} is stuck in '{self.job}' since {at} UTC"
        )

    def reason(self, what: str) -> Reason:
        """Return the reason why `what`, such as "required deployments are off"."""
        if self.in_database:
            text = f"{what}: the database has been silent for {self.seconds:.0f} s"
            return Reason("database_unavailable", text, "D10")
        return Reason("changes_not_followed", f"{what}: {self.text}", "D36")


class Heartbeat:
    """Life signs of one thread, which calls `enter` and `beat`; every other method is for the threads that watch it."""

    def __init__(self, name: str, what: str = "changes have not been followed") -> None:
        self._name = name
        self._what = what
        self._job = ("start", clock())
        self._followed = self._moved = clock()
        self._thread: threading.Thread | None = None
        self._clock_id: int | None = None
        self._worked = 0.0

    def attach(self) -> None:
        """Watch the calling thread from now on."""
        self._thread = threading.current_thread()
        self._clock_id = time.pthread_getcpuclockid(threading.get_ident())

    def enter(self, job: str) -> None:
        """Begin a job; names of jobs that wait for the database begin with "database"."""
        self._job = (job, clock())

    def beat(self, began: float) -> None:
        """Complete a round that began at a time by `clock`."""
        self._followed = began

    def tick(self) -> None:
        """Note whether the thread has computed since the last call; call it several times a second."""
        thread = self._thread
        if thread is None or self._clock_id is None or not thread.is_alive():
            return
        try:
            worked = time.clock_gettime(self._clock_id)
        except OSError:
            return
        if worked - self._worked >= _WORK_SECONDS:
            self._worked, self._moved = worked, clock()

    def look(self) -> Stuck | None:
        """Return what the thread is stuck in, or None while it lives."""
        now = clock()
        silent = now - self._followed
        if silent <= SILENT_SECONDS:
            return None
        ended = self._thread is not None and not self._thread.is_alive()
        if not ended and now - self._moved <= SILENT_SECONDS and silent <= _LONGEST_WORK_SECONDS:
            return None
        job, since = self._job
        job = f"{job} (it has ended)" if ended else job
        return Stuck(self._what, self._name, job, silent, time.time() - (now - since))
