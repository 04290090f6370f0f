"""Disks that fail: nobody is answered on what is not durable (R-73, R-74)."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .faults import Faults
from .machine import Machine
from .site import ChaosSite, machine
from .storm import served, tail, watched
from .zygote import Life, Zygote

CALLS, CALLS_IN_CI = range(1, 51), (1, 4, 20)
SECONDS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("disk")


@pytest.fixture(scope="module")
def faults(folder: Path) -> Faults:
    return Faults(folder, folder / "site")


@pytest.fixture(scope="module")
def zygote(network: object, faults: Faults) -> Iterator[Zygote]:
    parent = Zygote(faults.environment)
    yield parent
    parent.close()


@pytest.fixture(scope="module")
def people(network: object) -> Iterator[Zygote]:
    """Their commands do not meet the failing disk, so that it is the service that does."""
    parent = Zygote()
    yield parent
    parent.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, folder: Path, zygote: Zygote) -> ChaosSite:
    """On PostgreSQL it is the journal alone that the failing disk is under."""
    here = folder / "site" / request.param
    here.mkdir(parents=True)
    url = request.getfixturevalue("new_database")() if request.param == "postgresql" else None
    return ChaosSite(here, ["127.0.1.1"], machines=5, url=url)


async def clear(people: Zygote, site: ChaosSite, each: Machine) -> None:
    """As a person does for a machine that may have been imaged."""
    rows = site.database.rows(each.mac)
    if rows and rows[-1].state not in ("ARMED", "CLAIMED"):
        arguments = ["--home", str(site.home.folder), "deployment", "clear", "--device", each.name, "--yes"]
        log = site.folder / "clear.log"
        assert await people.fork(arguments, log).dead == 0, tail(log)


async def round_of_boots(people: Zygote, site: ChaosSite, machines: list[Machine]) -> None:
    """Each machine starts once; who was launched is cleared."""
    await asyncio.gather(*(each.boot() for each in machines))
    for each in machines:
        await clear(people, site, each)


async def all_boot(people: Zygote, site: ChaosSite, machines: list[Machine]) -> None:
    """The disk is well again: every machine is imaged once more, without a restart of anything."""
    deadline = time.monotonic() + SECONDS
    for each in machines:
        before = len(each.imaged)
        while len(each.imaged) == before:
            assert time.monotonic() < deadline, f"{each.name} does not boot: {site.database.rows(each.mac)}"
            if await each.boot() == "silence":
                await clear(people, site, each)


@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
def test_after_a_failed_sync_nothing_is_handed_out_that_is_not_durable_and_boots_come_back(
    zygote: Zygote, people: Zygote, site: ChaosSite, faults: Faults, long: bool, always: bool
) -> None:
    machines = [machine(number, site.addresses) for number in range(1, 4)]
    met = []

    async def fail_at(call: int) -> None:
        faults.order(call, always)
        try:
            (life,) = await served(zygote, site)
        except AssertionError:
            # It may refuse to begin over a disk that fails; it may not begin and be wrong.
            met.append(faults.failed)
            faults.order()
            (life,) = await served(zygote, site)
        else:
            rounds = 0
            while not faults.failed and rounds < 25:
                await round_of_boots(people, site, machines)
                rounds += 1
            await round_of_boots(people, site, machines)
            met.append(faults.failed)
            faults.order()
        await all_boot(people, site, machines)
        assert await life.end() == 0

    async def play() -> None:
        try:
            for call in CALLS if long else CALLS_IN_CI:
                await fail_at(call)
        finally:
            for each in machines:
                each.close()
            await zygote.kill_all()

    with watched(site, machines) as verdict:
        asyncio.run(play())
        judged = verdict()
    assert judged.violations == []
    assert all(met), f"not every call came: {met}"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_over_a_disk_without_room_nothing_required_is_handed_out_and_boots_come_back_with_it(
    zygote: Zygote, people: Zygote, site: ChaosSite, faults: Faults, error: int
) -> None:
    machines = [machine(number, site.addresses) for number in range(4, 6)]

    async def play(life: Life) -> None:
        faults.order(write_error=error)
        for each in machines:
            assert await each.boot() in ("silence", "refused", "cut")
            assert not each.imaged
        assert faults.failed
        faults.order()
        await all_boot(people, site, machines)
        assert await life.end() == 0

    async def run() -> None:
        try:
            (life,) = await served(zygote, site)
            await play(life)
        finally:
            faults.order()
            for each in machines:
                each.close()
            await zygote.kill_all()

    for each in machines:
        site.home.command("deployment", "clear", "--device", each.name, "--yes")
    with watched(site, machines) as verdict:
        asyncio.run(run())
        judged = verdict()
    assert judged.violations == []
