"""Transfers under way, as `status --transfers` and `watch` show them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pxefast.responder.events import ascii_text

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["Rates", "duration", "megabytes", "milliseconds", "table"]

_HEADER = ("MACHINE", "PEER", "FILE", "DONE", "OF", "RATE", "LEFT", "WINDOW", "RESENT", "STATE")
_NUMBERS = ("DONE", "OF", "RATE", "LEFT", "WINDOW", "RESENT")


class Rates:
    """Rates between two answers of a service instead of since each transfer's beginning."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], tuple[float, int]] = {}
        self._sent: tuple[float, int] | None = None

    def follow(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The same answer with the rates since the one before, where there was one."""
        now = time.monotonic()
        if self._sent is not None and now > self._sent[0]:
            answer["bytes_per_second"] = (answer["bytes_sent"] - self._sent[1]) / (now - self._sent[0])
        self._sent = now, answer["bytes_sent"]
        seen = {}
        for row in answer["transfers"]:
            key = row["peer"], row["name"]
            at, done = self._before.get(key, (now, 0))
            if now > at:
                rate = row["bytes_per_second"] = max(row["bytes"] - done, 0) / (now - at)
                row["seconds_left"] = (row["size"] - row["bytes"]) / rate if rate else None
            seen[key] = now, row["bytes"]
        self._before = seen
        return answer


def table(answer: Mapping[str, Any]) -> Group:
    """An answer of the service for a terminal or a pipe: the transfers, then who waits."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in _HEADER:
        rows.add_column(title, no_wrap=True, justify="right" if title in _NUMBERS else "left")
    for row in answer["transfers"]:
        rows.add_row(*(Text(ascii_text(value)) for value in _cells(row)))
    parts: list[Table | Text] = [Text(_headline(answer), style="bold")]
    if answer["transfers"]:
        parts.append(rows)
    if answer["waiting"]:
        waiters = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for title in ("WAITS", "MACHINE", "PEER", "FILE"):
            waiters.add_column(title, no_wrap=True)
        for row in answer["waiting"]:
            cells = (duration(row["seconds"]), _machine(row), row["peer"], row["name"])
            waiters.add_row(*(Text(ascii_text(cell)) for cell in cells))
        parts.append(waiters)
    return Group(*parts)


def _headline(answer: Mapping[str, Any]) -> str:
    transfers, waiting = answer["transfers_in_all"], answer["waiting_in_all"]
    words = [f"{transfers:,} transfer{'' if transfers == 1 else 's'} under way"]
    if len(answer["transfers"]) < transfers:
        words[0] += f" (the {len(answer['transfers'])} oldest below)"
    if "bytes_per_second" in answer:
        words.append(f"{megabytes(answer['bytes_per_second'])}/s in all")
    if waiting:
        words.append(
            f"{waiting:,} wait for their turn, the longest for {duration(answer['waiting'][0]['seconds'])}"
        )
    return "; ".join(words)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    left = row["seconds_left"]
    return (
        _machine(row),
        row["peer"],
        row["name"],
        f"{row['percent']:.0f} %",
        megabytes(row["size"]),
        f"{megabytes(row['bytes_per_second'])}/s",
        "-" if left is None else duration(left),
        str(row["window_size"]),
        str(row["resent"]),
        row["state"],
    )


def _machine(row: Mapping[str, Any]) -> str:
    return str(row["device"] or row["mac"] or "-")


def megabytes(count: float) -> str:
    """A number of bytes for people, in steps of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def milliseconds(seconds: float) -> str:
    """A short time for people."""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else duration(seconds)


def duration(seconds: float) -> str:
    """A stretch of time for people."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    days, hours, minutes = whole // 86400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
