"""Files as the clients of others fetch them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from pxefast import TftpServer

from ..loopback.home import write_files
from ..loopback.lan import SERVER, Lan
from ..loopback.point import Point
from .conftest import BLOCK

# What fetches `name` from `host` and `port` into `file`; the Debian package that has it is the program's, unless named.
COMMANDS: dict[str, Callable[[str, str, str, str], list[str]]] = {
    "tftp-hpa": lambda host, port, name, file: ["tftp", "-m", "binary", host, port, "-c", "get", name, file],
    "atftp": lambda host, port, name, file: ["atftp", "--get", "-r", name, "-l", file, host, port],
    f"atftp, blocks of {BLOCK}": lambda host, port, name, file: [
        "atftp", "--option", f"blksize {BLOCK}", "--option", "tsize 0", "--get", "-r", name, "-l", file,
        host, port,
    ],
    f"atftp, windows of 16 blocks of {BLOCK}": lambda host, port, name, file: [
        "atftp", "--option", f"blksize {BLOCK}", "--option", "windowsize 16", "--get", "-r", name, "-l", file,
        host, port,
    ],
    "atftp, windows of 64 blocks": lambda host, port, name, file: [
        "atftp", "--option", "windowsize 64", "--get", "-r", name, "-l", file, host, port,
    ],
    "curl": lambda host, port, name, file: [
        "curl", "--silent", "--show-error", "--output", file, f"tftp://{host}:{port}/{name}",
    ],
    f"curl, blocks of {BLOCK}": lambda host, port, name, file: [
        "curl", "--silent", "--show-error", "--tftp-blksize", str(BLOCK), "--output", file,
        f"tftp://{host}:{port}/{name}",
    ],
    "curl, without options": lambda host, port, name, file: [
        "curl", "--silent", "--show-error", "--tftp-no-options", "--output", file,
        f"tftp://{host}:{port}/{name}",
    ],
    "busybox": lambda host, port, name, file: ["busybox", "tftp", "-g", "-r", name, "-l", file, host, port],
    f"busybox, blocks of {BLOCK}": lambda host, port, name, file: [
        "busybox", "tftp", "-b", str(BLOCK), "-g", "-r", name, "-l", file, host, port,
    ],
}  # fmt: skip

# curl's exit code where --max-time has passed.
TIMED_OUT = 28


def present(client: str) -> None:
    """Skip with the reason where the client is missing."""
    program, package = COMMANDS[client]("", "", "", "")[0], client.split(",")[0]
    if shutil.which(program):
        return
    pytest.skip(f"{program} is missing: apt-get install {package}")


def fetch(client: str, point: Point, name: str, file: Path) -> subprocess.CompletedProcess[str]:
    command = COMMANDS[client]("127.0.0.1", str(point.service.ports["tftp"]), name, str(file))
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("client", COMMANDS)
def test_every_size_of_file_arrives_whole(
    point: Point, files: dict[str, bytes], tmp_path: Path, client: str
) -> None:
    present(client)
    for name, content in files.items():
        file = tmp_path / name.replace("/", "_")
        done = fetch(client, point, point.name(name), file)
        assert done.returncode == 0, f"{name}: {done.stderr}{done.stdout}"
        arrived = file.read_bytes() if file.exists() else b""
        assert hashlib.sha256(arrived).digest() == hashlib.sha256(content).digest(), name


@pytest.mark.parametrize("client", ["tftp-hpa", "atftp", "curl", "busybox"])
def test_a_file_that_is_not_published_is_said_to_be_missing(
    point: Point, tmp_path: Path, client: str
) -> None:
    present(client)
    done = fetch(client, point, point.name("nothing"), tmp_path / "nothing")
    # curl says it by its exit status (CURLE_TFTP_NOTFOUND).
    assert done.returncode == 68 or "not found" in (done.stdout + done.stderr).lower(), done


def test_every_client_gets_its_file_though_packets_are_lost(lan: Lan, tmp_path: Path, seed: int) -> None:
    """R-35: one packet in fifty, in both directions, but for the requests; all clients at once."""
    content = Random(seed).randbytes(100_007)
    write_files(tmp_path / "served", {"file": content})
    for client in COMMANDS:
        present(client)
    # Else a window is one packet until it is delivered, and lost whole.
    lan.server.run("ethtool", "-K", "eth0", "tx", "off")
    with lan.server:
        server = TftpServer(tmp_path / "served", host=SERVER, port=69)
    with server, lan.dropping("udp dport != 69 numgen random mod 100 < 2"), ExitStack() as stack:
        running, given_up = {}, 0

        def start(number: int, client: str) -> None:
            command = COMMANDS[client](SERVER, str(server.port), "file", str(tmp_path / str(number)))
            if client.startswith("curl"):
                command[1:1] = ["--max-time", "60"]
            with lan.client:
                running[client] = stack.enter_context(
                    subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                )
            stack.callback(running[client].kill)

        for number, client in enumerate(COMMANDS):
            start(number, client)
        for number, client in enumerate(COMMANDS):
            said, _ = running[client].communicate(timeout=120)
            # A person would start it again: atftp aborts where its ACK 0 is lost and the options come once more; curl
            # waits for ever where both DATA 1 that the server sends to who never answered, or the ACKs, are lost.
            while b"unexpected OACK" in said or running[client].returncode == TIMED_OUT:
                given_up += running[client].returncode == TIMED_OUT
                start(number, client)
                said, _ = running[client].communicate(timeout=120)
            assert running[client].returncode == 0, (client, said)
            assert (tmp_path / str(number)).read_bytes() == content, client
    reports = server.transfers()
    assert sum(report.resent for report in reports) > 0, "nothing was lost: nothing was shown"
    # Nobody else was given up.
    assert given_up <= sum(report.outcome == "timed_out" and report.bytes == 0 for report in reports)
