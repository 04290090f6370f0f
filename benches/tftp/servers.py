"""The servers under measurement, each started as its manual says and ended by its process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import peers

HERE = Path(__file__).parent
IMAGE = "SMSImages/PS100001"
TOML = """[listen]
address = "{address}"
[dhcp]
port = 0
boot_port = 0
[tftp]
port = {port}
drain_seconds = 0
{tftp}[log]
format = "json"
"""


@dataclass(frozen=True)
class Stage:
    """Where everything lies: the served folder, and the compiled programs of this folder; and where servers listen.

    `tftp` are lines of that section of pxefast.toml.
    """

    folder: Path
    programs: Path
    address: str = "127.0.0.1"
    tftp: str = ""

    def path(self, file: str) -> Path:
        return self.folder / IMAGE / file


@dataclass(frozen=True)
class Server:
    """One that runs."""

    process: int
    port: int
    log: Path


@dataclass(frozen=True)
class Kind:
    """One that can be run; the file that its clients ask for, and whether it knows RFC 7440's windows."""

    run: Callable[[Stage], AbstractContextManager[Server]]
    windows: bool
    file: str = "small.bin"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _started(
    stage: Stage, name: str, command: list[str], port: int, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    log = stage.folder / f"{name}.log"
    with log.open("w") as lines:
        process = subprocess.Popen(
            command,
            stdout=lines,
            stderr=lines,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
    try:
        yield Server(process.pid, port, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process, then what may be left of the session that it led."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _bare(*switches: str) -> Callable[[Stage], AbstractContextManager[Server]]:
    def run(stage: Stage) -> AbstractContextManager[Server]:
        port = free_port()
        command = [str(stage.programs / "bare"), *switches, str(port), str(stage.path("image.bin"))]
        return _started(stage, "bare" + "".join(switches), command, port)

    return run


@contextmanager
def _pxefast(stage: Stage) -> Iterator[Server]:
    home, port = stage.folder / "home", free_port()
    tool = [sys.executable, "-m", "pxefast", "--home", str(home)]

    def say(*words: str) -> None:
        subprocess.run([*tool, *words], check=True, capture_output=True)

    say("init", "--site-code", "PS1")
    (home / "pxefast.toml").write_text(TOML.format(address=stage.address, port=port, tftp=stage.tftp))
    say("boot-image", "add", str(stage.folder / IMAGE), "--name", "bench", "--arch", "x64",
        "--boot-program", "uefi=image.bin", "--id", "PS100001")  # fmt: skip
    say("content", "distribute", "PS100001")
    with _started(stage, "pxefast", [*tool, "serve"], port) as server:
        yield server


def _dnsmasq(stage: Stage) -> AbstractContextManager[Server]:
    command = [peers.program("dnsmasq", "dnsmasq-base"), "--keep-in-foreground", "--port=0", "--enable-tftp",
               f"--tftp-root={stage.folder}", "--conf-file=/dev/null", "--user=root",
               f"--listen-address={stage.address}", "--bind-interfaces", "--tftp-max=5000",
               f"--pid-file={stage.folder}/dnsmasq.pid", "--log-facility=-"]  # fmt: skip
    return _started(stage, "dnsmasq", command, 69)  # it has no switch for the port


def _tftpd_hpa(stage: Stage) -> AbstractContextManager[Server]:
    port = free_port()
    command = [peers.program("in.tftpd", "tftpd-hpa"), "--foreground", f"--address={stage.address}:{port}",
               "--user=root", "--secure", str(stage.folder)]  # fmt: skip
    return _started(stage, "tftpd-hpa", command, port, peers.environment())


def _atftpd(stage: Stage) -> AbstractContextManager[Server]:
    port = free_port()
    command = [peers.program("atftpd", "atftpd"), "--daemon", "--no-fork", f"--port={port}",
               f"--bind-address={stage.address}", "--user=root", "--group=root", "--maxthread=5000",
               "--logfile=-", str(stage.folder)]  # fmt: skip
    return _started(stage, "atftpd", command, port, peers.environment())


def _tftpd(stage: Stage) -> AbstractContextManager[Server]:
    port = free_port()
    command = [
        peers.crate("tftpd"),
        "-i",
        stage.address,
        "-p",
        str(port),
        "-d",
        str(stage.folder),
        "-r",
        "-q",
    ]
    return _started(stage, "tftpd", command, port)


def _python(package: str) -> Callable[[Stage], AbstractContextManager[Server]]:
    def run(stage: Stage) -> AbstractContextManager[Server]:
        port = free_port()
        script = str(HERE / f"{package}_server.py")
        return _started(stage, package, [peers.python(package), script, str(stage.folder), str(port)], port)

    return run


SERVERS: dict[str, Kind] = {
    "bare": Kind(_bare(), windows=True, file="image.bin"),
    "bare-read": Kind(_bare("--read"), windows=True, file="image.bin"),
    "pxefast": Kind(_pxefast, windows=True, file="image.bin"),
    "dnsmasq": Kind(_dnsmasq, windows=False),
    "tftpd-hpa": Kind(_tftpd_hpa, windows=False),
    "atftpd": Kind(_atftpd, windows=True),
    "tftpd-crate": Kind(_tftpd, windows=True),
    "fbtftp": Kind(_python("fbtftp"), windows=False),
    "tftpy": Kind(_python("tftpy"), windows=False),
}
