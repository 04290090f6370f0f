"""`pxefast audit`: who did what and when, and whether nobody changed it since."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import print_json, print_table
from pxefast.errors import SiteError, UsageError

if TYPE_CHECKING:
    from pxefast.decide import Device
    from pxefast.site.audit import AuditRow

app = typer.Typer(help="Who did what, and when.", no_args_is_help=True)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command("list", epilog="Example: pxefast audit list --device web01 --since 2h")
def list_(
    context: typer.Context,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="N", help="What names this device.", show_default=False),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="From then on: 2h, 3d, or 2026-11-22 or 2026-11-22T18:40 in UTC.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the changes, claims, launches and reports, the newest last."""
    from pxefast.site.audit import read_records

    store = get(context).store()
    found = None if device is None else store.devices.get(device)
    with store.read() as connection:
        records = read_records(connection, _moment(since))
    if found is not None:
        records = [row for row in records if _is_about(row, found)]
    if json:
        print_json([{**row._asdict(), "at": _text(row.at), "details": row.fields} for row in records])
        return
    print_table(
        ("SEQ", "AT", "WHO", "ACTION", "SUBJECT"),
        [(row.seq, _text(row.at), row.actor, row.action, row.subject) for row in records],
    )


@app.command(epilog="Example: pxefast audit verify")
def verify(context: typer.Context, json: Json = False) -> None:
    """Check the audit's chain, this host's journal, and that both agree."""
    from pxefast.site.audit import verify

    home = get(context)
    store = home.store()
    with store.read() as connection:
        problem = verify(connection)
    witnesses = home.witnesses()
    kept = witnesses.journal.file.exists()
    problem = problem or witnesses.examine(store)
    if problem is not None:
        raise SiteError(problem)
    if json:
        print_json({"chain": "good", "journal": "good" if kept else "none"})
    else:
        print(
            "the audit's chain is good" + (" and this host's journal agrees" if kept else "; no journal here")
        )


def _is_about(row: AuditRow, device: Device) -> bool:
    """Return True for a ledger record of the device, and for a change of the site whose sentence names it."""
    from pxefast.site.reconcile import case_of

    if row.action.startswith("ledger "):
        case = case_of(row)
        return case is not None and case.device_id == device.id
    return device.name.casefold() in re.split(r"[\s,:]+", row.subject.casefold())


def _moment(text: str | None) -> float | None:
    """Unix seconds of what a person wrote."""
    if text is None:
        return None
    if match := re.fullmatch(r"(\d{1,9})([smhd])", text.strip().lower()):
        return time.time() - int(match[1]) * _UNITS[match[2]]
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(f"--since {text!r} must be 30m, 2h, 3d, or a date such as 2026-11-22") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _text(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}"
