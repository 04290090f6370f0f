"""`pxefast device`: the machines the site knows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Quiet, Yes
from pxefast.cli.output import confirmed, created, print_fields, print_json, print_table
from pxefast.errors import CannotOpen, Invalid, UsageError

if TYPE_CHECKING:
    from pxefast.decide.records import Device
    from pxefast.site.devices import NewDevice

app = typer.Typer(help="The machines the site knows.", no_args_is_help=True)

_COLUMNS = ("name", "mac", "smbios-guid")


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
    wanted_id: Annotated[
        int | None, typer.Option("--id", metavar="ID", help="Use this number.", show_default=False)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Import one device. It needs a MAC address, an SMBIOS GUID, or both."""
    from pxefast.site.devices import NewDevice

    if not mac and not smbios_guid:
        raise UsageError("a device needs --mac, --smbios-guid, or both")
    device = (
        get(context).store().devices.add(NewDevice(name, tuple(mac or ()), smbios_guid or None, wanted_id))
    )
    created(device.id, f"imported device {device.name} as", quiet)


@app.command("import-csv", epilog="Example: pxefast device import-csv machines.csv")
def import_csv(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Columns name, mac, smbios-guid.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the ids alone.")] = False,
) -> None:
    """Import devices from a CSV file, all or none.

    A first line with the names name, mac and smbios-guid gives the order of the columns; without one it is
    that. Several MAC addresses of a device are parted by a blank or a semicolon.
    """
    devices = _read_csv(file)
    imported = get(context).store().devices.add_many(devices, str(file))
    if quiet:
        for device in imported:
            print(device.id)
    else:
        print(f"imported {len(imported)} devices")


@app.command("list", epilog="Example: pxefast device list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the devices."""
    devices = get(context).store().devices.all()
    if json:
        print_json([_as_dict(device) for device in devices])
        return
    print_table(
        ("ID", "NAME", "MAC", "SMBIOS GUID"),
        [(device.id, device.name, " ".join(device.macs) or None, device.guid) for device in devices],
    )


@app.command(epilog="Example: pxefast device show web01")
def show(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")], json: Json = False
) -> None:
    """Show a device, the collections it is in, and what the ledger says it was given."""
    from pxefast.site.snapshot import read_marks

    store = get(context).store()
    device = store.devices.get(name)
    with store.read() as connection:
        marks, _ = read_marks(connection)
    offered = [
        deployment_id
        for deployment_id, mark_of in marks.items()
        if device.id in mark_of and mark_of[device.id].state != "ARMED"
    ]
    fields = {
        **_as_dict(device),
        "collections": store.devices.collections(device.name),
        "offered": sorted(offered),
    }
    if json:
        print_json(fields)
    else:
        print_fields({name.replace("_", " "): value for name, value in fields.items()})


@app.command(epilog="Example: pxefast device remove web01 --dry-run")
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
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


def _read_csv(file: Path) -> list[NewDevice]:
    from pxefast.site.devices import NewDevice

    order = list(_COLUMNS)
    devices: list[NewDevice] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text)
            first = True
            for row in reader:
                cells = [cell.strip() for cell in row]
                if not any(cells):
                    continue
                if first:
                    first = False
                    header = [cell.lower().replace("_", "-").replace(" ", "-") for cell in cells]
                    if "name" in header:
                        order = _header(header, file, reader.line_num)
                        continue
                if len(cells) > len(order):
                    raise Invalid(
                        f"{file}: line {reader.line_num}: {len(cells)} columns; expected {', '.join(order)}"
                    )
                value = dict(zip(order, cells, strict=False))
                macs = tuple(value.get("mac", "").replace(";", " ").split())
                guid = value.get("smbios-guid") or None
                devices.append(NewDevice(value.get("name", ""), macs, guid, line=reader.line_num))
    except OSError as error:
        raise CannotOpen(f"cannot read {file}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"{file}: not a CSV file in UTF-8: {error}") from None
    if not devices:
        raise Invalid(f"{file} holds no device")
    return devices


def _header(header: list[str], file: Path, line: int) -> list[str]:
    for column in header:
        if column not in _COLUMNS:
            raise Invalid(f"{file}: line {line}: unknown column {column!r}; expected {', '.join(_COLUMNS)}")
        if header.count(column) > 1:
            raise Invalid(f"{file}: line {line}: column {column!r} is there twice")
    return header


def _as_dict(device: Device) -> dict[str, object]:
    return {
        "id": device.id,
        "name": device.name,
        "macs": list(device.macs),
        "smbios_guid": device.guid,
        "site": device.site,
    }
