"""`pxefast device variable`, `deployment variable`, `collection variable`: what a machine's work reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, print_json, print_table

if TYPE_CHECKING:
    from pxefast.site.store import Store
    from pxefast.site.variables import Owner, Variables

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The device or collection, or the deployment's id.")
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The variable's name.")]

_SECRET = "(secret)"


def variable_app(noun: Owner, example: str) -> typer.Typer:
    """The commands for the variables of one noun; `example` is one that may be called that."""
    app = typer.Typer(help=f"The variables of a {noun}.", no_args_is_help=True)
    command = f"Example: pxefast {noun} variable"

    def variables(store: Store) -> Variables:
        if noun == "deployment":
            return store.deployments.variables
        return store.devices.variables if noun == "device" else store.collections.variables

    @app.command("set", epilog=f"{command} set {example} ROLE db")
    def set_(
        context: typer.Context,
        name: Name,
        key: Key,
        value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value, one line of text.")],
        secret: Annotated[
            bool, typer.Option("--secret", help="It is not listed, and never leaves over TFTP.")
        ] = False,
    ) -> None:
        """Set a variable."""
        variable = variables(get(context).store()).set(name, key, value, secret)
        print(f"{variable.name} is {_SECRET if secret else variable.value}")

    @app.command(epilog=f"{command} remove {example} ROLE --dry-run")
    def remove(
        context: typer.Context, name: Name, key: Key, dry_run: DryRun = False, yes: Yes = False
    ) -> None:
        """Remove a variable."""
        store = get(context).store()
        if confirmed([f"remove variable {key} of {noun} {name!r}"], dry_run=dry_run, yes=yes):
            variables(store).remove(name, key)
            print(f"removed variable {key}")

    @app.command("list", epilog=f"{command} list {example} --json")
    def list_(context: typer.Context, name: Name, json: Json = False) -> None:
        """List the variables; the value of a secret one is left out."""
        rows = variables(get(context).store()).all(name)
        if json:
            print_json(
                [
                    {"name": row.name, "value": None if row.secret else row.value, "secret": row.secret}
                    for row in rows
                ]
            )
            return
        print_table(("NAME", "VALUE"), [(row.name, _SECRET if row.secret else row.value) for row in rows])

    return app
