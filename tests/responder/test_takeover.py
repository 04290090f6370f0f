"""The end of a service, and how another one takes its place: nobody who fetches, asks or reports notices either."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pxefast import config
from pxefast.content.library import Library
from pxefast.responder import service as responder
from pxefast.responder import status
from pxefast.site.store import Store

from ..loopback.home import LOOPBACK, Home
from ..loopback.machine import pending
from ..loopback.peer import DATA, Fetch, Peer, request
from ..loopback.point import FILES, Point
from ..loopback.service import PATIENCE, Service, ended, eventually
from ..loopback.storm import Storm
from . import test_gates
from .test_gates import fetched, launch, now, state
from .test_reports import Session, report
from .test_watch import watching

LARGE = random.Random(20).randbytes(400_000)
SMALL = random.Random(21).randbytes(1_300)


def drained_for(seconds: int) -> dict[str, Any]:
    return {**LOOPBACK, "tftp": {"port": 0, "drain_seconds": seconds}}


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Point]:
    files = {**FILES, "large.bin": LARGE, "small.bin": SMALL}
    with Point(tmp_path, drained_for(60), files) as point_:
        yield point_


def told(point: Point, text: str) -> dict[str, Any]:
    return point.service.event("service", lambda event: text in event["text"])


# The end.


def test_a_transfer_under_way_ends_whole_when_the_service_is_told_to_end_and_no_new_one_begins(
    point: Point,
) -> None:
    with Peer(point.service.ports["tftp"]) as peer, Peer(point.service.ports["tftp"]) as late:
        fetch = Fetch(peer, point.name("large.bin"))
        os.kill(point.service.pid, signal.SIGTERM)
        assert told(point, "under way may take 60 s more")["transfers"] == 1
        assert eventually(lambda: point.home.status()["draining"]) == 1
        late.tell(request(point.name("small.bin")))
        assert fetch.end() == LARGE
        assert point.service.end() == 0
        assert not pending(late.socket)
    assert point.service.event("transfer")["outcome"] == "complete"


def test_a_gate_opens_while_the_service_ends(tmp_path: Path) -> None:
    with Point(tmp_path, drained_for(60), test_gates.FILES, test_gates.PROGRAMS) as point:
        machine, after = point.machine(), now(point)
        assert machine.boot().file == point.name("boot.efi")
        with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
            fetch = Fetch(peer, point.name("boot.efi"), 512)
            os.kill(point.service.pid, signal.SIGTERM)
            told(point, "under way may take")
            assert fetch.end() == test_gates.BOOT
        assert launch(point, machine, after)["result"] == "launched"
        assert point.service.end() == 0
        assert state(point, machine) == "LAUNCHED"


def test_a_second_signal_ends_it_at_once(point: Point) -> None:
    with Peer(point.service.ports["tftp"]) as peer:
        Fetch(peer, point.name("large.bin"))
        os.kill(point.service.pid, signal.SIGTERM)
        told(point, "under way may take")
        assert point.service.end() == 0
    assert told(point, "1 transfer had not ended and are cut")["level"] == "warning"


def test_transfers_get_so_long_and_no_longer(tmp_path: Path) -> None:
    with Point(tmp_path, drained_for(1), {**FILES, "large.bin": LARGE}) as point:
        with Peer(point.service.ports["tftp"]) as peer:
            Fetch(peer, point.name("large.bin"))
            os.kill(point.service.pid, signal.SIGTERM)
            told(point, "had not ended and are cut")
        assert ended(point.service.pid, None)


def test_without_transfers_the_end_waits_for_nothing(point: Point) -> None:
    assert point.service.end() == 0
    assert not [event for event in point.service.events if "may take" in event["text"]]


# A successor.


def test_of_many_clients_that_fetch_while_a_successor_takes_over_none_asks_twice(point: Point) -> None:
    with Storm(100, point.service.ports["tftp"], point.name("small.bin"), SMALL) as storm:
        ports = point.service.ports
        for _ in range(3):
            before = storm.fetched
            old = point.service.reload()
            assert ended(old, None), "with its last transfer it ends"
            eventually(partial(storm.has_fetched, before + 200))
        assert point.service.ports == ports
    assert not storm.wrong
    assert storm.retries == 0


def test_who_waits_for_a_turn_waits_on_at_the_successor(tmp_path: Path) -> None:
    settings = {**LOOPBACK, "tftp": {"port": 0, "max_transfers": 1, "workers": 1}}
    with Point(tmp_path, settings, {**FILES, "large.bin": LARGE, "small.bin": SMALL}) as point:
        door = point.service.ports["tftp"]
        with Peer(door) as first, Peer(door) as second:
            fetch = Fetch(first, point.name("large.bin"))
            second.tell(request(point.name("small.bin")))
            eventually(lambda: point.home.status()["counters"]["tftp.queue.entered"])
            point.service.reload()
            # It asked once, of a process in which no place will be free.
            packet = second.receive()
            assert second.rest(packet, 512, 1) == SMALL
            assert fetch.end() == LARGE


def test_a_transfer_under_way_goes_on_from_the_process_that_began_it(point: Point) -> None:
    with Peer(point.service.ports["tftp"]) as peer, Peer(point.service.ports["tftp"]) as other:
        fetch = Fetch(peer, point.name("large.bin"))
        old = point.service.reload()
        assert other.fetch(point.name("small.bin")) == SMALL
        assert eventually(lambda: point.home.status()["draining"]) == 1
        assert "drain" in point.home.run("status")
        assert fetch.end() == LARGE
    assert ended(old, None)
    eventually(lambda: point.home.status()["draining"] is None)


def test_gates_of_before_open_in_the_old_process_while_the_new_one_answers(tmp_path: Path) -> None:
    with Point(tmp_path, drained_for(60), test_gates.FILES, test_gates.PROGRAMS) as point:
        machine, other, after = point.machine(), point.machine(), now(point)
        name = machine.boot().file
        assert name is not None
        with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
            fetch = Fetch(peer, point.name("boot.efi"), 512)
            old = point.service.reload()
            assert other.boot().file == name, "the new process answers"
            assert fetched(other, name).opcode == DATA
            assert state(point, other) == "LAUNCHED"
            assert state(point, machine) == "CLAIMED"
            assert fetch.end() == test_gates.BOOT
        assert launch(point, machine, after)["result"] == "launched"
        assert ended(old, None)
        for launched in (machine, other):
            assert state(point, launched) == "LAUNCHED"
            answer = launched.boot()
            assert (answer.reply, answer.codes[-1]) == (None, "already_offered")
        point.home.run("audit", "verify")


def test_a_machine_that_was_answered_before_is_served_and_imaged_once_by_the_new_process(
    tmp_path: Path,
) -> None:
    with Point(tmp_path, drained_for(60), test_gates.FILES, test_gates.PROGRAMS) as point:
        machine = point.machine()
        first = machine.boot()
        point.service.reload()
        with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
            lines = peer.fetch("session.env").decode().splitlines()
        variables = dict(line.split("=", 1) for line in lines)
        assert first.file is not None
        assert fetched(machine, first.file).opcode == DATA
        assert state(point, machine) == "LAUNCHED"
        assert (
            report(point, Session(variables["PXEFAST_SESSION"], variables["PXEFAST_TOKEN"]), "started").status
            == 200
        )
        assert machine.boot().reply is None
        assert fetched(machine, first.file).opcode != DATA


def test_what_another_machine_may_not_have_is_still_not_given_to_it_after_a_takeover(tmp_path: Path) -> None:
    with Point(tmp_path, drained_for(60), test_gates.FILES, test_gates.PROGRAMS) as point:
        victim, liar = point.machine(), point.machine()
        assert victim.boot().file is not None
        point.service.reload()
        answer = point.client(liar.mac, liar.guid, address=victim.address[0]).request()
        assert answer.codes[-1] == "address_in_use"


def test_what_is_wrong_in_the_settings_is_said_and_the_old_process_serves_on(point: Point) -> None:
    settings = point.home.folder / "pxefast.toml"
    good, pid = settings.read_text(), point.service.pid
    settings.write_text(good.replace("drain_seconds = 60", 'drain_seconds = "soon"'))
    os.kill(pid, signal.SIGHUP)
    text = told(point, "serves on")["text"]
    assert f"{settings}: tftp.drain_seconds" in text
    with Peer(point.service.ports["tftp"]) as peer:
        assert peer.fetch(point.name("small.bin")) == SMALL
    assert point.home.status()["pid"] == pid
    settings.write_text(good.replace("drain_seconds = 60", "drain_seconds = 61"))
    point.service.reload()
    assert not point.service.lines


def test_new_settings_count_for_what_begins_after_a_reload(point: Point) -> None:
    with Peer(point.service.ports["tftp"]) as peer:
        assert dict(peer.ask(point.name("large.bin"), [("windowsize", 16)]).options)["windowsize"] == "16"
    point.home.configure({**LOOPBACK, "tftp": {"port": 0, "drain_seconds": 60, "max_window_size": 2}})
    point.service.reload()
    with Peer(point.service.ports["tftp"]) as peer:
        assert dict(peer.ask(point.name("large.bin"), [("windowsize", 16)]).options)["windowsize"] == "2"


def test_a_port_that_the_new_settings_name_is_opened_and_one_that_is_taken_leaves_the_old_process(
    point: Point,
) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        point.home.configure({**LOOPBACK, "tftp": {"port": number, "drain_seconds": 60}})
        os.kill(point.service.pid, signal.SIGHUP)
        assert f"127.0.0.1:{number}" in told(point, "serves on")["text"]
        with Peer(point.service.ports["tftp"]) as peer:
            assert peer.fetch(point.name("small.bin")) == SMALL
    point.service.reload()
    assert point.service.ports["tftp"] == number
    with Peer(number) as peer:
        assert peer.fetch(point.name("small.bin")) == SMALL


def test_who_watches_hears_both_and_notices_nothing(point: Point) -> None:
    with watching(point.home, "--json") as watch, Peer(point.service.ports["tftp"]) as peer:
        fetch = Fetch(peer, point.name("large.bin"))
        old = point.service.reload()
        with Peer(point.service.ports["tftp"]) as other:
            other.fetch(point.name("small.bin"))
        fetch.end()
        assert watch.stdout
        heard = set()
        while len(heard) < 2:
            event = json.loads(watch.stdout.readline())
            if event["event"] == "transfer":
                heard.add(event["name"])
        assert heard == {point.name("small.bin"), point.name("large.bin")}
        assert ended(old, None)


def test_a_home_that_is_handed_over_is_never_without_its_service(point: Point) -> None:
    ending, missed = threading.Event(), []

    def look() -> None:
        while not ending.is_set():
            missed.extend([None] if status.read(point.home.folder / "run") is None else [])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        assert ended(point.service.reload(), None)
    finally:
        ending.set()
        looking.join()
    assert not missed


def test_systemd_hears_of_a_reload_and_who_the_service_is_now(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    path = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(path)
        systemd.settimeout(PATIENCE)
        with Service(home, {"NOTIFY_SOCKET": path}) as service:
            assert systemd.recv(100) == b"READY=1"
            service.reload()
            assert systemd.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert systemd.recv(100).startswith(f"READY=1\nMAINPID={service.pid}".encode())
            home.configure({"tftp": {"prot": 69}})
            os.kill(service.pid, signal.SIGHUP)
            assert systemd.recv(100).startswith(b"RELOADING=1")
            assert b"READY=1\nSTATUS=nothing was reloaded" in systemd.recv(1000)
            home.configure(LOOPBACK)
        assert systemd.recv(100) == b"STOPPING=1"


LEAVES = """
import os
from pxefast.responder.takeover import Predecessor
predecessor = Predecessor.find()
{}
os._exit(1)
"""


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("", "ended without a word"),
        ("predecessor.take()", "ended without a word"),
        ("predecessor.take(); predecessor.fail('there is no room')", "there is no room"),
    ],
)
def test_a_successor_that_leaves_in_the_middle_leaves_the_old_process_as_it_was(
    tmp_path: Path, does: str, why: str
) -> None:
    with Point(tmp_path, drained_for(0), {**FILES, "small.bin": SMALL}) as point:
        point.service.end()
        settings = config.load(point.home.folder / "pxefast.toml")
        log, ready = io.StringIO(), threading.Event()
        with Store.open(point.home.database) as store:
            service = responder.Service(
                point.home.folder, settings, store, Library(point.home.folder / "content"), log,
                successor=[sys.executable, "-c", LEAVES.format(does)],
            )  # fmt: skip
            serving = threading.Thread(target=service.run, args=(ready.set,))
            serving.start()
            assert ready.wait(PATIENCE)
            with Storm(20, service.ports["tftp"], point.name("small.bin"), SMALL) as storm:
                service.reload()
                eventually(lambda: "serves on" in log.getvalue())
                before = storm.fetched
                eventually(partial(storm.has_fetched, before + 100))
            assert why in log.getvalue()
            assert (storm.wrong, storm.retries) == ([], 0)
            assert point.home.status()["pid"] == os.getpid()
            service.stop()
            serving.join()
