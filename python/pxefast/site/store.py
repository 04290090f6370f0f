"""The site database as one object: a transaction a change, and one member a noun.

SQLite in a home, or PostgreSQL for the distribution points of a whole hierarchy: all changes are in one order, for each
locks the hierarchy's row first. What `write` and `record` have committed survives a power cut. After an error nothing
is known of the change, and its connection is never used again.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, Table, delete, insert, select, update

from pxefast.errors import AlreadyExists, CannotOpen, Invalid
from pxefast.site import audit, schema
from pxefast.site.boot_images import BootImages
from pxefast.site.collections import Collections, insert_built_in
from pxefast.site.contents import Contents
from pxefast.site.deployments import Deployments
from pxefast.site.devices import Devices
from pxefast.site.distribution_points import DistributionPoints, insert_distribution_point
from pxefast.site.duplicates import Duplicates
from pxefast.site.engines import Check, Database, Pulse, database
from pxefast.site.groups import boundary_groups, distribution_point_groups
from pxefast.site.learned_windows import LearnedWindows
from pxefast.site.migrations import HEAD, revision_of
from pxefast.site.policy import Policies
from pxefast.site.sightings import Sightings
from pxefast.site.sites import Sites, check_site_code, insert_site
from pxefast.site.tables import new_database, require_tables
from pxefast.site.task_sequences import TaskSequences

__all__ = ["Store", "default_point"]

_ID = re.compile(r"[A-Z0-9]{3}[0-9A-F]{5}")
_LAST_NUMBER = 0xFFFFF
# A batch of claims writes about as much.
_PROBE_BYTES = 1 << 16


def default_point() -> str:
    """What a distribution point is called that nobody named: this host, in a-z, 0-9 and dashes."""
    host = socket.gethostname().partition(".")[0].lower()
    return re.sub(r"[^a-z0-9]+", "-", host).strip("-")[:63] or "dp"


class Store:
    """An open site database. `create` makes one, `open` opens one; close it, or use it in a `with`."""

    def __init__(self, place: Database) -> None:
        self._place = place
        self._point = self._points = ""
        self._trial: Connection | None = None
        self.code = ""
        self.devices = Devices(self)
        self.collections = Collections(self)
        self.boot_images = BootImages(self)
        self.contents = Contents(self)
        self.task_sequences = TaskSequences(self)
        self.deployments = Deployments(self)
        self.sites = Sites(self)
        self.duplicates = Duplicates(self)
        self.dps = DistributionPoints(self)
        self.groups = distribution_point_groups(self)
        self.boundaries = boundary_groups(self)
        self.policy = Policies(self)
        self.learned_windows = LearnedWindows(self)
        self.sightings = Sightings(self)

    @classmethod
    def create(cls, where: Path | str, site_code: str, busy_seconds: float = 5, point: str = "") -> Store:
        """A new hierarchy of one site with one distribution point, in a new file or an empty PostgreSQL database.

        Raises Invalid, AlreadyExists or CannotOpen.
        """
        check_site_code(site_code)
        point = point or default_point()
        with new_database(where, busy_seconds) as connection:
            connection.execute(
                insert(schema.hierarchy).values(
                    id=1,
                    revision=1,
                    next_device=1,
                    audit_seq=0,
                    audit_hash=audit.FIRST_HASH,
                    budget_from=0.0,
                )
            )
            insert_site(connection, site_code, None)
            insert_built_in(connection, site_code)
            insert_distribution_point(connection, point, site_code)
            audit.append(connection, [("init", f"{site_code} {point}")])
        return cls.open(where, busy_seconds, point)

    @classmethod
    def open(cls, where: Path | str, busy_seconds: float = 5, point: str = "") -> Store:
        """The database at a file or a postgresql:// URL, as the distribution point `point` uses it.

        "" is the only distribution point that there is. A file that an older pxefast made is migrated. Raises
        CannotOpen.
        """
        store = cls(database(where, busy_seconds))
        try:
            require_tables(store._place)
            store._locate(point)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def where(self) -> str:
        """The database as a person names it, never with a password."""
        return self._place.where

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._place.dialect

    @property
    def address(self) -> Path | str:
        """What `open` takes to open it once more; it may hold a password."""
        return self._place.address

    @property
    def point(self) -> str:
        """The name of the distribution point that uses this database here. Raises CannotOpen if none was told."""
        if not self._point:
            raise CannotOpen(
                f"{self.where} has {self._points}; say which one this host is in pxefast.toml: "
                '[point] name = "..."'
            )
        return self._point

    @property
    def own_point(self) -> str | None:
        """The same, or None if none was told: a host from which points are only managed."""
        return self._point or None

    @property
    def inode(self) -> int | None:
        """Inode of the database file that was opened; None for a database server."""
        return self._place.inode

    def close(self) -> None:
        """Give back every connection."""
        self._place.engine.dispose()

    def discard(self) -> None:
        """Throw away idle connections: the server behind them is gone, or will be another one."""
        self._place.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction: everything read in it is of one moment."""
        with self._transaction(change=False) as connection:
            yield connection

    @contextmanager
    def write(
        self, action: str, subject: str, facts: Mapping[str, object] | None = None
    ) -> Iterator[Connection]:
        """One change: all of it or nothing, audited, and seen by every running service.

        Durable when the block has ended. `facts` are what programs read again of the record, in place of `subject`.
        """
        h = schema.hierarchy
        with self._transaction(change=True) as connection:
            yield connection
            revision = int(connection.execute(select(h.c.revision)).scalar_one()) + 1
            connection.execute(update(h).values(revision=revision))
            audit.append(connection, [(action, subject, facts)])
            self._place.announce(connection, revision)

    @contextmanager
    def record(self) -> Iterator[Connection]:
        """A durable write of the service itself, such as a claim, that no snapshot must follow.

        Its caller appends what is to be audited.
        """
        with self._transaction(change=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, change: bool) -> Iterator[Connection]:
        if self._trial is not None:
            yield self._trial
            return
        with self._place.transaction(change) as connection:
            yield connection

    def revision(self) -> int:
        """The number of changes so far."""
        with self.read() as connection:
            return int(connection.execute(select(schema.hierarchy.c.revision)).scalar_one())

    def pulse(self) -> Pulse:
        """A watch on the revision, over a connection of its own."""
        return self._place.pulse()

    def probe(self) -> None:
        """Write as much as many claims do, and take it away again, each durably. Raises CannotOpen or SiteError (D40).

        A read, or a transaction that writes nothing, also succeeds on a full disk; one page may find room in a file
        that is there.
        """
        p = schema.write_probe
        own = p.c.distribution_point == self.point
        for data in (secrets.token_hex(_PROBE_BYTES // 2), ""):
            with self._transaction(change=True) as connection:
                connection.execute(delete(p).where(own))
                connection.execute(insert(p).values(distribution_point=self.point, data=data))

    def recover(self) -> None:
        """Take a database back into use that was found damaged, if it is good now. Raises CannotOpen."""
        self._place.recover()

    def check(self, deep: bool = True) -> list[Check]:
        """Whether what is committed here survives a power cut, setting by setting (R-76)."""
        with self.read() as connection:
            revision = revision_of(connection) or "none"
            known = Check(
                "schema", revision, revision == HEAD, "restart with the pxefast that made its tables"
            )
            return [known, *self._place.check(connection, deep)]

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Inside the block everything is read from a copy in memory, and changed in it: forgotten when it ends.

        Nobody else sees it or waits for it.
        """
        real, copied = self._place, self._place.in_memory()
        try:
            with copied.transaction(change=True) as connection:
                self._place, self._trial = copied, connection
                yield
        finally:
            self._place, self._trial = real, None
            copied.engine.dispose()

    def touch(self, action: str, subject: str) -> None:
        """Tell running services of a change outside the database, such as newly distributed content."""
        with self.write(action, subject):
            pass

    def new_id(
        self, connection: Connection, table: Table, wanted: str | None, site: str | None = None
    ) -> str:
        """The id asked for, checked, or the next free one of a site: its code and five hexadecimal digits."""
        code = site or self.code
        if wanted is not None:
            if not _ID.fullmatch(wanted):
                raise Invalid(
                    f"id {wanted!r} must be a site code and five hexadecimal digits, such as {code}00001"
                )
            taken = _has_id(connection, table, wanted)
            if taken is not None:
                raise AlreadyExists(f"{taken} {wanted} already exists")
            return wanted
        s = schema.site.c
        counter = s.next_deployment if table is schema.deployment else s.next_object
        number = int(connection.execute(select(counter).where(s.code == code)).scalar_one())
        while True:
            if number > _LAST_NUMBER:
                raise Invalid(f"site {code} has used all its ids; give one with another prefix by --id")
            candidate = f"{code}{number:05X}"
            number += 1
            if _has_id(connection, table, candidate) is None:
                break
        connection.execute(update(schema.site).where(s.code == code).values({counter: number}))
        return candidate

    def _locate(self, wanted: str) -> None:
        """Which distribution point this is, and its site. Raises CannotOpen."""
        d, s = schema.distribution_point.c, schema.site.c
        with self.read() as connection:
            sites = dict(connection.execute(select(d.name, d.site).order_by(d.name)).all())
            top = (
                connection.execute(select(s.code).where(s.parent.is_(None)).order_by(s.code))
                .scalars()
                .first()
            )
        if wanted and wanted not in sites:
            raise CannotOpen(
                f"{self.where} has no distribution point {wanted!r}, only {', '.join(sites) or 'none'}; "
                "name one of them in pxefast.toml, [point] name"
            )
        self._point = wanted or (next(iter(sites)) if len(sites) == 1 else "")
        self._points = f"the distribution points {', '.join(sites)}" if sites else "no distribution point"
        # Where nobody said which point this is, but all of them are of one site, that is this host's.
        codes = set(sites.values())
        self.code = sites.get(self._point, codes.pop() if len(codes) == 1 else top or "")


def _has_id(connection: Connection, table: Table, wanted: str) -> str | None:
    """What has this id already, among the tables that share the counter of `table`; None if nothing has."""
    sharing = (
        [table]
        if table is schema.deployment
        else [schema.boot_image, schema.task_sequence, schema.collection]
    )
    for other in sharing:
        if connection.execute(select(other.c.id).where(other.c.id == wanted)).first() is not None:
            return str(other.name).replace("_", " ")
    return None
