"""The live event stream, and a log that nobody reads: neither makes a machine wait (R-99, R-105)."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..loopback.home import CROWDED, LOOPBACK, Home
from ..loopback.point import Point
from ..loopback.service import PATIENCE, eventually
from .test_gates import FILES, PROGRAMS, fetched


@contextmanager
def watching(home: Home, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`pxefast watch`, which hears everything from now on."""
    command = [sys.executable, "-m", "pxefast", "--home", str(home.folder), "watch", *arguments]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever started the tests in the background may have had Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr
    assert "watching" in process.stderr.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_shows_a_machines_boot_as_it_happens(tmp_path: Path) -> None:
    with Point(tmp_path, files=FILES, programs=PROGRAMS) as point:
        machine, other = point.machine(), point.machine()
        with watching(point.home, "--mac", machine.mac.upper(), "--json") as watch:
            assert watch.stdout
            other.boot()
            name = machine.boot().file
            fetched(machine, name or "")
            events = [json.loads(watch.stdout.readline()) for _ in range(4)]
            assert [event["event"] for event in events[:2]] == ["request", "request"]
            assert sorted(event["event"] for event in events[2:]) == ["launch", "transfer"]
            assert {event["mac"] for event in events} == {machine.mac}
            watch.send_signal(signal.SIGINT)
            assert watch.wait(PATIENCE) == 0
        with watching(point.home) as watch:
            assert watch.stdout
            other.discover()
            assert f"discover pc002 ({other.mac})" in watch.stdout.readline()
            point.service.end()
            rest, said = watch.communicate(timeout=PATIENCE)
            assert "stopped" in rest
            assert "the service has ended" in said
            assert watch.returncode == 0
        outcome = point.home.command("watch")
        assert outcome.code == 3
        assert "pxefast serve" in outcome.error


def test_who_watches_hears_what_the_log_leaves_out(tmp_path: Path) -> None:
    with Point(tmp_path, {**LOOPBACK, "log": {"format": "json", "level": "info"}}) as point:
        machine = point.machine()
        point.service.end()
        point.home.configure({**LOOPBACK, "log": {"format": "json", "level": "error"}})
        point.again()
        with watching(point.home) as watch:
            machine.socket.sendto(machine.packet(1, 5), ("127.0.0.1", point.service.ports["dhcp"]))
            assert watch.stdout
            assert machine.mac in watch.stdout.readline()
        assert not point.service.events


def test_a_watcher_that_does_not_read_misses_events_and_is_told_how_many(tmp_path: Path) -> None:
    with Point(tmp_path, CROWDED) as point:
        machine = point.machine("available")
        path = point.home.folder / "run" / "events.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as slow:
            slow.connect(str(path))
            slow.settimeout(PATIENCE)
            assert slow.recv(100) == b'{"event": "watching"}\n'
            for _ in range(1000):
                assert machine.discover().reply is not None
            lines = slow.makefile()
            missed = None
            while missed is None:
                told = json.loads(next(lines))
                if told["event"] == "missed":
                    missed = told["count"]
                machine.socket.sendto(machine.packet(1, 7), ("127.0.0.1", point.service.ports["dhcp"]))
            assert missed > 10


def test_a_log_whose_reader_hangs_stops_no_machine(tmp_path: Path) -> None:
    with Point(tmp_path, CROWDED) as point:
        machine = point.machine("available")
        service = point.service
        with service.unread_log():
            for number in range(1, 3000):
                machine.socket.sendto(machine.packet(1, number), ("127.0.0.1", service.ports["dhcp"]))
                machine.socket.settimeout(PATIENCE)
                assert machine.socket.recv(2000)
        eventually(lambda: machine.discover().reply)


def test_a_homes_path_may_be_longer_than_a_sockets_name(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with Point(deep) as point, watching(point.home) as watch:
        assert watch.stdout
        point.client("02:00:00:00:00:01", "11111111-0000-0000-0000-000000000001").discover()
        assert "02:00:00:00:00:01" in watch.stdout.readline()
