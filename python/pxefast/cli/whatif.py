"""`pxefast whatif COMMAND...`: which machines would boot otherwise, if that command were run. Nothing is written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from pxefast.cli import machine
from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import JsonArray, note, progress
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.cli.context import Context
    from pxefast.cli.machine import Point
    from pxefast.decide import Decision, Request

# Nouns whose commands change the database and nothing else.
_NOUNS = (
    "boundary-group",
    "budget",
    "collection",
    "deployment",
    "device",
    "distribution-point-group",
    "dp",
    "duplicate-id",
    "import",
    "setting",
    "site",
    "task-sequence",
)
_BOOT_IMAGE_VERBS = ("set",)
_STRANGER = "a machine without a record"
_TITLES = {
    "boots": "would boot and would not now",
    "no_longer": "would no longer boot",
    "differs": "would boot otherwise than now",
}
# More are counted only, unless all are asked for.
_SHOWN = 20

Kind = Literal["boots", "no_longer", "differs"]


class Change(NamedTuple):
    """What would become of one machine; `machine` is its name."""

    machine: str
    kind: Kind
    before: Decision
    after: Decision


def whatif(
    context: typer.Context,
    command: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND...", help="A command that changes the site, as it would be written."),
    ],
    arch: machine.Arch = "x64",
    firmware: machine.Firmware = "uefi",
    every: Annotated[
        bool, typer.Option("--all", help=f"Name every machine, not the first {_SHOWN} of each kind.")
    ] = False,
    json: Json = False,
) -> None:
    """Say which machines would boot otherwise if a command were run.

    The command is run on a copy of the database in memory: nothing is written, and no service waits. Every device is
    asked about before and after, as a machine of --arch and --firmware, and so is one machine without a record. What
    the command itself says is on standard error. Options of whatif come before the command.
    """
    here = get(context)
    _check(command)
    request = machine.starting(machine.code(arch, firmware))
    before = machine.point(here)
    after = _as_seen(before, _after(context, here, command))
    if not _answers(before) and not _answers(after):
        note("this distribution point answers nobody; these are the decisions as if it did")
        before, after = _answering(before), _answering(after)
    changes = _changes(request, before, after)
    if json:
        with JsonArray() as array:
            for change in changes:
                array.add(_as_dict(change))
    else:
        _print(list(changes), every)


def _answers(point: Point) -> bool:
    return point.site.dp.enable_pxe and point.site.dp.allow_pxe_response


def _answering(point: Point) -> Point:
    dp = replace(point.site.dp, enable_pxe=True, allow_pxe_response=True)
    return replace(point, site=replace(point.site, dp=dp))


def _after(context: typer.Context, here: Context, words: list[str]) -> Point:
    """The distribution point as the command would leave it. Raises what the command raises."""
    from pxefast.site.settings import SETTINGS

    store = here.store()
    most = next(setting.values[1] for setting in SETTINGS if setting.name == "confirm_above")
    with store.trial():
        # Who only tries something is not asked to confirm the list.
        store.policy.set("confirm_above", str(most))
        with redirect_stdout(sys.stderr):
            _run(context.find_root(), words)
        return machine.point(here, running=False)


def _as_seen(before: Point, after: Point) -> Point:
    """The distribution point after a change, with what a running service decides from beside the database."""
    from pxefast.decide import Exclusions

    if after.site.dp.mac_ignore_list_file != before.site.dp.mac_ignore_list_file:
        return replace(after, problem=before.problem)
    held, paused = before.exclusions.paused, after.exclusions.paused
    if paused is None or after.files.held_by_list:
        # A budget that the command resets holds nothing any more; everything else goes on.
        paused = None if before.files.held_by_budget else held
    return replace(after, exclusions=Exclusions(before.exclusions.macs, paused), problem=before.problem)


def _check(words: list[str]) -> None:
    noun, verb = words[0], words[1] if len(words) > 1 else ""
    if noun == "boot-image" and verb in _BOOT_IMAGE_VERBS:
        return
    if noun not in _NOUNS:
        raise UsageError(
            f"whatif cannot try {noun} {verb}".rstrip() + ": it does more than change the database; "
            f"it can try {', '.join(_NOUNS)} and boot-image set"
        )


def _run(root: Any, words: list[str]) -> None:
    """Run a command of this very command line; it does not ask."""
    name, command, rest = root.command.resolve_command(root, words)
    with command.make_context(name, rest, parent=root, default_map=_agreed(command, rest)) as inner:
        command.invoke(inner)


def _agreed(command: Any, words: list[str]) -> dict[str, Any]:
    """Defaults of the options of the command that these words lead to: yes to `--yes`."""
    verbs = getattr(command, "commands", None)
    if verbs is None:
        return {"yes": True}
    return {words[0]: _agreed(verbs[words[0]], words[1:])} if words and words[0] in verbs else {}


def _changes(request: Request, before: Point, after: Point) -> Iterator[Change]:
    """What becomes of every device that there is before or after, and of a machine without a record."""
    was = {device.id: device for device in machine.devices(before.site)}
    then = {device.id: device for device in machine.devices(after.site)}
    everyone = sorted((then | was).values(), key=lambda device: device.name.casefold())
    for device in progress(everyone, "machines", len(everyone)):
        # One that there is on one side only is a machine without a record on the other.
        asks = machine.starts(was.get(device.id, device), request)
        asks_then = machine.starts(then.get(device.id, device), request)
        yield from _change(device.name, before.outcome(asks), after.outcome(asks_then))
    asked = [machine.stranger(request)]
    yield from _change(_STRANGER, before.outcome(asked), after.outcome(asked))


def _change(name: str, before: Decision, after: Decision) -> Iterator[Change]:
    boots, will = before.action in machine.BOOTS, after.action in machine.BOOTS
    if boots != will:
        yield Change(name, "boots" if will else "no_longer", before, after)
    elif before.action != after.action or (will and _what(before) != _what(after)):
        yield Change(name, "differs", before, after)


def _what(decision: Decision) -> tuple[str | None, ...]:
    return decision.deployment, decision.boot_image, decision.boot_program


def _print(changes: list[Change], every: bool) -> None:
    if not changes:
        print("no machine would boot otherwise")
    for kind, title in _TITLES.items():
        found = [change for change in changes if change.kind == kind]
        if not found:
            continue
        print(f"{title}: {len(found):,}")
        for change in found if every else found[:_SHOWN]:
            before, after = machine.said(change.before), machine.said(change.after)
            print(f"  {change.machine}: {after}" + ("" if kind == "boots" else f"; now: {before}"))
        if not every and len(found) > _SHOWN:
            print(f"  and {len(found) - _SHOWN:,} more; --all names them")


def _as_dict(change: Change) -> dict[str, object]:
    return {
        "machine": change.machine,
        "change": change.kind,
        "before": change.before.as_dict(),
        "after": change.after.as_dict(),
    }
