"""Days of use in short: clients come, vanish and lose packets without end; the server hands over and is killed, again
and again.

With PXEFAST_LONG=1 an hour, PXEFAST_SOAK_SECONDS tells another time; a line of figures each time somebody looks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from benches.tftp.measure import FLAGS
from benches.tftp.servers import HERE

from ..loopback.lan import CLIENT, SERVER, Lan
from ..loopback.point import FILES, Point
from ..loopback.service import PATIENCE, Service, ended, eventually

LONG_SECONDS, SHORT_SECONDS = 3600, 26
# A server hands over to its successor, and that one to the next, who is killed. After a takeover the transfers that are
# under way have so long to end.
LONG_LIFE, SHORT_LIFE = 80, 3
LONG_DRAIN, SHORT_DRAIN = 60, 2
LOSS = "udp dport != 53 numgen random mod 100 < 5"
WINDOWS = (1, 4, 16, 64)
CROWD = 50  # of each window
VANISH = 10  # percent
# Where the clients are; the half whose host says nothing of closed ports is just gone when it vanishes.
FIRST, COUNT, MUTE = "10.30.0.1", 200, "10.30.0.0/25"
# What memory may differ between two looks at a server that does the same all the time.
SLACK = 1.15, 8 << 20
DESCRIPTOR = 64 << 10  # one more of them weighs as much
pytestmark = pytest.mark.timeout(LONG_SECONDS + 600)


@dataclass(frozen=True)
class Look:
    """What a server has: bytes, descriptors, threads, and transfers under way."""

    resident: int
    files: int
    threads: int
    transfers: int
    waiting: int


def look(service: Service) -> Look:
    counters = service.counters()
    ended = sum(count for name, count in counters.items() if name.startswith("tftp.ended."))
    return Look(
        service.resident_bytes,
        service.open_files,
        len(list(Path(f"/proc/{service.pid}/task").iterdir())),
        counters["tftp.started"] - ended,
        counters["tftp.queue.length"],
    )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("load") / "load"
    subprocess.run(["cc", *FLAGS, "-o", str(path), str(HERE / "load.c")], check=True)
    return path


@contextmanager
def crowds(lan: Lan, program: Path, name: str, file: Path, seconds: float, seed: int) -> Iterator[list[str]]:
    """Clients of each window, without end; and what they say at their end."""
    said: list[str] = []
    processes = []
    with lan.client:
        for window in WINDOWS:
            command = [str(program), f"--host={SERVER}", "--port=69", f"--name={name}", f"--file={file}",
                       f"--window={window}", f"--clients={CROWD}", f"--sources={FIRST}/{COUNT}", "--again",
                       f"--vanish={VANISH}", f"--seed={seed % 2**31}", f"--seconds={seconds}"]  # fmt: skip
            processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    try:
        yield said
        for process in processes:
            said.append(process.communicate(timeout=60)[0])
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_servers_that_are_killed_and_clients_that_vanish_leave_nothing_behind(
    lan: Lan, program: Path, tmp_path: Path, seed: int, long: bool
) -> None:
    """R-36 without end: at 5 % loss; what a server has stays what it was, and no byte is wrong."""
    seconds = float(os.environ.get("PXEFAST_SOAK_SECONDS", LONG_SECONDS if long else SHORT_SECONDS))
    life, drain = (LONG_LIFE, LONG_DRAIN) if long else (SHORT_LIFE, SHORT_DRAIN)
    content = Random(seed).randbytes(1_000_003 if long else 200_003)
    (tmp_path / "load").mkdir()
    file = tmp_path / "load" / "large.bin"
    file.write_bytes(content)
    lan.server.ip(f"route add 10.30.0.0/24 via {CLIENT}")
    lan.client.ip("route add local 10.30.0.0/24 dev lo")
    # Ports come again while the server still has transfers to those who vanished from them.
    lan.client.sysctl("net.ipv4.ip_local_port_range", "40000 40127")
    with lan.server:
        settings = {"log": {"format": "json"}, "tftp": {"drain_seconds": drain}}
        point = Point(tmp_path, settings, {**FILES, "large.bin": content})
    # In the short form all do: who is just gone is waited for half a minute.
    mute = f"ip saddr {MUTE} icmp type destination-unreachable {'drop' if long else 'accept'}"
    lan.client.run(
        "nft", f"add table ip mute {{ chain out {{ type filter hook output priority 0; {mute}; }}; }}"
    )
    with point, lan.dropping(LOSS):
        idle = look(point.service)
        print(f"idle: {idle}", flush=True)
        began, end, lives = time.monotonic(), time.monotonic() + seconds, 0
        with crowds(lan, program, point.name("large.bin"), file, seconds, seed) as said:
            while time.monotonic() < end:
                lives += 1
                busy = live(point.service, min(life, end - time.monotonic()))
                print(
                    f"{time.monotonic() - began:.0f} s, life {lives}: first {busy[0]}, last {busy[-1]}",
                    flush=True,
                )
                assert steady([each.resident for each in busy])
                assert steady([each.files * DESCRIPTOR for each in busy])
                assert {each.threads for each in busy} == {idle.threads}
                if time.monotonic() >= end:
                    break
                if lives % 3 == 1:
                    point.service.end(signal.SIGKILL)
                    with lan.server:
                        point.again()
                else:
                    assert ended(point.service.reload(), None, drain + PATIENCE)
        quiet = eventually(lambda: at_rest(point.service, idle), 120, "rest")
        print(f"at rest: {quiet}", flush=True)
        told = [json.loads(words) for words in said]
        print("clients:", *told, sep="\n  ", flush=True)
    lan.client.run("nft", "delete table ip mute")
    assert all(each["verified"] for each in told)
    assert not sum(each["wrong"] for each in told)
    assert sum(each["vanished"] for each in told)
    assert lives > 3
    assert quiet.threads == idle.threads


def live(service: Service, seconds: float) -> list[Look]:
    """Looks at a server again and again, for so long."""
    end, looks, pause = time.monotonic() + seconds, [look(service)], threading.Event()
    while time.monotonic() < end:
        pause.wait(min(10, end - time.monotonic(), seconds / 4))
        looks.append(look(service))
    return looks


def steady(resident: list[int]) -> bool:
    """Memory is no more at the end than it was when the crowd had come."""
    times, more = SLACK
    return resident[-1] <= times * max(resident[: max(2, len(resident) // 3)]) + more


def at_rest(service: Service, idle: Look) -> Look | None:
    """The one file that is served stays open."""
    now = look(service)
    return now if (now.transfers, now.waiting) == (0, 0) and now.files <= idle.files + 1 else None
