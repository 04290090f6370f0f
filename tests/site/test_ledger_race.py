"""Several processes on one ledger, killed at will: real processes, on each kind of database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pxefast.errors import CannotOpen, SiteError
from pxefast.site.cases import Cases
from pxefast.site.devices import NewDevice
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store

from ..postgres import Postgres
from .ledger_case import DEPLOYMENT, NAME, NOW, claim, code, launch, marked, one, states

# Another process: it opens the database, then does what each line of its standard input says, and answers.
OTHER = f"""
import sys
from pxefast.site.cases import Cases
from pxefast.site.ledger import Claim, Launch, Ledger
from pxefast.site.store import Store

store = Store.open(sys.argv[1], busy_seconds=60)
ledger, cases = Ledger(store, store.point), Cases(store)
print("ready", flush=True)
for line in sys.stdin:
    deed, device, number = line.split()
    peer = f"10.0.{{int(device) >> 8}}.{{int(device) & 255}}"
    if deed == "claim":
        wish = Claim(int(device), (), {DEPLOYMENT!r}, 1, int(number), {NOW}, 900, {NAME!r}, peer)
        (done,) = ledger.claim([wish])
        answer = done.mark.session if done.ok else "no"
    elif deed == "launch":
        (done,) = ledger.launch([Launch(None, peer, {NAME!r}, "t" + number, {NOW} + 1)])
        answer = "yes" if done.launched else "no"
    else:
        answer = "yes" if cases.clear_device("n" + device) else "no"
    print(answer, flush=True)
"""


class Other:
    """One such process."""

    def __init__(self, where: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.answer() == "ready"

    def ask(self, deed: str, device: int, number: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{deed} {device} {number}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@contextmanager
def others(where: str, count: int) -> Iterator[list[Other]]:
    started: list[Other] = []
    try:
        started += [Other(where) for _ in range(count)]
        yield started
    finally:
        for other in started:
            other.kill()


@pytest.fixture
def where(ready: Store, request: pytest.FixtureRequest) -> str:
    """What another process opens the same database by."""
    if ready.dialect == "sqlite":
        return str(request.getfixturevalue("tmp_path") / "site.db")
    postgres: Postgres = request.getfixturevalue("postgres")
    with ready.read() as connection:
        return postgres.url(str(connection.exec_driver_sql("SELECT current_database()").scalar_one()))


@pytest.fixture
def devices(ready: Store) -> list[int]:
    ready.policy.set("budget_claims", "0")
    ready.policy.set("approve_new_members", "no")
    new = ready.devices.add_many([NewDevice(f"n{i}", (f"02:00:00:00:00:{i:02x}",)) for i in range(3, 33)])
    ready.collections.add("rack", [device.name for device in new])
    assert [device.name for device in new] == [f"n{device.id}" for device in new]
    return [device.id for device in new]


def test_of_processes_at_once_exactly_one_claims_launches_and_clears(
    ready: Store, where: str, devices: list[int]
) -> None:
    """Of claims all get the one session; of launches and clears one is it (R-64)."""
    with others(where, 3) as processes:

        def race(deed: str, device: int) -> list[str]:
            for number, process in enumerate(processes, start=1):
                process.ask(deed, device, number)
            return sorted(process.answer() for process in processes)

        for device in devices:
            sessions = race("claim", device)
            assert len(set(sessions)) == 1
            assert sessions[0] != "no"
            assert race("launch", device) == ["no", "no", "yes"]
            assert race("claim", device) == ["no", "no", "no"]
            assert race("clear", device) == ["no", "no", "yes"]
    assert Counter(state for _, _, state in states(ready)) == {"ARMED": 2 + 30, "CLEARED": 30}


def test_what_was_answered_survives_the_death_of_its_process(
    ready: Store, where: str, devices: list[int]
) -> None:
    ledger = Ledger(ready, ready.point)
    for device in devices[:3]:
        with others(where, 1) as (process,):
            process.ask("claim", device, 1)
            session = process.answer()
            process.ask("launch", device, 1)
            assert process.answer() == "yes"
            os.kill(process.process.pid, signal.SIGKILL)
        refused = one(ledger, claim(device, xid=99))
        assert (code(refused), marked(refused).session) == ("already_offered", session)


def test_processes_killed_anywhere_leave_each_machine_launched_at_most_once(
    ready: Store, where: str, devices: list[int], long: bool
) -> None:
    """A third of the processes is killed in the middle of what it was asked; the machine asks the next one."""
    launched: Counter[int] = Counter()
    rounds = devices if long else devices[:3]
    with others(where, 1) as (steady,):
        for number, device in enumerate(rounds):
            for deed in ("claim", "launch", "claim", "launch"):
                with others(where, 1) as (victim,):
                    victim.ask(deed, device, number)
                    os.kill(victim.process.pid, signal.SIGKILL)
                    launched[device] += victim.answer() == "yes" and deed == "launch"
                steady.ask(deed, device, number)
                launched[device] += steady.answer() == "yes"
    assert max(launched.values()) == 1
    found = {device: state for device, _, state in states(ready)}
    # A launch whose process died before it answered is a launch: nobody may try again.
    assert {found[device] for device in rounds} == {"LAUNCHED"}


@pytest.mark.parametrize("made", [False, True], ids=["lost", "made"])
def test_an_error_at_commit_raises_and_the_next_call_reads_what_came_of_it(
    ready: Store, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F3: whether the change was made or not, its maker was told that it was not."""
    ledger = Ledger(ready, ready.point)
    with ready.read() as connection:
        dialect = connection.dialect
    commit = dialect.do_commit

    def fail(connection: Any) -> None:
        monkeypatch.undo()
        if made:
            commit(connection)
        raise dialect.dbapi.OperationalError("disk I/O error")

    def failing(deed: Callable[[], object]) -> None:
        monkeypatch.setattr(dialect, "do_commit", fail)
        with pytest.raises((CannotOpen, SiteError)):
            deed()

    failing(lambda: ledger.claim([claim()]))
    first = one(ledger, claim())
    assert code(first) == ("same_session" if made else "claimed")
    failing(lambda: launch(ledger, transfer="t1"))
    again = launch(ledger, transfer="t2")
    assert code(again) == ("already_offered" if made else "launched")
    failing(lambda: Cases(ready).clear_device("web01"))
    assert len(Cases(ready).clear_device("web01")) == (0 if made else 1)
    assert states(ready)[:2] == [(1, 1, "CLEARED"), (1, 2, "ARMED")]


def test_a_locked_database_gives_nothing(ready: Store, where: str) -> None:
    with Store.open(where, busy_seconds=0) as other, ready.write("test", "x"), pytest.raises(SiteError):
        Ledger(other, other.point).claim([claim()])
    assert set(states(ready)) == {(1, 1, "ARMED"), (2, 1, "ARMED")}
