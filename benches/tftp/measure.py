"""Samples: one server under one load, and all of them in turns."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .peers import AbsentError
from .processes import clocks, forget_peak, peak_bytes, spent
from .servers import HERE, IMAGE, SERVERS, Server, Stage

SMALL = 4  # small.bin is that much smaller: servers that need more time a byte are measured as well with it
FLAGS = (
    "-O2",
    "-std=gnu11",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wconversion",
    "-Wno-sign-conversion",
    "-Werror",
)


PROGRAMS = ("bare", "load", "link")


class LoadError(Exception):
    """A transfer that failed, or a wrong byte; `told` is what load.c prints, where it ran."""

    def __init__(self, why: str, told: dict[str, Any] | None = None) -> None:
        super().__init__(why)
        self.told = told or {}


@dataclass(frozen=True)
class Case:
    """What each client asks for: bytes of a block, blocks of a window; and the MTU that it meets.

    Blocks beyond the MTU are asked for as Windows does, with msftwindow: without it pxefast grants what fits.
    """

    block: int
    window: int
    mtu: int = 1500

    @property
    def fragments(self) -> bool:
        return self.block + 32 > self.mtu


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    cases: tuple[Case, ...]
    servers: tuple[str, ...]
    clients: int
    file_bytes: int
    rounds: int
    uncut: bool = True  # windows arrive as they were sent (UDP_GRO at the clients)


@dataclass(frozen=True)
class Sample:
    """One load on one server."""

    granted: tuple[int, int]  # blocks of a window, bytes of a block
    bytes: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    resent: int

    @property
    def cpu_per_gb(self) -> float:
        return self.cpu_seconds / (self.bytes / 1e9)

    @property
    def rate(self) -> float:
        """Bytes of files a second."""
        return self.bytes / self.seconds


@dataclass
class Results:
    """Samples in the order of the rounds, and why what is missing is missing."""

    samples: dict[tuple[str, Case], list[Sample]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def of(self, server: str, case: Case) -> list[Sample]:
        """Where a server knows no windows, what it did at the window of 1 that it grants."""
        if not SERVERS[server].windows and (server, case) not in self.samples:
            case = Case(case.block, 1, case.mtu)
        return self.samples.get((server, case), [])


@contextmanager
def stage(file_bytes: int, **more: str) -> Iterator[Stage]:
    """The files to serve and the compiled programs, in a temporary folder. `more` is of the [Stage]."""
    with tempfile.TemporaryDirectory(prefix="pxefast-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # servers that change their user read it too
        made = Stage(folder / "served", folder, **more)
        made.path("").mkdir(parents=True)
        for file, size in (("image.bin", file_bytes), ("small.bin", file_bytes // SMALL)):
            made.path(file).write_bytes(hashlib.shake_256(file.encode()).digest(size))
        for program in PROGRAMS:
            command = ["cc", *FLAGS, "-o", str(folder / program), str(HERE / f"{program}.c")]
            subprocess.run(command, check=True)
        yield made


def load(
    stage: Stage, server: Server, file: str, case: Case, clients: int, look: Callable[[], None], *more: str,
    place: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """What load.c prints; `look` is called between the last block and its ACK. `place` is the command that runs it.

    Raises [LoadError] where not every byte of every client was right.
    """
    command = [
        *place,
        str(stage.programs / "load"),
        f"--host={stage.address}",
        f"--port={server.port}",
        f"--name={IMAGE}/{file}",
        f"--file={stage.path(file)}",
        f"--clients={clients}",
        f"--block={case.block}",
        f"--window={case.window}",
        "--hold",
        *more,
    ]
    if case.fragments:
        command.append("--msftwindow")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told: dict[str, Any] = json.loads(process.stdout.readline() or '{"why": "the load did not start"}')
        look()
    if process.returncode:
        raise LoadError(f"{told['why']}; {told.get('verified', 0)} of {clients} clients were served", told)
    return told


def wait_until_served(stage: Stage, server: Server, file: str) -> None:
    last = ""
    for _ in range(20):
        try:
            load(stage, server, file, Case(1456, 1), 1, lambda: None, "--patience=50")
            return
        except LoadError as error:
            last = str(error)
            time.sleep(0.05)
    said = server.log.read_text(errors="replace").strip().splitlines()[-1:]
    raise AbsentError(f"it does not serve: {last}" + "".join(f" (its log: {line})" for line in said))


def sample(stage: Stage, server: Server, file: str, case: Case, clients: int, uncut: bool = True) -> Sample:
    after: dict[int, float] = {}
    peak = 0

    def look() -> None:
        nonlocal after, peak
        after = clocks(server.process)
        peak = peak_bytes(server.process)

    forget_peak(server.process)
    before = clocks(server.process)
    told = load(stage, server, file, case, clients, look, *(["--gro"] if uncut else []))
    return Sample(
        granted=(told["window"], told["block"]),
        bytes=told["bytes"],
        seconds=told["seconds"],
        cpu_seconds=spent(before, after),
        peak_bytes=peak,
        resent=told["resent"],
    )


def measure(plan: Plan, set_mtu: Callable[[int], None] | None, progress: Callable[[str], None]) -> Results:
    """All servers of a case right after each other, in an order that turns with the rounds."""
    results = Results()
    with ExitStack() as stack:
        here = stack.enter_context(stage(plan.file_bytes))
        running: dict[str, Server] = {}
        for name in plan.servers:
            try:
                server = stack.enter_context(SERVERS[name].run(here))
                wait_until_served(here, server, SERVERS[name].file)
                running[name] = server
            except (AbsentError, subprocess.CalledProcessError) as error:
                results.absent[name] = str(error)
        for turn in range(plan.rounds):
            for case in plan.cases:
                if set_mtu:
                    set_mtu(case.mtu)
                for name in _turned(list(running), turn):
                    kind = SERVERS[name]
                    if name in results.absent or (not kind.windows and _lockstep_again(plan.cases, case)):
                        continue
                    progress(
                        f"round {turn + 1} of {plan.rounds}: {name}, block {case.block}, window {case.window}"
                    )
                    try:
                        done = sample(here, running[name], kind.file, case, plan.clients, plan.uncut)
                    except (LoadError, OSError) as error:  # it has ended, perhaps
                        results.absent[name] = f"block {case.block}, window {case.window}: {error}"
                    else:
                        results.samples.setdefault((name, case), []).append(done)
    return results


def _lockstep_again(cases: Sequence[Case], case: Case) -> bool:
    """A server without windows would do again what it did for window 1."""
    return case.window > 1 and Case(case.block, 1, case.mtu) in cases


def _turned(names: list[str], by: int) -> list[str]:
    by %= max(len(names), 1)
    return names[by:] + names[:by]
