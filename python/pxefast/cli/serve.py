"""`pxefast serve`: answer machines until told to stop."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from pxefast.cli.context import get

# A claim that waits longer for the database comes too late for its client (W-20).
_BUSY_SECONDS = 1


def serve(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide and log everything, answer nobody, write nothing.")
    ] = False,
) -> None:
    """Answer machines until told to stop (SIGTERM, Ctrl-C). Prints `ready` when every port answers.

    Events go to standard error, one a line: JSON, or on a terminal a line for people ([log] in pxefast.toml).
    """
    from pxefast.responder.service import Service

    here = get(context)
    busy_seconds = min(here.settings.database.busy_seconds, _BUSY_SECONDS)
    with here.open_store(busy_seconds) as store:
        service = Service(
            here.home,
            here.settings,
            store,
            here.library(),
            sys.stderr,
            dry_run,
            here.command("content", "pull", "--json", "--attended"),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        service.run(lambda: print("ready", flush=True))
    try:
        sys.stderr.flush()
    except OSError:
        # Nobody reads the log any more; that is no reason to end with an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
