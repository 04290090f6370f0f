"""`pxefast duplicate-id`: hardware identifiers that many machines share, and that therefore identify none."""

from __future__ import annotations

from typing import Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, print_json, print_table
from pxefast.errors import UsageError

app = typer.Typer(help="Hardware identifiers that identify nobody.", no_args_is_help=True)

Mac = Annotated[
    str | None,
    typer.Option("--mac", metavar="M", help="A MAC address, as of a shared dock.", show_default=False),
]
Guid = Annotated[
    str | None,
    typer.Option(
        "--smbios-guid", metavar="G", help="An SMBIOS GUID, in either byte order.", show_default=False
    ),
]


@app.command(epilog="Example: pxefast duplicate-id add --mac 00:11:22:33:44:55")
def add(context: typer.Context, mac: Mac = None, smbios_guid: Guid = None) -> None:
    """Leave an identifier out of the search for a device, in the whole hierarchy.

    The machine is still served: by its other identifier, or as one without a record.
    """
    identity = _identity(mac, smbios_guid)
    get(context).store().duplicates.add(identity)
    print(f"{_words(identity)} identifies no device from now on")


@app.command("list", epilog="Example: pxefast duplicate-id list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the identifiers."""
    rows = [identity.split(":", 1) for identity in get(context).store().duplicates.all()]
    if json:
        print_json([{"kind": _KINDS[kind], "value": value} for kind, value in rows])
    else:
        print_table(("KIND", "VALUE"), [(_KINDS[kind], value) for kind, value in rows])


@app.command(epilog="Example: pxefast duplicate-id suspects --json")
def suspects(context: typer.Context, json: Json = False) -> None:
    """List the devices whose SMBIOS GUID was seen with another MAC.

    Within the last 90 days, that MAC address was neither recorded for the device nor on the list of duplicates: two
    machines may have the GUID. Required deployments that it alone identifies wait (setting guid_alone). If a MAC
    address is a network card of the device, run `pxefast device set NAME --add-mac M`; if it is another machine's, run
    `pxefast duplicate-id add --smbios-guid G`.
    """
    from pxefast.decide.reasons import time_text

    found = get(context).store().sightings.suspects()
    if json:
        print_json([{**each._asdict(), "seen": [seen._asdict() for seen in each.seen]} for each in found])
        return
    print_table(
        ("DEVICE", "SMBIOS GUID", "MAC", "RECORDED", "FIRST SEEN", "LAST SEEN", "AT"),
        [
            (
                each.device,
                each.guid,
                seen.mac,
                seen.recorded,
                time_text(seen.first_at),
                time_text(seen.last_at),
                seen.distribution_point,
            )
            for each in found
            for seen in each.seen
        ],
    )


@app.command(epilog="Example: pxefast duplicate-id remove --mac 00:11:22:33:44:55 --dry-run")
def remove(
    context: typer.Context,
    mac: Mac = None,
    smbios_guid: Guid = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Let an identifier identify its device again."""
    identity = _identity(mac, smbios_guid)
    store = get(context).store()
    if confirmed([f"let {_words(identity)} identify a device again"], dry_run=dry_run, yes=yes):
        store.duplicates.remove(identity)
        print(f"{_words(identity)} identifies its device again")


_KINDS = {"mac": "mac", "guid": "smbios-guid"}


def _identity(mac: str | None, guid: str | None) -> str:
    from pxefast.site.duplicates import duplicate_identity

    if (mac is None) == (guid is None):
        raise UsageError("give either --mac M or --smbios-guid G")
    return duplicate_identity(mac, guid)


def _words(identity: str) -> str:
    kind, value = identity.split(":", 1)
    return f"{'MAC' if kind == 'mac' else 'SMBIOS GUID'} {value}"
