"""`pxefast content`: which boot image is on which distribution point."""

from __future__ import annotations

import json as json_module
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, note, print_json, print_table, transfer
from pxefast.errors import ContentError

if TYPE_CHECKING:
    from pxefast.cli.context import Context

app = typer.Typer(help="Which boot image is on which distribution point.", no_args_is_help=True)

Image = Annotated[str, typer.Argument(metavar="ID", help="The boot image.")]
SomeImage = Annotated[
    str | None,
    typer.Argument(metavar="ID", help="The boot image (default: all of them).", show_default=False),
]
NoProgress = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--dp", metavar="DP", help="A distribution point (default: this one); repeat.", show_default=False
    ),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="GROUP",
        help="A group of distribution points, and whoever joins it later; repeat.",
        show_default=False,
    ),
]


@app.command(epilog="Example: pxefast content distribute PS100001 --group north")
def distribute(
    context: typer.Context,
    image_id: Image,
    dp: Points = None,
    group: Groups = None,
    quiet: NoProgress = False,
) -> None:
    """Let distribution points serve a boot image.

    It is packaged first if it is new or has changed. This point brings it at once; others begin within
    seconds where their service runs.
    """
    here = get(context)
    image_id = here.store().boot_images.get(image_id).id
    points = dp or ([] if group else [here.store().point])
    _distribute(here, image_id, points, group or [], quiet, again=False)


@app.command(epilog="Example: pxefast content redistribute PS100001")
def redistribute(
    context: typer.Context,
    image_id: Image,
    dp: Points = None,
    group: Groups = None,
    quiet: NoProgress = False,
) -> None:
    """Distribute a changed or damaged boot image to all points that have it.

    Or to those named. Everything is read and compared, in the content source and at the points; what is not
    as it should be is replaced.
    """
    here = get(context)
    image_id = here.store().boot_images.get(image_id).id
    points = dp or ([] if group else _holders(here, image_id))
    if not points and not group:
        raise ContentError(
            f"{image_id} is on no distribution point; run: pxefast content distribute {image_id}"
        )
    _distribute(here, image_id, points, group or [], quiet, again=True)


@app.command(epilog="Example: pxefast content validate PS100001")
def validate(
    context: typer.Context,
    image_id: SomeImage = None,
    dp: Points = None,
    group: Groups = None,
    quiet: NoProgress = False,
) -> None:
    """Compare what is served of a boot image with its hashes.

    A damaged image is withdrawn. Other points do so within seconds where their service runs; see then:
    pxefast content status.
    """
    here = get(context)
    store, own = here.store(), here.store().own_point
    images = [store.boot_images.get(image_id).id] if image_id else list(here.library().published())
    points = store.contents.targets(dp or [], group or []) if dp or group else [store.point]
    others = [point for point in points if point != own]
    if others:
        for image in images:
            store.contents.order_validation(image, others)
        note(f"ordered from {', '.join(others)}; see: pxefast content status")
    damaged = []
    for image in images if own in points else []:
        with transfer(image, quiet) as progress:
            found = here.distribution().validate(image, progress)
        if found:
            damaged.append(f"{image}: damaged: {', '.join(found)}; run: pxefast content redistribute {image}")
        else:
            print(f"{image}: every file is what was distributed")
    if damaged:
        raise ContentError("\n".join(damaged))


@app.command(epilog="Example: pxefast content remove PS100001 --dry-run")
def remove(
    context: typer.Context,
    image_id: Image,
    dp: Points = None,
    group: Groups = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Let distribution points serve a boot image no more. It stays a boot image, and can be distributed again."""
    here = get(context)
    contents = here.store().contents
    image_id = image_id.strip().upper()
    points = contents.targets(dp or ([] if group else [here.store().point]), group or [])
    having = [point for point in points if point in _holders(here, image_id)]
    if not having and not group:
        raise ContentError(
            f"{image_id} is not distributed to {', '.join(points)}; see: pxefast content status"
        )
    deeds = [f"withdraw the files of boot image {image_id} from {point}" for point in having]
    deeds += [f"distribute {image_id} no more to whoever joins group {name}" for name in group or []]
    if confirmed(deeds, dry_run=dry_run, yes=yes):
        contents.remove(image_id, points, group or [])
        if here.store().own_point in points:
            here.library().remove(image_id)
        print(f"removed the files of {image_id}" + (f" from {', '.join(having)}" if dp or group else ""))


@app.command(epilog="Example: pxefast content status --json")
def status(context: typer.Context, image_id: SomeImage = None, json: Json = False) -> None:
    """Show what each distribution point is to serve, serves, and needs anew."""
    from pxefast.cli.content_status import rows

    here = get(context)
    found = rows(here, here.store().boot_images.get(image_id).id if image_id else None)
    if json:
        print_json(found)
        return
    print_table(
        ("ID", "DP", "WANTED", "SERVED", "STATE", "DONE", "NEEDS REDISTRIBUTION", "WHY"),
        [
            (
                row["boot_image"],
                row["distribution_point"],
                row["wanted_version"],
                row["served_version"],
                row["state"],
                f"{100 * row['done'] // row['total']} %" if row["total"] else "",
                row["needs_redistribution"],
                row["why"],
            )
            for row in found
        ],
    )


@app.command(epilog="Example: pxefast content pull")
def pull(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print events, one JSON value a line.")] = False,
    attended: Annotated[
        bool,
        typer.Option(
            "--attended",
            help="At low priority, and only until standard input ends: as the service runs it.",
        ),
    ] = False,
) -> None:
    """Do what is ordered for this point and not done: bring, withdraw, validate. The service does so by itself.

    It may be killed at any moment, and goes on from there the next time.
    """
    if attended:
        _attended()

    def tell(event: str, about: dict[str, Any]) -> None:
        if json:
            print(json_module.dumps({"event": event, **about}), flush=True)
        elif event != "progress":
            print(
                " ".join([event, *(f"{name}={value}" for name, value in about.items() if value)]), flush=True
            )

    # Who says so by hand wants what has failed to be tried again now.
    if not get(context).distribution().work(tell, again=not attended):
        raise ContentError("not everything could be done; see: pxefast content status")


@app.command("list", epilog="Example: pxefast content list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List what this distribution point serves."""
    published = get(context).library().published().values()
    if json:
        print_json(
            [
                {**image._asdict(), "files": [file._asdict() for file in image.files], "bytes": image.size}
                for image in published
            ]
        )
        return
    print_table(
        ("ID", "ARCH", "VERSION", "PUBLISHED", "FILES", "BYTES"),
        [
            (image.id, image.architecture, image.version, image.published_at, len(image.files), image.size)
            for image in published
        ],
    )


def _distribute(
    here: Context, image_id: str, points: Sequence[str], groups: Sequence[str], quiet: bool, *, again: bool
) -> None:
    store, distribution = here.store(), here.distribution()
    store.contents.targets(points, groups)
    with transfer(f"package {image_id}", quiet) as progress:
        version, obstacle = distribution.package(
            store.boot_images.get(image_id), verify=again, progress=progress
        )
    if obstacle and not quiet:
        note(f"version {version.version} is distributed as it was packaged, for {obstacle}")
    verb = "redistribute" if again else "distribute"
    names = store.contents.distribute(version, points, groups, verb)
    others = [name for name in names if name != store.own_point]
    if store.own_point in names:
        with transfer(image_id, quiet) as progress:
            distribution.bring(image_id, progress)
        print(image_id if quiet else f"distributed {image_id}: {version.files} files, {version.bytes} bytes")
    if others and not quiet:
        note(
            f"ordered version {version.version} to {', '.join(others)}; see: pxefast content status {image_id}"
        )


def _holders(here: Context, image_id: str) -> list[str]:
    """The points that have an image, or are to; this one also when it has it from before there were orders."""
    store, library = here.store(), here.library()
    found = set(store.contents.holders(image_id))
    if store.own_point and library.holds(image_id):
        found.add(store.own_point)
    return sorted(found)


def _attended() -> None:
    """Work for somebody: out of the way, and no longer than they live."""
    os.nice(10)

    def watch() -> None:
        # Not sys.stdin: a thread that waits in its lock aborts the interpreter at its end.
        while os.read(0, 4096):
            pass
        # At any moment: that is what bringing content is made for.
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
