"""`pxefast collection`: sets of devices that deployments are made to."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Id, Json, Quiet, Site, Yes
from pxefast.cli.output import confirmed, created, note, print_fields, print_json, print_table
from pxefast.cli.required import tell_required
from pxefast.cli.variable import variable_app
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.site.deployments import DeploymentRow
    from pxefast.site.store import Store

app = typer.Typer(help="Sets of devices that deployments are made to.", no_args_is_help=True)
rule = typer.Typer(help="The rules by which a collection finds its members.", no_args_is_help=True)
app.add_typer(rule, name="rule")
app.add_typer(variable_app("collection", "'rack 7'"), name="variable")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The collection.")]
Include = Annotated[
    str | None,
    typer.Option("--include", metavar="C", help="The members of this collection too.", show_default=False),
]
Exclude = Annotated[
    str | None,
    typer.Option("--exclude", metavar="C", help="Never the members of this collection.", show_default=False),
]
Query = Annotated[
    str | None,
    typer.Option(
        "--query",
        metavar="QUERY",
        help="Devices by name=web*, mac=00:11:22 (its beginning), smbios-guid=GUID, site=AAA or variable:ROLE=db.",
        show_default=False,
    ),
]


@app.command(epilog="Example: pxefast collection create 'rack 7'")
def create(
    context: typer.Context, name: Name, site: Site = None, wanted_id: Id = None, quiet: Quiet = False
) -> None:
    """Create an empty collection."""
    row = get(context).store().collections.create(name, wanted_id, site)
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
    if added:
        tell_required(store, [name])


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
    """Take devices out of a collection, or remove the collection itself.

    That is what it does where no device is named.
    """
    from pxefast.site.names import listed

    store = get(context).store()
    row = store.collections.get(name)
    if devices:
        names = [store.devices.get(device).name for device in devices]
        deeds = [f"take {device} out of collection {row.name!r}" for device in names]
        if confirmed(deeds, dry_run=dry_run, yes=yes):
            gone = store.collections.discard(row.name, names)
            print(f"took {len(gone)} of {len(devices)} devices out of {row.name!r}")
            _tell_staying(store, row.name, names)
        return
    users = store.collections.users(row.name)
    deeds = [f"remove collection {row.name!r} with {row.members} members; the devices stay"]
    if users:
        deeds = [f"be refused: collection {row.name!r} is in use by {listed(users)}"]
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
        print_table(("ID", "NAME", "MEMBERS", "SITE"), rows)


@app.command(epilog="Example: pxefast collection show 'rack 7'")
def show(context: typer.Context, name: Name, json: Json = False) -> None:
    """Show a collection: its devices, its rules, and what is deployed to it."""
    store = get(context).store()
    row = store.collections.get(name)
    fields: dict[str, object] = {
        "id": row.id,
        "name": row.name,
        "site": row.site,
        "members": [device.name for device in store.collections.members(row.name)],
        "rules": [f"{item.kind} {item.value}" for item in store.collections.rules(row.name)],
        "deployments": [item.id for item in _deployments(store, row.id)],
    }
    if json:
        print_json(fields)
    else:
        print_fields(fields)


@app.command(epilog="Example: pxefast collection rules 'rack 7' --json")
def rules(context: typer.Context, name: Name, json: Json = False) -> None:
    """List the rules by which a collection finds its members."""
    rows = get(context).store().collections.rules(name)
    if json:
        print_json([row._asdict() for row in rows])
    else:
        print_table(("RULE", "VALUE"), rows)


@rule.command("add", epilog="Example: pxefast collection rule add 'web servers' --query 'name=web*'")
def add_rule(
    context: typer.Context, name: Name, include: Include = None, exclude: Exclude = None, query: Query = None
) -> None:
    """Add a rule. Members are found anew at once, and by every later change that concerns them."""
    kind, text = _rule(include, exclude, query)
    store = get(context).store()
    before = store.collections.get(name).members
    row = store.collections.add_rule(name, kind, text)
    print(f"collection {row.name!r} has {row.members} members; it had {before}")
    tell_required(store, [row.name])


@rule.command("remove", epilog="Example: pxefast collection rule remove 'web servers' --query 'name=web*'")
def remove_rule(
    context: typer.Context,
    name: Name,
    include: Include = None,
    exclude: Exclude = None,
    query: Query = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove a rule."""
    kind, text = _rule(include, exclude, query)
    store = get(context).store()
    before = store.collections.get(name)
    if confirmed([f"remove the rule {kind} {text!r} of {before.name!r}"], dry_run=dry_run, yes=yes):
        row = store.collections.remove_rule(before.name, kind, text)
        print(f"collection {row.name!r} has {row.members} members; it had {before.members}")
        tell_required(store, [row.name])


def _rule(
    include: str | None, exclude: str | None, query: str | None
) -> tuple[Literal["include", "exclude", "query"], str]:
    if include is not None and exclude is None and query is None:
        return "include", include
    if exclude is not None and include is None and query is None:
        return "exclude", exclude
    if query is not None and include is None and exclude is None:
        return "query", query
    raise UsageError("give one of --include C, --exclude C and --query QUERY")


def _tell_staying(store: Store, name: str, devices: list[str]) -> None:
    members = {device.name for device in store.collections.members(name)}
    staying = [device for device in devices if device in members]
    if staying:
        note(f"a rule keeps {', '.join(staying)} in {name!r}; see: pxefast collection rules {quote(name)}")


def _deployments(store: Store, collection_id: str) -> list[DeploymentRow]:
    return [item for item in store.deployments.all() if item.collection_id == collection_id]
