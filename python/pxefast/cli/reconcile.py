"""`pxefast reconcile`: after a database was restored, what this host's journal remembers of what it forgot."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, note, print_json
from pxefast.errors import CannotOpen

__all__ = ["reconcile"]


def reconcile(
    context: typer.Context,
    keep_armed: Annotated[
        bool,
        typer.Option(
            "--keep-armed",
            help="Leave armed what may have been given unrecorded: the database is the newest there ever was.",
        ),
    ] = False,
    json: Json = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Hold what the journal knows was given and the database has forgotten.

    Required deployments are off while the two do not agree. Each such device is entered as held, and the journal begins
    a new segment; the old one is kept. Where nobody knows all that was given, everything that is armed is held.
    """
    from pxefast.site.cases import names_of
    from pxefast.site.journal import Journal
    from pxefast.site.reconcile import find_armed, find_lost, hold_armed, restore_lost

    home = get(context)
    store = home.store()
    journal = Journal(home.journal)
    problem = journal.examine(store)
    ahead = journal.ahead(store)
    with store.read() as connection:
        lost, unreadable = find_lost(connection, ahead.records)
        known = {item[:2] for item in lost}
        armed = [row for row in find_armed(connection) if unreadable and row[:2] not in known]
        names = names_of(connection, {*(item.device_id for item in lost), *(row.device_id for row in armed)})
    unknown = [f"record {row.seq} of the journal cannot be read: {row.subject!r}" for row in unreadable]
    if json:
        print_json(
            {
                "problem": problem,
                "unknown": unknown,
                "lost": [
                    {
                        "device": names.get(item.device_id, " ".join(item.identities)),
                        **item._asdict(),
                    }
                    for item in lost
                ],
                "armed": [
                    {"device": names.get(row.device_id), "deployment": row.deployment_id} for row in armed
                ],
            }
        )
        return
    if problem is None:
        print("the journal and the database agree")
        return
    for text in (problem, *unknown):
        note(text)
    deeds = [
        f"hold {item.deployment} on {names.get(item.device_id, ' '.join(item.identities) or item.device_id)}, "
        f"which was {item.state}"
        for item in lost
    ]
    if not keep_armed:
        deeds += [
            f"hold {row.deployment_id} on {names.get(row.device_id, row.device_id)}, "
            f"which is {row.state} and may have been given"
            for row in armed
        ]
    if not confirmed([*deeds, "begin a new segment of the journal"], dry_run=dry_run, yes=yes):
        return
    with store.write("reconcile", f"{len(deeds)} held") as connection:
        restore_lost(connection, find_lost(connection, ahead.records).lost, time.time())
        if not keep_armed:
            hold_armed(connection, armed, "a restored database does not say whether it was given")
    try:
        aside = journal.begin_segment(store)
    except OSError as error:
        raise CannotOpen(f"{journal.folder}: {error.strerror}; check its disk and its owner") from error
    finally:
        journal.close()
    for deed in deeds:
        print(deed.replace("hold", "held", 1))
    print(f"the journal begins anew; the old one is {aside}")
