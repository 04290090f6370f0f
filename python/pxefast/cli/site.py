"""`pxefast site`: the sites of the hierarchy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, print_fields, print_json, print_table

if TYPE_CHECKING:
    from pxefast.site.sites import SiteRow

app = typer.Typer(help="The sites of the hierarchy.", no_args_is_help=True)

Code = Annotated[str, typer.Argument(metavar="CODE", help="The site's three characters.")]


@app.command(epilog="Example: pxefast site create --code AAA --parent PS1")
def create(
    context: typer.Context,
    code: Annotated[str, typer.Option("--code", metavar="AAA", help="Three characters of A-Z and 0-9.")],
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="PS1", help="The site that it is below.", show_default=False),
    ] = None,
) -> None:
    """Create a site, with an unknown computer object for x86, x64 and arm64."""
    row = get(context).store().sites.create(code, parent)
    print(f"created site {row.code}")


@app.command("list", epilog="Example: pxefast site list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the sites."""
    rows = get(context).store().sites.all()
    if json:
        print_json([_as_dict(row) for row in rows])
        return
    print_table(
        ("CODE", "PARENT", "DISTRIBUTION POINTS", "DEVICES"),
        [(row.code, row.parent, row.distribution_points, row.devices) for row in rows],
    )


@app.command(epilog="Example: pxefast site show PS1")
def show(context: typer.Context, code: Code, json: Json = False) -> None:
    """Show a site."""
    fields = _as_dict(get(context).store().sites.get(code))
    if json:
        print_json(fields)
    else:
        print_fields({name.replace("_", " "): value for name, value in fields.items()})


@app.command(epilog="Example: pxefast site remove AAA --dry-run")
def remove(context: typer.Context, code: Code, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Remove a site that nothing belongs to any more."""
    from pxefast.site.names import listed

    store = get(context).store()
    row = store.sites.get(code)
    users = store.sites.users(row.code)
    deeds = [f"remove site {row.code} and its unknown computer objects"]
    if users:
        deeds = [f"be refused: site {row.code} still has {listed(users)}"]
    if confirmed(deeds, dry_run=dry_run, yes=yes):
        store.sites.remove(row.code)
        print(f"removed site {row.code}")


def _as_dict(row: SiteRow) -> dict[str, object]:
    return {
        "code": row.code,
        "parent": row.parent,
        "distribution_points": list(row.distribution_points),
        "devices": row.devices,
    }
