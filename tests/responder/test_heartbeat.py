"""Changes that are not followed turn everything off, whatever it is that hangs, and the watchdog is told (D36)."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from pxefast.decide import Reason
from pxefast.responder import heartbeat as module
from pxefast.responder import watchdog as watchdogs
from pxefast.responder.heartbeat import Heartbeat
from pxefast.responder.watchdog import Watchdog

from ..loopback.hanging import Hangs
from ..loopback.home import LOOPBACK
from ..loopback.peer import DATA, ERROR
from ..loopback.point import Point
from ..loopback.service import PATIENCE, eventually
from .test_gates import FILES, PROGRAMS, fetched

# Five seconds of silence, and what a busy machine adds.
NOTICED = 2 * PATIENCE


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(module, "clock", lambda: found.seconds)
    monkeypatch.setattr(watchdogs, "clock", lambda: found.seconds)
    return found


@contextmanager
def running(heart: Heartbeat, work: threading.Event, end: threading.Event) -> Iterator[None]:
    """A thread that is watched; it computes while `work` is set."""
    begun = threading.Event()

    def run() -> None:
        heart.attach()
        begun.set()
        while not end.is_set():
            if work.is_set():
                sum(range(1000))
            else:
                end.wait(0.001) if work.wait(0.01) else None

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        end.set()
        thread.join()


def test_a_thread_that_completes_its_rounds_lives(now: SimpleNamespace) -> None:
    heart = Heartbeat("worker")
    for _ in range(10):
        now.seconds += 4.9
        assert heart.look() is None
        heart.beat(now.seconds)


def test_a_thread_that_waits_for_longer_than_five_seconds_is_stuck_and_says_in_what(
    now: SimpleNamespace,
) -> None:
    heart = Heartbeat("worker")
    heart.beat(now.seconds)
    now.seconds += 2
    heart.enter("sweep")
    now.seconds += 3
    assert heart.look() is None
    now.seconds += 1
    stuck = heart.look()
    assert stuck is not None
    assert (stuck.job, stuck.seconds, stuck.in_database) == ("sweep", 6.0, False)
    assert stuck.text.startswith(
        "changes have not been followed for 6 s: thread worker is stuck in 'sweep' since "
    )
    heart.beat(now.seconds)
    assert heart.look() is None


def test_a_pause_of_the_whole_host_is_silence_until_the_next_round(now: SimpleNamespace) -> None:
    heart = Heartbeat("worker")
    now.seconds += 600
    assert heart.look() is not None, "what was changed meanwhile is not known yet"
    heart.beat(now.seconds)
    assert heart.look() is None


def test_a_thread_that_computes_is_not_stuck_for_a_minute(now: SimpleNamespace) -> None:
    heart, work, end = Heartbeat("worker"), threading.Event(), threading.Event()
    with running(heart, work, end):
        heart.beat(now.seconds)
        work.set()
        worked = 0
        for _ in range(11):
            now.seconds += 5
            before = heart._worked
            eventually(lambda: heart.tick() or heart._worked > before)  # noqa: B023
            worked += heart.look() is None
        assert worked == 11, "a large site takes its time to load"
        now.seconds += 6
        before = heart._worked
        eventually(lambda: heart.tick() or heart._worked > before)
        assert heart.look() is not None, "a loop that never ends computes as well"


def test_a_thread_that_waits_in_the_kernel_is_stuck_however_often_it_is_looked_at(
    now: SimpleNamespace,
) -> None:
    heart, begun, end = Heartbeat("worker"), threading.Event(), threading.Event()

    def run() -> None:
        heart.attach()
        begun.set()
        end.wait()

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    heart.tick()
    heart.beat(now.seconds)
    try:
        for _ in range(6):
            now.seconds += 1
            heart.tick()
        assert heart.look() is not None
    finally:
        end.set()
        thread.join()


def test_a_thread_that_has_ended_is_stuck_for_good(now: SimpleNamespace) -> None:
    heart, work, end = Heartbeat("worker"), threading.Event(), threading.Event()
    with running(heart, work, end):
        heart.beat(now.seconds)
        heart.enter("ledger")
    now.seconds += 6
    heart.tick()
    stuck = heart.look()
    assert stuck is not None
    assert "'ledger (it has ended)'" in stuck.text


@pytest.mark.parametrize(
    ("job", "seconds", "fed"),
    [
        ("sweep", 4, True),
        ("sweep", 6, False),
        ("database: sweep", 299, True),
        ("database: sweep", 301, False),
    ],
)
def test_systemd_is_fed_while_every_thread_lives(
    now: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, job: str, seconds: float, fed: bool
) -> None:
    said, told = [], []
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setattr(watchdogs, "tell_systemd", said.append)
    heart = Heartbeat("pxefast-keeper")
    off = Reason("changes_not_followed", "nothing is handed out", "D36")
    dog = Watchdog(heart, lambda: off, {}, {}, lambda: 0, lambda *text: told.append(text))
    heart.enter(job)
    now.seconds += seconds
    dog.tick(feed=True)
    now.seconds += 1
    assert (said == ["WATCHDOG=1"]) == fed
    dog.tick(feed=True)
    assert [level for level, _ in told] == (["error"] if seconds > 5 else [])
    assert all("nothing is handed out" in text for _, text in told)
    heart.beat(now.seconds)
    now.seconds += 1
    said.clear()
    dog.tick(feed=False)
    assert said == [], "only the service that systemd knows"
    now.seconds += 1
    dog.tick(feed=True)
    assert said == ["WATCHDOG=1"]
    assert [level for level, _ in told] == (["error", "warning"] if seconds > 5 else [])


def test_systemd_is_not_fed_once_a_thread_has_ended(
    now: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, told = [], []
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setattr(watchdogs, "tell_systemd", said.append)
    heart, lives, workers = Heartbeat("pxefast-keeper"), [True], [0]
    dog = Watchdog(
        heart,
        lambda: None,
        {},
        {"pxefast-log": lambda: lives[0]},
        lambda: workers[0],
        lambda *text: told.append(text),
    )
    dog.tick(feed=True)
    assert said == ["WATCHDOG=1"]
    lives[0] = False
    now.seconds += 2
    dog.tick(feed=True)
    assert said == ["WATCHDOG=1"]
    lives[0], workers[0] = True, 2
    now.seconds += 2
    dog.tick(feed=True)
    assert said == ["WATCHDOG=1"]
    texts = ["thread pxefast-log has ended", "2 of 2 threads that send files have ended"]
    assert told == [("error", f"{text}; restart pxefast") for text in texts]


def test_a_thread_that_hangs_turns_everything_off_and_is_named(tmp_path: Path) -> None:
    hangs = Hangs(tmp_path / "hangs")
    with Point(tmp_path, LOOPBACK, FILES, PROGRAMS, serve=hangs.serve) as point:
        required, available, under_way = point.machine(), point.machine("available"), point.machine()
        name = under_way.boot().file or ""
        prompted = available.boot().file or ""
        after = len(point.service.events)
        with hangs.at("stamp"):
            told = point.service.event(
                "service", lambda event: "is stuck in" in event["text"], after=after, seconds=NOTICED
            )
            assert told["level"] == "error"
            assert "changes have not been followed for" in told["text"]
            assert "thread pxefast-keeper is stuck in 'content library' since " in told["text"]
            for machine in (required, available):
                for answer in (machine.discover(), machine.request()):
                    assert answer.reply is None
                    assert answer.codes[-1] == "changes_not_followed"
            for machine, file in ((under_way, name), (available, prompted)):
                assert fetched(machine, file).opcode == ERROR, "no launch either"
            status = eventually(
                lambda: (found := point.home.status())["required_off"] and found, what="a new status"
            )
            assert status["required_off"]["code"] == "changes_not_followed"
            assert any("is stuck in 'content library'" in problem for problem in status["problems"])
        eventually(lambda: required.discover().reply, PATIENCE, "its return")
        assert available.boot().reply is not None
        assert fetched(under_way, under_way.boot().file or "").opcode == DATA
        eventually(lambda: point.home.status()["problems"] == [])
        point.service.event("service", lambda event: "goes on" in event["text"], after=after)


def test_without_its_database_available_deployments_go_on_where_that_was_chosen(tmp_path: Path) -> None:
    hangs = Hangs(tmp_path / "hangs")
    settings = {**LOOPBACK, "database": {"serve_stale_available_seconds": 900}}
    with Point(tmp_path, settings, FILES, PROGRAMS, serve=hangs.serve) as point:
        required, available = point.machine(), point.machine("available")
        with hangs.at("changed"):
            code = "database_unavailable"
            eventually(lambda: required.discover().codes[-1] == code, NOTICED, "the silence")
            assert "silent for" in required.discover().event["reasons"][-1]["text"]
            assert available.boot().reply is not None
            problems = eventually(lambda: point.home.status()["problems"])
            assert any("go on from a snapshot" in problem for problem in problems)
        eventually(lambda: required.discover().reply, PATIENCE, "its return")


def test_a_main_thread_that_hangs_is_told_by_another_one(tmp_path: Path) -> None:
    hangs = Hangs(tmp_path / "hangs")
    with Point(tmp_path, serve=hangs.serve) as point:
        machine, after = point.machine(), len(point.service.events)
        with hangs.at("take"):
            told = point.service.event(
                "service", lambda event: "is stuck in" in event["text"], after=after, seconds=NOTICED
            )
            assert "machines have not been answered for" in told["text"]
            assert "thread main is stuck in 'answer requests' since " in told["text"]
            (problem, *_) = eventually(lambda: point.home.status()["problems"], NOTICED)
            assert "no status has been written for" in problem
        eventually(lambda: machine.discover().reply, PATIENCE, "its return")
        eventually(lambda: point.home.status()["problems"] == [])


def test_a_process_that_was_stopped_for_longer_goes_on_by_itself(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine, after = point.machine(), len(point.service.events)
        os.kill(point.service.pid, signal.SIGSTOP)
        threading.Event().wait(module.SILENT_SECONDS + 1)
        os.kill(point.service.pid, signal.SIGCONT)
        eventually(lambda: machine.discover().reply, PATIENCE, "its return")
        assert machine.boot().reply is not None
        assert not [event for event in point.service.events[after:] if event["level"] == "error"]


def test_systemd_hears_from_a_service_and_from_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        systemd.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        with Point(tmp_path) as point:

            def fed_by() -> int:
                while True:
                    data, more, _, _ = systemd.recvmsg(4096, 1024)
                    if data == b"WATCHDOG=1":
                        return int.from_bytes(more[0][2][:4], "little")

            assert fed_by() == point.service.pid
            point.service.reload()
            eventually(lambda: fed_by() == point.service.pid)
            assert {fed_by() for _ in range(3)} == {point.service.pid}
