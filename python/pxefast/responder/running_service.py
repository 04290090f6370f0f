"""What a running service decides from, as its status file says it, beside what the files of its home say now."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from pxefast.decide import DistributionPoint, Exclusions, Reason
from pxefast.errors import CannotOpen
from pxefast.responder import effective_exclusions, status
from pxefast.responder.pauses import Files
from pxefast.site.store import Store

__all__ = ["Running", "look"]

# A service follows a change within a second, and writes its status each second.
_FOLLOWS_SECONDS = 3.0
_LOOKS_SECONDS = 0.1
# The status is older than this: the service hangs.
_SILENT_SECONDS = 10.0


class Running(NamedTuple):
    """How a running service decides otherwise than the files of its home say.

    `exclusions` are to be used in place of those that the files give, `problem` is why it hands out nothing at all.
    `notes` say in sentences what differs, and what to do.
    """

    exclusions: Exclusions
    problem: Reason | None
    notes: list[str]


def look(home: Path, store: Store, dp: DistributionPoint, files: Files) -> Running:
    """Compare the running service of a home, if there is one, with what the files give; waits while it catches up."""
    folder = home / "run"
    found = _caught_up(folder, store)
    if not found:
        return Running(Exclusions(files.macs, files.paused), None, [])
    notes = []
    silent = time.time() - found["written"]
    if silent > _SILENT_SECONDS:
        notes.append(
            f"the running service has written no status for {silent:.0f} s, so that what it decides is not known; "
            "see its log"
        )
    here, there = store.revision(), found["snapshot"].get("revision")
    if there is not None and there != here:
        age = "a newer" if there > here else "an older"
        notes.append(
            f"the running service decides from {age} view of the site: revision {there}, and the database has {here}; "
            "see: pxefast status"
        )
    macs = _macs(folder, dp, found["snapshot"].get("exclusions"), files.macs, notes)
    # The halt file is asked for each decision: the status, a second old, says nothing about it.
    paused, off = files.paused, _reason(found.get("held"))
    if files.held_by_list and macs is not files.macs:
        # Whether a list that is gone holds anything is the service's to say, who keeps its last good one.
        paused = None
    if paused is None and off is not None:
        paused = off
        notes.append(f"the running service says: {off.text}")
    problem = _reason(found.get("problem"))
    if problem is not None:
        notes.append(f"the running service hands out nothing: {problem.text}")
    return Running(Exclusions(macs, paused), problem, notes)


def _caught_up(folder: Path, store: Store) -> dict[str, Any] | None:
    """The status of the service once it has read the newest change of the site, or has not for some seconds."""
    end = time.monotonic() + _FOLLOWS_SECONDS
    while True:
        try:
            found = status.read(folder)
        except CannotOpen:
            # Written by another user, or half: nobody can say what that service decides from.
            return None
        # Empty: it has the lock and is about to write.
        if found is None or (found and found["snapshot"].get("revision") in (None, store.revision())):
            return found
        if time.monotonic() > end:
            return found or None
        time.sleep(_LOOKS_SECONDS)


def _macs(
    folder: Path, dp: DistributionPoint, said: dict[str, Any] | None, macs: frozenset[str], notes: list[str]
) -> frozenset[str]:
    """The list that the service decides from, where that is of the same file and can be read."""
    if said is None:
        return macs
    if said["file"] != dp.mac_ignore_list_file:
        notes.append(
            "the running service has not read the exclusion list that is set now; see: pxefast status"
        )
        return macs
    kept = effective_exclusions.read(folder, said["sha256"])
    if kept is None:
        notes.append(
            f"the running service excludes {said['count']} machines by a list that cannot be read here; "
            f"run this as the user of the service, who may read {folder}"
        )
        return macs
    if kept != macs:
        why = f": {said['problem']}" if said["problem"] else ""
        notes.append(
            f"the running service decides from another exclusion list than {said['file']} is now{why}; "
            f"its last good list excludes {len(kept)} machines and is used here"
        )
    return kept


def _reason(said: dict[str, Any] | None) -> Reason | None:
    return None if said is None else Reason(said["code"], said["text"], said["rule"])
