"""`pxefast boot-image set`: what a boot image is made from, and how it is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pxefast.cli.boot_image import BOOT_CA, NOT_FOR_FILES, BootSdi, LaunchFile
from pxefast.cli.context import get
from pxefast.cli.options import NoTftpSizes, TftpBlockSize, TftpVariableWindow, TftpWindowSize, tftp_sizes
from pxefast.cli.output import note, word
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.site.boot_images import BootImageRow

_UNSET: dict[str, Any] = {"show_default": False}


def set_(
    context: typer.Context,
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The boot image.")],
    source: Annotated[
        Path | None,
        typer.Option(
            "--source",
            metavar="WIM|DIR",
            help="Take it from here from now on, or once more from where it was, for that has changed.",
            **_UNSET,
        ),
    ] = None,
    pxe: Annotated[
        bool | None,
        typer.Option("--pxe/--no-pxe", help="Deploy from the PXE-enabled distribution point.", **_UNSET),
    ] = None,
    launch_file: LaunchFile = None,
    no_launch_file: Annotated[
        bool, typer.Option("--no-launch-file", help="The boot program is the launch file.")
    ] = False,
    boot_ca: Annotated[
        str | None, typer.Option("--boot-ca", metavar="YEAR", help=f"{BOOT_CA}.", **_UNSET)
    ] = None,
    no_boot_ca: Annotated[
        bool, typer.Option("--no-boot-ca", help="Use the default: 2011 where the WIM has both.")
    ] = False,
    boot_sdi: BootSdi = None,
    no_boot_sdi: Annotated[bool, typer.Option("--no-boot-sdi", help="Use the WIM's own boot.sdi.")] = False,
    tftp_block_size: TftpBlockSize = None,
    tftp_window_size: TftpWindowSize = None,
    tftp_variable_window: TftpVariableWindow = None,
    no_tftp_sizes: NoTftpSizes = False,
) -> None:
    """Change a boot image. A running service follows within a second.

    Source, authority and boot.sdi are served after: pxefast content redistribute ID.
    """
    here = get(context)
    images = here.store().boot_images
    row = images.get(image_id)
    sizes = tftp_sizes(tftp_block_size, tftp_window_size, tftp_variable_window, no_tftp_sizes)
    changes: dict[str, Any] = {} if pxe is None else {"pxe_enabled": pxe}
    _either(changes, "launch_file", launch_file, no_launch_file)
    _either(changes, "boot_ca", boot_ca, no_boot_ca)
    _either(changes, "boot_sdi", boot_sdi, no_boot_sdi)
    changes |= sizes if source is None else {**sizes, "source": source.resolve()}
    if not changes:
        raise UsageError("nothing to set; see: pxefast boot-image set --help")
    _check(row, changes)
    after = images.set(row.id, **changes)
    for name in changes:
        value = getattr(after, name)
        print(
            f"boot image {row.id}: {name.replace('_', ' ')} is {'not set' if value is None else word(value)}"
        )
    if after.source != row.source and row.source.parent == here.boot_images:
        note(f"what `boot-image customize` put into {row.source.name} is not in it; customize again")
    if after.revision != row.revision and row.id in here.library().published():
        note(f"to serve what has changed: pxefast content redistribute {row.id}")


def _check(row: BootImageRow, changes: dict[str, Any]) -> None:
    """Changes as they are kept, in place. Raises UsageError or ContentError for what the image cannot have."""
    from pxefast.cli.windows_pe import authority, examine

    source = changes.get("source", row.source)
    if row.kind == "files":
        if not set(changes) <= {"source", "pxe_enabled", "launch_file"}:
            raise UsageError(NOT_FOR_FILES.format(source))
        if "source" in changes or changes.get("launch_file"):
            from pxefast.cli.image_folder import file_of, names_of
            from pxefast.content.source import check_programs

            names, launch = names_of(source), changes.get("launch_file", row.launch_file)
            check_programs(row.id, row.programs, names)
            changes |= {} if launch is None else {"launch_file": file_of(source, names, launch)}
        return
    if "launch_file" in changes:
        raise UsageError(f"the launch file of boot image {row.id} is its WIM")
    if "boot_ca" in changes:
        changes["boot_ca"] = authority(changes["boot_ca"])
    if {"source", "boot_ca", "boot_sdi"} & set(changes):
        after = {**row._asdict(), **changes}
        _, _, sdi = examine(source, row.architecture, after["boot_ca"], after["boot_sdi"])
        changes |= {"boot_sdi": sdi} if "boot_sdi" in changes else {}


def _either(changes: dict[str, Any], name: str, value: object, none: bool) -> None:
    """One setting with a value form and a --no- form."""
    if none and value is not None:
        raise UsageError(f"--{name.replace('_', '-')} and its --no- form cannot both be given")
    if none or value is not None:
        changes[name] = value
