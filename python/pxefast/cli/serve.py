"""`pxefast serve`: answer machines until told to stop."""

from __future__ import annotations

import os
import signal
import sys

import typer

from pxefast.cli.context import get


def serve(context: typer.Context) -> None:
    """Answer machines until told to stop (SIGTERM, Ctrl-C). Prints `ready` when every port answers.

    Events go to standard error, one a line: JSON, or on a terminal a line for people ([log] in pxefast.toml).
    """
    from pxefast.responder.service import Service

    here = get(context)
    service = Service(here.home, here.settings, here.store(), here.library(), sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    service.run(lambda: print("ready", flush=True))
    try:
        sys.stderr.flush()
    except OSError:
        # Nobody reads the log any more; that is no reason to end with an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
