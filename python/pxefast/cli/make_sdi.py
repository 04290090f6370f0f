"""`pxefast boot-image make-sdi`: a boot.sdi where neither the image nor the administrator has one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pxefast.cli.output import note


def make_sdi(
    output: Annotated[
        Path, typer.Option("--output", metavar="FILE", help="The file to write, or to replace.")
    ],
) -> None:
    """Make a boot.sdi (experimental).

    Windows PE is loaded into a RAM disk, whose frame is boot.sdi: take it from Windows media (boot\\boot.sdi) or the
    ADK where you can. What this makes has the same layout, but no Windows loader was seen to start from it yet.
    Needs mkntfs of ntfs-3g.
    """
    from pxefast.content import sdi

    sdi.make_sdi(output)
    print(f"wrote {output}")
    note("experimental: try it on one machine, and prefer the boot.sdi of Windows media")
