"""`pxefast watch`: what happens, as it happens."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import note
from pxefast.errors import UsageError


def watch(
    context: typer.Context,
    mac: Annotated[
        str | None,
        typer.Option("--mac", metavar="MAC", help="Only what concerns this machine.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show requests, decisions, transfers and launches as they happen.

    Ends with Ctrl-C, or with the service. The events are those of the log, whatever its level, a line each.
    """
    from pxefast.decide import normal_mac
    from pxefast.responder.events import line_of
    from pxefast.responder.feed import subscribe

    wanted = None
    if mac is not None and (wanted := normal_mac(mac)) is None:
        raise UsageError(f"{mac!r} is no MAC address; write it as 00:11:22:33:44:55")
    try:
        with subscribe(get(context).home / "run") as lines:
            for line in lines:
                event = json_module.loads(line)
                if event["event"] == "watching":
                    note("watching; end with Ctrl-C")
                elif event["event"] == "missed":
                    note(f"{event['count']} events were missed")
                elif wanted is None or event.get("mac") == wanted:
                    print(line.rstrip("\n") if json else line_of(event), flush=True)
    except KeyboardInterrupt:
        return
    note("the service has ended")
