"""`pxefast db`: the site database as a whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, note, print_fields, print_json, print_table

if TYPE_CHECKING:
    from pxefast.site.transfer import Contents, Progress

app = typer.Typer(help="The site database as a whole.", no_args_is_help=True)


@app.command(epilog="Example: pxefast db check --json")
def check(context: typer.Context, json: Json = False) -> None:
    """Check all that a durable claim needs of the database. Exit code 1 if something is unsafe."""
    store = get(context).store()
    checks = store.check()
    if json:
        print_json(
            {
                "database": store.where,
                "safe": all(item.ok for item in checks),
                "checks": [
                    {
                        "name": item.name,
                        "value": item.value,
                        "ok": item.ok,
                        "text": None if item.ok else item.text,
                    }
                    for item in checks
                ],
            }
        )
    else:
        print(store.where)
        print_table(
            ("SETTING", "VALUE", "SAFE", "WHAT TO DO"),
            [(item.name, item.value, item.ok, "" if item.ok else item.text) for item in checks],
        )
    if not all(item.ok for item in checks):
        raise typer.Exit(1)


@app.command(epilog="Example: pxefast db upgrade")
def upgrade(context: typer.Context) -> None:
    """Bring the tables up to date, all or nothing. Stop every service that uses them first."""
    from pxefast.site.engines import database
    from pxefast.site.migrations import HEAD
    from pxefast.site.tables import upgrade_tables

    here = get(context)
    place = database(here.database, here.settings.database.busy_seconds)
    try:
        before = upgrade_tables(place)
    finally:
        place.engine.dispose()
    print(
        f"{place.where}: "
        + (f"up to date ({HEAD})" if before is None else f"upgraded from {before} to {HEAD}")
    )


@app.command(epilog="Example: pxefast db export site.jsonl")
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")],
    json: Json = False,
) -> None:
    """Write the whole database, as it is at one moment, to a file. It holds every secret variable in plain text;
    only its owner may read it."""
    from pxefast.site import transfer

    store = get(context).store()
    with _bar("export") as progress:
        contents = transfer.export(store, file, progress)
    note(
        f"{file} holds every secret variable in plain text; only its owner may read it (mode 0600): keep it so"
    )
    _print(contents, f"exported {store.where} to {file}", json)


@app.command("import", epilog="Example: pxefast db import site.jsonl --dry-run")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `db export` wrote.")],
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Make a new database of an exported file. This is also the way from SQLite to PostgreSQL.

    The database is the one that pxefast.toml names; it must be empty, or not there.
    """
    from pxefast.content.library import Library
    from pxefast.site import transfer
    from pxefast.site.engines import database

    here = get(context)
    busy_seconds = here.settings.database.busy_seconds
    where = database(here.database, busy_seconds).where
    contents = transfer.check_export(file)
    deed = f"make a database of {sum(contents.rows.values())} rows in {where}"
    if not confirmed([deed], dry_run=dry_run, yes=yes):
        return
    here.home.mkdir(mode=0o750, parents=True, exist_ok=True)
    # A home that is put back has no library, and `init` would refuse it.
    Library.create(here.content)
    with _bar("import") as progress:
        transfer.import_(here.database, file, busy_seconds, progress)
    _print(contents, f"imported {file} into {where}", json)


def _print(contents: Contents, done: str, json: bool) -> None:
    rows = {name: count for name, count in contents.rows.items() if count}
    if json:
        print_json({"rows": contents.rows, "sha256": contents.sha256})
        return
    print(done)
    print_fields(
        {**{name.replace("_", " "): count for name, count in rows.items()}, "sha256": contents.sha256}
    )


@contextmanager
def _bar(what: str) -> Iterator[Progress | None]:
    """On a terminal a bar on standard error."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
