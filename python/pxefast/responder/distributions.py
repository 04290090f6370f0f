"""What many transfers measured, as numbers for people: what half of them did not exceed, and nine of ten."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["summary"]


def summary(histogram: _native.Histogram) -> dict[str, Any]:
    """A histogram's number of values, their sum, and which bound half, 90 %, 99 % and all of them do not exceed.

    A bound is None where there is no value, or the value is above every bound. `buckets` are those that hold any: the
    upper bound, inclusive, and how many values are under it but over the bound before.
    """
    bounds: list[float | None] = [*histogram.bounds, None]
    counts = histogram.counts
    return {
        "count": sum(counts),
        "sum": histogram.sum,
        "median": _bound(bounds, counts, 0.5),
        "p90": _bound(bounds, counts, 0.9),
        "p99": _bound(bounds, counts, 0.99),
        "most": _bound(bounds, counts, 1.0),
        "buckets": [[bound, count] for bound, count in zip(bounds, counts, strict=True) if count],
    }


def _bound(bounds: Sequence[float | None], counts: Sequence[int], part: float) -> float | None:
    needed = part * sum(counts)
    if not needed:
        return None
    return next(bound for bound, so_far in zip(bounds, accumulate(counts), strict=True) if so_far >= needed)
