"""`pxefast halt`: stop every required deployment of this distribution point at once."""

from __future__ import annotations

from typing import Annotated

import typer

from pxefast.cli.context import Context, get
from pxefast.cli.output import note
from pxefast.errors import PxefastError


def halt(
    context: typer.Context,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Said with every refusal.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Go on again.")] = False,
) -> None:
    """Stop handing out required deployments, now; available ones go on. Needs no database and no running service.

    It is a file (run/HALT in the home, or [safety] halt_file): the service looks at it before each packet that could
    begin an installation. /run/pxefast/HALT stops every distribution point of the host.
    """
    from pxefast.responder.halt import EVERYWHERE, Halt

    here = get(context)
    switch = Halt(here.home, _named(here))
    if not off:
        switch.on(why)
        print(f"halted by {switch.own}: no required deployment is handed out until: pxefast halt --off")
        return
    switch.off()
    if switch.check() is not None:
        raise PxefastError(f"still halted by {EVERYWHERE}, which stops the whole host; remove it by hand")
    print("not halted")


def _named(here: Context) -> str:
    """The halt file of the settings; a pxefast.toml that is wrong must not keep anyone from stopping."""
    try:
        return here.settings.safety.halt_file
    except PxefastError as error:
        note(f"{error}; the halt file of the home is used")
        return ""
