"""Caps on a cable of 100 Mbit/s: what crosses it, headers and all, beside what was set.

`python -m benches.tftp.caps [--quick]`, and a section of ../run.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from .bench import apart, progress, script
from .measure import stage, wait_until_served
from .network import FIRST, LINK, MANY, SERVER, Clients, cable, run
from .servers import IMAGE, SERVERS, Server, Stage
from .table import columns

CABLE = 100  # Mbit/s
WITHIN = 0.05


@dataclass(frozen=True)
class Cap:
    """What is set, and what all clients together may get of it, in Mbit/s."""

    name: str
    setting: str
    together: float
    clients: int
    windows: tuple[int, ...] = (1, 16, 64)


CAPS = (
    Cap("none", "", CABLE, 64),
    Cap("of the point", "max_mbit_per_second = 80", 80, 64),
    # With 64 blocks for each of them it would be a client's turn every 38 s: none is as patient.
    Cap("of the point", "max_mbit_per_second = 80", 80, 4000, (1, 16)),
    Cap("of the clients' network", f'max_mbit_per_second_of = {{ "{MANY}" = 50 }}', 50, 64),
    Cap("of a transfer", "max_mbit_per_second_per_transfer = 5", 80, 16),
)


@dataclass(frozen=True)
class Plan:
    """Seconds until it is measured, then how many times a second."""

    caps: tuple[Cap, ...] = CAPS
    early: int = 3
    seconds: int = 6


QUICK = Plan(caps=(Cap("of the point", "max_mbit_per_second = 80", 80, 64, (16,)),), early=1, seconds=3)


@dataclass(frozen=True)
class Sample:
    """Mbit/s on the cable: of all seconds, of the slowest one, of the fastest one."""

    cap: Cap
    window: int
    rate: float
    least: float
    most: float

    @property
    def holds(self) -> bool:
        return abs(self.rate / self.cap.together - 1) <= WITHIN


@contextmanager
def narrow() -> Iterator[Clients]:
    """A cable that carries so much; its device sees each packet, so that its counters hold each packet's headers."""
    with cable() as clients:
        run("ip", "link", "set", LINK, "gso_max_segs", "1")
        bucket = f"tbf rate {CABLE}mbit burst 32kb latency 50ms"
        run("tc", "qdisc", "add", "dev", LINK, "root", *bucket.split())
        yield clients


def measure(plan: Plan, clients: Clients) -> list[Sample]:
    """Each cap under as many clients as it says, at each of its windows."""
    samples = []
    for cap in plan.caps:
        with (
            stage(64 << 20, address=SERVER, tftp=f"{cap.setting}\n") as here,
            SERVERS["pxefast"].run(here) as server,
        ):
            wait_until_served(here, server, "small.bin")
            for window in cap.windows:
                progress(f"{cap.name}, {cap.clients} clients, window {window}")
                samples.append(_sample(plan, here, server, cap, window, clients))
    return samples


def _sample(plan: Plan, here: Stage, server: Server, cap: Cap, window: int, clients: Clients) -> Sample:
    command = [*clients.place, str(here.programs / "load"), f"--host={SERVER}", f"--port={server.port}",
               f"--name={IMAGE}/image.bin", f"--file={here.path('image.bin')}", f"--window={window}",
               f"--clients={cap.clients}", f"--sources={FIRST}/{cap.clients}", "--patience=3000"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        time.sleep(plan.early)
        looks = [_look(clients)]
        for _ in range(plan.seconds):
            time.sleep(1)
            looks.append(_look(clients))
        process.terminate()
    rates = [(b[1] - a[1]) * 8 / (b[0] - a[0]) / 1e6 for a, b in pairwise(looks)]
    (began, first), (ended, last) = looks[0], looks[-1]
    return Sample(cap, window, (last - first) * 8 / (ended - began) / 1e6, min(rates), max(rates))


def _look(clients: Clients) -> tuple[float, int]:
    """When, and how many bytes of frames have come to the clients."""
    (device,) = json.loads(clients.run("ip", "-json", "-statistics", "link", "show", "dev", LINK))
    return time.monotonic(), device["stats64"]["rx"]["bytes"]


def text(samples: list[Sample]) -> str:
    lines = [("cap", "clients", "window", "together, Mbit/s", "measured", "seconds from - to", "of it")]
    lines += [
        (each.cap.name, str(each.cap.clients), str(each.window), f"{each.cap.together:g}", f"{each.rate:.1f}",
         f"{each.least:.1f} - {each.most:.1f}", f"{each.rate / each.cap.together:.3f}")
        for each in samples
    ]  # fmt: skip
    whole = all(each.holds for each in samples if each.cap.setting)
    kept = "kept" if whole else "MISSED"
    return f"{columns(lines, 1)}\n\neach cap holds within {100 * WITHIN:.0f} %: {kept}"


def section() -> dict[str, Any]:
    """The part of ../run.py."""
    figures = apart("benches.tftp.caps")
    print(figures["text"])
    return figures


def _here(quick: bool) -> dict[str, Any]:
    with narrow() as clients:
        samples = measure(QUICK if quick else Plan(), clients)
    return {"rows": [asdict(each) for each in samples], "text": text(samples)}


if __name__ == "__main__":
    sys.exit(script("benches.tftp.caps", __doc__, "one cap, at one window", _here))
