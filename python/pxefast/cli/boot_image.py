"""`pxefast boot-image`: what machines can be booted with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pxefast.cli.context import get
from pxefast.cli.options import (
    DryRun,
    Id,
    Json,
    Quiet,
    Site,
    TftpBlockSize,
    TftpVariableWindow,
    TftpWindowSize,
    Yes,
    choice,
)
from pxefast.cli.output import confirmed, created, note, print_fields, print_json, print_table
from pxefast.errors import AlreadyExists, UsageError

if TYPE_CHECKING:
    from pxefast.content.library import Published
    from pxefast.site.boot_images import BootImageRow

app = typer.Typer(help="What machines can be booted with.", no_args_is_help=True)

_UNSET: dict[str, Any] = {"show_default": False}
_LAUNCH_FILE = (
    "The last file without which the work cannot begin, such as an initrd: a required boot counts as done when its "
    "last byte leaves. Without it that is the boot program; of a WIM it is the WIM."
)
BOOT_CA = "2011 or 2023: under which authority of Microsoft's the UEFI boot files of a WIM shall be signed"
_BOOT_SDI = "A boot.sdi, such as the ADK's Media/Boot/boot.sdi, for a WIM that holds none."
NOT_FOR_FILES = "--boot-ca, --boot-sdi and TFTP sizes are for a WIM, and {} is a folder"

LaunchFile = Annotated[str | None, typer.Option("--launch-file", metavar="FILE", help=_LAUNCH_FILE, **_UNSET)]
BootSdi = Annotated[Path | None, typer.Option("--boot-sdi", metavar="FILE", help=_BOOT_SDI, **_UNSET)]


@app.command(epilog="Example: pxefast boot-image add boot.wim --name winpe-x64")
def add(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(metavar="WIM|DIR", help="A Windows PE image, or a folder with the image's files."),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="N", help="A name for people (default: a WIM's own).", **_UNSET),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option("--arch", metavar="ARCH", help="x86, x64 or arm64 (default: as a WIM says).", **_UNSET),
    ] = None,
    boot_program: Annotated[
        list[str] | None,
        typer.Option(
            "--boot-program",
            metavar="KIND=FILE",
            help="The file of a folder that a kind of client starts with: bios, uefi, or ipxe for a client that "
            "already runs iPXE; repeat for each kind. A WIM brings its own.",
            **_UNSET,
        ),
    ] = None,
    launch_file: LaunchFile = None,
    boot_ca: Annotated[
        str | None,
        typer.Option(
            "--boot-ca", metavar="YEAR", help=f"{BOOT_CA} (default: 2011 if it has both).", **_UNSET
        ),
    ] = None,
    boot_sdi: BootSdi = None,
    tftp_block_size: TftpBlockSize = None,
    tftp_window_size: TftpWindowSize = None,
    tftp_variable_window: TftpVariableWindow = None,
    site: Site = None,
    wanted_id: Id = None,
    pxe: Annotated[
        bool, typer.Option("--pxe/--no-pxe", help="Deploy from the PXE-enabled distribution point.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Add a boot image: a WIM with Windows PE, or a folder.

    A folder needs --name, --arch and --boot-program. What a WIM lacks is told. The image is PXE-enabled unless --no-pxe
    is given, and boots nothing before it is distributed.
    """
    from pxefast.cli.image_folder import file_of, names_of, programs_of
    from pxefast.cli.windows_pe import authority, examine
    from pxefast.site.boot_images import ARCHITECTURES
    from pxefast.site.tftp_sizes import TftpSizes

    stated = None if arch is None else choice("--arch", arch, ARCHITECTURES)
    sizes = TftpSizes(tftp_block_size, tftp_window_size, tftp_variable_window)
    images = get(context).store().boot_images
    if source.is_file():
        if boot_program or launch_file:
            raise UsageError(f"--boot-program and --launch-file are for a folder, and {source} is a file")
        wim, ca = source.resolve(), authority(boot_ca)
        architecture, own_name, sdi = examine(wim, stated, ca, boot_sdi)
        if name is None and any(row.name.casefold() == own_name.casefold() for row in images.all()):
            raise AlreadyExists(f"there is a boot image {own_name!r} already; name this one with --name")
        row = images.add_windows_pe(
            name or own_name,
            architecture,
            wim,
            wanted_id,
            pxe,
            boot_ca=ca,
            boot_sdi=sdi,
            sizes=sizes,
            site=site,
        )
    else:
        from pxefast.content.source import check_programs

        if boot_ca or boot_sdi or sizes != TftpSizes():
            raise UsageError(NOT_FOR_FILES.format(source))
        programs, names = programs_of(boot_program or []), names_of(source)
        if name is None or stated is None or not programs:
            raise UsageError("a folder needs --name, --arch and --boot-program")
        check_programs(wanted_id or "XXXXXXXX", programs, names)
        launch = None if launch_file is None else file_of(source, names, launch_file)
        row = images.add(
            name, stated, source.resolve(), programs, wanted_id, pxe, launch_file=launch, site=site
        )
    created(row.id, "added boot image", quiet)
    if not quiet:
        note(f"to serve its files: pxefast content distribute {row.id}")


@app.command("list", epilog="Example: pxefast boot-image list --json")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the boot images."""
    here = get(context)
    published = here.library().published()
    images = [_as_dict(row, published.get(row.id)) for row in here.store().boot_images.all()]
    if json:
        print_json(images)
        return
    print_table(
        ("ID", "NAME", "KIND", "ARCH", "BUILD", "BOOT PROGRAMS", "PXE", "DISTRIBUTED"),
        [
            (
                image["id"],
                image["name"],
                image["kind"],
                image["architecture"],
                (image["windows_pe"] or {}).get("build"),
                image["boot_programs"] or (image["windows_pe"] or {}).get("boots", []),
                image["pxe_enabled"],
                "needs redistribution" if image["needs_redistribution"] else image["distributed"],
            )
            for image in images
        ],
    )


@app.command(epilog="Example: pxefast boot-image show PS100001")
def show(
    context: typer.Context,
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The boot image.")],
    json: Json = False,
) -> None:
    """Show a boot image: what it is, what it lacks, and whether what is served is what it is now."""
    here = get(context)
    row = here.store().boot_images.get(image_id)
    fields = _as_dict(row, here.library().published().get(row.id))
    if json:
        print_json(fields)
        return
    inside = fields.pop("windows_pe")
    if inside is not None:
        from pxefast.cli.windows_pe import missing_words

        del fields["boot_programs"]
        lacking = missing_words(inside.pop("missing", []))
        fields |= {f"wim {name}": value for name, value in inside.items() if value is not None}
        fields |= {f"missing for {who}": words for who, words in lacking.items()}
    print_fields({name.replace("_", " "): value for name, value in fields.items()})


@app.command(epilog="Example: pxefast boot-image remove PS100001 --dry-run")
def remove(
    context: typer.Context,
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The boot image.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Remove a boot image, its published files and its customised copies. What it was made from is left alone."""
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
        if row.kind == "windows-pe":
            from pxefast.content.customize import Copies

            copies = Copies(here.boot_images)
            with copies.turn():
                copies.sweep(row.id)
        store.touch("content remove", row.id)
        print(f"removed boot image {row.id}")
        here.distribution().forget(row.id)


def _as_dict(row: BootImageRow, published: Published | None) -> dict[str, Any]:
    from pxefast.cli.windows_pe import facts
    from pxefast.content.package import outdated

    return {
        "id": row.id,
        "name": row.name,
        "site": row.site,
        "kind": row.kind,
        "architecture": row.architecture,
        "source": str(row.source),
        "boot_programs": row.programs,
        "launch_file": row.launch_file,
        "pxe_enabled": row.pxe_enabled,
        "boot_ca": row.boot_ca,
        "boot_sdi": None if row.boot_sdi is None else str(row.boot_sdi),
        "tftp_block_size": row.tftp_block_size,
        "tftp_window_size": row.tftp_window_size,
        "tftp_variable_window": row.tftp_variable_window,
        "revision": row.revision,
        "distributed": published is not None,
        "published_at": None if published is None else published.published_at,
        "bytes": None if published is None else published.size,
        "needs_redistribution": None if published is None else outdated(published, row.revision, row.source),
        "windows_pe": facts(row, published),
    }
