"""`pxefast reconcile`: after a database was restored, what this host's journal remembers of what it forgot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes, moment_text
from pxefast.cli.output import confirmed, note, print_json
from pxefast.errors import CannotOpen, UsageError

if TYPE_CHECKING:
    from pxefast.site.audit import AuditRow
    from pxefast.site.protocol import Row
    from pxefast.site.reconcile import Lost
    from pxefast.site.store import Store
    from pxefast.site.witnesses import Witnesses

__all__ = ["reconcile"]

# Lost changes that are printed one by one.
_MOST_CHANGES = 20


def reconcile(
    context: typer.Context,
    keep_armed: Annotated[
        bool,
        typer.Option(
            "--keep-armed",
            help="Leave armed what may have been given or taken back unrecorded: you know that the database is right.",
        ),
    ] = False,
    hold_armed: Annotated[
        bool,
        typer.Option(
            "--hold-armed",
            help="Hold everything that is armed, though all agree: the home was put back from a backup.",
        ),
    ] = False,
    json: Json = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Hold what the journal knows was given and the database has forgotten.

    Required deployments are off while they do not agree. Each such device is entered as held, and the journal begins
    a new segment; the old one is kept. Everything that is armed is held where nobody knows all that was given, and
    where changes such as a removal of a deployment were lost; they are listed.
    """
    from pxefast.site.reconcile import hold_armed as hold
    from pxefast.site.reconcile import restore_lost

    if keep_armed and hold_armed:
        raise UsageError("--keep-armed and --hold-armed contradict each other; give one of both")
    home = get(context)
    store, witnesses = home.store(), home.witnesses()
    problem = witnesses.examine(store)
    plan = _plan(store, witnesses, keep_armed, hold_armed)
    if json:
        print_json({"problem": problem, **plan.described()})
        return
    if problem is None and not hold_armed:
        print("the journal and the database agree")
        return
    for text in dict.fromkeys((*([problem] if problem else ()), *plan.unknown, *plan.change_lines())):
        note(text)
    case_lines = plan.case_lines()
    if not confirmed([*case_lines, "begin a new segment of the journal"], dry_run=dry_run, yes=yes):
        return
    facts = {"lost": len(plan.lost), "armed": len(plan.armed), "kept_armed": keep_armed}
    with store.write("reconcile", f"{len(case_lines)} held", facts) as connection:
        restore_lost(connection, plan.lost, time.time())
        why = "nobody knows whether it was given" if plan.unknown else "changes of the site were lost"
        hold(connection, plan.armed, f"after a restore {why}")
    try:
        aside = witnesses.begin(store, new_home=witnesses.journal.foreign() is not None)
    except OSError as error:
        raise CannotOpen(f"{error.filename}: {error.strerror}; check its disk and its owner") from error
    for deed in case_lines:
        print(deed.replace("hold", "held", 1))
    print(f"the journal begins anew; the old one is {', '.join(map(str, aside)) or 'missing'}")


class _Plan(NamedTuple):
    """The cases to hold. Armed cases are among them where something is `unknown`, or where `changes` were lost."""

    lost: list[Lost]
    armed: list[Row]
    unknown: list[str]
    changes: list[AuditRow]
    names: dict[int, str]

    def described(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        return {
            "unknown": self.unknown,
            "lost": [
                {"device": self.names.get(item.device_id, " ".join(item.identities)), **item._asdict()}
                for item in self.lost
            ],
            "armed": [
                {"device": self.names.get(row.device_id), "deployment": row.deployment_id}
                for row in self.armed
            ],
            "changes": [
                {
                    "time": moment_text(row.at),
                    "actor": row.actor,
                    "action": row.action,
                    "subject": row.subject,
                }
                for row in self.changes
            ],
        }

    def change_lines(self) -> list[str]:
        """Return what to do about lost changes of the site, and a line for each of the newest."""
        if not self.changes:
            return []
        shown = self.changes[-_MOST_CHANGES:]
        more = len(self.changes) - len(shown)
        return [
            "these changes of the site were made since the backup and are lost; make again what still counts:",
            *([f"  {more} earlier changes (pxefast reconcile --dry-run --json lists all)"] if more else []),
            *(f"  {moment_text(row.at)} {row.actor}: {row.action} {row.subject}" for row in shown),
        ]

    def case_lines(self) -> list[str]:
        """Return a line for each case that is held or armed."""
        lost = (
            (item, self.names.get(item.device_id, " ".join(item.identities) or item.device_id))
            for item in self.lost
        )
        return [
            *(f"hold {item.deployment} on {name}, which was {item.state}" for item, name in lost),
            *(
                f"hold {row.deployment_id} on {self.names.get(row.device_id, row.device_id)}, "
                f"which is {row.state} and {'may have been given' if self.unknown else 'may have been taken back'}"
                for row in self.armed
            ),
        ]


def _plan(store: Store, witnesses: Witnesses, keep_armed: bool, hold_armed: bool) -> _Plan:
    from pxefast.site.cases import names_of
    from pxefast.site.reconcile import find_armed, find_lost, lost_changes

    remembered = witnesses.remembered(store)
    with store.read() as connection:
        lost, unreadable = find_lost(connection, remembered.records)
        unknown = [
            *remembered.gaps,
            *(
                ["nobody knows what was given since the backup that the home was put back from"]
                if hold_armed
                else []
            ),
            *(f"record {row.seq} of the journal cannot be read: {row.subject!r}" for row in unreadable),
        ]
        known = {item[:2] for item in lost}
        changes = lost_changes(remembered.missing)
        doubtful = bool(unknown or changes) and not keep_armed
        armed = [row for row in find_armed(connection) if row[:2] not in known] if doubtful else []
        names = names_of(connection, {*(item.device_id for item in lost), *(row.device_id for row in armed)})
    return _Plan(lost, armed, unknown, changes, names)
