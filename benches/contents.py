"""Bringing a packaged image: seconds until it is verified, durable and served, against plain tools that verify nothing.

From a folder against `cp` and `sync`, and by HTTP against `curl` and `sync` from the same server. Source and target are
on the file system of the temporary folder, and the source is in memory already (it was just written).
"""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

FILE_BYTES = 512 << 20
PARALLEL = 4
ROUNDS = 5


def run() -> dict[str, Any]:
    """Ratios of medians; above 1: pxefast takes so many times as long."""
    from pxefast.config import Content
    from pxefast.content.depot import Depot

    from tests.content.server import web
    from tests.content.stock import Stock, package, stock

    with tempfile.TemporaryDirectory(prefix="pxefast-bench-") as name, web(Path(name)) as server:
        folder = Path(name)
        (folder / "image").mkdir()
        _write(folder / "image" / "boot.wim")
        here = stock(folder)
        version = package(here.depot, folder / "image")
        blob = next(path for path in (folder / "source" / "blobs").rglob("*") if path.is_file())
        url = f"http://127.0.0.1:{server.port}"
        remote = Stock(Depot(Content(source=f"{url}/source"), folder), here.library)
        plain = folder / "plain"

        def bring(stocked: Stock) -> None:
            stocked.bring(version, PARALLEL)

        def plainly(*command: str) -> None:
            subprocess.run(command, check=True)
            subprocess.run(["sync", str(plain)], check=True)

        def curl() -> None:
            plainly("curl", "--silent", "--fail", "--output", str(plain), f"{url}/{blob.relative_to(folder)}")

        def clean() -> None:
            here.library.remove("PS100001")
            plain.unlink(missing_ok=True)

        jobs: dict[str, Callable[[], None]] = {
            "folder": lambda: bring(here),
            "cp": lambda: plainly("cp", "--reflink=never", str(blob), str(plain)),
            "http": lambda: bring(remote),
            "curl": curl,
        }
        seconds = _in_turns(jobs, clean)
        shutil.rmtree(folder / "content")
    figures = {
        "folder_to_cp": seconds["folder"] / seconds["cp"],
        "http_to_curl": seconds["http"] / seconds["curl"],
    }
    for ours, peer, figure in (("folder", "cp", "folder_to_cp"), ("http", "curl", "http_to_curl")):
        speed, other = (FILE_BYTES / 1e6 / seconds[job] for job in (ours, peer))
        print(f"  {ours:<8}{speed:6.0f} MB/s   {peer:<5}{other:6.0f} MB/s   {figures[figure]:.2f} x its time")
    return figures


def _in_turns(jobs: dict[str, Callable[[], None]], clean: Callable[[], None]) -> dict[str, float]:
    """Median seconds of each, in turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            clean()
            began = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def _write(path: Path) -> None:
    chance = random.Random(1)
    with path.open("wb") as file:
        for _ in range(FILE_BYTES >> 20):
            file.write(chance.randbytes(1 << 20))
