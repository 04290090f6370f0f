"""A fleet boots from two distribution points over one PostgreSQL, and one of them dies in the middle."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ..loopback.service import Service
from .machine import Machine, Network
from .oracle import Verdict
from .site import ChaosSite, machine
from .storm import watched

MACHINES = 300
SECONDS = 150
NETWORK = Network(lost=0.02, doubled=0.05, late=0.05)
# The one that dies may have recorded launches whose last blocks it took with it (safety 5.6, F8 and F9): those of one
# transaction, which its death then is not far from.
MOST_HELD = 30
DEATH_SECONDS = 5


class Fleet:
    """Switches all machines on within a few seconds, and a service off once a third of them have booted."""

    def __init__(self, machines: list[Machine], dying: Service, numbers: random.Random) -> None:
        self._machines, self._dying, self._numbers = machines, dying, numbers
        self._slots = asyncio.Semaphore(60)
        self.died_at = 0.0

    async def boot(self, seconds: float) -> None:
        """Until each machine has booted or has been refused for good."""
        async with asyncio.timeout(seconds):
            await asyncio.gather(self._kill(), *(self._boot(each) for each in self._machines))
        for each in self._machines:
            each.close()

    async def boot_held(self, seconds: float) -> None:
        """Those that a person looked at, and cleared."""
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(self._boot(each) for each in self._machines))
        for each in self._machines:
            each.close()

    @property
    def imaged(self) -> int:
        return sum(bool(each.imaged) for each in self._machines)

    async def _kill(self) -> None:
        while self.imaged < len(self._machines) // 3:
            await asyncio.sleep(0.02)
        self.died_at = time.time()
        self._dying.end(signal.SIGKILL)

    async def _boot(self, each: Machine) -> None:
        await asyncio.sleep(self._numbers.uniform(0, 5))
        silent = 0
        while not each.imaged and silent < 4:
            async with self._slots:
                silent = silent + 1 if await each.boot() == "silence" else 0
        # It is switched on once more: nobody may answer.
        async with self._slots:
            await each.boot()


def test_each_of_300_machines_is_launched_exactly_once_though_one_of_two_services_is_killed(
    tmp_path: Path, new_database: Callable[[], str], seed: int
) -> None:
    site = ChaosSite(tmp_path, ["127.0.1.1", "127.0.1.2"], MACHINES, new_database())
    numbers = random.Random(seed)
    machines = [
        machine(number, site.addresses, network=NETWORK, numbers=random.Random(seed + number))
        for number in range(1, MACHINES + 1)
    ]
    began = time.monotonic()
    with Service(site.points[0].home) as first, Service(site.points[1].home):
        fleet = Fleet(machines, first, numbers)
        with watched(site, machines) as verdict:
            asyncio.run(fleet.boot(SECONDS))
            judged: Verdict = verdict()
        print(f"{MACHINES} machines in {time.monotonic() - began:.1f} s")
        assert judged.violations == []
        rows = {row.mac: row for row in site.database.rows()}
        assert {row.state for row in rows.values()} == {"LAUNCHED"}
        assert len(rows) == len(site.database.rows()) == MACHINES, "one generation each"
        held = [each for each in machines if not each.imaged]
        assert len(held) <= MOST_HELD
        for each in machines:
            assert len(each.imaged) <= judged.completed[each.mac] <= 1
        for each in held:
            launched_at = rows[each.mac].launched_at or 0.0
            assert abs(launched_at - fleet.died_at) < DEATH_SECONDS, (
                f"{each.name} was launched, and not there"
            )
            site.home.run("deployment", "clear", "--device", each.name, "--yes")
        asyncio.run(Fleet(held, first, numbers).boot_held(SECONDS))
    assert {len(each.imaged) for each in machines} == {1}
