"""Options that many commands share, so that they are the same everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer

from pxefast.errors import UsageError

__all__ = [
    "Confirm",
    "DryRun",
    "Id",
    "Json",
    "NoTftpSizes",
    "Quiet",
    "Site",
    "TftpBlockSize",
    "TftpVariableWindow",
    "TftpWindowSize",
    "Yes",
    "choice",
    "moment",
    "moment_text",
    "tftp_sizes",
]

Choice = TypeVar("Choice", bound=str)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the id alone.")]
Id = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", help="Use this id instead of the next free one.", show_default=False),
]
Site = Annotated[
    str | None,
    typer.Option(
        "--site",
        metavar="AAA",
        help="The site that it belongs to (default: that of this distribution point).",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Confirm = Annotated[
    str | None,
    typer.Option(
        "--confirm",
        metavar="HASH",
        help="The hash of the list of machines, as the refusal or --dry-run names it.",
        show_default=False,
    ),
]

TftpBlockSize = Annotated[
    int | None,
    typer.Option(
        "--tftp-block-size",
        metavar="N",
        help="Bytes in a block that Windows boot managers ask for, 512 to 65464; above the path's MTU "
        "datagrams are cut into fragments.",
        show_default=False,
    ),
]
TftpWindowSize = Annotated[
    int | None,
    typer.Option(
        "--tftp-window-size",
        metavar="N",
        help="Blocks that Windows boot managers take before they acknowledge, 1 to 65535; to 255 where it may vary.",
        show_default=False,
    ),
]
TftpVariableWindow = Annotated[
    bool | None,
    typer.Option(
        "--tftp-variable-window/--no-tftp-variable-window",
        help="Let Windows boot managers change the window while they load.",
        show_default=False,
    ),
]
NoTftpSizes = Annotated[
    bool,
    typer.Option(
        "--no-tftp-sizes", help="Say nothing about block, window and variable window: the next in line does."
    ),
]


def tftp_sizes(
    block: int | None, window: int | None, variable: bool | None, none: bool = False
) -> dict[str, object]:
    """The TFTP sizes that were given, as columns; with `none` all of them are None. Raises UsageError."""
    given = {"tftp_block_size": block, "tftp_window_size": window, "tftp_variable_window": variable}
    sizes: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if none and sizes:
        raise UsageError("--no-tftp-sizes and a size cannot both be given")
    return dict.fromkeys(given) if none else sizes


def choice(option: str, text: str, choices: tuple[Choice, ...]) -> Choice:
    """The one of `choices` that was written. Raises UsageError."""
    for known in choices:
        if text == known:
            return known
    raise UsageError(f"{option} {text!r} must be one of {', '.join(choices)}")


def moment(option: str, text: str | None) -> float | None:
    """Unix seconds of a time in ISO 8601; without an offset it is local time. Raises UsageError."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{option} {text!r} is no time; write it as 2027-01-31T18:00 (local) or 2027-01-31T17:00Z"
        ) from None


def moment_text(seconds: float | None) -> str | None:
    """ISO 8601 in UTC of Unix seconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
