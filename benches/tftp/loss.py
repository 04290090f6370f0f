"""Goodput where packets are lost, doubled and reordered, both ways, against the ideal for that loss.

`python -m benches.tftp.loss [--quick]`, and a section of ../run.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import product
from random import Random
from typing import Any

from .bench import apart, progress, script
from .measure import Case, LoadError, load, stage, wait_until_served
from .network import SERVER, Quality, link
from .peers import AbsentError
from .servers import SERVERS, Server, Stage
from .table import columns

BLOCK = 1456
OURS = "pxefast"
# What a window says is missing teaches the pump to grant less of it the next time: here each load asks the same.
ALIKE = "learn_windows = false\n"


def ideal(quality: Quality, window: int) -> float:
    """What part of the goodput without losses is left to whoever never waits longer than for a window's ACK.

    The blocks of a window that come before the first that is lost count, where the ACK arrives.
    """
    kept = 1 - quality.lost / 100
    return kept * kept * (1 - kept**window) / (1 - kept) / window if kept < 1 else 1


@dataclass(frozen=True)
class Plan:
    """`sizes`: bytes of the file by window. Who needs longer than `seconds` has not finished."""

    qualities: tuple[Quality, ...] = (
        Quality(), Quality(lost=0.1), Quality(lost=1), Quality(lost=5), Quality(doubled=1, late=1),
    )  # fmt: skip
    sizes: tuple[tuple[int, int], ...] = ((1, 512 << 10), (4, 2 << 20), (16, 4 << 20), (64, 8 << 20))
    servers: tuple[str, ...] = (OURS, "atftpd", "tftpd-crate")
    clients: int = 8
    seconds: int = 40
    delay: int = 1000  # microseconds, one way


QUICK = Plan(
    qualities=(Quality(), Quality(lost=5), Quality(doubled=1, late=1)),
    sizes=((1, 128 << 10), (16, 512 << 10)),
    servers=(OURS,),
    clients=4,
)
# Who answers each block out of turn, as EDK2 does, and who answers a gap once (RFC 7440, section 4).
HABITS = {"once": (), "each": ("--each",)}


@dataclass(frozen=True)
class Sample:
    """One load: clients that got every byte right, and bytes of blocks in turn a second and client."""

    verified: int
    wrong: int
    goodput: float
    resent: float  # blocks that came again or out of turn, of those of the files
    slowest: float
    why: str


@dataclass
class Results:
    """Samples by quality, window, server and habit; and why what is missing is missing."""

    samples: dict[tuple[Quality, int, str, str], Sample] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def measure(plan: Plan) -> Results:
    """Each server on each cable, at each window; ours with both habits. In a network of our own."""
    results = Results()
    with ExitStack() as stack:
        here = stack.enter_context(stage(1 << 20, address=SERVER, tftp=ALIKE))
        for window, size in plan.sizes:
            here.path(f"{window}.bin").write_bytes(Random(window).randbytes(size))
        clients, become = stack.enter_context(link(here.programs / "link", plan.delay))
        running: dict[str, Server] = {}
        for name in plan.servers:
            try:
                running[name] = stack.enter_context(SERVERS[name].run(here))
                wait_until_served(here, running[name], "small.bin")
            except (AbsentError, subprocess.CalledProcessError) as error:
                results.absent[name] = str(error)
        for quality, (window, _), (name, server) in product(plan.qualities, plan.sizes, running.items()):
            become(quality)
            for habit in HABITS if name == OURS else ["once"]:
                progress(f"{quality}: {name}, window {window}, gaps told {habit}")
                results.samples[quality, window, name, habit] = _sample(
                    plan, here, server, window, clients.place, HABITS[habit]
                )
    progress("")
    return results


def _sample(
    plan: Plan, here: Stage, server: Server, window: int, place: Sequence[str], more: Sequence[str]
) -> Sample:
    switches = [f"--seconds={plan.seconds}", *more]
    file, case = f"{window}.bin", Case(BLOCK, window)
    try:
        told = load(here, server, file, case, plan.clients, lambda: None, *switches, place=place)
    except LoadError as error:
        told = error.told
        if "blocks" not in told:
            raise
    return Sample(
        verified=told["verified"],
        wrong=told["wrong"],
        goodput=told["blocks"] * BLOCK / told["together"],
        resent=told["resent"] / max(1, told["blocks"]),
        slowest=told["slowest"],
        why=told["why"],
    )


HEAD = ("packets", "window", "server", "gaps told", "of ideal", "MB/s a client", "of pxefast", "finished", "resent",
        "slowest s")  # fmt: skip


def text(plan: Plan, results: Results) -> str:
    """A row a sample. The ideal is of the best that anybody did at that window without losses."""
    lines: list[tuple[str, ...]] = [HEAD]
    for quality, (window, _) in product(plan.qualities, plan.sizes):
        best = max(each.goodput for (of, size, _, _), each in results.samples.items()
                   if size == window and of == Quality())  # fmt: skip
        ours = results.samples[quality, window, OURS, "once"]
        for (of, size, name, habit), done in results.samples.items():
            if (of, size) != (quality, window):
                continue
            lines.append((
                str(quality), str(window), name, habit, f"{done.goodput / best / ideal(quality, window):.2f}",
                f"{done.goodput / 1e6:.3f}", f"{done.goodput / ours.goodput:.2f}",
                f"{done.verified} of {plan.clients}", f"{100 * done.resent:.1f} %", f"{done.slowest:.1f}",
            ))  # fmt: skip
    said = [columns(lines, 4), ""]
    said += [f"{name}: {why}" for name, why in results.absent.items()]
    mine = [each for (_, _, name, _), each in results.samples.items() if name == OURS]
    whole = all(each.verified == plan.clients and not each.wrong for each in mine)
    return "\n".join(
        [*said, f"every transfer of pxefast finished with right bytes: {'kept' if whole else 'MISSED'}"]
    )


def section() -> dict[str, Any]:
    """The part of ../run.py."""
    figures = apart("benches.tftp.loss")
    print(figures["text"])
    return figures


def _here(quick: bool) -> dict[str, Any]:
    plan = QUICK if quick else Plan()
    results = measure(plan)
    rows = [{"quality": asdict(quality), "window": window, "server": name, "gaps": habit, **asdict(done)}
            for (quality, window, name, habit), done in results.samples.items()]  # fmt: skip
    return {"plan": asdict(plan), "rows": rows, "absent": results.absent, "text": text(plan, results)}


if __name__ == "__main__":
    sys.exit(script("benches.tftp.loss", __doc__, "shorter files, fewer cables, nobody beside us", _here))
