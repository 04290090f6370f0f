"""`pxefast device`: the machines the site knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Quiet, Site, Yes, choice
from pxefast.cli.output import confirmed, created, print_fields, print_json, print_table, working
from pxefast.cli.required import tell_required
from pxefast.cli.variable import variable_app
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.decide.records import Device
    from pxefast.site.devices import OnConflict

app = typer.Typer(help="The machines the site knows.", no_args_is_help=True)
app.add_typer(variable_app("device", "web01"), name="variable")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The device.")]
Conflict = Annotated[
    str | None,
    typer.Option(
        "--on-conflict",
        metavar="WHAT",
        help="If another record has the name or an identifier: block (refuse), merge (into that record), or new "
        "(the new record takes the identifiers). Default: the setting conflicting_records.",
        show_default=False,
    ),
]
Collection = Annotated[
    list[str] | None,
    typer.Option(
        "--collection", metavar="NAME", help="Add to this collection; repeat for several.", show_default=False
    ),
]


@app.command("import", epilog="Example: pxefast device import --name web01 --mac 00:11:22:33:44:55")
def import_(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="N", help="The device's name.")],
    mac: Annotated[
        list[str] | None,
        typer.Option("--mac", metavar="M", help="A MAC address; repeat for several.", show_default=False),
    ] = None,
    smbios_guid: Annotated[
        str | None, typer.Option("--smbios-guid", metavar="G", help="The SMBIOS GUID.", show_default=False)
    ] = None,
    site: Site = None,
    collection: Collection = None,
    on_conflict: Conflict = None,
    wanted_id: Annotated[
        int | None, typer.Option("--id", metavar="ID", help="Use this number.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Import one device. It needs a MAC address, an SMBIOS GUID, or both."""
    from pxefast.site.devices import NewDevice

    if not mac and not smbios_guid:
        raise UsageError("a device needs --mac, --smbios-guid, or both")
    store = get(context).store()
    new = NewDevice(
        name, tuple(mac or ()), smbios_guid or None, wanted_id, site, collections=tuple(collection or ())
    )
    device = store.devices.add(new, _conflict(on_conflict))
    created(device.id, f"imported device {device.name} as", quiet)
    tell_required(store, new.collections)


@app.command("import-csv", epilog="Example: pxefast device import-csv machines.csv --collection 'rack 7'")
def import_csv(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A device a line.")],
    collection: Collection = None,
    site: Site = None,
    on_conflict: Conflict = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the ids alone.")] = False,
) -> None:
    """Import devices from a CSV file, all or none.

    A first line may title the columns: name, mac, smbios-guid, site, collection, variable:KEY. Without one a line is a
    name, then MAC addresses and an SMBIOS GUID in any order. Several MAC addresses are parted by a blank or a
    semicolon, several collections by a semicolon.
    """
    from pxefast.cli.device_csv import read_devices

    into = tuple(collection or ())
    devices = [
        new._replace(site=new.site or site, collections=(*new.collections, *into))
        for new in read_devices(file)
    ]
    store = get(context).store()
    with working(f"importing {len(devices)} devices"):
        imported = store.devices.add_many(devices, str(file), _conflict(on_conflict))
    if quiet:
        for device in imported:
            print(device.id)
    else:
        print(f"imported {len(imported)} devices")
    tell_required(store, dict.fromkeys(name for new in devices for name in new.collections))


@app.command("list", epilog="Example: pxefast device list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the devices."""
    devices = get(context).store().devices.all()
    if json:
        print_json([_as_dict(device) for device in devices])
        return
    print_table(
        ("ID", "NAME", "MAC", "SMBIOS GUID", "SITE", "PROTECTED"),
        [
            (
                device.id,
                device.name,
                " ".join(device.macs) or None,
                device.guid,
                device.site,
                device.protected,
            )
            for device in devices
        ],
    )


@app.command(epilog="Example: pxefast device show web01")
def show(context: typer.Context, name: Name, json: Json = False) -> None:
    """Show a device, the collections it is in, and what the ledger says it was given."""
    store = get(context).store()
    device = store.devices.get(name)
    states = store.devices.states(device.name)
    fields = {
        **_as_dict(device),
        "collections": store.devices.collections(device.name),
        "deployments": states,
        "offered": [number for number, state in states.items() if state != "ARMED"],
    }
    if json:
        print_json(fields)
    else:
        print_fields({name.replace("_", " "): value for name, value in fields.items()})


@app.command("set", epilog="Example: pxefast device set web01 --protected")
def set_(
    context: typer.Context,
    name: Name,
    site: Annotated[
        str | None,
        typer.Option("--site", metavar="AAA", help="Move it to this site.", show_default=False),
    ] = None,
    protected: Annotated[
        bool | None,
        typer.Option(
            "--protected/--no-protected",
            help="Never image it, whatever is deployed to it.",
            show_default=False,
        ),
    ] = None,
    new_name: Annotated[
        str | None, typer.Option("--name", metavar="NEW", help="Another name.", show_default=False)
    ] = None,
    add_mac: Annotated[
        list[str] | None,
        typer.Option(
            "--add-mac",
            metavar="M",
            help="Record this MAC address too; repeat for several.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Change a device. A running service follows within a second."""
    if site is None and protected is None and new_name is None and not add_mac:
        raise UsageError("nothing to set; give --site, --protected, --no-protected, --name or --add-mac")
    store = get(context).store()
    device = store.devices.set(
        name, site=site, protected=protected, new_name=new_name, add_macs=tuple(add_mac or ())
    )
    state = "protected" if device.protected else "not protected"
    cards = f"; its MAC addresses are {', '.join(device.macs)}" if add_mac else ""
    print(f"device {device.name} is of site {device.site} and {state}{cards}")


@app.command(epilog="Example: pxefast device remove web01 --dry-run")
def remove(context: typer.Context, name: Name, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Remove a device.

    What it was given is remembered, and counts again if the same hardware is imported again.
    """
    store = get(context).store()
    device = store.devices.get(name)
    deeds = [f"remove device {device.name}"]
    deeds += [f"take it out of collection {item!r}" for item in store.devices.collections(device.name)]
    if confirmed(deeds, dry_run=dry_run, yes=yes):
        store.devices.remove(device.name)
        print(f"removed device {device.name}")


def _conflict(text: str | None) -> OnConflict | None:
    from pxefast.site.devices import CONFLICTS

    return None if text is None else choice("--on-conflict", text, CONFLICTS)


def _as_dict(device: Device) -> dict[str, object]:
    return {
        "id": device.id,
        "name": device.name,
        "macs": list(device.macs),
        "smbios_guid": device.guid,
        "site": device.site,
        "protected": device.protected,
    }
