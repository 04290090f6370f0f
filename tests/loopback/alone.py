"""`pxefast tftp` as a process of its own: what its transfers cost is not mixed up with what a test holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .service import PATIENCE, Event, descriptors, eventually


class Alone:
    """A folder served by TFTP, in the network that it is made in. Use it in a `with`.

    `before` is what runs it, such as `setpriv` with its switches.
    """

    def __init__(
        self, folder: Path, log: Path, host: str = "127.0.0.1", port: int = 0, before: Sequence[str] = ()
    ) -> None:
        self._log = log
        command = [*before, sys.executable, "-m", "pxefast", "tftp", str(folder), "--json"]
        with log.open("w") as lines:
            self._process = subprocess.Popen(
                [*command, "--host", host, "--port", str(port)], stdin=subprocess.DEVNULL, stdout=lines
            )
        try:
            self.port = int(self._wait(lambda event: event["event"] == "serving")["port"])
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def open_files(self) -> int:
        """How many descriptors it has, sockets among them."""
        return len(descriptors(self.pid))

    @property
    def sockets(self) -> int:
        return sum(name.startswith("socket:") for name in descriptors(self.pid))

    @property
    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    @property
    def transfers(self) -> list[Event]:
        """The transfers that have ended."""
        return [event for event in self._events() if event["event"] == "transfer"]

    def end(self) -> dict[str, int]:
        """End it as Ctrl-C does, whatever is under way; its counters."""
        assert self._process.poll() is None, f"it ended by itself, with {self._process.returncode}"
        for number in (signal.SIGINT, signal.SIGTERM):
            self._process.send_signal(number)
        try:
            assert self._process.wait(PATIENCE) == 0
        finally:
            self._process.kill()
        counters: dict[str, int] = self._wait(lambda event: event["event"] == "ended")["counters"]
        return counters

    def _events(self) -> list[Event]:
        text = self._log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def _wait(self, look: Callable[[Event], bool]) -> Event:
        return eventually(lambda: next(filter(look, self._events()), None))
