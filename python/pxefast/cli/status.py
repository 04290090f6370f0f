"""`pxefast status`: how the running service is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import print_fields, print_json
from pxefast.cli.transfers import duration, megabytes, milliseconds, table

# Rows of transfers, and of those that wait for one, that a person is shown.
_ROWS = 40


def status(
    context: typer.Context,
    transfers: Annotated[
        bool,
        typer.Option(
            "--transfers",
            help=f"The transfers under way and who waits for one instead, the {_ROWS} oldest of each; all with --json.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show the running service: its ports, what it decided, what it dropped and why. Exit code 1 if none runs."""
    from pxefast.responder import status as file

    folder = get(context).home / "run"
    found = file.read(folder)
    if transfers and found is not None:
        _print_transfers(folder, json)
    elif json:
        print_json({"running": found is not None, **(found or {})})
    elif found is None:
        print("not running; start it with: pxefast serve")
    else:
        _print(found)
    if found is None:
        raise typer.Exit(1)


def _print(found: dict[str, Any]) -> None:
    if not found:
        print("starting")
        return
    snapshot, off = found["snapshot"], found["required_off"]
    print_fields(
        {
            "running": f"pid {found['pid']}, pxefast {found['version']}, for {duration(time.time() - found['since'])}",
            "site": f"{found['site']}, distribution point {found['distribution_point']}",
            "database": found["database"],
            "answers": "no, this is a dry run" if found["dry_run"] else found["answers"],
            "required": f"off: {off['text']}" if off else "on",
            "draining": _draining(found["draining"]),
            "ports": ", ".join(f"{name} {port}" for name, port in found["ports"].items()),
            "segment offload": found["offload"],
            "decide compiled": found["decide_compiled"],
            "snapshot": f"{snapshot['devices']} devices, {snapshot['boot_images']} boot images, "
            f"{snapshot['excluded']} excluded, loaded {duration(time.time() - snapshot['loaded'])} ago",
            "content": _content(found["content"]),
            "ledger": found["ledger"],
            # A service of an older version does not count them.
            "waiting": f"{found.get('waiting_behind', 0)} required boots wait behind another launch",
            "budget": _budget(found["budget"]),
            "decisions": found["actions"],
            "problems": found["problems"],
        }
    )
    _print_histograms(found["histograms"])
    print("\ncounters that moved:")
    for name, value in found["counters"].items():
        if value:
            print(f"  {name:<40}{value:>14,}")


def _print_transfers(folder: Path, json: bool) -> None:
    from pxefast.responder.live import ask

    answer = ask(folder, None if json else _ROWS)
    if json:
        print_json({"running": True, **answer})
        return
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table(answer))


# What a distribution is called, and how its values read.
_HISTOGRAMS: dict[str, tuple[str, Callable[[float], str]]] = {
    "tftp.bytes_per_second": ("throughput", lambda value: f"{megabytes(value)}/s"),
    "tftp.blocks_per_second": ("blocks a second", lambda value: f"{value:,.0f}"),
    "tftp.round_trip_seconds": ("round trip", milliseconds),
    "tftp.first_block_seconds": ("time to first block", milliseconds),
    "tftp.window_blocks": ("window", lambda value: f"{value:,.0f}"),
    "tftp.resent_blocks": ("resent blocks", lambda value: f"{value:,.0f}"),
}


def _print_histograms(histograms: dict[str, Any]) -> None:
    if not any(histogram["count"] for histogram in histograms.values()):
        return
    print("\nended transfers, of which so many were at most:")
    print(f"  {'':<22}{'half':>14}{'90 %':>14}{'99 %':>14}{'all':>14}{'transfers':>14}")
    for name, (title, words) in _HISTOGRAMS.items():
        histogram = histograms[name]
        if not histogram["count"]:
            continue
        bounds = (histogram[key] for key in ("median", "p90", "p99", "most"))
        cells = ("beyond" if bound is None else words(bound) for bound in bounds)
        print(f"  {title:<22}{''.join(f'{cell:>14}' for cell in cells)}{histogram['count']:>14,}")


def _draining(transfers: int | None) -> str:
    """What still goes on of a service that ends: this one, or the one before it."""
    return "no" if transfers is None else f"{transfers} transfers under way"


def _content(work: dict[str, Any] | None) -> str:
    if work is None:
        return "nothing to bring"
    done = f", {100 * work['done'] // work['total']} %" if work.get("total") else ""
    return f"{work['image']}: {work['event']}{done}"


def _budget(budget: dict[str, Any] | None) -> str | None:
    if budget is None:
        return None
    if not budget["claims"]:
        return "off"
    spent = ", tripped" if budget["tripped_at"] else ""
    return f"{budget['used']} of {budget['claims']} required boots in {duration(budget['seconds'])}{spent}"
