"""What a server and all that it started cost: time on a processor, peak memory."""

from __future__ import annotations

import time
from pathlib import Path


def tree(process: int) -> list[int]:
    """The process and its descendants, dead ones that nobody has waited for among them."""
    found = [process]
    for parent in found:
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            found += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except OSError:
            continue  # it ended meanwhile
    return found


def clocks(process: int) -> dict[int, float]:
    """CPU seconds of the process and of each descendant, to the nanosecond, ended threads included.

    What has ended is not in it: tftpd-hpa ignores SIGCHLD, so that no parent's sum ever gets its children's time.
    """
    read: dict[int, float] = {}
    for each in tree(process):
        try:
            read[each] = time.clock_gettime((~each << 3) | 2)  # clock_getcpuclockid(3)
        except OSError:
            continue  # it ended meanwhile
    return read


def spent(before: dict[int, float], after: dict[int, float]) -> float:
    """CPU seconds between two readings, by those who are in the later one."""
    return sum(seconds - before.get(process, 0) for process, seconds in after.items())


def forget_peak(process: int) -> None:
    """Peak memory counts anew from now."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def peak_bytes(process: int) -> int:
    """The most that it had in memory since [forget_peak]; with children, what all hold now, shared pages once."""
    whole = tree(process)
    if len(whole) == 1:
        return _kilobytes(Path(f"/proc/{process}/status"), "VmHWM:")
    return sum(_kilobytes(Path(f"/proc/{each}/smaps_rollup"), "Pss:") for each in whole)


def private_bytes(process: int) -> int:
    """What it has in memory now and shares with no file."""
    return _kilobytes(Path(f"/proc/{process}/status"), "RssAnon:")


def _kilobytes(file: Path, key: str) -> int:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)
