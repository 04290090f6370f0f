"""What must be so of a journal and its database before either is believed (I6, D38)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sqlalchemy import Connection, select

from pxefast.site import schema
from pxefast.site.audit import AuditRow
from pxefast.site.host_identity import host_identity
from pxefast.site.reconcile import find_lost
from pxefast.site.segment import Header, JournalError, former_segments, read_records

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = [
    "BEGUN",
    "NAMES",
    "Head",
    "Role",
    "begun",
    "records_after",
    "require_database",
    "require_first",
    "require_here",
]

# `copy` is a second journal outside of the home ([journal] copy).
Role = Literal["home", "copy"]

BEGUN = "journal begin"
NAMES: dict[Role, str] = {"home": "the journal", "copy": "the copy of the journal"}


class Head(NamedTuple):
    """The newest record of a chain."""

    seq: int
    hash: str


def require_first(store: Store, file: Path, role: Role) -> None:
    """Raise JournalError where there must have been a journal before."""
    point, a = store.own_point or "", schema.audit.c
    with store.read() as connection:
        # Claims of before records had facts, and the database knew of journals: each was in a journal.
        query = select(a.subject).where(a.action == "ledger claim", a.details.is_(None))
        claimed = role == "home" and any(
            f" point={point} " in f"{text} " for text in connection.execute(query).scalars()
        )
        known = claimed or bool(begun(connection, point, role))
    if known or former_segments(file.parent):
        raise JournalError(
            f"{NAMES[role]} {file} is missing, and the database has a history of boots: it was deleted or not "
            "restored with the home, or its disk is not mounted"
        )


def require_here(header: Header, file: Path, role: Role, home: str) -> None:
    """Raise JournalError for a journal of another host, or for the copy of another home's than `home`."""
    here = host_identity(header.home)
    if header.home and header.host and here and header.host != here:
        raise JournalError(
            f"{NAMES[role]} {file} was written on another host: this home is a copy, and the home it was copied from "
            "may still serve; make sure that it does not"
        )
    if role == "copy" and home and header.home != home:
        raise JournalError(
            f"{NAMES[role]} {file} belongs to another home; name another folder in pxefast.toml, [journal] copy, or "
            "say that this home continues that one"
        )


def require_database(store: Store, file: Path, role: Role, head: Head) -> None:
    """Raise JournalError where the audit has lost records, or the ledger says less than those it has.

    The journal may lag: what the database recorded since, such as a clear or a return, counts as well.
    """
    with store.read() as connection:
        newer = list(records_after(connection, head, role))
        lost = find_lost(connection, chain(read_records(file), newer)).lost
    if lost:
        raise JournalError(
            f"the ledger has lost {len(lost)} of the boots that {NAMES[role]} knows, as after a database file was "
            "overwritten in part",
            behind=True,
        )


def begun(connection: Connection, point: str, role: Role) -> set[str]:
    """The ids of the homes whose journal of this kind this distribution point has begun."""
    a = schema.audit.c
    found = (AuditRow(*row) for row in connection.execute(select(schema.audit).where(a.action == BEGUN)))
    every = (row.fields or {} for row in found)
    return {
        str(facts.get("home")) for facts in every if (facts.get("point"), facts.get("role")) == (point, role)
    }


def records_after(connection: Connection, head: Head, role: Role) -> Iterator[AuditRow]:
    """The records after the journal's newest, which the database must have too (I6)."""
    a, name = schema.audit.c, NAMES[role]
    query = select(schema.audit).where(a.seq >= head.seq).order_by(a.seq)
    rows = (AuditRow(*row) for row in connection.execute(query))
    if head.seq:
        newest = next(rows, None)
        if newest is None:
            raise JournalError(
                f"{name} knows of record {head.seq}, which the database has lost, as after a restored backup",
                behind=True,
            )
        if (newest.seq, newest.hash) != head:
            raise JournalError(
                f"record {head.seq} of {name} is another one in the database, as after a restored backup",
                behind=True,
            )
    yield from rows
