"""`pxefast boot-image customize`: what a Windows PE image can be given without Windows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pxefast.cli.context import get
from pxefast.cli.output import note, transfer
from pxefast.errors import ContentError, UsageError

EXAMPLE = (
    "boot-image customize PS100001 --startnet startnet.cmd --add 'tools/imaging.exe=\\tools\\imaging.exe'"
)

_UNSET: dict[str, Any] = {"show_default": False}


def customize(
    context: typer.Context,
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The boot image, of kind windows-pe.")],
    startnet: Annotated[
        Path | None,
        typer.Option(
            "--startnet",
            metavar="FILE",
            help="What runs at the start: \\Windows\\System32\\startnet.cmd.",
            **_UNSET,
        ),
    ] = None,
    unattend: Annotated[
        Path | None,
        typer.Option("--unattend", metavar="FILE", help="The answers for wpeinit: \\unattend.xml.", **_UNSET),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            metavar="FILE=PATH",
            help="A file or folder, and its path in the image; repeat.",
            **_UNSET,
        ),
    ] = None,
    tree: Annotated[
        list[Path] | None,
        typer.Option(
            "--tree",
            metavar="DIR",
            help="A folder whose content comes over the image's root; repeat.",
            **_UNSET,
        ),
    ] = None,
    driver: Annotated[
        list[Path] | None,
        typer.Option(
            "--driver",
            metavar="DIR",
            help="A folder with a driver's .inf: it comes below \\Drivers, and startnet.cmd loads all of them with "
            "drvload before anything else; repeat.",
            **_UNSET,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the id alone.")] = False,
) -> None:
    """Put files and drivers into a Windows PE image.

    They come into a copy in the home, which becomes the image's next revision; the WIM that it was added from stays as
    it is. Files that are there already are replaced, whatever their case. What is served stays the same until:
    pxefast content redistribute ID. Needs wimlib-imagex (apt install wimtools).
    """
    from pxefast.content.customize import Changes, Copies, starts_otherwise

    here = get(context)
    images = here.store().boot_images
    changes = Changes(startnet, unattend, _pairs(add or []), tuple(tree or ()), tuple(driver or ()))
    if changes == Changes():
        raise UsageError("nothing to put in; see: pxefast boot-image customize --help")
    copies = Copies(here.boot_images)
    with copies.turn():
        row = images.get(image_id)
        if row.kind != "windows-pe":
            raise ContentError(f"boot image {row.id} is the folder {row.source}; change the files in it")
        with transfer(row.id, quiet) as progress:
            made = copies.make(row.id, row.revision + 1, row.source, changes, progress)
        after = images.set(row.id, source=made, of_revision=row.revision)
        copies.sweep(row.id, (row.source, made))
    print(row.id if quiet else f"customised boot image {row.id}: revision {after.revision} is {made}")
    if quiet:
        return
    if (startnet is not None or driver) and starts_otherwise(made):
        note("the image has a winpeshl.ini, which decides what is started: startnet.cmd may not be run")
    if row.id in here.library().published():
        note(f"to serve it: pxefast content redistribute {row.id}")


def _pairs(options: list[str]) -> tuple[tuple[Path, str], ...]:
    pairs = []
    for option in options:
        file, sign, path = option.rpartition("=")
        if not sign or not file or not path:
            raise UsageError(f"--add {option!r} must be FILE=PATH, such as tool.exe=\\tools\\tool.exe")
        pairs.append((Path(file), path))
    return tuple(pairs)
