"""`pxefast ledger show` and `pxefast device sessions`: what was armed and handed out, when, and why it stands so."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from pxefast.site.cases import Case

__all__ = ["app", "sessions"]

app = typer.Typer(help="What required deployments were armed and handed out.", no_args_is_help=True)


@app.command(epilog="Example: pxefast ledger show --deployment PS120001")
def show(
    context: typer.Context,
    device: Annotated[
        str | None, typer.Option("--device", metavar="N", help="This device alone.", show_default=False)
    ] = None,
    deployment: Annotated[
        str | None,
        typer.Option("--deployment", metavar="ID", help="This deployment alone.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Show every case: one required deployment on one device, in each generation."""
    from pxefast.site.cases import Cases

    _print(Cases(get(context).store()).all(device, deployment), json)


def sessions(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The device.")],
    json: Json = False,
) -> None:
    """Show what a device was given by required deployments, and how far it came."""
    from pxefast.site.cases import Cases

    _print(Cases(get(context).store()).all(name), json)


def _print(cases: list[Case], json: bool) -> None:
    if json:
        print_json([_as_dict(case) for case in cases])
        return
    print_table(
        ("DEVICE", "DEPLOYMENT", "GENERATION", "STATE", "SINCE", "SESSION", "ADDRESS", "RETURNS", "WHY"),
        [
            (
                case.device,
                case.row.deployment_id,
                case.row.generation,
                _state(case),
                _text(
                    max(
                        case.row.armed_at,
                        case.row.claimed_at or 0,
                        case.row.launched_at or 0,
                        case.row.reported_at or 0,
                        case.row.ended_at or 0,
                    )
                ),
                (case.row.session or "-")[:8],
                case.row.peer,
                case.row.returns,
                case.row.why,
            )
            for case in cases
        ],
    )
    if cases:
        note(f"{len(cases)} rows: {_counts(cases) or 'all cleared'}")


def _state(case: Case) -> str:
    """The state; of a withdrawn case also what it was."""
    from pxefast.site.removal import withdrawn_kind

    row = case.row
    return f"{row.state} ({withdrawn_kind(row)})" if row.state == "WITHDRAWN" else row.state


def _counts(cases: list[Case]) -> str:
    """How many cases are in each state; the newest generation of each counts."""
    counts = Counter(_state(case) for case in cases if case.row.state != "CLEARED")
    return ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))


def _as_dict(case: Case) -> dict[str, object]:
    row = case.row
    return {
        "device": case.device,
        "device_id": row.device_id,
        "deployment": row.deployment_id,
        "generation": row.generation,
        "state": row.state,
        "armed_at": _text(row.armed_at),
        "claimed_at": _text(row.claimed_at),
        "launched_at": _text(row.launched_at),
        "reported_at": _text(row.reported_at),
        # As in the audit: enough to tell sessions apart, too little to speak for one.
        "session": row.session[:8] if row.session else None,
        "distribution_point": row.owner,
        "address": row.peer,
        "returns": row.returns,
        "launch_file": row.launch,
        "transfer": row.transfer,
        "why": row.why,
        "ended_at": _text(row.ended_at),
        "ended_by": row.ended_by,
        "ended_from": row.ended_from,
    }


def _text(moment: float | None) -> str | None:
    return None if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"
