"""Files as the clients of others fetch them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..loopback.point import Point
from .conftest import BLOCK

# What fetches `name` from `port` into `file`; the Debian package that has it is the program's, unless named.
COMMANDS: dict[str, Callable[[str, str, str], list[str]]] = {
    "tftp-hpa": lambda port, name, file: ["tftp", "-m", "binary", "127.0.0.1", port, "-c", "get", name, file],
    "atftp": lambda port, name, file: ["atftp", "--get", "-r", name, "-l", file, "127.0.0.1", port],
    f"atftp, blocks of {BLOCK}": lambda port, name, file: [
        "atftp", "--option", f"blksize {BLOCK}", "--option", "tsize 0", "--get", "-r", name, "-l", file,
        "127.0.0.1", port,
    ],
    f"atftp, windows of 16 blocks of {BLOCK}": lambda port, name, file: [
        "atftp", "--option", f"blksize {BLOCK}", "--option", "windowsize 16", "--get", "-r", name, "-l", file,
        "127.0.0.1", port,
    ],
    "atftp, windows of 64 blocks": lambda port, name, file: [
        "atftp", "--option", "windowsize 64", "--get", "-r", name, "-l", file, "127.0.0.1", port,
    ],
    "curl": lambda port, name, file: [
        "curl", "--silent", "--show-error", "--output", file, f"tftp://127.0.0.1:{port}/{name}",
    ],
    f"curl, blocks of {BLOCK}": lambda port, name, file: [
        "curl", "--silent", "--show-error", "--tftp-blksize", str(BLOCK), "--output", file,
        f"tftp://127.0.0.1:{port}/{name}",
    ],
    "curl, without options": lambda port, name, file: [
        "curl", "--silent", "--show-error", "--tftp-no-options", "--output", file,
        f"tftp://127.0.0.1:{port}/{name}",
    ],
    "busybox": lambda port, name, file: ["busybox", "tftp", "-g", "-r", name, "-l", file, "127.0.0.1", port],
    f"busybox, blocks of {BLOCK}": lambda port, name, file: [
        "busybox", "tftp", "-b", str(BLOCK), "-g", "-r", name, "-l", file, "127.0.0.1", port,
    ],
}  # fmt: skip


def present(client: str) -> None:
    """Skip with the reason where the client is missing."""
    program, package = COMMANDS[client]("", "", "")[0], client.split(",")[0]
    if shutil.which(program):
        return
    pytest.skip(f"{program} is missing: apt-get install {package}")


def fetch(client: str, point: Point, name: str, file: Path) -> subprocess.CompletedProcess[str]:
    command = COMMANDS[client](str(point.service.ports["tftp"]), name, str(file))
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
