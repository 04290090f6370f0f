"""A database that goes away and comes back: required boots stop at once, available ones as was chosen (D10, R-75)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..loopback.home import LOOPBACK, Home
from ..loopback.machine import REQUEST, Machine
from ..loopback.peer import DATA, ERROR
from ..loopback.point import Point
from ..loopback.service import PATIENCE, SOON, Service, eventually
from ..postgres import Postgres
from .test_gates import FILES, PROGRAMS, fetched
from .test_windows import Windows


@contextmanager
def on_postgres(folder: Path, url: str, stale_seconds: int = 0) -> Iterator[Point]:
    """A distribution point whose site is in this database."""
    database = {"url": url, "serve_stale_available_seconds": stale_seconds}
    settings = {**LOOPBACK, "database": database, "point": {"name": "dp1"}}
    with Point(folder, settings, FILES, PROGRAMS, ("--database", url, "--dp", "dp1")) as point:
        yield point


def test_a_dead_database_stops_required_deployments_and_by_choice_not_available_ones(
    tmp_path: Path, postgres: Postgres, pg: str
) -> None:
    with on_postgres(tmp_path, pg, stale_seconds=900) as point:
        required, under_way, available = point.machine(), point.machine(), point.machine("available")
        name = under_way.boot().file
        assert name is not None
        postgres.kill()
        try:
            refused = eventually(lambda: (answer := required.request()).reply is None and answer)
            assert refused.codes[-1] in ("ledger_unavailable", "database_unavailable")
            assert fetched(under_way, name).opcode == ERROR, "a launch that cannot be recorded is none"
            eventually(
                lambda: required.request().codes[-1] == "database_unavailable", 3 * PATIENCE, "the silence"
            )
            for _ in range(3):
                answer = available.boot()
                assert answer.reply is not None
                assert fetched(available, answer.file or "").opcode == DATA
            eventually(
                lambda: any("go on from a snapshot" in text for text in point.home.status()["problems"])
            )
        finally:
            postgres.start()
        eventually(lambda: required.request().reply, PATIENCE, "the database's return")
        assert fetched(under_way, eventually(lambda: under_way.boot().file)).opcode == DATA, "nothing had run"
        assert under_way.boot().reply is None
        assert eventually(lambda: point.home.status()["problems"] == [])


def test_without_that_choice_a_dead_database_stops_everything(
    tmp_path: Path, postgres: Postgres, pg: str
) -> None:
    with on_postgres(tmp_path, pg) as point:
        available = point.machine("available")
        after = len(point.service.events)
        postgres.stop()
        try:
            eventually(
                lambda: available.request().codes[-1] == "database_unavailable", 3 * PATIENCE, "the silence"
            )
            # What the keeper was at when the database went may be told first.
            told = point.service.event(
                "service", lambda event: "nothing is handed out" in event["text"], after=after
            )
            assert told["level"] == "error"
        finally:
            postgres.start()
        eventually(lambda: available.request().reply, what="the database's return")
        point.service.event("service", lambda event: "handed out again" in event["text"], after=after)
        assert not any("password" in event["text"] for event in point.service.events[after:])


def test_while_the_database_is_dead_nobody_waits_for_it(tmp_path: Path, postgres: Postgres, pg: str) -> None:
    with on_postgres(tmp_path, pg, stale_seconds=900) as point:
        required, available = point.machine(), point.machine("available")
        postgres.kill()
        try:
            eventually(
                lambda: required.request().codes[-1] == "database_unavailable", 3 * PATIENCE, "the silence"
            )
            # A storm of required boots beside one available machine.
            for number in range(500):
                packet = required.packet(REQUEST, 0x50000 + number)
                required.socket.sendto(packet, ("127.0.0.1", point.service.ports["boot"]))
            available.socket.settimeout(2)
            available.socket.sendto(
                available.packet(REQUEST, 0x60000), ("127.0.0.1", point.service.ports["boot"])
            )
            assert available.socket.recv(2000)
        finally:
            postgres.start()


def test_windows_is_not_booted_on_what_cannot_be_read(tmp_path: Path, postgres: Postgres, pg: str) -> None:
    database = {"url": pg, "serve_stale_available_seconds": 900}
    settings = {**LOOPBACK, "database": database, "point": {"name": "dp1"}}
    with Windows(tmp_path, settings, ("--database", pg, "--dp", "dp1")) as point:
        available, required = point.machine("available"), point.machine()
        assert available.boot().reply is not None
        postgres.kill()
        try:
            for machine in (available, required):
                answer = machine.request()
                assert answer.reply is None, "its variables and sizes are not known"
                assert answer.codes[-1] in ("site_unreadable", "ledger_unavailable", "database_unavailable")
        finally:
            postgres.start()
        eventually(lambda: available.request().reply, PATIENCE, "the database's return")


@pytest.mark.parametrize("setting", ["full_page_writes=off", "synchronous_commit=off"])
def test_a_database_that_may_forget_is_refused_by_the_settings_name(
    tmp_path: Path, postgres: Postgres, pg: str, setting: str
) -> None:
    name, value = setting.split("=")
    postgres.execute(f"ALTER SYSTEM SET {name} = {value}")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        with pytest.raises(AssertionError, match=name), on_postgres(tmp_path, pg):
            pass
    finally:
        postgres.execute(f"ALTER SYSTEM RESET {name}")
        postgres.execute("SELECT pg_reload_conf()")


def test_what_one_distribution_point_launched_every_other_one_denies(tmp_path: Path, pg: str) -> None:
    with on_postgres(tmp_path / "one", pg) as one:
        settings = {**LOOPBACK, "database": {"url": pg}, "point": {"name": "dp2"}}
        home = Home(tmp_path / "two", settings, ("--database", pg, "--dp", "dp2"))
        home.answer()
        home.run("content", "distribute", one.image)
        machine = one.machine()
        with Service(home) as two, Machine(two, machine.mac, machine.guid, address="127.0.5.1") as elsewhere:
            eventually(lambda: elsewhere.discover().reply, SOON, "an offer there too")
            assert fetched(machine, machine.boot().file or "").opcode == DATA
            eventually(lambda: elsewhere.discover().reply is None, SOON, "the denial of an offer")
            assert elsewhere.request().codes[-1] == "already_offered"
            one.home.run("deployment", "clear", "--device", machine.discover().event["device"], "--yes")
            eventually(lambda: elsewhere.discover().reply, SOON, "the clearing")
            assert fetched(elsewhere, elsewhere.boot().file or "").opcode == DATA
            assert machine.request().reply is None
