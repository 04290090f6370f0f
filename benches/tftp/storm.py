"""Four thousand clients at once beside sixteen: throughput, CPU, fairness, memory.

The clients are on another host, which has an address for each, so that limits of one address are what they are in a
building. `python -m benches.tftp.storm [--quick]`, and a section of ../run.py.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from .bench import apart, progress, script
from .measure import Case, LoadError, load, stage, wait_until_served
from .network import FIRST, SERVER, Clients, cable
from .peers import AbsentError
from .processes import clocks, private_bytes, spent
from .servers import IMAGE, SERVERS, Server, Stage
from .table import Figure, columns

BLOCK = 1456
OURS = "pxefast"
OF_FEW, OF_MIDDLE, USER_BYTES = 0.85, 10, 4096  # what is promised
MOMENT = 30.0  # seconds until all transfer
# The kernel's objects of each socket that is polled.
SLABS = ("UDP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq", "lsm_file_cache")


@dataclass(frozen=True)
class Plan:
    """How many clients; by window how many bytes one of many fetches, so that all run at once, and one of few.

    Other people's servers get files that are shorter; whoever does not serve them all within so many seconds is left
    out from then on.
    """

    many: int = 4000
    few: int = 16
    sizes: tuple[tuple[int, int, int], ...] = (
        (1, 512 << 10, 64 << 20),
        (16, 8 << 20, 256 << 20),
        (64, 16 << 20, 256 << 20),
    )
    shorter: int = 8
    rounds: int = 3
    servers: tuple[str, ...] = ("bare", OURS, "dnsmasq", "atftpd", "tftpd-crate")
    seconds: int = 60

    @property
    def windows(self) -> list[int]:
        return [window for window, _, _ in self.sizes]

    @property
    def crowds(self) -> list[tuple[int, int, int]]:
        """How many at which window, and bytes of the file."""
        return [
            (count, window, size)
            for window, many, few in self.sizes
            for count, size in ((self.few, few), (self.many, many))
        ]


QUICK = Plan(
    sizes=((1, 128 << 10, 32 << 20), (16, 1 << 20, 64 << 20), (64, 1 << 20, 64 << 20)),
    rounds=1,
    servers=("bare", OURS),
)


@dataclass(frozen=True)
class Sample:
    """One load. Times are a transfer's, from its request to its last byte, in seconds."""

    rate: float  # bytes of files a second, of all clients together
    cpu_per_gb: float
    at_once: int
    resent: int
    asked_again: int
    middle: float
    slow: float  # one in a hundred takes longer
    slowest: float


@dataclass(frozen=True)
class Memory:
    """Bytes a transfer: the server's own memory, without pages of files; and the kernel's, of the socket."""

    user: float
    kernel: int


@dataclass
class Results:
    """Samples by server, clients and window."""

    samples: dict[tuple[str, int, int], list[Sample]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    memory: Memory | None = None


def measure(plan: Plan, clients: Clients) -> Results:
    """The two crowds right after each other, all servers in turns."""
    results = Results()
    with ExitStack() as stack:
        here = stack.enter_context(_stage(plan))
        running: dict[tuple[str, int, int], Server] = {}
        for name in plan.servers:
            try:
                running |= stack.enter_context(_server(plan, here, name))
            except (AbsentError, subprocess.CalledProcessError) as error:
                results.absent[name] = str(error)
        for turn, window, name in product(range(plan.rounds), plan.windows, plan.servers):
            if name in results.absent or (window > 1 and not SERVERS[name].windows):
                continue
            for count in (plan.few, plan.many) if turn % 2 else (plan.many, plan.few):
                progress(f"round {turn + 1} of {plan.rounds}: {name}, {count} clients, window {window}")
                try:
                    server = running[name, count, window]
                    done = _sample(plan, here, server, _file(name, count, window), count, window, clients)
                except (LoadError, OSError) as error:
                    results.absent[name] = f"{count} clients, window {window}: {error}"
                    break
                results.samples.setdefault((name, count, window), []).append(done)
    results.memory = _memory(plan, clients)
    progress("")
    return results


@contextmanager
def _stage(plan: Plan) -> Iterator[Stage]:
    with stage(1 << 20, address=SERVER) as here:
        for count, window, size in plan.crowds:
            for name, length in (("bare", size), ("dnsmasq", size // plan.shorter)):
                file = _file(name, count, window)
                here.path(file).write_bytes(hashlib.shake_256(file.encode()).digest(length))
        yield here


def _file(name: str, count: int, window: int) -> str:
    return f"{count}-{window}.bin" if SERVERS[name].file == "image.bin" else f"{count}-{window}-short.bin"


@contextmanager
def _server(plan: Plan, here: Stage, name: str) -> Iterator[dict[tuple[str, int, int], Server]]:
    """One server for all crowds; the bare loop has one file, so there is one of it for each."""
    with ExitStack() as stack:
        found: dict[tuple[str, int, int], Server] = {}
        for count, window, _ in plan.crowds:
            own, file = here, _file(name, count, window)
            if name == "bare":
                own = replace(here, folder=here.folder / file)
                own.path("").mkdir(parents=True)
                own.path("image.bin").hardlink_to(here.path(file))
            if name == "bare" or not found:
                server = stack.enter_context(SERVERS[name].run(own))
            found[name, count, window] = server
            wait_until_served(here, server, file)
        yield found


def _sample(
    plan: Plan, here: Stage, server: Server, file: str, count: int, window: int, clients: Clients
) -> Sample:
    before = clocks(server.process)
    more = ["--gro", "--one-socket", f"--sources={FIRST}/{count}", f"--seconds={plan.seconds}"]
    after: dict[int, float] = {}
    told = load(
        here, server, file, Case(BLOCK, window), count, lambda: after.update(clocks(server.process)), *more,
        place=clients.place,
    )  # fmt: skip
    return Sample(
        rate=told["bytes"] / told["seconds"],
        cpu_per_gb=spent(before, after) / (told["bytes"] / 1e9),
        **{key: told[key] for key in ("at_once", "resent", "asked_again", "middle", "slow", "slowest")},
    )


def _memory(plan: Plan, clients: Clients) -> Memory | None:
    """The memory of a server with places for many, while so many transfer, beside one with places for few."""
    progress("memory")
    try:
        many, few = (_private(count, clients) for count in (plan.many, plan.few))
    except LoadError as error:
        progress(str(error))
        return None
    sizes = {
        line.split()[0]: int(line.split()[3]) for line in Path("/proc/slabinfo").read_text().splitlines()[2:]
    }
    return Memory((many - few) / (plan.many - plan.few), sum(sizes.get(name, 0) for name in SLABS))


def _private(count: int, clients: Clients) -> int:
    """While all transfer and none has ended; then they are left alone."""
    with (
        stage(64 << 20, address=SERVER, tftp=f"max_transfers = {count}\n") as here,
        SERVERS[OURS].run(here) as server,
    ):
        wait_until_served(here, server, "image.bin")
        idle = _sockets()
        command = [*clients.place, str(here.programs / "load"), f"--host={SERVER}", f"--port={server.port}",
                   f"--name={IMAGE}/image.bin", f"--file={here.path('image.bin')}",
                   f"--clients={count}", f"--sources={FIRST}/{count}"]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            end = time.monotonic() + MOMENT
            while (transferring := _sockets() - idle) < count and time.monotonic() < end:
                time.sleep(0.1)
            found = private_bytes(server.process)
            process.terminate()
        if transferring < 0.9 * count:
            raise LoadError(f"only {transferring} of {count} transfer at once")
        return found


def _sockets() -> int:
    """UDP sockets of this network."""
    lines = Path("/proc/net/sockstat").read_text().splitlines()
    return next(int(line.split()[2]) for line in lines if line.startswith("UDP:"))


def promises(plan: Plan, results: Results) -> list[str]:
    """What pxefast promises, and whether it was kept."""
    said = []
    for window in plan.windows:
        many, few = (results.samples.get((OURS, count, window), []) for count in (plan.many, plan.few))
        ratio = Figure.of(a.rate / b.rate for a, b in zip(many, few, strict=False))
        if ratio is None:
            continue
        slowest = max(each.slowest / each.middle for each in many)
        said.append(
            f"window {window}: throughput of {plan.many} clients is {ratio.median:.2f} x that of {plan.few}, "
            f"at least {OF_FEW}: {_kept(ratio.median >= OF_FEW)}"
        )
        said.append(
            f"window {window}: the slowest of {plan.many} takes {slowest:.1f} x the median's time, "
            f"at most {OF_MIDDLE}: {_kept(slowest <= OF_MIDDLE)}"
        )
    if results.memory:
        user = results.memory.user
        said.append(
            f"memory: {user:.0f} bytes a transfer, at most {USER_BYTES}: {_kept(user <= USER_BYTES)} "
            f"(and {results.memory.kernel} of the kernel's)"
        )
    return said


def _kept(kept: bool) -> str:
    return "kept" if kept else "MISSED"


HEAD = ("window", "server", "clients", "at once", "MB/s", "(spread)", "of few", "CPU s/GB", "(spread)", "resent",
        "asked again", "median s", "99 % s", "slowest s")  # fmt: skip


def text(plan: Plan, results: Results) -> str:
    lines: list[tuple[str, ...]] = [HEAD]
    for window, name, count in product(plan.windows, plan.servers, (plan.few, plan.many)):
        done = results.samples.get((name, count, window), [])
        rate, cpu = Figure.of(each.rate / 1e6 for each in done), Figure.of(each.cpu_per_gb for each in done)
        if rate is None or cpu is None:
            continue
        few = results.samples.get((name, plan.few, window), [])
        ratio = Figure.of(a.rate / b.rate for a, b in zip(done, few, strict=False))
        lines.append((
            str(window), name, str(count), str(min(each.at_once for each in done)),
            f"{rate.median:.0f}", f"({rate.lowest:.0f}-{rate.highest:.0f})", f"{ratio.median:.2f}" if ratio else "-",
            f"{cpu.median:.2f}", f"({cpu.lowest:.2f}-{cpu.highest:.2f})",
            str(sum(each.resent for each in done)), str(sum(each.asked_again for each in done)),
            *(f"{max(getattr(each, what) for each in done):.2f}" for what in ("middle", "slow", "slowest")),
        ))  # fmt: skip
    said = [columns(lines, 2), ""]
    said += [f"{name}: {why}" for name, why in results.absent.items()]
    return "\n".join(said + promises(plan, results))


def section() -> dict[str, Any]:
    """The part of ../run.py."""
    figures = apart("benches.tftp.storm")
    print(figures["text"])
    return figures


def _here(quick: bool) -> dict[str, Any]:
    plan = QUICK if quick else Plan()
    with cable() as clients:
        results = measure(plan, clients)
    rows = [{"server": name, "clients": count, "window": window, "samples": [asdict(each) for each in done]}
            for (name, count, window), done in results.samples.items()]  # fmt: skip
    memory = results.memory and asdict(results.memory)
    return {"plan": asdict(plan), "rows": rows, "absent": results.absent, "memory": memory,
            "text": text(plan, results)}  # fmt: skip


if __name__ == "__main__":
    sys.exit(
        script(
            "benches.tftp.storm",
            __doc__,
            "shorter files, one round, nobody beside us but the bare loop",
            _here,
        )
    )
