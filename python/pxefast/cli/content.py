"""`pxefast content`: what this distribution point serves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, print_json, print_table
from pxefast.errors import ContentError

if TYPE_CHECKING:
    from pxefast.cli.context import Context
    from pxefast.content.library import Library, Published
    from pxefast.site.boot_images import BootImageRow

app = typer.Typer(help="What this distribution point serves.", no_args_is_help=True)

Image = Annotated[str, typer.Argument(metavar="ID", help="The boot image.")]
NoProgress = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


@app.command(epilog="Example: pxefast content distribute PS100001")
def distribute(
    context: typer.Context,
    image_id: Image,
    quiet: NoProgress = False,
) -> None:
    """Copy a boot image's folder into the content library and serve it.

    Once more, to serve what has changed.
    """
    here = get(context)
    store = here.store()
    row = store.boot_images.get(image_id)
    published = _distribute(here.library(), row, quiet)
    store.touch("content distribute", row.id)
    if quiet:
        print(row.id)
    else:
        size = sum(file.size for file in published.files)
        print(f"distributed {row.id}: {len(published.files)} files, {size} bytes")


@app.command(epilog="Example: pxefast content redistribute PS100001")
def redistribute(
    context: typer.Context,
    image_id: Image,
    quiet: NoProgress = False,
) -> None:
    """Copy a boot image that is served already, and is damaged or changed."""
    _published(get(context), image_id)
    distribute(context, image_id, quiet)


@app.command(epilog="Example: pxefast content validate PS100001")
def validate(context: typer.Context, image_id: Image) -> None:
    """Read what is served of a boot image and compare it with its hashes."""
    here = get(context)
    published = _published(here, image_id)
    damaged = here.library().validate(published)
    if damaged:
        raise ContentError(
            f"{published.id}: damaged: {', '.join(damaged)}; run: pxefast content redistribute {published.id}"
        )
    print(f"{published.id}: {len(published.files)} files are what was distributed")


@app.command(epilog="Example: pxefast content remove PS100001 --dry-run")
def remove(context: typer.Context, image_id: Image, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Serve a boot image no more. It stays a boot image, and can be distributed again."""
    here = get(context)
    published = _published(here, image_id)
    if confirmed([f"withdraw the files of boot image {published.id}"], dry_run=dry_run, yes=yes):
        here.library().remove(published.id)
        here.store().touch("content remove", published.id)
        print(f"removed the files of {published.id}")


@app.command("list", epilog="Example: pxefast content list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List what is served."""
    published = get(context).library().published().values()
    if json:
        print_json([_as_dict(image) for image in published])
        return
    print_table(
        ("ID", "ARCH", "PUBLISHED", "FILES", "BYTES"),
        [
            (
                image.id,
                image.architecture,
                image.published_at,
                len(image.files),
                sum(f.size for f in image.files),
            )
            for image in published
        ],
    )


def _published(here: Context, image_id: str) -> Published:
    """A boot image that is served. Raises ContentError."""
    found = here.library().published().get(image_id.strip().upper())
    if found is None:
        raise ContentError(f"{image_id} is not distributed here; run: pxefast content distribute {image_id}")
    return found


def _distribute(library: Library, row: BootImageRow, quiet: bool) -> Published:
    if quiet or not sys.stderr.isatty():
        return library.distribute(row, row.source)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(row.id, total=None)

        def show(done: int, total: int, name: str) -> None:
            progress.update(task, completed=done, total=total, description=name or row.id)

        return library.distribute(row, row.source, show)


def _as_dict(image: Published) -> dict[str, object]:
    files = [file._asdict() for file in image.files]
    return {**image._asdict(), "files": files, "bytes": sum(file.size for file in image.files)}
