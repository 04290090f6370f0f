"""Everything on this host that must agree with the database before a required boot is handed out (D23, D38).

The home's own journal; its copy outside of the home, where one is set; and the mark of the home in memory. All of them
are kept in step, in this order, before anything destructive is sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from pxefast.errors import CannotOpen, SiteError
from pxefast.site import schema
from pxefast.site.audit import AuditRow
from pxefast.site.home_mark import HomeMark, marks_folder
from pxefast.site.journal import Journal, JournalError
from pxefast.site.segment import former_lines

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["Remembered", "Witnesses", "alarms"]


class Remembered(NamedTuple):
    """Content of the journals.

    `records` are all of their records; `missing` are those since the last `reconcile` that the database does not have,
    oldest first. `gaps` says what of their history nobody knows, and is empty where all is known.
    """

    records: list[AuditRow]
    missing: list[AuditRow]
    gaps: list[str]


class Witnesses:
    """The journal of a home with whatever is kept beside it. `copy` is the folder of a second journal, or None."""

    def __init__(self, home: Path, copy: Path | None = None, marks: Path | None = None) -> None:
        if copy is not None and home.resolve() in (copy.resolve(), *copy.resolve().parents):
            raise CannotOpen(
                f"[journal] copy {copy} is in the home {home}; name a folder outside of it, on another disk"
            )
        self.journal = Journal(home / "journal")
        self.copy = None if copy is None else Journal(copy, "copy")
        self._mark = HomeMark(home, marks or marks_folder())
        self._marked = False

    @property
    def folders(self) -> list[Path]:
        """Where the journals are written."""
        return [journal.folder for journal in self._journals()]

    def take_told(self) -> list[str]:
        """What was put right by itself since the last call."""
        told: list[str] = []
        for journal in self._journals():
            told, journal.told = [*told, *journal.told], []
        return told

    def close(self) -> None:
        """Give back every file."""
        for journal in self._journals():
            journal.close()
        self._mark.close()

    def catch_up(self, store: Store) -> None:
        """Bring all level with the database; on disk when this returns. Raises JournalError, CannotOpen.

        Nothing destructive may be sent after an error.
        """
        point = store.own_point or ""
        try:
            if not self._marked:
                with store.read() as connection:
                    self._mark.require(connection, point, database=store.inode)
                self._marked = True
            self.journal.catch_up(store)
            if self.copy is not None:
                self.copy.home = self.journal.home
                self.copy.catch_up(store)
        except JournalError as error:
            if error.behind:
                _raise_alarm(store, point, str(error))
            raise
        self._write_mark(store, point)

    def check(self, store: Store) -> str | None:
        """Why required deployments must be off, as a sentence; None if all agree."""
        try:
            self.catch_up(store)
        except (SiteError, CannotOpen) as error:
            return str(error)
        return None

    def examine(self, store: Store) -> str | None:
        """As `check`, for people: nothing is written."""
        point = store.own_point or ""
        try:
            with store.read() as connection:
                self._mark.require(connection, point, database=store.inode)
        except (SiteError, CannotOpen) as error:
            return str(error)
        return self.journal.examine(store) or (self.copy and self.copy.examine(store)) or None

    def remembered(self, store: Store) -> Remembered:
        """All that the journals hold, of a damaged one what can be read. Raises CannotOpen."""
        a = schema.audit.c
        records: dict[str, AuditRow] = {}
        missing: set[AuditRow] = set()
        gaps: list[str] = []
        with store.read() as connection:
            known = set(connection.execute(select(a.hash)).scalars())
            for journal in self._journals():
                current = list(journal.lines())
                found, gap = _sorted(chain(former_lines(journal.folder), current), known)
                records.update((row.hash, row) for row in found)
                missing.update(row for row in current if row and row.hash not in known)
                gaps += [f"{journal.file}: {gap}"] if gap else []
                gaps += [why] if (why := journal.foreign()) else []
            if not any(journal.file.exists() for journal in self._journals()):
                gaps.append(
                    "there is no journal: nobody knows what was given since the database's newest record"
                )
            try:
                self._mark.require(connection, store.own_point or "", records.keys())
            except JournalError as error:
                gaps.append(str(error))
        return Remembered(list(records.values()), sorted(missing, key=lambda row: row.seq), gaps)

    def begin(self, store: Store, new_home: bool) -> list[Path]:
        """Begin a new segment of each journal at the database's newest record; where the old ones are.

        `new_home`: this home continues none that may still serve elsewhere. Raises OSError.
        """
        point = store.own_point or ""
        home = secrets.token_hex(16) if new_home else ""
        aside = []
        try:
            for journal in self._journals():
                kept = journal.begin_segment(store, home)
                home = journal.home
                aside += [kept] if kept else []
            with store.record() as connection:
                j = schema.journal_alarm
                connection.execute(delete(j).where(j.c.distribution_point == point))
            self._write_mark(store, point)
        finally:
            self.close()
        return aside

    def _journals(self) -> Iterator[Journal]:
        yield self.journal
        if self.copy is not None:
            yield self.copy

    def _write_mark(self, store: Store, point: str) -> None:
        try:
            if self._mark.is_open:
                self._mark.write(None, point, self.journal.head, store.inode)
            else:
                with store.read() as connection:
                    self._mark.write(connection, point, self.journal.head, store.inode)
        except OSError as error:
            self._mark = HomeMark(self.journal.folder.parent, None)
            self.journal.told.append(
                f"no mark of this home is kept outside of it: {error.strerror}: {error.filename}; "
                "a home that is put back whole is noticed by [journal] copy alone"
            )


def alarms(connection: Connection, point: str) -> list[str]:
    """Why no distribution point may hand out required deployments: what the journals of others than `point` know."""
    j = schema.journal_alarm.c
    query = select(j.distribution_point).where(j.distribution_point != point).order_by(j.distribution_point)
    return [
        f"the journal of distribution point {name} knows more than the database; run there: pxefast reconcile"
        for name in connection.execute(query).scalars()
    ]


def _raise_alarm(store: Store, point: str, why: str) -> None:
    """Let the other distribution points know that the database has lost records."""
    j = schema.journal_alarm
    with store.read() as connection:
        if connection.execute(select(j).where(j.c.distribution_point == point)).first() is not None:
            return
    with store.record() as connection:
        connection.execute(delete(j).where(j.c.distribution_point == point))
        connection.execute(insert(j).values(distribution_point=point, why=why))


def _sorted(lines: Iterable[AuditRow | None], known: set[str]) -> tuple[list[AuditRow], str | None]:
    """The records that can be read, and why some may be missing among those that the database has not got."""
    records: list[AuditRow] = []
    gap: str | None = None
    before: AuditRow | None = None
    for row in lines:
        if row is None:
            gap = gap or "it holds a damaged line"
            continue
        if row.hash in known:
            # The database has this one, and with it all before it.
            gap = None
        elif before is not None and row.seq > before.seq + 1:
            gap = gap or f"records {before.seq + 1} to {row.seq - 1} are missing"
        records.append(row)
        before = row
    return records, gap
