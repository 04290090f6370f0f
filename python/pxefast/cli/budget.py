"""`pxefast budget`: how many required boots may begin in a stretch of time before all of them stop."""

from __future__ import annotations

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import print_fields, print_json
from pxefast.decide.reasons import time_text

app = typer.Typer(help="How many required boots may begin before all stop.", no_args_is_help=True)


@app.command(epilog="Example: pxefast budget show --json")
def show(context: typer.Context, json: Json = False) -> None:
    """Show the required boots of the last minutes, and whether they stopped all."""
    from pxefast.site.ledger import Ledger

    store = get(context).store()
    budget = Ledger(store, "").budget()
    if json:
        print_json(budget._asdict())
        return
    limit = f"{budget.claims} in {budget.seconds} s" if budget.claims else "none"
    tripped = "no" if budget.tripped_at is None else f"since {time_text(budget.tripped_at)}"
    print_fields({"limit": limit, "used": budget.used, "required boots stopped": tripped})


@app.command(epilog="Example: pxefast budget reset")
def reset(context: typer.Context) -> None:
    """Let required boots go on and count them anew."""
    from pxefast.site.ledger import Ledger

    Ledger(get(context).store(), "").reset_budget()
    print("required boots go on; the budget counts from now")
