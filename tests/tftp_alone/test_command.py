"""`pxefast tftp` as its newcomer meets it, and `pxefast.TftpServer` as a program does."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pxefast
import pytest
from pxefast.errors import CannotBind, CannotOpen, UsageError

from ..loopback.home import write_files
from ..loopback.peer import ERROR, OACK, Peer

PXEFAST = [sys.executable, "-m", "pxefast"]


def without(capability: str) -> list[str]:
    """What runs a command without that right, also as root."""
    return ["setpriv", "--bounding-set", f"-{capability}"] if os.geteuid() == 0 else []


@contextmanager
def command(*arguments: object, before: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """`pxefast tftp` while it serves; ended by Ctrl-C if it still does."""
    words = [*before, *PXEFAST, "tftp", *map(str, arguments)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().rstrip("\n")


def port_of(process: subprocess.Popen[str]) -> int:
    """The port that the first event of `--json` names."""
    return int(json.loads(line(process.stdout))["port"])


def test_the_first_lines_say_what_is_served_where_and_a_command_that_works(tmp_path: Path) -> None:
    write_files(tmp_path, {"sub/a file.cfg": b"menu"})
    with command(tmp_path, "--host", "127.0.0.1", "--port", 0) as process:
        first = line(process.stdout)
        assert str(tmp_path) in first and "127.0.0.1:" in first and "1 file" in first and "Ctrl-C" in first
        trial = line(process.stdout).removeprefix("try: ").replace("/dev/null", "-")
        assert trial.startswith("curl ")
        assert subprocess.check_output([*shlex.split(trial), "--silent"], timeout=30) == b"menu"
        told = line(process.stdout)
        assert "sub/a file.cfg: complete, 4 of 4 bytes" in told
        process.send_signal(signal.SIGINT)
        assert "of 1 transfers 1 were complete, 0 were cut" in line(process.stdout)
        assert process.wait(30) == 0
        assert process.stderr and process.stderr.read() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_cleanly_and_says_how_many_transfers_it_cut(
    tmp_path: Path, number: int
) -> None:
    write_files(tmp_path, {"file": b"!" * 100_000})
    with command(tmp_path, "--host", "127.0.0.1", "--port", 0, "--json") as process:
        with Peer(port_of(process)) as peer:
            assert peer.ask("file", [("blksize", 1024)]).opcode == OACK
            process.send_signal(number)
            first = json.loads(line(process.stdout))
            assert (first["event"], first["transfers"]) == ("ending", 1) and "Ctrl-C again" in first["text"]
            process.send_signal(number)
            last = json.loads(line(process.stdout))
            assert last["event"] == "ended" and "1 were cut" in last["text"]
            assert last["counters"]["tftp.started"] == 1
        assert process.wait(30) == 0


def test_every_line_of_json_is_an_event(tmp_path: Path) -> None:
    write_files(tmp_path, {"file": b"four", "bad:name": b""})
    with command(tmp_path, "--host", "127.0.0.1", "--port", 0, "--json") as process:
        serving, refused = (json.loads(line(process.stdout)) for _ in range(2))
        assert (serving["event"], serving["files"], serving["host"]) == ("serving", 1, "127.0.0.1")
        assert (refused["event"], refused["level"]) == ("not_served", "warning") and "bad:name" in refused[
            "text"
        ]
        with Peer(serving["port"]) as peer:
            source = "{}:{}".format(*peer.socket.getsockname())
            assert peer.fetch("FILE") == b"four"
        transfer = json.loads(line(process.stdout))
        assert transfer.items() >= {
            "event": "transfer", "level": "info", "peer": source, "name": "file", "outcome": "complete",
            "size": 4, "bytes": 4, "block_size": 512, "window_size": 1, "resent": 0,
        }.items()  # fmt: skip
        assert transfer["time"].endswith("Z") and transfer["seconds"] >= 0
        (tmp_path / "another").touch()
        changed = json.loads(line(process.stdout))
        assert (changed["event"], changed["files"]) == ("folder", 2)


def test_the_largest_block_and_window_are_what_was_said(tmp_path: Path) -> None:
    write_files(tmp_path, {"file": b"!" * 100_000})
    sizes = ("--block-max", 1024, "--window-max", 8)
    with (
        command(tmp_path, "--host", "127.0.0.1", "--port", 0, "--json", *sizes) as process,
        Peer(port_of(process)) as peer,
    ):
        oack = peer.ask("file", [("blksize", 8192), ("windowsize", 32)])
        assert oack.options == [("blksize", "1024"), ("windowsize", "8")]


def test_a_file_that_the_server_may_not_read_is_refused_with_that_reason(tmp_path: Path) -> None:
    write_files(tmp_path, {"secret": b"secret", "file": b"file"})
    (tmp_path / "secret").chmod(0)
    before = without("dac_override,-dac_read_search")
    with (
        command(tmp_path, "--host", "127.0.0.1", "--port", 0, "--json", before=before) as process,
        Peer(port_of(process)) as peer,
    ):
        refused = peer.ask("secret")
        assert (refused.opcode, refused.number) == (ERROR, 2) and b"may not read" in refused.rest
        assert peer.fetch("file") == b"file"
    (tmp_path / "secret").chmod(0o600)


def test_a_file_for_which_the_server_has_no_room_is_refused_and_the_others_are_served(tmp_path: Path) -> None:
    # More than what the process may give back between the two looks at its memory.
    write_files(tmp_path, {"large": b"", "file": b"file"})
    os.truncate(tmp_path / "large", 1 << 30)
    with (
        command(tmp_path, "--host", "127.0.0.1", "--port", 0, "--json") as process,
        Peer(port_of(process)) as peer,
    ):
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0])
        room = pages * resource.getpagesize() + (32 << 20)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (room, room))
        refused = peer.ask("large")
        assert (refused.opcode, refused.number) == (ERROR, 0) and b"cannot open the file" in refused.rest
        assert peer.fetch("file") == b"file"


def test_a_port_below_1024_without_the_right_is_one_sentence_with_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [*without("net_bind_service"), *PXEFAST, "tftp", str(tmp_path), "--host", "127.0.0.1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1 and "127.0.0.1:69: Permission denied" in done.stderr
    assert "sudo" in done.stderr and "6969" in done.stderr


def test_what_cannot_be_served_is_said_before_anything_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotOpen, match="is not a folder"):
        pxefast.TftpServer(tmp_path / "file", port=0)
    for wrong in (
        {"port": 70000},
        {"block_max": 100},
        {"window_max": 65},
        {"window_max": 0},
        {"host": "::1"},
    ):
        with pytest.raises(UsageError, match=f"^{next(iter(wrong))}: "):
            pxefast.TftpServer(tmp_path, **{"host": "127.0.0.1", "port": 0, **wrong})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(CannotBind, match="choose another port"):
            pxefast.TftpServer(tmp_path, host="127.0.0.1", port=taken.getsockname()[1])


def test_a_closed_server_has_given_its_port_back_and_ends_who_waits_for_it(tmp_path: Path) -> None:
    with pxefast.TftpServer(tmp_path, host="127.0.0.1", port=0) as server:
        assert not server.join(0)
        port = server.port
    server.close()
    assert server.join()
    with pxefast.TftpServer(tmp_path, host="127.0.0.1", port=port) as again:
        assert again.port == port


def test_files_are_served_while_python_does_nothing_but_hold_its_lock(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    write_files(tmp_path / "served", {"file": content})
    with pxefast.TftpServer(tmp_path / "served", host="127.0.0.1", port=0) as server:
        url, into = f"tftp://127.0.0.1:{server.port}/file", tmp_path / "fetched"
        words = ["curl", "--silent", "--max-time", "60", "--output", str(into), url]
        child = os.posix_spawnp("curl", words, os.environ)
        status = ctypes.c_int()
        # Through PyDLL the interpreter's lock stays taken until the child has ended.
        assert ctypes.PyDLL(None).waitpid(child, ctypes.byref(status), 0) == child
        assert status.value == 0
    assert into.read_bytes() == content


def test_importing_pxefast_loads_nothing_until_the_server_is_asked_for() -> None:
    code = (
        "import sys, pxefast\n"
        "assert not {'pydantic', 'pxefast._native', 'pxefast.tftp', 'pathlib'} & set(sys.modules), sys.modules\n"
        "assert pxefast.TftpServer.__name__ == 'TftpServer' and 'pxefast.tftp' in sys.modules\n"
        "assert not {'sqlalchemy', 'structlog'} & set(sys.modules)\n"
        "assert not hasattr(pxefast, 'Nothing')\n"
    )
    subprocess.run([sys.executable, "-S", "-c", code], env={**os.environ, "PYTHONPATH": path()}, check=True)
    assert pxefast.__all__ == ["TftpServer", "__version__"] == sorted(pxefast.__all__)


def path() -> str:
    """Where this interpreter finds modules, for one that looks for none by itself."""
    return os.pathsep.join(sys.path)
