"""Options that many commands share, so that they are the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["DryRun", "Id", "Json", "Quiet", "Yes"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the id alone.")]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", help="Use this id instead of the next free one.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
