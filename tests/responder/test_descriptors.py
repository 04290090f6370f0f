"""Open files: transfers take none of those that the database, the journal and the reports need."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from ..loopback.home import LOOPBACK, Home
from ..loopback.machine import Machine
from ..loopback.peer import Peer, request
from ..loopback.point import PROGRAMS, Point
from ..loopback.service import Service, eventually

LARGE = {"boot.efi": b"x" * 100_000, "boot.0": b"x", "boot.ipxe": b"x"}


def limited(files: int) -> str:
    """A program that is pxefast with so many open files at most."""
    return (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files})); "
        "from pxefast.cli import main; raise SystemExit(main())"
    )


@pytest.mark.parametrize("files", [40, 64, 255])
def test_a_service_that_may_open_too_few_files_does_not_begin_and_says_what_to_do(
    tmp_path: Path, files: int
) -> None:
    home = Home(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", limited(files), "--home", str(home.folder), "serve"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "")
    assert f"at most {files} files may be open, and the service needs 256" in done.stderr
    assert "ulimit -n" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_soft_limit_is_raised_to_the_hard_one(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        soft, hard = resource.prlimit(point.service.pid, resource.RLIMIT_NOFILE)
        assert soft == hard


def test_with_few_open_files_transfers_are_refused_and_machines_are_still_claimed_and_reported(
    tmp_path: Path,
) -> None:
    settings = {**LOOPBACK, "tftp": {**LOOPBACK["tftp"], "retransmit_milliseconds": 5000}}
    with (
        Point(
            tmp_path, settings, LARGE, PROGRAMS, serve=partial(Service, program=("-c", limited(320)))
        ) as point,
        ExitStack() as stack,
    ):
        machines = [point.machine("required") for _ in range(3)]
        status = point.home.status()
        assert 0 < status["max_transfers"] < 4096
        assert any("limit of open files is too low" in problem for problem in status["problems"])
        peers = [
            stack.enter_context(Peer(point.service.ports["tftp"], f"127.0.60.{number}"))
            for number in range(1, 255)
        ]
        # A second of 20 requests from each address: more than there are descriptors, all half open.
        for peer in peers:
            peer.tell(request(point.name("boot.efi"), [("blksize", 512)]))
        eventually(lambda: point.home.status()["counters"]["tftp.received"] >= len(peers))
        assert len(list(Path(f"/proc/{point.service.pid}/fd").iterdir())) < 320 - 80
        for machine in machines:
            assert machine.boot().file == point.name("boot.efi"), "the ledger has its descriptors"
        with socket.create_connection(("127.0.0.1", point.service.ports["report"]), 5) as report:
            report.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert report.recv(100).startswith(b"HTTP/1.1 ")
        counters = point.service.counters()
        waits = counters["tftp.queue.entered"] + counters["tftp.dropped.no_socket"]
        assert waits > 100
        assert counters["tftp.started"] <= status["max_transfers"]
        problems = point.home.status()["problems"]
        assert all("limit of open files" in problem for problem in problems), problems


def test_an_honest_client_is_served_again_once_there_is_room(tmp_path: Path) -> None:
    with Point(tmp_path, serve=partial(Service, program=("-c", limited(256)))) as point:
        most = point.home.status()["max_transfers"]
        machine: Machine = point.machine("available")
        name = machine.boot().file
        assert name is not None
        for _ in range(3 * most):
            with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
                assert peer.fetch(name)
