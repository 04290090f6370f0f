"""`pxefast content`: what this distribution point serves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import print_json, print_table

if TYPE_CHECKING:
    from pxefast.content.library import Library, Published
    from pxefast.site.boot_images import BootImageRow

app = typer.Typer(help="What this distribution point serves.", no_args_is_help=True)


@app.command(epilog="Example: pxefast content distribute PS100001")
def distribute(
    context: typer.Context,
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The boot image.")],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Copy a boot image's folder into the content library and serve it; again to serve what has changed."""
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
