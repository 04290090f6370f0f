"""Two operators create, remove, clear and disable deployments while machines boot and services die (D32 to D34)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from .chain import counts_of, judge_chain
from .machine import GOOD, Machine, SwitchedOffError
from .oracle import Verdict
from .site import ChaosSite
from .sniffer import Sniffer
from .storm import KILLED, Storm, tail
from .zygote import Zygote

# On each database; both together are 10^5 in the long form and 10^4 in continuous integration.
BOOTS, BOOTS_IN_CI = 50_000, 5_000
SECONDS, SECONDS_IN_CI = 5_400, 900
MACHINES = 40
FAIL = ",".join(f"f{place}:kill:p=0.015" for place in (2, 4, 6, 7, 8))
# What a command may answer a person whose colleague was faster.
REFUSED = {0, 1}
# A machine that has asked in vain for so long, with nobody in its way, does not boot any more.
PATIENCE = 30


class Operators(Storm):
    """Machines that boot all the time, and two people who change what is deployed to them."""

    def __init__(self, zygote: Zygote, site: ChaosSite, seed: int, broken: str = "") -> None:
        super().__init__(zygote, site, range(1, MACHINES + 1), seed, FAIL, broken, reboots=0.02)
        self._people = [random.Random(seed + number) for number in (1, 2)]
        # How often each machine had been imaged when the last deployment was made.
        self._imaged_before: dict[str, int] = {}
        self.reports: Counter[int | None] = Counter()
        self.commands: Counter[tuple[str, int]] = Counter()
        """How often each command ended with each exit code."""

    async def operate(self, boots: int) -> None:
        """Have both operators work until the machines have tried to boot so often."""
        async with asyncio.TaskGroup() as people:
            for numbers in self._people:
                people.create_task(self._work(numbers, boots))
        # From here on nobody is in the way of the machine on the good network.
        await self._settle()

    async def _work(self, numbers: random.Random, boots: int) -> None:
        while sum(self.report.outcomes.values()) < boots:
            await self._one_change(numbers)
            await asyncio.sleep(numbers.uniform(0.0, 0.4))

    async def _one_change(self, numbers: random.Random) -> None:
        there = self._deployments()
        machine = numbers.choice(self.machines).name
        some = numbers.choice(there) if there else ""
        choices: list[tuple[str, ...]] = [
            ("clear", "--device", machine, "--yes"),
            *[("clear", "--collection", "all of them", "--yes", "--force")] * 3,
        ]
        if some:
            choices += [
                ("remove", some, "--yes"),
                ("clear", "--deployment", some, "--device", machine, "--yes", "--force"),
                ("clear", "--device", machine, "--all", "--yes", "--force"),
                ("disable", some),
            ]
        choices += [
            ("clear", "--collection", "all of them", "--deployment", gone, "--yes")
            for gone in self._site.database.withdrawn()[-1:]
        ]
        if len(there) < 2 or numbers.random() < 0.2:
            await self._create()
        else:
            chosen = numbers.choice(choices)
            await self._run_command(*chosen)
            if chosen[0] == "disable":
                await asyncio.sleep(numbers.uniform(0.0, 0.4))
                await self._run_command("enable", some)

    async def _create(self) -> None:
        await self._run_command(
            "create", "--task-sequence", self._site.task_sequence, "--collection", "all of them",
            "--purpose", "required", "--make-available-to", "media-pxe",
        )  # fmt: skip

    async def _run_command(self, *words: str) -> None:
        """Run `pxefast deployment ...` as a person would; it may be refused, and must not break."""
        log = self._site.folder / "operators.log"
        life = self._zygote.fork(
            ["--home", str(self._site.home.folder), "deployment", *words], log, "", self._broken
        )
        code = await life.dead
        self.commands[words[0], code] += 1
        assert code in REFUSED or code in KILLED, f"deployment {words}: exit {code}:\n{tail(log)}"

    def _deployments(self) -> list[str]:
        return self._site.database.deployments()

    async def _boots(self, each: Machine) -> None:
        """Boot again and again; say `done` often; at the end boot once more with nobody in the way."""
        while self._raging:
            outcome = await each.boot()
            self.report.outcomes[outcome] += 1
            if outcome == "imaged" and self._random.random() < 0.7:
                await self._say_done(each)
            elif outcome == "silence":
                # A machine that gets nothing tries its disk first; without this pause most questions come too late.
                await asyncio.sleep(self._random.uniform(0.0, 0.3))
        each.network, each.reboots = GOOD, 0.0
        before = self._imaged_before[each.name]
        async with asyncio.timeout(PATIENCE + MACHINES):
            while len(each.imaged) == before:
                # Its launch may be recorded while a service died before the last block left (safety 5.6, F8).
                await self._clear(each)
                self.report.outcomes[await each.boot()] += 1

    async def _say_done(self, each: Machine) -> None:
        with suppress(AssertionError, SwitchedOffError):
            environment = await each.environment()
            self.reports[await each.report(environment, "done")] += 1

    async def _settle(self) -> None:
        """Clear every machine, remove what is deployed, and deploy to all of them once more."""
        for each in self.machines:
            await self._run_command("clear", "--device", each.name, "--all", "--yes", "--force")
        for there in self._deployments():
            await self._run_command("remove", there, "--yes")
        # What was launched and then removed keeps its machine waiting until a person names it (D34).
        for gone in self._site.database.withdrawn():
            await self._run_command(
                "clear", "--collection", "all of them", "--deployment", gone, "--yes", "--force"
            )
        self._imaged_before = {each.name: len(each.imaged) for each in self.machines}
        await self._create()


def play(storm: Operators, site: ChaosSite, boots: int, seconds: float) -> Verdict:
    """Let them work, and judge what was sent."""
    sniffer = Sniffer(site.addresses, lambda _: None)
    ended = False
    try:
        storm.run_unwatched(seconds, lambda: storm.operate(boots))
        ended = True
        sightings = sniffer.end()
    finally:
        if not ended:
            sniffer.end()
    devices = dict(site.database.devices())
    devices |= {each.address: devices[each.mac] for each in storm.machines}
    storm.report.verdict = judge_chain(sightings, site.database.audit(), devices)
    return storm.report.verdict


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> ChaosSite:
    """One server on SQLite; two, each in its own home, on one PostgreSQL database."""
    url = None if request.param == "sqlite" else request.getfixturevalue("new_database")()
    addresses = ["127.0.1.1"] if url is None else ["127.0.1.1", "127.0.1.2"]
    made = ChaosSite(tmp_path, addresses, MACHINES, url, session_seconds=2)
    made.home.run("setting", "set", "confirm_above", "1000")
    return made


@pytest.mark.timeout(SECONDS + 600)
def test_two_operators_who_remove_clear_and_redeploy_never_image_a_machine_twice(
    zygote: Zygote, site: ChaosSite, seed: int, long: bool
) -> None:
    boots, seconds = (BOOTS, SECONDS) if long else (BOOTS_IN_CI, SECONDS_IN_CI)
    storm = Operators(zygote, site, seed)
    verdict = play(storm, site, boots, seconds)
    chain = counts_of(site.database.audit())
    print(f"{storm.report}; commands {storm.commands}; reports {storm.reports}; chain {dict(chain)}")
    assert verdict.violations == []
    assert sum(storm.report.outcomes.values()) >= boots
    for each in storm.machines:
        assert 1 <= len(each.imaged) <= verdict.completed[each.address]
    # It was no idle storm: each kind of change met boots.
    assert chain["deployment remove"] > 5
    assert chain["ledger launch"] > MACHINES
    assert chain["ledger clear"] > 5
    assert storm.report.kills > 0
