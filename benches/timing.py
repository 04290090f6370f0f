"""Timing functions against each other, in turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def in_turns(functions: dict[str, Callable[[int], object]], rounds: int = 9) -> dict[str, float]:
    """Median seconds a call of each function; each takes a count and does its work that often."""
    counts = {name: _calibrated(function) for name, function in functions.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            function(counts[name])
            times[name].append((time.perf_counter() - began) / counts[name])
    return {name: statistics.median(values) for name, values in times.items()}


def _calibrated(function: Callable[[int], object], seconds: float = 0.1) -> int:
    """How often `function` runs in about so long."""
    count = 1
    while True:
        began = time.perf_counter()
        function(count)
        took = time.perf_counter() - began
        if took > seconds / 4:
            return max(1, round(count * seconds / took))
        count *= 4
