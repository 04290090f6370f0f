"""`pxefast watch`: what happens, as it happens."""

from __future__ import annotations

import json as json_module
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import note
from pxefast.errors import PxefastError, UsageError

# How often a terminal's rows are drawn anew, and where the terminal's other lines begin.
_SECONDS = 1.0
_PART_OF_SCREEN = 3


def watch(
    context: typer.Context,
    mac: Annotated[
        str | None,
        typer.Option("--mac", metavar="MAC", help="Only what concerns this machine.", show_default=False),
    ] = None,
    no_transfers: Annotated[
        bool, typer.Option("--no-transfers", help="Only events, without the transfers under way.")
    ] = False,
    json: Json = False,
) -> None:
    """Show requests, decisions, transfers and launches as they happen.

    Ends with Ctrl-C, or with the service. The events are those of the log, whatever its level, a line each. On a
    terminal the transfers under way stand below them, the oldest first, with rates of the last second.
    """
    from pxefast.decide import normal_mac
    from pxefast.responder.events import line_of
    from pxefast.responder.feed import subscribe

    wanted = None
    if mac is not None and (wanted := normal_mac(mac)) is None:
        raise UsageError(f"{mac!r} is no MAC address; write it as 00:11:22:33:44:55")
    folder = get(context).home / "run"
    try:
        with subscribe(folder) as lines:
            if json:
                _follow(lines, wanted, lambda line, _: print(line, flush=True))
            elif no_transfers or not sys.stdout.isatty():
                _follow(lines, wanted, lambda _, event: print(line_of(event), flush=True))
            else:
                with _transfers_below(folder, wanted) as say:
                    _follow(lines, wanted, lambda _, event: say(line_of(event)))
    except KeyboardInterrupt:
        return
    note("the service has ended")


def _follow(lines: Iterable[str], mac: str | None, tell: Callable[[str, dict[str, Any]], None]) -> None:
    """Tell each event, as it came and as it was read, until there are no more."""
    for line in lines:
        event = json_module.loads(line)
        if event["event"] == "watching":
            note("watching; end with Ctrl-C")
        elif event["event"] == "missed":
            note(f"{event['count']} events were missed")
        elif mac is None or event.get("mac") == mac:
            tell(line.rstrip("\n"), event)


@contextmanager
def _transfers_below(folder: Path, mac: str | None) -> Iterator[Callable[[str], None]]:
    """Something to say lines with, which scroll by above the transfers under way."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from pxefast.cli.transfers import Rates, table
    from pxefast.responder.live import ask

    console, rates, ending = Console(highlight=False), Rates(), threading.Event()

    def draw(screen: Live) -> None:
        while not ending.is_set():
            try:
                answer = ask(folder, max(console.height // _PART_OF_SCREEN, 3), mac)
            except PxefastError:
                # It ends, and so do its events: that is told there.
                return
            screen.update(table(rates.follow(answer)), refresh=True)
            ending.wait(_SECONDS)

    with Live(console=console, auto_refresh=False, transient=True) as screen:
        drawing = threading.Thread(target=draw, args=(screen,), daemon=True)
        drawing.start()
        try:
            yield lambda line: console.print(Text(line), soft_wrap=True)
        finally:
            ending.set()
            drawing.join(_SECONDS)
