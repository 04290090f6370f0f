"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self, TypeVar

import typer

from pxefast.errors import UsageError

__all__ = [
    "JsonArray",
    "confirmed",
    "created",
    "note",
    "print_fields",
    "print_json",
    "print_table",
    "progress",
    "transfer",
    "word",
    "working",
]

Item = TypeVar("Item")


def print_json(value: object) -> None:
    """One JSON value."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


class JsonArray:
    """A JSON array that is printed item by item, each on a line of its own, however many there are."""

    def __init__(self) -> None:
        self._before = "["

    def add(self, value: object) -> None:
        """The next item."""
        print(f"{self._before}\n{json.dumps(value, ensure_ascii=False)}", end="")
        self._before = ","

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        # An array that an error cut short does not look whole.
        if kind is None:
            print("[]" if self._before == "[" else "\n]")


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under a header; on a terminal they fit its width, in a pipe nothing is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in header:
        table.add_column(title, no_wrap=not sys.stdout.isatty())
    for row in rows:
        # As text: a name in brackets is a name, not a style.
        table.add_row(*(Text(word(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else 10_000, highlight=False).print(table)


def print_fields(fields: dict[str, object]) -> None:
    """One thing, a line a field."""
    width = max(len(name) for name in fields) + 2
    for name, value in fields.items():
        print(f"{name + ':':<{width}}{word(value)}")


def word(value: object) -> str:
    """A value as a person reads it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(word(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "none"
    return "-" if value is None else str(value)


def created(new_id: object, what: str, quiet: bool) -> None:
    """The result of a create: a sentence, or the id alone on its line."""
    print(new_id if quiet else f"{what} {new_id}")


def note(text: str) -> None:
    """Something worth knowing that is not the result."""
    print(f"pxefast: {text}", file=sys.stderr)


def progress(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The same items; on a terminal a bar on standard error says how far they are."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress

    # What is printed meanwhile is the result, and stays where it belongs.
    console = Console(stderr=True)
    with Progress(console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        yield from bar.track(items, total, description=what)


@contextmanager
def transfer(what: str, quiet: bool = False) -> Iterator[Callable[[int, int, str], None] | None]:
    """Something to call with bytes done, bytes in all and the file in hand: on a terminal it is a bar."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total, name: progress.update(
            task, completed=done, total=total, description=f"{what} {name}".rstrip()
        )


@contextmanager
def working(what: str) -> Iterator[None]:
    """While one long step lasts, a terminal shows that it does."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def confirmed(deeds: Sequence[str], *, dry_run: bool, yes: bool) -> bool:
    """Whether to go on with something destructive.

    Asks on a terminal; raises UsageError where nobody can answer.
    """
    if dry_run:
        for deed in deeds:
            print(f"would {deed}")
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(
            "this changes what machines do and there is no terminal to ask at; add --yes (or --dry-run)"
        )
    for deed in deeds:
        note(f"this will {deed}")
    return typer.confirm("Go on?", abort=True, err=True)
