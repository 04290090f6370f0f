"""`pxefast reconcile`: after a database was restored, what this host's journal remembers of what it forgot."""

from __future__ import annotations

import time

import typer

from pxefast.cli.context import get
from pxefast.cli.options import DryRun, Json, Yes
from pxefast.cli.output import confirmed, note, print_json
from pxefast.errors import CannotOpen

__all__ = ["reconcile"]


def reconcile(context: typer.Context, json: Json = False, dry_run: DryRun = False, yes: Yes = False) -> None:
    """Hold what the journal knows was given and the database has forgotten.

    Required deployments are off while the two do not agree. Each such device is entered as held, and the journal begins
    a new segment; the old one is kept.
    """
    from pxefast.site.cases import names_of
    from pxefast.site.journal import Journal
    from pxefast.site.reconcile import find_lost, restore_lost

    home = get(context)
    store = home.store()
    journal = Journal(home.journal)
    problem = journal.examine(store)
    ahead = journal.ahead(store)
    with store.read() as connection:
        lost = find_lost(connection, ahead.records)
        names = names_of(connection, {item.device_id for item in lost})
    if json:
        print_json(
            {
                "problem": problem,
                "lost": [
                    {
                        "device": names.get(item.device_id, " ".join(item.identities)),
                        **item._asdict(),
                    }
                    for item in lost
                ],
            }
        )
        return
    if problem is None:
        print("the journal and the database agree")
        return
    note(problem)
    deeds = [
        f"hold {item.deployment} on {names.get(item.device_id, ' '.join(item.identities) or item.device_id)}, "
        f"which was {item.state}"
        for item in lost
    ]
    if not confirmed([*deeds, "begin a new segment of the journal"], dry_run=dry_run, yes=yes):
        return
    with store.write("reconcile", f"{len(lost)} held") as connection:
        restore_lost(connection, find_lost(connection, ahead.records), time.time())
    try:
        aside = journal.begin_segment(store)
    except OSError as error:
        raise CannotOpen(f"{journal.folder}: {error.strerror}; check its disk and its owner") from error
    finally:
        journal.close()
    for deed in deeds:
        print(deed.replace("hold", "held", 1))
    print(f"the journal begins anew; the old one is {aside}")
