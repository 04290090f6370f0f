"""`pxefast deployment`: which task sequence is offered to which devices, and what they were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.deployment_text import behind_text, launched_lines, removal_text
from pxefast.cli.options import Confirm, DryRun, Id, Json, Quiet, Site, Yes, choice, moment, moment_text
from pxefast.cli.output import confirmed, created, note, print_fields, print_json, print_table
from pxefast.cli.variable import variable_app
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.site.deployments import DeploymentRow, Plan

app = typer.Typer(help="Which task sequence is offered to which devices.", no_args_is_help=True)
app.add_typer(variable_app("deployment", "PS120001"), name="variable")

Wanted = Annotated[str, typer.Argument(metavar="ID", help="The deployment.")]
AvailableAt = Annotated[
    str | None,
    typer.Option(
        "--available-at",
        metavar="TIME",
        help="Not before this time, as 2027-01-31T18:00 (local) or 2027-01-31T17:00Z; counts only with the setting "
        "schedules on enforce.",
        show_default=False,
    ),
]
ExpiresAt = Annotated[
    str | None,
    typer.Option(
        "--expires-at", metavar="TIME", help="Not after this time; the same applies.", show_default=False
    ),
]
_AUDIENCES = "clients (never by PXE), clients-media-pxe, media-pxe, or media-pxe-hidden."
_RERUN = "What a client in full Windows does after a run: never, always, if-failed, if-succeeded."


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
        str, typer.Option("--make-available-to", metavar="AUDIENCE", help=_AUDIENCES)
    ],
    available_at: AvailableAt = None,
    expires_at: ExpiresAt = None,
    rerun: Annotated[str, typer.Option("--rerun", metavar="WHEN", help=_RERUN)] = "always",
    confirm: Confirm = None,
    site: Site = None,
    wanted_id: Id = None,
    quiet: Quiet = False,
    dry_run: DryRun = False,
) -> None:
    """Deploy a task sequence to a collection.

    A required deployment is armed for the devices that are in the collection now; many must be confirmed.
    """
    from pxefast.site.deployments import AUDIENCES, PURPOSES, RERUNS

    how = choice("--purpose", purpose, PURPOSES)
    audience = choice("--make-available-to", make_available_to, AUDIENCES)
    store = get(context).store()
    plan = store.deployments.plan(task_sequence, collection, how, audience)
    if dry_run:
        print(f"would create this {how} deployment to {collection!r}")
        _tell(plan, how)
        if plan.hash is not None:
            note(f"to go on: --confirm {plan.hash}")
        return
    row = store.deployments.create(
        task_sequence,
        collection,
        how,
        audience,
        wanted_id,
        site=site,
        available_at=moment("--available-at", available_at),
        expires_at=moment("--expires-at", expires_at),
        rerun=choice("--rerun", rerun, RERUNS),
        confirm=confirm,
    )
    created(row.id, "created deployment", quiet)
    if row.audience != "clients":
        _tell(plan, how)


@app.command("list", epilog="Example: pxefast deployment list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the deployments, the one that counts most first."""
    store = get(context).store()
    rows, counts = store.deployments.all(), store.deployments.counts()
    if json:
        print_json([{**_as_dict(row), **counts[row.id]._asdict()} for row in rows if row.id in counts])
        return
    print_table(
        (
            "ID",
            "TASK SEQUENCE",
            "COLLECTION",
            "PURPOSE",
            "AVAILABLE TO",
            "ENABLED",
            "MEMBERS",
            "PENDING",
            "BLOCKED",
            "STATES",
        ),
        [
            (
                row.id,
                row.task_sequence_id,
                row.collection,
                row.purpose,
                row.audience,
                row.enabled,
                *counts[row.id],
            )
            for row in rows
            if row.id in counts
        ],
    )


@app.command(epilog="Example: pxefast deployment show PS120001")
def show(context: typer.Context, deployment_id: Wanted, json: Json = False) -> None:
    """Show a deployment and the devices that it was given to."""
    store = get(context).store()
    row = store.deployments.get(deployment_id)
    status = store.deployments.status(row.id)
    fields = {
        **_as_dict(row),
        "members": status.members,
        "protected": status.protected,
        "pending_approval": status.pending,
        "offered": status.given,
        "waiting_behind": [behind_text(item) for item in status.blocked],
        "states": status.states,
    }
    if json:
        print_json(fields)
    else:
        print_fields({name.replace("_", " "): value for name, value in fields.items()})


@app.command("set", epilog="Example: pxefast deployment set PS120001 --make-available-to media-pxe-hidden")
def set_(
    context: typer.Context,
    deployment_id: Wanted,
    make_available_to: Annotated[
        str | None,
        typer.Option("--make-available-to", metavar="AUDIENCE", help=_AUDIENCES, show_default=False),
    ] = None,
    available_at: AvailableAt = None,
    no_available_at: Annotated[bool, typer.Option("--no-available-at", help="Available at once.")] = False,
    expires_at: ExpiresAt = None,
    no_expires_at: Annotated[bool, typer.Option("--no-expires-at", help="Never expires.")] = False,
    rerun: Annotated[
        str | None, typer.Option("--rerun", metavar="WHEN", help=_RERUN, show_default=False)
    ] = None,
) -> None:
    """Change a deployment. Its purpose and its collection stay: make another one for those."""
    from pxefast.site.deployments import AUDIENCES, RERUNS

    if (no_available_at and available_at is not None) or (no_expires_at and expires_at is not None):
        raise UsageError("a time and its --no- form cannot both be given")
    changes: dict[str, object] = {}
    if make_available_to is not None:
        changes["audience"] = choice("--make-available-to", make_available_to, AUDIENCES)
    if available_at is not None or no_available_at:
        changes["available_at"] = moment("--available-at", available_at)
    if expires_at is not None or no_expires_at:
        changes["expires_at"] = moment("--expires-at", expires_at)
    if rerun is not None:
        changes["rerun"] = choice("--rerun", rerun, RERUNS)
    if not changes:
        raise UsageError("nothing to set; see: pxefast deployment set --help")
    row = get(context).store().deployments.set(deployment_id, **changes)
    print_fields({name.replace("_", " "): value for name, value in _as_dict(row).items()})


@app.command(epilog="Example: pxefast deployment enable PS120001")
def enable(context: typer.Context, deployment_id: Wanted) -> None:
    """Give back a deployment that was disabled. What it is armed for is what it was."""
    print(f"enabled deployment {get(context).store().deployments.enable(deployment_id, True).id}")


@app.command(epilog="Example: pxefast deployment disable PS120001")
def disable(context: typer.Context, deployment_id: Wanted) -> None:
    """Withdraw a deployment for the moment: no machine gets it from now on."""
    print(f"disabled deployment {get(context).store().deployments.enable(deployment_id, False).id}")


@app.command(epilog="Example: pxefast deployment remove PS120001 --dry-run")
def remove(context: typer.Context, deployment_id: Wanted, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Remove a deployment and end its cases; what it was given to is remembered.

    Nothing of it is left to clear, and no other deployment is armed by it. A machine that it launched and that has not
    reported keeps other required deployments waiting (setting launch_settles_hours).
    """
    store = get(context).store()
    row = store.deployments.get(deployment_id)
    deeds = [f"remove {row.purpose} deployment {row.id} from collection {row.collection!r}"]
    found = store.deployments.removal(row.id)
    if row.purpose == "required":
        deeds.append(removal_text(found, "withdraw"))
    if confirmed(deeds, dry_run=dry_run, yes=yes):
        found = store.deployments.remove(row.id)
        print(f"removed deployment {row.id}")
        if row.purpose == "required":
            print(removal_text(found, "withdrew"))
    elif not dry_run:
        return
    for line in launched_lines(found):
        print(line)


def _tell(plan: Plan, purpose: str) -> None:
    """What a deployment means for its machines."""
    from pxefast.site.names import listed

    if plan.warning is not None:
        note(plan.warning)
    if purpose == "available":
        note(f"a person at one of its {plan.members} devices may start it")
        return
    ready = len(plan.targets.devices) - len(plan.blocked)
    note(f"{ready} of its {len(plan.targets.devices)} devices will be given it at their next network boot")
    if plan.blocked:
        texts = [behind_text(item) for item in plan.blocked]
        note(f"{len(plan.blocked)} wait behind another launch: {listed(texts, 20)}")
    if plan.targets.protected:
        note(f"protected, and left out: {listed(plan.targets.protected, 20)}")
    if plan.targets.unknown:
        note(f"every machine without a record will be given it, by {listed(plan.targets.unknown, 20)}")


def _as_dict(row: DeploymentRow) -> dict[str, object]:
    return {
        "id": row.id,
        "site": row.site,
        "task_sequence": row.task_sequence_id,
        "task_sequence_name": row.task_sequence,
        "boot_image": row.boot_image_id,
        "collection": row.collection,
        "purpose": row.purpose,
        "make_available_to": row.audience,
        "enabled": row.enabled,
        "created_at": moment_text(row.created_at),
        "available_at": moment_text(row.available_at),
        "expires_at": moment_text(row.expires_at),
        "rerun": row.rerun,
    }
