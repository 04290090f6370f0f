"""`pxefast task-sequence`: what is done to a machine, and the boot image it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Id, Json, Quiet, Site, Yes
from pxefast.cli.output import confirmed, created, print_json, print_table

if TYPE_CHECKING:
    from pxefast.site.task_sequences import TaskSequenceRow

app = typer.Typer(help="What is done to a machine, and the boot image it starts from.", no_args_is_help=True)


@app.command(epilog="Example: pxefast task-sequence create --name 'install linux' --boot-image PS100001")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="N", help="A name for people.")],
    boot_image: Annotated[
        str | None,
        typer.Option(
            "--boot-image",
            metavar="ID",
            help="The boot image it starts from; without one it can be made available to clients only.",
            show_default=False,
        ),
    ] = None,
    site: Site = None,
    wanted_id: Id = None,
    quiet: Quiet = False,
) -> None:
    """Create a task sequence."""
    row = get(context).store().task_sequences.create(name, boot_image, wanted_id, site)
    created(row.id, "created task sequence", quiet)


@app.command("list", epilog="Example: pxefast task-sequence list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the task sequences."""
    rows = get(context).store().task_sequences.all()
    if json:
        print_json([_as_dict(row) for row in rows])
    else:
        print_table(("ID", "NAME", "BOOT IMAGE", "SITE"), rows)


@app.command(epilog="Example: pxefast task-sequence remove PS100002 --dry-run")
def remove(
    context: typer.Context,
    task_sequence_id: Annotated[str, typer.Argument(metavar="ID", help="The task sequence.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove a task sequence."""
    store = get(context).store()
    row = store.task_sequences.get(task_sequence_id)
    users = [item.id for item in store.deployments.all() if item.task_sequence_id == row.id]
    deeds = [f"remove task sequence {row.id} ({row.name})"]
    if users:
        deeds = [f"be refused: task sequence {row.id} is in use by deployment {', '.join(users)}"]
    if confirmed(deeds, dry_run=dry_run, yes=yes):
        store.task_sequences.remove(row.id)
        print(f"removed task sequence {row.id}")


def _as_dict(row: TaskSequenceRow) -> dict[str, object]:
    return {"id": row.id, "name": row.name, "boot_image": row.boot_image_id, "site": row.site}
