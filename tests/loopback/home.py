"""A home that is made and changed by the commands its operator would type."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pxefast.cli import main

Sections = Mapping[str, Mapping[str, object]]

# Every port a free one, on loopback; events as JSON; little patience with silent TFTP clients.
LOOPBACK: Sections = {
    "listen": {"address": "127.0.0.1"},
    "dhcp": {"port": 0, "boot_port": 0},
    "tftp": {"port": 0},
    "report": {"port": 0},
    "log": {"format": "json"},
}

# The same for a test of which one address asks for many machines.
CROWDED: Sections = {
    **LOOPBACK,
    "dhcp": {
        **LOOPBACK["dhcp"],
        **{
            f"request{kind}_per_{of}": 1_000_000
            for kind in ("s_per_second", "_burst")
            for of in ("client", "network")
        },
    },
}


class Outcome(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    error: str


class Deployed(NamedTuple):
    """A deployment's id, and the collection that it reaches."""

    id: str
    collection: str


class Home:
    """One distribution point's home. `settings` are sections of pxefast.toml, `made` more arguments of `init`."""

    def __init__(self, folder: Path, settings: Sections = LOOPBACK, made: Sequence[str] = ()) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self.run("init", "--site-code", "PS1", *made)
        self.configure(settings)

    @property
    def database(self) -> Path:
        return self.folder / "site.db"

    def configure(self, settings: Sections) -> None:
        """Write pxefast.toml anew."""
        lines = []
        for section, values in settings.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        (self.folder / "pxefast.toml").write_text("\n".join(lines) + "\n")

    def command(self, *arguments: str) -> Outcome:
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = main(["--home", str(self.folder), *arguments])
        return Outcome(code, out.getvalue().strip(), error.getvalue().strip())

    def run(self, *arguments: str) -> str:
        """What a command prints; it must succeed."""
        outcome = self.command(*arguments)
        assert outcome.code == 0, f"pxefast {' '.join(arguments)}: {outcome}"
        return outcome.out

    def status(self) -> dict[str, Any]:
        """What `status --json` says; empty until the service has told it."""
        found: dict[str, Any] = json.loads(self.command("status", "--json").out)
        return found

    def answer(self) -> None:
        """Let the distribution point answer."""
        self.run("dp", "set", "--enable-pxe", "--allow-pxe-response")

    def publish(self, folder: Path, architecture: str = "x64", **programs: str) -> str:
        """Add and distribute a boot image; `programs` by firmware. Returns its id."""
        named = [f"--boot-program={firmware}={file}" for firmware, file in programs.items()]
        image = self.run("boot-image", "add", str(folder), "--name", folder.name, "--arch", architecture,
                         "--quiet", *named)  # fmt: skip
        self.run("content", "distribute", image)
        return image

    def secret(self, noun: str, name: str, key: str, value: str) -> None:
        """Set a secret variable of a device, deployment or collection."""
        file = self.folder / "secret.txt"
        file.write_text(f"{value}\n", encoding="utf-8")
        self.run(noun, "variable", "set", name, key, "--secret", "--value-file", str(file))
        file.unlink()

    def device(self, name: str, mac: str, guid: str) -> None:
        self.run("device", "import", "--name", name, "--mac", mac, "--smbios-guid", guid)

    def deploy(self, image: str, devices: Iterable[str], purpose: str = "required") -> Deployed:
        """Deploy a task sequence with this image to a new collection of these devices."""
        name = f"set {next(self._numbers)}"
        sequence = self.run("task-sequence", "create", "--name", name, "--boot-image", image, "--quiet")
        self.run("collection", "create", name)
        self.run("collection", "add", name, *devices)
        deployment = self.run("deployment", "create", "--task-sequence", sequence, "--collection", name,
                              "--purpose", purpose, "--make-available-to", "media-pxe", "--quiet")  # fmt: skip
        return Deployed(deployment, name)


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder of these files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
