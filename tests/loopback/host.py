"""A host whose first process is systemd: this machine's kernel and files, and a network that is given."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from ..firmware.net import Namespace
from .home import Home, Outcome
from .service import eventually

CHECKOUT = Path(__file__).parent.parent.parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_BEGIN = """
echo $$ >"$1/cgroup.procs" && shift &&
exec setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc --cgroup --fork --kill-child "$@"
"""


class Host:
    """What it changes is gone when it is closed. `root` is its root folder, as this process sees it."""

    def __init__(self, folder: Path, network: Namespace) -> None:
        # Its processes are accounted for beside those of this session, not among them, and end with this one.
        self._group = Path(tempfile.mkdtemp(prefix="pxefast-test-", dir=_accounts()))
        place = [str(Path(__file__).with_name("host.sh")), str(folder), str(CHECKOUT)]
        python = [sys.base_prefix, sysconfig.get_path("purelib")]
        with network:
            self._process = subprocess.Popen(
                ["sh", "-c", _BEGIN, "sh", str(self._group), *place, *python],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
        try:
            self._first = eventually(self._look)
            self.root = Path(f"/proc/{self._first}/root")
            eventually(lambda: self.command("systemctl", "is-system-running").out == "running")
        except BaseException:
            self.close()
            raise

    def _look(self) -> int | None:
        """The number of its first process, once that is systemd."""
        if self._process.poll() is not None:
            assert self._process.stdout
            raise AssertionError(f"systemd did not start: {self._process.stdout.read()}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return int(child)
        return None

    def run(self, *command: str) -> str:
        """What a command prints there; it must succeed."""
        done = self.command(*command)
        assert done.code == 0, f"{' '.join(command)}: {done}"
        return done.out

    def command(self, *command: str) -> Outcome:
        """Run a command there."""
        spaces = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]
        enter = ["nsenter", f"--target={self._first}", *spaces, "--"]
        done = subprocess.run(
            [*enter, "env", "-i", f"PATH={PATH}", *command],
            cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout.strip(), done.stderr.strip())

    def close(self) -> None:
        """End all its processes at once."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

        def gone() -> bool:
            for folder, _, _ in os.walk(self._group, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            return not self._group.exists()

        assert eventually(gone)


class HostHome(Home):
    """The home of the service on a host, which another user owns."""

    def __init__(self, host: Host) -> None:
        self.folder = host.root / "var" / "lib" / "pxefast"
        self._numbers = itertools.count(1)
        self._host = host

    def command(self, *arguments: str) -> Outcome:
        return self._host.command(
            "runuser", "-u", "pxefast", "--", "pxefast", "--home", "/var/lib/pxefast", *arguments
        )


def _accounts() -> Path:
    """This process's place among the control groups of version 2."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    root = next((Path(words[1]) for words in mounts if words[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("systemd needs control groups of version 2, and none are mounted")
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return root / next(line.removeprefix("0::/") for line in lines if line.startswith("0::"))


def host_or_skip(folder: Path, network: Namespace) -> Host:
    """Skip with the reason where this cannot be had."""
    if not shutil.which("systemd"):
        pytest.skip("systemd is missing: apt-get install systemd")
    return Host(folder, network)
