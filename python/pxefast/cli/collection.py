"""`pxefast collection`: sets of devices that deployments are made to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Id, Json, Quiet, Yes
from pxefast.cli.output import confirmed, created, note, print_fields, print_json, print_table

if TYPE_CHECKING:
    from pxefast.site.deployments import DeploymentRow
    from pxefast.site.store import Store

app = typer.Typer(help="Sets of devices that deployments are made to.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The collection.")]


@app.command(epilog="Example: pxefast collection create 'rack 7'")
def create(context: typer.Context, name: Name, wanted_id: Id = None, quiet: Quiet = False) -> None:
    """Create an empty collection."""
    row = get(context).store().collections.create(name, wanted_id)
    created(row.id, f"created collection {row.name!r} as", quiet)


@app.command(epilog="Example: pxefast collection add 'rack 7' web01 web02")
def add(
    context: typer.Context,
    name: Name,
    devices: Annotated[list[str], typer.Argument(metavar="DEVICE...", help="The devices' names.")],
) -> None:
    """Put devices into a collection. Deployments made to it reach them from then on."""
    store = get(context).store()
    added = store.collections.add(name, devices)
    print(f"added {len(added)} of {len(devices)} devices to {name!r}")
    required = [item.id for item in _deployments(store, name) if item.purpose == "required"]
    if added and required:
        note(f"at their next network boot they are given required deployment {', '.join(required)}")


@app.command(epilog="Example: pxefast collection remove 'rack 7' web02")
def remove(
    context: typer.Context,
    name: Name,
    devices: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DEVICE...]", help="The devices' names.", show_default=False),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Take devices out of a collection; without a device, remove the collection itself."""
    store = get(context).store()
    row = store.collections.get(name)
    if devices:
        names = [store.devices.get(device).name for device in devices]
        deeds = [f"take {device} out of collection {row.name!r}" for device in names]
        if confirmed(deeds, dry_run=dry_run, yes=yes):
            gone = store.collections.discard(row.name, names)
            print(f"took {len(gone)} of {len(devices)} devices out of {row.name!r}")
        return
    deployments = [item.id for item in _deployments(store, row.name)]
    deeds = [f"remove collection {row.name!r} with {row.members} members; the devices stay"]
    if deployments:
        deeds = [f"be refused: collection {row.name!r} is in use by deployment {', '.join(deployments)}"]
    if confirmed(deeds, dry_run=dry_run, yes=yes):
        store.collections.remove(row.name)
        print(f"removed collection {row.name!r}")


@app.command("list", epilog="Example: pxefast collection list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the collections."""
    rows = get(context).store().collections.all()
    if json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(("ID", "NAME", "MEMBERS"), rows)


@app.command(epilog="Example: pxefast collection show 'rack 7'")
def show(context: typer.Context, name: Name, json: Json = False) -> None:
    """Show a collection: its devices, and what is deployed to it."""
    store = get(context).store()
    row = store.collections.get(name)
    fields: dict[str, object] = {
        "id": row.id,
        "name": row.name,
        "members": [device.name for device in store.collections.members(row.name)],
        "deployments": [item.id for item in _deployments(store, row.name)],
    }
    if json:
        print_json(fields)
    else:
        print_fields(fields)


def _deployments(store: Store, name: str) -> list[DeploymentRow]:
    wanted = store.collections.get(name).id
    return [item for item in store.deployments.all() if item.collection_id == wanted]
