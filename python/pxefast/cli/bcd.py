"""`pxefast bcd`: the stores that Windows boot managers read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json, choice
from pxefast.cli.output import note, print_json
from pxefast.errors import UsageError

app = typer.Typer(help="The stores that Windows boot managers read.", no_args_is_help=True)


@app.command(epilog="Example: pxefast bcd dump boot.bcd --json")
def dump(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The store, whoever wrote it.")],
    json: Json = False,
) -> None:
    """Print a BCD store: objects, elements under bcdedit's names, devices in words."""
    from pxefast.content import bcd_store

    store = bcd_store.read(file)
    if json:
        print_json(store.as_dict())
        return
    for line in store.lines():
        print(line)


@app.command(epilog="Example: pxefast bcd build --boot-image PS100005 --firmware uefi --output boot.bcd")
def build(
    context: typer.Context,
    boot_image: Annotated[
        str, typer.Option("--boot-image", metavar="ID", help="The Windows PE image that it starts.")
    ],
    firmware: Annotated[str, typer.Option("--firmware", metavar="KIND", help="bios or uefi.")],
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="The file to write, or to replace.")
    ],
    block: Annotated[
        int | None,
        typer.Option(
            "--block",
            metavar="N",
            help="Bytes in a TFTP block, 512 to 65464 (default: the boot image's, else the distribution point's).",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window",
            metavar="N",
            help="TFTP blocks in a window, 1 to 255, without variable window to 65535 (default: as --block).",
            show_default=False,
        ),
    ] = None,
    var_window: Annotated[
        bool | None,
        typer.Option(
            "--var-window/--no-var-window",
            help="Let the boot manager change the window while it loads (default: as --block).",
            show_default=False,
        ),
    ] = None,
    shape: Annotated[
        str,
        typer.Option(
            "--shape", metavar="SHAPE", help="full, as on install media, or minimal, without shared settings."
        ),
    ] = "full",
) -> None:
    """Write the BCD store that a boot image is started by.

    It is what a machine gets that has no sizes of its own by variable or by boundary group.
    """
    from pxefast.content import bcd, namespace
    from pxefast.site import session_facts

    kind = choice("--firmware", firmware, bcd.FIRMWARES)
    store = get(context).store()
    row = store.boot_images.get(boot_image)
    if row.kind != "windows-pe":
        raise UsageError(
            f"boot image {row.id} is of kind {row.kind}; only Windows PE is started by a BCD store"
        )
    if kind == "bios" and row.architecture == "arm64":
        raise UsageError(f"boot image {row.id} is for arm64, which has no BIOS; give --firmware uefi")
    with store.read() as connection:
        (facts,) = session_facts.read(connection, store.point, [session_facts.Ask(None, None, row.id)])
    paths = namespace.ramdisk_paths(row.id, f"boot.{row.id}.wim")
    ramdisk = bcd.Ramdisk(
        wim_path=paths.wim,
        sdi_path=paths.sdi,
        font_path=paths.fonts,
        block_size=facts.block_size.value if block is None else block,
        window_size=facts.window_size.value if window is None else window,
        variable_window=facts.variable_window.value if var_window is None else var_window,
        firmware=kind,
        shape=choice("--shape", shape, bcd.SHAPES),
    )
    output.write_bytes(bcd.build(ramdisk))
    for ignored in facts.ignored:
        note(ignored)
    variable = "variable" if ramdisk.variable_window else "fixed"
    print(f"wrote {output}: blocks of {ramdisk.block_size} bytes, {variable} window of {ramdisk.window_size}")
