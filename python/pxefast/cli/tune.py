"""`pxefast tune`: TFTP windows that were lowered because machines of a model lost blocks of larger ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes, moment_text
from pxefast.cli.output import confirmed, print_json, print_table

if TYPE_CHECKING:
    from pxefast.site.learned_windows import LearnedWindow

app = typer.Typer(help="TFTP windows learned for models of machines.", no_args_is_help=True)

_HEADER = ("MODEL", "WINDOW", "LOST BLOCKS OF", "IN WINDOWS", "AFTER BLOCKS", "MACHINE", "AT", "SINCE")


@app.command(epilog="Example: pxefast tune show --json")
def show(context: typer.Context, json: Json = False) -> None:
    """Show the largest window of each model of machine, and how it was learned.

    A model is the vendor part of the MAC address, the platform, and who fetches: PXEClient (firmware, boot managers) or
    iPXE. A model that is not listed gets the window that it asks for, within max_window_size.
    """
    known = get(context).store().learned_windows.all()
    if json:
        print_json([_told(item) for item in known])
    elif not known:
        print("nothing is learned: every machine gets the window that it asks for, within max_window_size")
    else:
        print_table(_HEADER, [_row(item) for item in known])


@app.command(epilog="Example: pxefast tune clear 00:11:22/x64-uefi/PXEClient --dry-run")
def clear(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="As `pxefast tune show` names them (default: all).",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Forget what was learned, as after a repair or a driver's update: the window is learned anew where need be."""
    windows = get(context).store().learned_windows
    known = {item.lesson.model: item.lesson.blocks for item in windows.all()}
    wanted = list(dict.fromkeys(models or known))
    deeds = [f"forget the window of {known[model]} blocks of {model}" for model in wanted if model in known]
    if not wanted:
        print("nothing is learned")
    elif len(deeds) < len(wanted) or confirmed(deeds, dry_run=dry_run, yes=yes):
        windows.clear(wanted)
        print(f"forgotten: {', '.join(wanted)}")


def _told(item: LearnedWindow) -> dict[str, object]:
    return {
        **item.lesson._asdict(),
        "distribution_point": item.distribution_point,
        "learned_at": moment_text(item.learned_at),
    }


def _row(item: LearnedWindow) -> tuple[object, ...]:
    lesson = item.lesson
    return (
        lesson.model,
        lesson.blocks,
        lesson.granted,
        f"{lesson.gap_windows} of {lesson.windows}",
        lesson.arrived,
        lesson.machine,
        item.distribution_point,
        moment_text(item.learned_at),
    )
