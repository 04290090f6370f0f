"""`pxefast` as its user meets it: commands, a home, `serve`, and the events that it prints."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .image import Image
from .net import Namespace
from .process import GoneError, Program

Event = dict[str, Any]
EXECUTABLE = shlex.split(os.environ.get("PXEFAST", "")) or [sys.executable, "-m", "pxefast"]
SETTINGS = '[log]\nformat = "json"\n'


class Service:
    """A site with one distribution point in its own home; `start()` makes it serve inside its namespace."""

    def __init__(self, namespace: Namespace, home: Path) -> None:
        self._namespace = namespace
        self._program: Program | None = None
        self.home = home
        self.run("init", "--site-code", "PS1")
        (home / "pxefast.toml").write_text(SETTINGS)
        self.run("dp", "set", "--enable-pxe", "--allow-pxe-response")

    def _command(self, *arguments: str) -> list[str]:
        return [*EXECUTABLE, "--home", str(self.home), *arguments]

    def run(self, *arguments: str) -> str:
        """What a command prints on stdout, stripped. An AssertionError with its stderr if it fails."""
        argv = self._command(*arguments)
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (
            f"`{shlex.join(argv)}` exits {done.returncode}: {done.stderr}{done.stdout}"
        )
        return done.stdout.strip()

    def publish(self, image: Image) -> str:
        """Add an x64 boot image of kind `files` and distribute it; returns its id."""
        programs = [f"--boot-program={firmware}={file}" for firmware, file in image.programs.items()]
        named = ["--name", image.name, "--arch", "x64", *programs, "--launch-file", image.launch_file]
        identity = self.run("boot-image", "add", str(image.folder), *named, "--quiet")
        self.run("content", "distribute", identity)
        return identity

    def add_device(self, name: str, mac: str, guid: str) -> None:
        self.run("device", "import", "--name", name, "--mac", mac, "--smbios-guid", guid)

    def deploy(self, name: str, boot_image: str, devices: Sequence[str], purpose: str) -> str:
        """Deploy a task sequence with this boot image to these devices; returns the deployment's id."""
        sequence = self.run("task-sequence", "create", "--name", name, "--boot-image", boot_image, "--quiet")
        self.run("collection", "create", name)
        self.run("collection", "add", name, *devices)
        target = ["--task-sequence", sequence, "--collection", name]
        audience = ["--purpose", purpose, "--make-available-to", "media-pxe"]
        return self.run("deployment", "create", *target, *audience, "--quiet")

    def start(self) -> None:
        """Serve; every port answers when this returns."""
        self._program = Program(self._command("serve"), self._namespace, "pxefast serve")
        try:
            self._program.out.wait_for(r"^ready$", 30)
        except GoneError as error:
            self.end()
            raise AssertionError(f"{error}\nstderr:\n{self.log}") from None

    def end(self) -> None:
        if self._program:
            self._program.end()

    @property
    def log(self) -> str:
        return str(self._program.err) if self._program else ""

    @property
    def events(self) -> list[Event]:
        return _parsed(self.log)

    def requests(self, mac: str, after: int = 0) -> list[Event]:
        """The decisions about one MAC, in their order, from the event numbered `after` on."""
        return [event for event in self.events[after:] if event["event"] == "request" and event["mac"] == mac]

    def wait_for(self, look: Callable[[Event], bool], seconds: float, what: str, after: int = 0) -> Event:
        """The first event numbered `after` or later that `look` accepts."""
        assert self._program

        def search(text: str) -> Event | None:
            return next(filter(look, _parsed(text)[after:]), None)

        return self._program.err.wait(search, seconds, what)

    def gives_reason(self, mac: str, code: str, seconds: float, after: int = 0) -> bool:
        """Whether a decision about this MAC, from event number `after` on, comes to give this reason."""

        def look(event: Event) -> bool:
            return event["event"] == "request" and event["mac"] == mac and code in reason_codes(event)

        try:
            self.wait_for(look, seconds, f"the reason {code} for {mac}", after)
        except GoneError:
            return False
        return True


def reason_codes(event: Event) -> set[str]:
    return {reason["code"] for reason in event["reasons"]}


def _parsed(log: str) -> list[Event]:
    whole_lines = log[: log.rfind("\n") + 1].splitlines()
    return [json.loads(line) for line in whole_lines if line.startswith("{")]
