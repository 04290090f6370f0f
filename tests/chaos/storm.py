"""Machines boot in a loop while the services are killed under them, again and again; then calm, and everybody boots."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from .broken import VARIANTS
from .database import Database
from .machine import BAD, GOOD, Machine, SwitchedOffError
from .oracle import Verdict, judge
from .site import ChaosSite, Point, machine
from .sniffer import Sniffer
from .zygote import Life, Zygote

KILLED = {-signal.SIGKILL, -signal.SIGALRM}
READY_SECONDS = 20
# A machine that has asked in vain so often has met a service that does not answer.
PATIENCE = 15


@dataclass
class Report:
    """What came of a storm."""

    kills: int = 0
    ends: Counter[int] = field(default_factory=Counter)
    """How services ended, by exit code."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """Of all boots."""
    verdict: Verdict = field(default_factory=Verdict)
    imaged: Counter[str] = field(default_factory=Counter)
    """How often each machine had a whole launch file, by its own count."""
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills in {self.seconds:.1f} s, boots {dict(self.outcomes)}, "
            f"{self.verdict.named} files named, {sum(self.verdict.completed.values())} launches, ends {dict(self.ends)}"
        )


@contextmanager
def watched(site: ChaosSite, machines: Sequence[Machine]) -> Iterator[Callable[[], Verdict]]:
    """Sniff, and judge when the verdict is asked for."""
    macs = {each.address: each.mac for each in machines} | {each.mac: each.mac for each in machines}
    look = Database(site.database.place)
    sniffer = Sniffer(site.addresses, lambda who: look.look(macs[who]) if who in macs else [])
    ended = False

    def verdict() -> Verdict:
        nonlocal ended
        ended = True
        return judge(sniffer.end(), site.database.rows(), macs)

    try:
        yield verdict
    finally:
        if not ended:
            sniffer.end()
        look.close()


class Storm:
    """One storm over a site; `numbers` are those of its machines, which nobody else uses.

    `fail` is what services are started with (`failpoints`), `broken` makes them wrong (`broken`). With `reports`
    machines that were imaged say so.
    """

    def __init__(
        self, zygote: Zygote, site: ChaosSite, numbers: Sequence[int], seed: int, fail: str = "",
        broken: str = "", reboots: float = 0.05, reports: bool = False,
    ) -> None:  # fmt: skip
        self._zygote, self._site, self._seed = zygote, site, seed
        self._fail, self._broken, self._reports = fail, broken, reports
        self._random = random.Random(seed)
        self.machines = [
            machine(
                number, site.addresses, network=BAD, reboots=reboots, numbers=random.Random(seed + number)
            )
            for number in numbers
        ]
        # One of them is on a good network and never switched off: nothing but the services is in its way.
        self.machines[0].network, self.machines[0].reboots = GOOD, 0.0
        self.report = Report()
        self._raging = True
        self._ready = {point.address: asyncio.Event() for point in site.points}
        # A person whose command fails gives it again.
        self._database_fails = False

    def run(
        self, kills: int, seconds: float, meanwhile: Callable[[], Awaitable[None]] | None = None
    ) -> Report:
        """Until so many services were killed, or `meanwhile` is over, and the machine on the good network has booted.

        That no longer than `seconds`. Then until each machine has been imaged once more.
        """
        with watched(self._site, self.machines) as verdict:
            self.run_unwatched(seconds, meanwhile, kills)
            self.report.verdict = verdict()
        return self.report

    def run_unwatched(
        self, seconds: float, meanwhile: Callable[[], Awaitable[None]] | None, kills: int = 0
    ) -> Report:
        """The same, for a test with a judge of its own."""
        began = time.monotonic()
        self._database_fails = meanwhile is not None
        asyncio.run(self._run(kills, seconds, meanwhile))
        self.report.imaged = Counter({each.mac: len(each.imaged) for each in self.machines})
        self.report.seconds = time.monotonic() - began
        return self.report

    async def _run(self, kills: int, seconds: float, meanwhile: Callable[[], Awaitable[None]] | None) -> None:
        services = [asyncio.create_task(self._serve(point)) for point in self._site.points]
        boots = [asyncio.create_task(self._boots(each)) for each in self.machines]
        try:
            deadline = time.monotonic() + seconds
            if meanwhile:
                for ready in self._ready.values():
                    await asyncio.wait_for(ready.wait(), READY_SECONDS)
                await meanwhile()
                kills = 0
            good = self.machines[0]
            while (self.report.kills < kills or not good.imaged) and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
                for task in (*services, *boots):
                    if task.done():
                        task.result()
            self._raging = False
            await asyncio.gather(*boots)
            for task in services:
                if task.done():
                    task.result()
        finally:
            for task in (*services, *boots):
                task.cancel()
            await asyncio.gather(*services, *boots, return_exceptions=True)
            for each in self.machines:
                each.close()
            await self._zygote.kill_all()

    async def _serve(self, point: Point) -> None:
        """Serve, and serve again whenever it was killed; without failpoints once the storm is over."""
        log = point.home.folder / "service.log"
        while True:
            fail = self._fail if self._raging else ""
            life = self._zygote.fork(
                ["--home", str(point.home.folder), "serve"], log, fail, self._broken, self._random.randrange(1 << 30)
            )  # fmt: skip
            try:
                if not await asyncio.wait_for(life.ready, READY_SECONDS):
                    code = await life.dead
                    assert code in KILLED, f"{log}: exit {code} before it was ready:\n{tail(log)}"
                self._ready[point.address].set()
                if fail and not self._raging:
                    await life.end(signal.SIGKILL)
                while not life.dead.done():
                    await asyncio.wait([life.dead], timeout=0.1)
                    if fail and not self._raging:
                        await life.end(signal.SIGKILL)
            except asyncio.CancelledError:
                self.report.ends[await life.end()] += 1
                raise
            code = life.dead.result()
            self.report.ends[code] += 1
            assert code in KILLED, f"{log}: exit {code}:\n{tail(log)}"
            self.report.kills += self._raging

    async def _boots(self, each: Machine) -> None:
        """Boot, boot once more after it was imaged, have it cleared, and so on; at the end boot until it is imaged."""
        while self._raging:
            outcome = await each.boot()
            self.report.outcomes[outcome] += 1
            if outcome == "imaged" and self._reports:
                await self._report(each)
            if outcome == "silence" or (outcome == "imaged" and self._random.random() < 0.7):
                await self._clear(each)
        before, deadline = len(each.imaged), time.monotonic() + PATIENCE
        each.network, each.reboots = GOOD, 0.0
        while len(each.imaged) == before and self._broken not in VARIANTS:
            assert time.monotonic() < deadline, (
                f"{each.name} does not boot any more: {self._site.database.rows(each.mac)}"
            )
            await self._clear(each)
            self.report.outcomes[await each.boot()] += 1

    async def _report(self, each: Machine) -> None:
        """Say `started`, again and again until somebody heard it."""
        with suppress(AssertionError, SwitchedOffError):
            environment = await each.environment()
            for _ in range(5):
                if await each.report(environment, "started") is not None:
                    return
                await asyncio.sleep(0.1)

    async def _clear(self, each: Machine) -> None:
        """Let it be imaged once more, if a person has to: it was, or it may have been."""
        # Nothing may wait here: a database that was killed is started again by this thread.
        rows = self._site.database.look(each.mac)
        if not rows or rows[-1].state in ("ARMED", "CLAIMED"):
            return
        log = self._site.folder / "clear.log"
        arguments = ["deployment", "clear", "--device", each.name, "--yes", "--force"]
        life = self._zygote.fork(
            ["--home", str(self._site.home.folder), *arguments], log, self._clear_fail if self._raging else ""
        )
        code = await life.dead
        self.report.kills += code in KILLED
        refused = self._raging and self._database_fails
        assert code == 0 or code in KILLED or refused, f"clear: exit {code}:\n{tail(log)}"

    @property
    def _clear_fail(self) -> str:
        return self._fail if self._fail.startswith("f12") else ""


def tail(log: Path, lines: int = 12) -> str:
    """The end of a log."""
    return "\n".join(line[:400] for line in log.read_text(errors="replace").splitlines()[-lines:])


def begun(zygote: Zygote, site: ChaosSite, fail: str, broken: str) -> list[Life]:
    """Services of all points, each of which may die before it is ready."""
    return [
        zygote.fork(
            ["--home", str(point.home.folder), "serve"], point.home.folder / "service.log", fail, broken
        )
        for point in site.points
    ]


async def served(zygote: Zygote, site: ChaosSite, fail: str = "", broken: str = "") -> list[Life]:
    """Services of all points, ready."""
    lives = begun(zygote, site, fail, broken)
    for life, point in zip(lives, site.points, strict=True):
        assert await asyncio.wait_for(life.ready, READY_SECONDS), tail(point.home.folder / "service.log")
    return lives
