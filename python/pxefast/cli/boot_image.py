"""`pxefast boot-image`: what machines can be booted with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Id, Json, Quiet, Site, Yes
from pxefast.cli.output import confirmed, created, note, print_fields, print_json, print_table
from pxefast.errors import ContentError, UsageError

if TYPE_CHECKING:
    from pxefast.content.library import Published
    from pxefast.decide.records import Architecture
    from pxefast.site.boot_images import BootImageRow

app = typer.Typer(help="What machines can be booted with.", no_args_is_help=True)

_LAUNCH_FILE = (
    "The last file without which the work cannot begin, such as boot.wim or an initrd: a required boot counts as done "
    "when its last byte leaves. Without it that is the boot program."
)


@app.command(
    epilog="Example: pxefast boot-image add ./linux --name linux --arch x64 --boot-program uefi=grubx64.efi"
)
def add(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder with the image's files.")],
    name: Annotated[str, typer.Option("--name", metavar="N", help="A name for people.")],
    arch: Annotated[str, typer.Option("--arch", metavar="ARCH", help="x86, x64 or arm64.")],
    boot_program: Annotated[
        list[str],
        typer.Option(
            "--boot-program",
            metavar="KIND=FILE",
            help="The file that a kind of client starts with: bios, uefi, or ipxe for a client that already "
            "runs iPXE; repeat for each kind.",
        ),
    ],
    launch_file: Annotated[
        str | None, typer.Option("--launch-file", metavar="FILE", help=_LAUNCH_FILE, show_default=False)
    ] = None,
    site: Site = None,
    wanted_id: Id = None,
    pxe: Annotated[
        bool, typer.Option("--pxe/--no-pxe", help="Deploy from the PXE-enabled distribution point.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Add a boot image.

    It is PXE-enabled unless --no-pxe is given, and boots nothing before it is distributed.
    """
    from pxefast.content.source import check_programs, scan

    store = get(context).store()
    programs, architecture = _programs(boot_program), _architecture(arch)
    names = [file.name for file in scan(folder)]
    check_programs(wanted_id or "XXXXXXXX", programs, names)
    launch = None if launch_file is None else _file_of(folder, names, launch_file)
    row = store.boot_images.add(
        name, architecture, folder.resolve(), programs, wanted_id, pxe, launch_file=launch, site=site
    )
    created(row.id, "added boot image", quiet)
    if not quiet:
        note(f"to serve its files: pxefast content distribute {row.id}")


@app.command("list", epilog="Example: pxefast boot-image list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the boot images."""
    here = get(context)
    rows, published = here.store().boot_images.all(), here.library().published()
    if json:
        print_json([_as_dict(row, published.get(row.id)) for row in rows])
        return
    print_table(
        ("ID", "NAME", "ARCH", "BOOT PROGRAMS", "PXE", "DISTRIBUTED"),
        [
            (row.id, row.name, row.architecture, row.programs, row.pxe_enabled, row.id in published)
            for row in rows
        ],
    )


@app.command(epilog="Example: pxefast boot-image show PS100001")
def show(
    context: typer.Context,
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The boot image.")],
    json: Json = False,
) -> None:
    """Show a boot image."""
    here = get(context)
    row = here.store().boot_images.get(image_id)
    fields = _as_dict(row, here.library().published().get(row.id))
    if json:
        print_json(fields)
    else:
        print_fields({name.replace("_", " "): value for name, value in fields.items()})


@app.command("set", epilog="Example: pxefast boot-image set PS100001 --no-pxe")
def set_(
    context: typer.Context,
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The boot image.")],
    pxe: Annotated[
        bool | None,
        typer.Option(
            "--pxe/--no-pxe", help="Deploy from the PXE-enabled distribution point.", show_default=False
        ),
    ] = None,
    launch_file: Annotated[
        str | None, typer.Option("--launch-file", metavar="FILE", help=_LAUNCH_FILE, show_default=False)
    ] = None,
    no_launch_file: Annotated[
        bool, typer.Option("--no-launch-file", help="The boot program is the launch file.")
    ] = False,
) -> None:
    """Change a boot image. A running service follows within a second."""
    if pxe is None and launch_file is None and not no_launch_file:
        raise UsageError("nothing to set; give --pxe, --no-pxe, --launch-file or --no-launch-file")
    if launch_file is not None and no_launch_file:
        raise UsageError("--launch-file and its --no- form cannot both be given")
    images = get(context).store().boot_images
    row = images.get(image_id)
    if pxe is not None:
        images.set(row.id, pxe_enabled=pxe)
        verb = "deployed" if pxe else "not deployed"
        print(f"boot image {row.id} is {verb} from the PXE-enabled distribution point")
    if launch_file is not None:
        from pxefast.content.source import scan

        launch = _file_of(row.source, [file.name for file in scan(row.source)], launch_file)
        images.set(row.id, launch_file=launch)
        print(f"the launch file of boot image {row.id} is {launch}")
    if no_launch_file:
        images.set(row.id, launch_file=None)
        print(f"the launch file of boot image {row.id} is its boot program")


@app.command(epilog="Example: pxefast boot-image remove PS100001 --dry-run")
def remove(
    context: typer.Context,
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The boot image.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove a boot image and its published files. The folder it was made from is left alone."""
    here = get(context)
    store = here.store()
    row = store.boot_images.get(image_id)
    users = store.boot_images.users(row.id)
    deeds = [f"remove boot image {row.id} ({row.name}) and its published files"]
    if users:
        deeds = [f"be refused: boot image {row.id} is in use by task sequence {', '.join(users)}"]
    if confirmed(deeds, dry_run=dry_run, yes=yes):
        store.boot_images.remove(row.id)
        here.library().remove(row.id)
        store.touch("content remove", row.id)
        print(f"removed boot image {row.id}")


def _programs(options: list[str]) -> dict[str, str]:
    programs: dict[str, str] = {}
    for option in options:
        kind, sign, file = option.partition("=")
        if kind not in ("bios", "uefi", "ipxe") or not sign or not file:
            raise UsageError(f"--boot-program {option!r} must be bios=FILE, uefi=FILE or ipxe=FILE")
        if kind in programs:
            raise UsageError(f"--boot-program {kind} is given twice")
        programs[kind] = file.replace("\\", "/").lstrip("/")
    return programs


def _file_of(folder: Path, names: list[str], wanted: str) -> str:
    """A file of the folder as the folder spells it. Raises ContentError."""
    from pxefast.content.source import fold

    spelled = {fold(name): name for name in names}
    found = spelled.get(fold(wanted).lstrip("/"))
    if found is None:
        raise ContentError(f"the launch file {wanted!r} is not a file of {folder}")
    return found


def _architecture(text: str) -> Architecture:
    for known in ("x86", "x64", "arm64"):
        if text == known:
            return known
    raise UsageError(f"--arch {text!r} must be x86, x64 or arm64")


def _as_dict(row: BootImageRow, published: Published | None) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "site": row.site,
        "architecture": row.architecture,
        "source": str(row.source),
        "boot_programs": row.programs,
        "launch_file": row.launch_file,
        "pxe_enabled": row.pxe_enabled,
        "distributed": published is not None,
        "published_at": None if published is None else published.published_at,
    }
