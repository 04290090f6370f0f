"""`pxefast deployment clear`, `approve`, `hold`, `pending`: what required deployments may do on which devices."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Confirm, DryRun, Json, Yes
from pxefast.cli.output import confirmed, print_json, print_table
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.site.cases import Kept

__all__ = ["approve", "clear", "hold", "pending"]

Wanted = Annotated[str, typer.Argument(metavar="ID", help="The required deployment.")]


def clear(
    context: typer.Context,
    device: Annotated[
        str | None, typer.Option("--device", metavar="N", help="One device.", show_default=False)
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option("--collection", metavar="N", help="Every device that is in it now.", show_default=False),
    ] = None,
    deployment: Annotated[
        str | None,
        typer.Option(
            "--deployment",
            metavar="ID",
            help="This deployment alone; without --device and --collection on every device that it blocks.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also what is done or failed, of every deployment.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Also where the work has started.")] = False,
    confirm: Confirm = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Let required deployments that were given run again: devices are imaged again.

    Only what blocks a device is cleared: what was handed out, launched or held. What is done or failed is listed, and
    cleared only with --all, or with --deployment beside --device or --collection. A deployment that was removed is
    never armed again.
    """
    from pxefast.site.cases import Cases, Cleared

    if device is not None and collection is not None:
        raise UsageError("--device and --collection exclude each other; give one of them")
    if device is None and collection is None and deployment is None:
        raise UsageError("nothing says what to clear; give --device N, --collection N or --deployment ID")
    if every and deployment is not None:
        raise UsageError("--deployment and --all exclude each other; give one of them")
    cases = Cases(get(context).store())

    def run(dry: bool) -> list[Cleared]:
        if device is not None:
            return cases.clear_device(device, deployment, dry, force, every)
        if collection is not None:
            return cases.clear_collection(collection, deployment, dry, force, confirm, every)
        return cases.clear_deployment(deployment or "", dry, force, confirm)

    def text(item: Cleared) -> str:
        ended = "" if item.generation is not None else ", whose deployment was removed: nothing is armed"
        return f"{item.deployment} on {item.device} ({item.state}){ended}"

    exact = every or (deployment is not None and (device is not None or collection is not None))
    kept = [] if exact else cases.kept(device, collection, deployment)
    _do(
        lambda dry: [text(item) for item in run(dry)],
        (
            "let {} run again",
            "cleared {}",
            f"nothing to clear: {_why_nothing(device, collection, deployment)}",
        ),
        dry_run,
        yes,
    )
    for item in kept:
        print(_kept_text(item))


def _why_nothing(device: str | None, collection: str | None, deployment: str | None) -> str:
    if deployment is None:
        where = f"device {device}" if device is not None else f"a device of collection {collection}"
        return f"no required deployment blocks {where}"
    name = deployment.strip().upper()
    if device is None and collection is None:
        return f"{name} blocks no device"
    return f"{name} waits for its next boot, or was not given"


def _kept_text(item: Kept) -> str:
    # A machine without a record has one word for each of its identities; any of them names it.
    machine = item.device.partition(" ")[0] if item.device.startswith(("mac:", "guid:")) else item.device
    command = f"pxefast deployment clear --device {shlex.quote(machine)} --deployment {item.deployment}"
    return (
        f"not cleared: {item.deployment} on {item.device} ({item.state}): {item.why}; to clear it: {command}"
    )


def approve(
    context: typer.Context,
    deployment_id: Wanted,
    device: Annotated[
        list[str] | None,
        typer.Option("--device", metavar="N", help="This device alone; may be repeated.", show_default=False),
    ] = None,
    confirm: Confirm = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Let a required deployment reach the devices that wait for approval."""
    from pxefast.site.cases import Cases

    cases = Cases(get(context).store())
    _do(
        lambda dry: [
            f"{item.device} for {item.deployment}"
            for item in cases.approve(deployment_id, device or None, confirm, dry)
        ],
        ("arm {}: it is imaged at its next network boot", "armed {}", "nothing to approve"),
        dry_run,
        yes,
    )


def pending(context: typer.Context, deployment_id: Wanted, json: Json = False) -> None:
    """List the devices that a required deployment reaches once a person approves."""
    from pxefast.site.cases import Cases

    found = Cases(get(context).store()).pending(deployment_id)
    if json:
        print_json(
            [{"device": item.device, "deployment": item.deployment, "why": item.why} for item in found]
        )
        return
    meanings = {"new": "became a member later", "expired": "its arming ran out"}
    print_table(("DEVICE", "WHY"), [(item.device, meanings[item.why]) for item in found])


def hold(
    context: typer.Context,
    deployment_id: Wanted,
    device: Annotated[str, typer.Option("--device", metavar="N", help="The device.")],
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="Told to whoever asks.")
    ] = "a person said so",
) -> None:
    """Stop a required deployment on one device until it is cleared."""
    from pxefast.site.cases import Cases

    case = Cases(get(context).store()).hold(device, deployment_id, why)
    print(f"held {case.row.deployment_id} on {case.device}")


def _do(run: Callable[[bool], Sequence[str]], words: tuple[str, str, str], dry_run: bool, yes: bool) -> None:
    """Say what would be done, ask, do it, say it."""
    will, done, nothing = words
    found = run(True)
    if not found:
        print(nothing)
    elif confirmed([will.format(item) for item in found], dry_run=dry_run, yes=yes):
        for item in run(False):
            print(done.format(item))
