"""`pxefast deployment`: which task sequence is offered to which devices, and what they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Id, Json, Quiet, Yes
from pxefast.cli.output import confirmed, created, note, print_fields, print_json, print_table
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.site.deployments import DeploymentRow

app = typer.Typer(help="Which task sequence is offered to which devices.", no_args_is_help=True)

Wanted = Annotated[str, typer.Argument(metavar="ID", help="The deployment.")]
Choice = TypeVar("Choice", bound=str)


@app.command(
    epilog="Example: pxefast deployment create --task-sequence PS100002 --collection 'rack 7' "
    "--purpose required --make-available-to media-pxe"
)
def create(
    context: typer.Context,
    task_sequence: Annotated[str, typer.Option("--task-sequence", metavar="ID", help="What is deployed.")],
    collection: Annotated[str, typer.Option("--collection", metavar="NAME", help="The devices.")],
    purpose: Annotated[
        str,
        typer.Option(
            "--purpose",
            metavar="PURPOSE",
            help="required: once, without asking. available: a person at the machine asks for it.",
        ),
    ],
    make_available_to: Annotated[
        str,
        typer.Option(
            "--make-available-to",
            metavar="AUDIENCE",
            help="clients (never by PXE), clients-media-pxe, media-pxe, or media-pxe-hidden.",
        ),
    ],
    wanted_id: Id = None,
    quiet: Quiet = False,
) -> None:
    """Deploy a task sequence to a collection."""
    from pxefast.site.deployments import AUDIENCES, PURPOSES

    store = get(context).store()
    row = store.deployments.create(
        task_sequence,
        collection,
        _choice("--purpose", purpose, PURPOSES),
        _choice("--make-available-to", make_available_to, AUDIENCES),
        wanted_id,
    )
    created(row.id, "created deployment", quiet)
    if row.purpose == "required" and row.audience != "clients":
        members = store.collections.get(row.collection).members
        note(f"its {members} devices will be given it at their next network boot")


@app.command("list", epilog="Example: pxefast deployment list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the deployments, the one that counts most first."""
    rows = get(context).store().deployments.all()
    if json:
        print_json([_as_dict(row) for row in rows])
        return
    print_table(
        ("ID", "TASK SEQUENCE", "COLLECTION", "PURPOSE", "AVAILABLE TO"),
        [(row.id, row.task_sequence_id, row.collection, row.purpose, row.audience) for row in rows],
    )


@app.command(epilog="Example: pxefast deployment show PS120001")
def show(context: typer.Context, deployment_id: Wanted, json: Json = False) -> None:
    """Show a deployment and the devices that it was given to."""
    from pxefast.site.snapshot import read_marks

    store = get(context).store()
    row = store.deployments.get(deployment_id)
    names = {device.id: device.name for device in store.collections.members(row.collection)}
    with store.read() as connection:
        marks, _ = read_marks(connection)
    offered = sorted(
        names[device_id]
        for device_id, mark in marks.get(row.id, {}).items()
        if mark.state != "ARMED" and device_id in names
    )
    fields = {**_as_dict(row), "members": len(names), "offered": offered}
    if json:
        print_json(fields)
    else:
        print_fields({name.replace("_", " "): value for name, value in fields.items()})


@app.command(epilog="Example: pxefast deployment remove PS120001 --dry-run")
def remove(context: typer.Context, deployment_id: Wanted, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Withdraw a deployment. What it was given to is remembered."""
    store = get(context).store()
    row = store.deployments.get(deployment_id)
    deeds = [f"withdraw {row.purpose} deployment {row.id} from collection {row.collection!r}"]
    if confirmed(deeds, dry_run=dry_run, yes=yes):
        store.deployments.remove(row.id)
        print(f"removed deployment {row.id}")


def _choice(option: str, text: str, choices: tuple[Choice, ...]) -> Choice:
    for choice in choices:
        if text == choice:
            return choice
    raise UsageError(f"{option} {text!r} must be one of {', '.join(choices)}")


def _as_dict(row: DeploymentRow) -> dict[str, object]:
    return {
        "id": row.id,
        "task_sequence": row.task_sequence_id,
        "task_sequence_name": row.task_sequence,
        "boot_image": row.boot_image_id,
        "collection": row.collection,
        "purpose": row.purpose,
        "make_available_to": row.audience,
    }
