"""The audit chain: who did what, and when, each record sealed by a hash over itself and the one before it (D23).

The head of the chain is in the `hierarchy` row, which every change locks first: `seq` has no gaps and no forks.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from pxefast.site import schema

__all__ = [
    "FIRST_HASH",
    "AuditRow",
    "Entry",
    "append",
    "follow",
    "person",
    "read_records",
    "sealed",
    "verify",
]

# What the first record follows.
FIRST_HASH = "0" * 64


# Action, subject, and where a program reads them again the subject's facts.
Entry = tuple[str, str] | tuple[str, str, Mapping[str, object] | None]


class AuditRow(NamedTuple):
    """One record; `at` in Unix seconds, `hash` 64 hexadecimal digits.

    `subject` is for people. `details` holds its facts as the text of a JSON object, or is None.
    """

    seq: int
    at: float
    actor: str
    action: str
    subject: str
    hash: str
    details: str | None = None

    @property
    def fields(self) -> dict[str, Any] | None:
        """The facts of the record; None if it was written without any."""
        if self.details is None:
            return None
        try:
            found = json.loads(self.details)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def append(
    connection: Connection,
    entries: Sequence[Entry],
    actor: str | None = None,
    at: float | None = None,
) -> list[int]:
    """Add records inside the caller's change; their sequence numbers.

    The actor is a distribution point's name, or None for the person who runs this.
    """
    if not entries:
        return []
    h = schema.hierarchy.c
    seq, head = connection.execute(select(h.audit_seq, h.audit_hash)).one()
    when, who = time.time() if at is None else at, actor or person()
    rows: list[AuditRow] = []
    for action, subject, *more in entries:
        seq += 1
        facts = more[0] if more else None
        details = None if facts is None else json.dumps(facts, sort_keys=True, separators=(",", ":"))
        row = sealed(head, AuditRow(seq, when, who, _printable(action), _printable(subject), "", details))
        rows.append(row)
        head = row.hash
    connection.execute(insert(schema.audit), [row._asdict() for row in rows])
    connection.execute(update(schema.hierarchy).values(audit_seq=seq, audit_hash=head))
    return [row.seq for row in rows]


def sealed(before: str, row: AuditRow) -> AuditRow:
    """The record with its hash: SHA-256 over the hash of the one before it and its own canonical JSON.

    A record without details has the hash that it had before there were any.
    """
    sealing = row[:5] if row.details is None else (*row[:5], row.details)
    text = json.dumps(sealing, ensure_ascii=False, separators=(",", ":"))
    return row._replace(hash=hashlib.sha256((before + text).encode()).hexdigest())


def read_records(connection: Connection, since: float | None = None) -> list[AuditRow]:
    """The records, the oldest first; with `since` (Unix seconds) those from then on."""
    a = schema.audit.c
    query = select(schema.audit).order_by(a.seq)
    if since is not None:
        query = query.where(a.at >= since)
    return [AuditRow(*row) for row in connection.execute(query)]


def verify(connection: Connection) -> str | None:
    """What is wrong with the chain, as a sentence; None if every record follows the one before it."""
    h, a = schema.hierarchy.c, schema.audit.c
    head_seq, head_hash = connection.execute(select(h.audit_seq, h.audit_hash)).one()
    query = select(schema.audit).order_by(a.seq)
    with connection.execute(query.execution_options(yield_per=1000)) as rows:
        seq, head, problem = follow(0, FIRST_HASH, (AuditRow(*row) for row in rows))
    if problem is None and (seq, head) != (head_seq, head_hash):
        return f"the audit ends with record {seq}, but {head_seq} were written"
    return problem


def follow(seq: int, head: str, rows: Iterable[AuditRow]) -> tuple[int, str, str | None]:
    """Walk the chain on from record `seq` with hash `head`: the last good record, and what is wrong after it."""
    for row in rows:
        if row.seq != seq + 1:
            return seq, head, f"audit record {seq + 1} is missing"
        if sealed(head, row).hash != row.hash:
            return seq, head, f"audit record {row.seq} was changed after it was written"
        seq, head = row.seq, row.hash
    return seq, head, None


@cache
def person() -> str:
    """The person, also behind sudo; the number of a user without a name."""
    uid = os.environ.get("SUDO_UID") if os.getuid() == 0 else None
    number = int(uid) if uid is not None and uid.isdecimal() else os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _printable(text: str) -> str:
    """Text that every database can keep: a name from the command line may hold anything."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
