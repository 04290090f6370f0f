"""`pxefast serve` as a process of its own, and the events that it prints."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from .home import Home

Event = dict[str, Any]
T = TypeVar("T")

# For what comes at once where nothing else runs.
PATIENCE = 10.0
# "Within a second", and what a test machine with other work adds.
SOON = 2.0
# Of five connections that the service's threads share and one that watches, three files each.
DATABASE_FILES = 18


def eventually(
    look: Callable[[], T | None],
    seconds: float = PATIENCE,
    what: str = "what was waited for",
    pause: float = 0.02,
) -> T:
    """What `look` finds once it is true; looks again and again, `pause` seconds apart, until the bound."""
    again = threading.Event()
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"{what} did not come within {seconds} s"
        again.wait(pause)
    return found


class Service:
    """A running service. Use it in a `with`; it is ready from the beginning."""

    def __init__(
        self,
        home: Home,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "pxefast"),
        arguments: Sequence[str] = (),
    ) -> None:
        self.home = home
        self._successor: int | None = None
        self._news = threading.Condition()
        self._reading = threading.Event()
        self._reading.set()
        self.lines: list[str] = []
        self.events: list[Event] = []
        self._process = subprocess.Popen(
            [sys.executable, *program, "--home", str(home.folder), "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        assert self._process.stdout
        assert self._process.stderr
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        first = self._process.stdout.readline()
        if first != "ready\n":
            raise AssertionError(
                f"not ready but {first!r}, exit {self.end()}: {self.events} {''.join(self.lines)}"
            )
        self.ports: dict[str, int] = home.status()["ports"]

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._reading.wait()
            with self._news:
                if line.startswith("{"):
                    self.events.append(json.loads(line))
                else:
                    self.lines.append(line)
                self._news.notify_all()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process that serves now."""
        return self._successor or self._process.pid

    def reload(self) -> int:
        """Have a successor take over, as `systemctl reload` does; the process that served before, which drains."""
        before = self.pid
        os.kill(before, signal.SIGHUP)

        def look() -> dict[str, Any] | None:
            status = self.home.status()
            return status if status.get("pid", before) != before else None

        status = eventually(look, what="a successor")
        self._successor, self.ports = status["pid"], status["ports"]
        return before

    def event(
        self,
        kind: str,
        look: Callable[[Event], bool] = lambda _: True,
        *,
        after: int = 0,
        count: int = 1,
        seconds: float = PATIENCE,
    ) -> Event:
        """The first event of a kind that `look` accepts, among those numbered `after` or later; or the `count`th."""
        end = time.monotonic() + seconds
        with self._news:
            while True:
                for event in self.events[after:]:
                    after += 1
                    if event["event"] == kind and look(event):
                        count -= 1
                        if count == 0:
                            return event
                left = end - time.monotonic()
                assert left > 0, f"no such {kind} event within {seconds} s; the last: {self.events[-3:]}"
                self._news.wait(left)

    @property
    def open_files(self) -> int:
        """How many files and sockets it has open, but for the database's: its threads share a few connections.

        How many of those there are depends on whether two threads ever needed one at once; no packet adds any.
        """
        database = re.compile(r"site\.db(-wal|-shm)?")
        names = [Path(name).name for name in descriptors(self.pid)]
        assert sum(database.fullmatch(name) is not None for name in names) <= DATABASE_FILES
        return sum(database.fullmatch(name) is None for name in names)

    @property
    def sockets(self) -> int:
        """How many sockets it has open; each transfer has one."""
        return sum(name.startswith("socket:") for name in descriptors(self.pid))

    @property
    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def counters(self) -> dict[str, int]:
        """The counters of `status --json`, written after now: it is rewritten every second."""
        now = time.time()

        def look() -> dict[str, int] | None:
            status = self.home.status()
            return status["counters"] if status["written"] > now else None

        return eventually(look, what="a new status")

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        """Send a signal; returns the exit status, of the process that was started first."""
        try:
            if self._successor is not None:
                assert ended(self._successor, number, seconds), f"{self._successor} does not end"
            elif self._process.poll() is None:
                self._process.send_signal(number)
            code = self._process.wait(seconds)
        finally:
            self._process.kill()
            if self._successor is not None:
                ended(self._successor, signal.SIGKILL, seconds)
        self._reader.join(PATIENCE)
        assert self._process.stdout
        assert self._process.stderr
        self._process.stdout.close()
        self._process.stderr.close()
        return code

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Stop the process for a while: what is sent meanwhile waits in the kernel."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def unread_log(self) -> Iterator[None]:
        """Nobody reads what it prints for a while, so that its pipe fills up."""
        self._reading.clear()
        try:
            yield
        finally:
            self._reading.set()

    def close_log(self) -> None:
        """Read no more of what it prints than what comes next, as when the reader of a pipe dies (`is_read`)."""
        assert self._process.stderr
        os.dup2(os.open(os.devnull, os.O_RDONLY), self._process.stderr.fileno())

    @property
    def is_read(self) -> bool:
        """Whether somebody reads what it prints."""
        return self._reader.is_alive()

    def stop(self) -> None:
        """End it, whatever is under way. It must end well and have printed nothing but events."""
        if self._process.poll() is None or self._successor is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)
        code = self.end()
        assert not self.lines, f"on stderr, and no event: {self.lines}"
        assert code in (0, -signal.SIGKILL), f"exit {code}; the last events: {self.events[-3:]}"


def descriptors(pid: int) -> list[str]:
    """What a process has open, as the kernel names it."""
    names = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            names.append(str(descriptor.readlink()))
    return names


def ended(pid: int, number: signal.Signals | None, seconds: float = PATIENCE) -> bool:
    """Send a signal to a process that is not our child; whether it ends."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if number is not None:
            signal.pidfd_send_signal(process, number)
        return bool(select.select([process], [], [], seconds)[0])
    except ProcessLookupError:
        return True
    finally:
        os.close(process)


def moved(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """The counters that are not what they were."""
    return {
        name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)
    }
