"""What the README tells a newcomer to type, typed: it leads to a booted machine, and to Windows PE."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import wims
from .loopback.home import write_files
from .loopback.lan import CLIENT, SERVER, Lan, lan_or_skip
from .loopback.machine import CLIENT_PORT, Client
from .loopback.peer import Peer
from .loopback.service import eventually

README = Path(__file__).parent.parent / "README.md"
MAC, GUID = "52:54:00:15:01:02", "8a9f841d-4d9f-5e53-a833-734a9fbf87b5"
FILES = {"pxelinux.0": b"BIOS" * 300, "grubx64.efi": b"UEFI" * 500, "initrd.img": b"initrd" * 1000}


def commands(heading: str) -> str:
    """The first block of code below a heading."""
    found = re.search(
        rf"^## {heading}\n.*?\n\n((?:    [^\n]+\n)+)", README.read_text(), re.DOTALL | re.MULTILINE
    )
    assert found, heading
    return found[1]


class Newcomer:
    """Who types commands as root in a folder, on the server of a network."""

    def __init__(self, lan: Lan, folder: Path) -> None:
        self._lan, self.folder = lan, folder
        self.log = folder / "log"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "PXEFAST_HOME": str(folder / "home")}

    def types(self, script: str) -> str:
        """What comes of it; each command must succeed."""
        with self._lan.server:
            done = subprocess.run(
                ["bash", "-euc", script],
                cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=240, check=False,
            )  # fmt: skip
        assert done.returncode == 0, done
        return done.stdout

    @contextmanager
    def serving(self, command: str) -> Iterator[None]:
        with self.log.open("w") as log, self._lan.server:
            service = subprocess.Popen(
                ["bash", "-c", f"exec {command.strip()}"],
                cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            eventually(lambda: "ready\n" in self.log.read_text())
            yield
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(60)


@pytest.fixture
def lan() -> Iterator[Lan]:
    lan = lan_or_skip()
    with lan.client:
        yield lan
    lan.close()


def test_what_the_first_page_says_boots_a_machine_once_and_then_windows_pe(lan: Lan, tmp_path: Path) -> None:
    newcomer = Newcomer(lan, tmp_path)
    write_files(tmp_path / "image", FILES)
    *steps, serve = commands("A booted machine").splitlines()
    said = newcomer.types("\n".join(steps))
    assert re.findall(r"\bPS100\d{3}\b", said)[0] == "PS100001"
    assert "PS120001" in said
    with Client(MAC, GUID, address="", port=CLIENT_PORT) as web01, newcomer.serving(serve):
        boots(web01, "grubx64.efi", 1)
        web01.discover_by_broadcast(2)
        eventually(
            lambda: (
                "already offered: required deployment PS120001 runs once on a device"
                in newcomer.log.read_text()
            )
        )
        assert not web01.received()
        newcomer.types("pxefast deployment clear --device web01 --deployment PS120001 --yes")
        eventually(lambda: "PS120001" in newcomer.types(f"pxefast explain --mac {MAC}"))
        boots(web01, "grubx64.efi", 3)
        newcomer.types(
            "pxefast deployment remove PS120001 --yes; "
            "pxefast deployment clear --device web01 --deployment PS120001 --yes"
        )
        wims.make(tmp_path / "winpe.wim")
        said = newcomer.types(commands("Boot Windows PE in five commands"))
        assert "PS100004" in said
        assert "PS120002" in said


def boots(web01: Client, program: str, xid: int) -> None:
    """It fetches its boot program and, by that, its initrd."""
    file = web01.boot_from(SERVER, xid)
    folder, name = file.rsplit("/", 1)
    assert name == program
    for name in (program, "initrd.img"):
        with Peer(69, CLIENT, SERVER) as peer:
            assert peer.fetch(f"{folder}/{name}") == FILES[name]
