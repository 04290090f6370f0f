"""What was measured, as rows, budgets and one table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from .measure import Case, Plan, Results, Sample

BARE, OURS = "bare", "pxefast"
# CPU per GB: against the bare loop, and against the best of these by window (None where nothing is promised).
OF_BARE = 1.15
PEERS = ("dnsmasq", "tftpd-hpa", "atftpd", "fbtftp", "tftpy")
OF_PEERS = {1: 0.85, 4: 0.25, 16: 0.13, 64: 0.11}


@dataclass(frozen=True)
class Figure:
    """A median and its spread."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure | None:
        known = list(values)
        return cls(median(known), min(known), max(known)) if known else None


@dataclass(frozen=True)
class Row:
    """One server at one case. Ratios are of CPU per GB, pair by pair of the same round."""

    asked: Case
    server: str
    granted: tuple[int, int]
    mb_per_s: Figure
    cpu_s_per_gb: Figure
    peak_mib: float
    resent: int
    of_bare: Figure | None
    pxefast_of_it: Figure | None


def rows(plan: Plan, results: Results) -> list[Row]:
    return [
        _row(results, server, case)
        for case in plan.cases
        for server in plan.servers
        if results.of(server, case)
    ]


def _row(results: Results, server: str, case: Case) -> Row:
    mine = results.of(server, case)
    return Row(
        asked=case,
        server=server,
        granted=mine[0].granted,
        mb_per_s=_known(Figure.of(each.rate / 1e6 for each in mine)),
        cpu_s_per_gb=_known(Figure.of(each.cpu_per_gb for each in mine)),
        peak_mib=max(each.peak_bytes for each in mine) / 2**20,
        resent=sum(each.resent for each in mine),
        of_bare=_ratio(mine, results.of(BARE, case)),
        pxefast_of_it=_ratio(results.of(OURS, case), mine),
    )


def _known(figure: Figure | None) -> Figure:
    assert figure is not None, "a row has samples"
    return figure


def _ratio(ours: list[Sample], theirs: list[Sample]) -> Figure | None:
    return Figure.of(a.cpu_per_gb / b.cpu_per_gb for a, b in zip(ours, theirs, strict=False))


def budgets(plan: Plan, table: list[Row]) -> list[dict[str, Any]]:
    """What pxefast promises, and what it kept here."""
    found: list[dict[str, Any]] = []
    for case in plan.cases:
        here = {row.server: row for row in table if row.asked == case}
        ours = here.get(OURS)
        if ours is None:
            continue
        promise: list[tuple[str, Row | None, float | None]] = [("the bare loop", here.get(BARE), OF_BARE)]
        if case.block == 1456:
            best = min((here[name] for name in PEERS if name in here), key=_cpu, default=None)
            promise.append((f"the best peer, {best.server}" if best else "", best, OF_PEERS.get(case.window)))
        for words, row, most in promise:
            if row is not None and row.pxefast_of_it is not None and most is not None:
                ratio = row.pxefast_of_it.median
                found.append(
                    {
                        "case": _words(case),
                        "against": words,
                        "ratio": ratio,
                        "budget": most,
                        "kept": ratio <= most,
                    }
                )
    return found


def _cpu(row: Row) -> float:
    return row.cpu_s_per_gb.median


HEAD = ("window x block", "server", "granted", "MB/s", "(spread)", "CPU s/GB", "(spread)", "peak MiB", "resent",
        "of bare", "pxefast of it")  # fmt: skip


def text(table: list[Row]) -> str:
    """The table. MB/s and CPU s/GB: median and spread; peak: the most of all rounds; resent: blocks, of all rounds."""
    lines = [HEAD]
    last = None
    for row in table:
        case = _words(row.asked)
        lines.append((
            case if case != last else "",
            row.server,
            " x ".join(map(str, row.granted)),
            f"{row.mb_per_s.median:.0f}",
            f"({row.mb_per_s.lowest:.0f}-{row.mb_per_s.highest:.0f})",
            f"{row.cpu_s_per_gb.median:.2f}",
            f"({row.cpu_s_per_gb.lowest:.2f}-{row.cpu_s_per_gb.highest:.2f})",
            f"{row.peak_mib:.1f}",
            str(row.resent),
            _times(row.of_bare),
            _times(row.pxefast_of_it),
        ))  # fmt: skip
        last = case
    return columns(lines, 3)


def columns(lines: Sequence[Sequence[str]], words: int) -> str:
    """Lines of cells below each other; the first so many columns hold words, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _words(case: Case) -> str:
    return f"{case.window} x {case.block}" + (f", MTU {case.mtu}" if case.block > 1456 else "")


def _times(figure: Figure | None) -> str:
    return f"{figure.median:.2f}" if figure else "-"


def data(plan: Plan, results: Results, table: list[Row]) -> dict[str, Any]:
    return {
        "plan": asdict(plan),
        "rows": [asdict(row) for row in table],
        "absent": results.absent,
        "budgets": budgets(plan, table),
    }
