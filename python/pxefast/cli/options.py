"""Options that many commands share, so that they are the same everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer

from pxefast.errors import UsageError

__all__ = ["Confirm", "DryRun", "Id", "Json", "Quiet", "Site", "Yes", "choice", "moment", "moment_text"]

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
