"""Safety 5.6 row by row: what is durable when a service dies at a place, what its machine saw, and what comes later."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from .machine import Machine, Outcome
from .oracle import Verdict
from .site import ChaosSite, machine
from .storm import KILLED, begun, served, tail, watched
from .zygote import Life, Zygote

LATER_SECONDS = 10


class Fault(NamedTuple):
    """A row of the table. `held`: a person has to clear it, for it may have run."""

    fail: str
    states: set[str]
    sees: set[Outcome]
    held: bool = False


TABLE = {
    "F1 before BEGIN": Fault("f1:kill", {"ARMED"}, {"silence"}),
    "F2 after UPDATE, before COMMIT": Fault("f2:kill", {"ARMED"}, {"silence"}),
    "F3 in COMMIT": Fault("f3:soon=0.002", {"ARMED", "CLAIMED"}, {"silence", "cut"}),
    "F4 after COMMIT, before the journal": Fault("f4:kill", {"CLAIMED"}, {"silence"}),
    "F5 after the journal, before send": Fault("f5:kill", {"CLAIMED"}, {"silence"}),
    "F6 after send": Fault("f6:kill", {"CLAIMED"}, {"cut"}),
    "F7 before the launch is committed": Fault("f7:kill", {"CLAIMED"}, {"cut"}),
    "F8 after the launch is committed, before the last block": Fault(
        "f8:kill", {"LAUNCHED"}, {"cut"}, held=True
    ),
    "F9 when the last block may leave": Fault("f9:kill", {"LAUNCHED"}, {"cut", "imaged"}, held=True),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> ChaosSite:
    folder = tmp_path_factory.mktemp("table")
    url = request.getfixturevalue("new_database")() if request.param == "postgresql" else None
    return ChaosSite(folder, ["127.0.1.1"], machines=40, url=url)


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """A machine for each test."""
    return itertools.count(1)


class Scene:
    """One machine of a site and its distribution point, which dies as `fail` says."""

    def __init__(self, zygote: Zygote, site: ChaosSite, number: int) -> None:
        self.zygote, self.site = zygote, site
        self.machine: Machine = machine(number, site.addresses)
        self.verdict = Verdict()

    def play(self, act: Callable[[Scene], Awaitable[None]]) -> None:
        """Act, and let the oracle judge what was sent meanwhile."""
        with watched(self.site, [self.machine]) as verdict:
            asyncio.run(self._play(act))
            self.verdict = verdict()
        assert self.verdict.violations == []

    async def _play(self, act: Callable[[Scene], Awaitable[None]]) -> None:
        try:
            await act(self)
        finally:
            self.machine.close()
            await self.zygote.kill_all()

    async def serve(self, fail: str = "", broken: str = "") -> Life:
        (life,) = await served(self.zygote, self.site, fail, broken)
        return life

    async def dies(self, life: Life) -> None:
        async with asyncio.timeout(LATER_SECONDS):
            code = await life.dead
        assert code in KILLED, f"exit {code}: {tail(self.site.home.folder / 'service.log')}"

    @property
    def state(self) -> str:
        rows = self.site.database.rows(self.machine.mac)
        return rows[-1].state if rows else "ARMED"

    async def boots(self) -> None:
        """It is imaged, by itself, within a bound."""
        await self.machine.boots(LATER_SECONDS)

    async def until(self, look: Callable[[], bool]) -> None:
        """Look again and again until it is true, within the bound."""
        async with asyncio.timeout(LATER_SECONDS):
            while not look():
                await asyncio.sleep(0.02)

    def clear(self) -> None:
        self.site.home.run("deployment", "clear", "--device", self.machine.name, "--yes")

    def journal_end(self) -> int:
        """The number of the last record in the local journal."""
        lines = (self.site.home.folder / "journal" / "audit.log").read_text().splitlines()
        return int(json.loads(lines[-1])["seq"])


@pytest.fixture
def scene(zygote: Zygote, site: ChaosSite, numbers: Iterator[int]) -> Scene:
    return Scene(zygote, site, next(numbers))


@pytest.mark.parametrize("row", TABLE)
def test_what_a_death_leaves_behind(scene: Scene, row: str) -> None:
    fault = TABLE[row]

    async def act(scene: Scene) -> None:
        life = await scene.serve(fault.fail)
        assert await scene.machine.boot() in fault.sees
        await scene.dies(life)
        assert scene.state in fault.states
        life = await scene.serve()
        if fault.held:
            assert await scene.machine.boot() == "silence"
            assert scene.state == "LAUNCHED"
            scene.clear()
        await scene.boots()
        assert scene.state == "LAUNCHED"
        assert scene.journal_end() == scene.site.database.audit()[-1].seq
        assert await life.end() == 0

    scene.play(act)
    assert scene.verdict.completed[scene.machine.mac] >= 1


def test_f10_a_report_that_was_not_committed_is_repeated_and_counts_once(scene: Scene) -> None:
    async def act(scene: Scene) -> None:
        life = await scene.serve("f10:kill")
        await scene.boots()
        environment = await scene.machine.environment()
        assert await scene.machine.report(environment, "started") is None
        await scene.dies(life)
        assert scene.state == "LAUNCHED"
        life = await scene.serve()
        for _ in range(2):
            assert await scene.machine.report(environment, "started") == 200
            assert scene.state == "STARTED"
        assert await scene.machine.report(environment, "done") == 200
        assert await scene.machine.report({**environment, "PXEFAST_TOKEN": "0" * 32}, "failed") == 403
        assert scene.state == "DONE"
        assert await scene.machine.boot() == "silence"
        assert await life.end() == 0

    scene.play(act)


def test_f11_a_sweep_that_was_not_committed_is_made_by_the_next_service(scene: Scene) -> None:
    async def act(scene: Scene) -> None:
        life = await scene.serve()
        await scene.boots()
        assert await life.end() == 0
        (life,) = begun(scene.zygote, scene.site, "f11:kill", "sweeps=0")
        await scene.dies(life)
        assert scene.state == "LAUNCHED"
        life = await scene.serve(broken="sweeps=0")
        await scene.until(lambda: scene.state == "HOLD")
        assert await scene.machine.boot() == "silence"
        assert await life.end() == 0

    scene.play(act)


def test_f12_a_clear_that_was_not_committed_changed_nothing_and_clearing_twice_makes_one_generation(
    scene: Scene,
) -> None:
    async def act(scene: Scene) -> None:
        life = await scene.serve()
        await scene.boots()
        assert await life.end() == 0
        clear = [
            "--home",
            str(scene.site.home.folder),
            "deployment",
            "clear",
            "--device",
            scene.machine.name,
            "--yes",
        ]
        log = scene.site.folder / "clear.log"
        assert await scene.zygote.fork(clear, log, "f12:kill").dead in KILLED
        assert scene.state == "LAUNCHED"
        for _ in range(2):
            assert await scene.zygote.fork(clear, log).dead == 0
            assert [row.state for row in scene.site.database.rows(scene.machine.mac)] == ["CLEARED", "ARMED"]

    scene.play(act)


def test_a_database_restored_from_a_backup_keeps_required_deployments_off_until_reconcile(
    scene: Scene,
) -> None:
    backup = scene.site.save()

    async def before(scene: Scene) -> None:
        life = await scene.serve()
        await scene.boots()
        assert await life.end() == 0

    async def after(scene: Scene) -> None:
        for reconciled in (False, True):
            life = await scene.serve()
            assert await scene.machine.boot() == "silence", "it was launched, whatever the backup knows of it"
            assert await life.end() == 0
            if not reconciled:
                scene.site.home.run("reconcile", "--yes")
        assert scene.state == "HOLD"

    scene.play(before)
    scene.site.restore(backup)
    scene.play(after)
    assert scene.verdict.named == 0


def test_a_server_that_stood_still_between_its_claim_and_its_answer_says_nothing_and_the_repeat_is_answered(
    scene: Scene,
) -> None:
    async def act(scene: Scene) -> None:
        life = await scene.serve("f4:stop=3:p=1")
        assert await scene.machine.boot() == "silence"
        assert scene.state == "CLAIMED"
        session = scene.site.database.rows(scene.machine.mac)[-1].session
        assert await life.end(signal.SIGKILL) in KILLED
        await scene.serve()
        await scene.boots()
        assert scene.site.database.rows(scene.machine.mac)[-1].session == session

    scene.play(act)


@pytest.mark.parametrize("jump", [-3600, 3600, 10 * 365 * 86400])
def test_a_clock_that_jumps_images_nobody_twice(scene: Scene, jump: int) -> None:
    async def act(scene: Scene) -> None:
        life = await scene.serve(broken=f"clock={jump}")
        await scene.machine.boot()
        await life.end()
        life = await scene.serve()
        while not scene.machine.imaged:
            if await scene.machine.boot() == "silence":
                scene.clear()
        assert await scene.machine.boot() == "silence"
        await life.end()

    scene.play(act)
