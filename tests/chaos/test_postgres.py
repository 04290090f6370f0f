"""PostgreSQL that is cut off, killed, read-only, or whose word is lost, while machines boot (R-75, safety 5.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..postgres import USER, Postgres
from .machine import Machine
from .proxy import Proxy
from .site import ChaosSite, machine
from .storm import Storm, served, watched
from .zygote import Life, Zygote

MACHINES = 8
ADDRESSES = ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
KILLS, KILLS_IN_CI = 20, 3
CUT_SECONDS, CUT_SECONDS_IN_CI = 30, 3
AGAIN_SECONDS = 60


@pytest.fixture
def proxy(postgres_of_chaos: Postgres) -> Iterator[Proxy]:
    between = Proxy(str(postgres_of_chaos.folder / f".s.PGSQL.{postgres_of_chaos.port}"))
    yield between
    between.close()


@pytest.fixture
def database(new_database: Callable[[], str], proxy: Proxy) -> str:
    """A new database's URL that leads through the proxy."""
    return f"postgresql://{USER}@127.0.0.1:{proxy.port}{urlsplit(new_database()).path}"


@pytest.fixture
def site(tmp_path: Path, database: str, new_database: Callable[[], str]) -> ChaosSite:
    """Its services go through the proxy, its tests and commands do not."""
    return ChaosSite(tmp_path, ADDRESSES, MACHINES, database)


def play(
    zygote: Zygote, site: ChaosSite, machines: list[Machine], act: Callable[[list[Life]], Awaitable[None]]
) -> None:
    """Act with the site's services, and let the oracle judge what was sent."""

    async def run() -> None:
        try:
            await act(await served(zygote, site))
        finally:
            for each in machines:
                each.close()
            await zygote.kill_all()

    with watched(site, machines) as verdict:
        asyncio.run(run())
        judged = verdict()
    assert judged.violations == []


def test_where_answers_to_commits_are_lost_the_repeat_finds_the_same_session(
    zygote: Zygote, site: ChaosSite, proxy: Proxy, seed: int
) -> None:
    async def lose() -> None:
        for _ in range(6):
            proxy.set("lose-commits")
            await asyncio.sleep(0.5)
            proxy.set("open")
            await asyncio.sleep(0.5)

    report = Storm(zygote, site, range(1, MACHINES + 1), seed).run(0, 60, lose)
    assert report.verdict.violations == []
    assert proxy.lost
    assert min(report.imaged.values()) >= 1


def test_cut_off_from_the_database_nothing_required_is_handed_out_and_boots_come_back_with_it(
    zygote: Zygote, site: ChaosSite, proxy: Proxy, long: bool
) -> None:
    async def act(lives: list[Life]) -> None:
        await before.boots(AGAIN_SECONDS)
        proxy.set("cut")
        assert await before.boot() == "silence"
        await asyncio.sleep(CUT_SECONDS if long else CUT_SECONDS_IN_CI)
        assert await after.boot() == "silence"
        proxy.set("open")
        await after.boots(AGAIN_SECONDS)
        assert await before.boot() == "silence"
        for life in lives:
            assert await life.end() == 0

    before, after = machine(1, site.addresses), machine(2, site.addresses)
    play(zygote, site, [before, after], act)


def test_a_database_that_takes_no_changes_hands_out_nothing_required(
    zygote: Zygote, site: ChaosSite, postgres_of_chaos: Postgres
) -> None:
    name = urlsplit(str(site.database.place)).path[1:]

    def read_only(value: str) -> None:
        postgres_of_chaos.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
        postgres_of_chaos.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )

    async def act(lives: list[Life]) -> None:
        read_only("on")
        assert await subject.boot() == "silence"
        read_only("off")
        await subject.boots(AGAIN_SECONDS)
        for life in lives:
            assert await life.end() == 0

    subject = machine(1, site.addresses)
    play(zygote, site, [subject], act)


def test_a_server_killed_and_started_again_under_load_forgets_nothing(
    zygote: Zygote, site: ChaosSite, postgres_of_chaos: Postgres, seed: int, long: bool
) -> None:
    async def kill() -> None:
        for _ in range(KILLS if long else KILLS_IN_CI):
            await asyncio.sleep(1)
            await asyncio.to_thread(postgres_of_chaos.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(postgres_of_chaos.start)
        await asyncio.sleep(1)

    report = Storm(zygote, site, range(1, MACHINES + 1), seed).run(0, 60, kill)
    assert report.verdict.violations == []
    assert min(report.imaged.values()) >= 1
