"""`pxefast device variable`, `deployment variable`, `collection variable`: what a machine's work reads."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast import named_files
from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, print_json, print_table
from pxefast.errors import CannotOpen, InputError, UsageError

if TYPE_CHECKING:
    from pxefast.site.store import Store
    from pxefast.site.variables import Owner, Variables

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The device or collection, or the deployment's id.")
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The variable's name.")]

_SECRET = "(secret)"
# The longest value is 4,096 characters.
_LARGEST_FILE = 1 << 16


def variable_app(noun: Owner, example: str) -> typer.Typer:
    """The commands for the variables of one noun; `example` is one that may be called that."""
    app = typer.Typer(help=f"The variables of a {noun}.", no_args_is_help=True)
    command = f"Example: pxefast {noun} variable"

    def variables(store: Store) -> Variables:
        if noun == "deployment":
            return store.deployments.variables
        return store.devices.variables if noun == "device" else store.collections.variables

    @app.command(
        "set",
        epilog=f"{command} set {example} JOINPW --secret --value-file FILE",
    )
    def set_(
        context: typer.Context,
        name: Name,
        key: Key,
        value: Annotated[
            str | None,
            typer.Argument(metavar="[VALUE]", help="Its value, one line of text.", show_default=False),
        ] = None,
        value_file: Annotated[
            Path | None,
            typer.Option(
                "--value-file",
                metavar="FILE",
                help="Read the value from a file, - for standard input.",
                allow_dash=True,
                show_default=False,
            ),
        ] = None,
        secret: Annotated[
            bool,
            typer.Option(
                "--secret", help="It is not listed, and never leaves over TFTP; needs --value-file."
            ),
        ] = False,
    ) -> None:
        """Set a variable. The value of a secret one is read from a file or standard input."""
        if secret and value is not None:
            raise UsageError(
                "the value of a secret variable must not be on the command line, where every process can read it; "
                f"put it into a file, or type it, and run: pxefast {noun} variable set {quote(name)} {quote(key)} "
                "--secret --value-file FILE (- for standard input)"
            )
        if (value is None) == (value_file is None):
            raise UsageError("give either VALUE or --value-file FILE")
        text = _value_of(value_file) if value is None else value
        variable = variables(get(context).store()).set(name, key, text, secret)
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


def _value_of(file: Path | None) -> str:
    """Return the text of a file, or of standard input, without the line end after it."""
    if file is None or str(file) == "-":
        if sys.stdin.isatty():
            return getpass.getpass("Value: ")
        content, file = sys.stdin.buffer.read(_LARGEST_FILE + 1), Path("standard input")
        if len(content) > _LARGEST_FILE:
            raise InputError(
                f"{file} is larger than {_LARGEST_FILE // 1024} KiB; a value is one line of text"
            )
    else:
        try:
            content = named_files.read_bytes(file, _LARGEST_FILE)
        except OSError as error:
            raise CannotOpen(f"cannot read {file}: {error.strerror}") from None
    try:
        return content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text; save it as UTF-8") from None
