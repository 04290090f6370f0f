"""A stop that comes while the ledger commits still stops the answer and the gate (R-60, D6, D8, D23).

The service under test runs with a commit that does what a file of the home says, once, before it returns. So the stop
comes between the durable write and the packet, at every run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from ..loopback.machine import Machine
from ..loopback.peer import DATA, ERROR, Peer
from ..loopback.point import Point
from ..loopback.service import Service, eventually
from .test_gates import FILES, PROGRAMS, fetched, state

# pxefast with a commit that is followed by a stop. What the other threads of the service read is changed too, so that
# none of them takes the stop back.
STOPPING = """
import json, sys, time
from pathlib import Path
from pxefast.cli import main
from pxefast.responder.pauses import journal_broken
from pxefast.responder.view import View
from pxefast.site.journal import Journal
from pxefast.site.ledger import Ledger

home = Path(sys.argv[sys.argv.index("--home") + 1])
order, stopped = home / "order", home / "stopped"
views = []

def wrapped(owner, name):
    def decorate(function):
        real = getattr(owner, name)
        setattr(owner, name, lambda *given, **named: function(real, *given, **named))
    return decorate

@wrapped(View, "__init__")
def built(real, view, *given, **named):
    real(view, *given, **named)
    views.append(view)

def says(what):
    return stopped.exists() and stopped.read_text() == what

@wrapped(Journal, "check")
def check(real, *given):
    return "a test says so" if says("journal") else real(*given)

@wrapped(Ledger, "budget")
def budget(real, *given):
    found = real(*given)
    return found._replace(tripped_at=time.time()) if says("budget") else found

@wrapped(Ledger, "commit")
def commit(real, *given):
    done = real(*given)
    if order.exists() and (given[1] or given[2]):
        what = order.read_text()
        order.rename(stopped)
        if what == "halt":
            (home / "run" / "HALT").touch()
        elif what == "budget":
            end = time.monotonic() + 10
            while views[-1].budget is None and time.monotonic() < end:
                time.sleep(0.01)
    return done

@wrapped(Journal, "catch_up")
def catch_up(real, *given):
    real(*given)
    if says("journal"):
        views[-1].journal = journal_broken("a test says so")

raise SystemExit(main())
"""

CODES = {"halt": "halted", "journal": "journal_broken", "budget": "budget_exhausted"}


@pytest.fixture(scope="module")
def stopping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    folder = tmp_path_factory.mktemp("stopping")
    with Point(
        folder, files=FILES, programs=PROGRAMS, serve=partial(Service, program=("-c", STOPPING))
    ) as point:
        yield point


@pytest.fixture
def point(stopping: Point) -> Iterator[Point]:
    """The point of the module, which goes on after each test."""
    yield stopping
    stopping.home.run("halt", "--off")
    (stopping.home.folder / "stopped").unlink(missing_ok=True)
    now = time.time()
    eventually(lambda: on_again(stopping, now), what="required deployments")


def on_again(point: Point, since: float) -> bool:
    """Return True once a status that was written after `since` (Unix seconds) has required deployments on."""
    status = point.home.status()
    return status["written"] > since and not status["required_off"]


def stop_at_next_commit(point: Point, what: str) -> None:
    (point.home.folder / "order").write_text(what)


def fetch_up_to_the_stop(point: Point, machine: Machine, name: str, what: str) -> None:
    """Fetch a launch file, whose transfer must end with an error before its last block."""
    with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
        packet = peer.ask(name)
        stop_at_next_commit(point, what)
        while packet.opcode == DATA:
            assert len(packet.rest) == 512, "the last block left"
            peer.ack(packet.number)
            packet = peer.receive()
        assert packet.opcode == ERROR


@pytest.mark.parametrize("what", CODES)
def test_a_claim_is_not_answered_when_the_stop_comes_while_it_commits(point: Point, what: str) -> None:
    machine = point.machine()
    stop_at_next_commit(point, what)
    answer = machine.request(7)
    assert answer.reply is None
    assert answer.codes[-1] == CODES[what]
    assert answer.event["action"] == "ignore"
    assert answer.event["boot_program"] is None
    assert state(point, machine) == "CLAIMED", "the claim was committed before the stop"


@pytest.mark.parametrize("what", ["halt", "journal"])
def test_a_gate_does_not_open_when_the_stop_comes_while_the_launch_commits(point: Point, what: str) -> None:
    machine = point.machine()
    name = machine.boot().file
    assert name is not None
    after = len(point.service.events)
    fetch_up_to_the_stop(point, machine, name, what)
    event = point.service.event("launch", after=after)
    assert (event["result"], event["reasons"][0]["code"]) == ("refused", CODES[what])
    assert state(point, machine) == "LAUNCHED", "the launch was committed before the stop"


def test_a_spent_budget_lets_a_boot_end_that_has_begun(point: Point) -> None:
    machine = point.machine()
    name = machine.boot().file
    assert name is not None
    stop_at_next_commit(point, "budget")
    assert fetched(machine, name).opcode == DATA
    assert state(point, machine) == "LAUNCHED"
