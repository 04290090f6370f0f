"""`pxefast serve`: answer machines until told to stop."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import Context, get
from pxefast.errors import PxefastError

if TYPE_CHECKING:
    from pxefast.responder.takeover import Predecessor

# A claim that waits longer for the database comes too late for its client (W-20).
_BUSY_SECONDS = 1


def serve(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Decide and log everything, answer nobody, write nothing.")
    ] = False,
) -> None:
    """Answer machines until told to stop. Prints `ready` when every port answers.

    SIGTERM or Ctrl-C lets transfers under way end first, for at most drain_seconds ([tftp] in pxefast.toml); a second
    one cuts them. SIGHUP has a new process with the pxefast.toml of now take over, and this one end once its transfers
    have; where that cannot be it serves on and says why. Ports that systemd opened are used (LISTEN_FDS).

    Events go to standard error, one a line: JSON, or on a terminal a line for people ([log] in pxefast.toml).
    """
    from pxefast.responder.takeover import Predecessor

    predecessor = Predecessor.find()
    try:
        _serve(get(context), dry_run, predecessor)
    except PxefastError as error:
        if predecessor is None:
            raise
        # It serves on, and says why.
        predecessor.fail(str(error))
        raise typer.Exit(1) from None
    try:
        sys.stderr.flush()
    except OSError:
        # Nobody reads the log any more; that is no reason to end with an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _serve(here: Context, dry_run: bool, predecessor: Predecessor | None) -> None:
    from pxefast.responder import descriptors
    from pxefast.responder.service import Service

    descriptors.check()
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
            here.command("serve", *(["--dry-run"] if dry_run else [])),
            predecessor,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        signal.signal(signal.SIGHUP, lambda *_: service.reload())
        # Whoever waits for the word has it from the process that was started.
        service.run(lambda: None if predecessor else print("ready", flush=True))
