"""Which boot image is to be on which distribution point, in which version, and how far it is (CM-146, CM-147).

Orders are changes of the site: audited, and followed by every service. What a point says of its own work is neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from pxefast.errors import AlreadyExists, NotFound
from pxefast.site import audit, schema
from pxefast.site.boot_images import find_boot_image
from pxefast.site.names import find, listed

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["AssignmentRow", "ContentState", "Contents", "VersionRow", "join_group"]

ContentState = Literal["wanted", "pulling", "served", "failed", "damaged"]

# What removes an image: from some points, or from the site.
_REMOVE, _REMOVE_IMAGE = "content remove", "boot-image remove"
# The clocks of hosts differ by no more.
_SKEW_SECONDS = 600.0
# What failed is tried again after so long (CM-149).
_RETRY_SECONDS = 1200.0


class VersionRow(NamedTuple):
    """A packaged version; `manifest` is the SHA-256 of its manifest, `revision` the image's when it was packaged."""

    boot_image_id: str
    version: int
    revision: int
    manifest: str
    bytes: int
    files: int
    packaged_at: float


class AssignmentRow(NamedTuple):
    """What a distribution point is to serve, and what it says: `done` of `total` bytes, and why it failed.

    `version` is wanted, `served_version` there (None: none). `attempt` counts the orders.
    """

    distribution_point: str
    boot_image_id: str
    version: int
    attempt: int
    state: ContentState
    served_version: int | None
    done: int
    total: int
    why: str | None
    changed_at: float
    validated_at: float | None

    def due(self, now: float) -> bool:
        """Whether the point has to work on it; what failed is left alone for a while."""
        if self.state == "failed":
            return _past(self.changed_at, now, _RETRY_SECONDS)
        return self.state in ("wanted", "pulling")

    def unvalidated(self, now: float, hours: float) -> bool:
        """Whether it is served, and was not compared with its hashes for so many hours (0: for however long)."""
        if self.state != "served":
            return False
        if self.validated_at is None:
            return True
        return hours > 0 and _past(self.validated_at, now, hours * 3600)


class Contents:
    """The content of a site: packaged versions, and who is to have them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def newest(self, image_id: str) -> VersionRow | None:
        """The newest version of an image, which is the one to distribute. Raises NotFound for no image."""
        with self._store.read() as connection:
            return _newest(connection, find_boot_image(connection, image_id).id)

    def version(self, image_id: str, version: int) -> VersionRow:
        """One version. Raises NotFound."""
        c = schema.content_version.c
        with self._store.read() as connection:
            found = connection.execute(
                select(schema.content_version).where(c.boot_image_id == image_id, c.version == version)
            ).first()
        if found is None:
            raise NotFound(
                f"boot image {image_id} has no version {version}; run: pxefast content distribute {image_id}"
            )
        return VersionRow(*found)

    def versions(self) -> dict[str, dict[int, VersionRow]]:
        """Every version by image and number, the newest last."""
        found: dict[str, dict[int, VersionRow]] = {}
        query = select(schema.content_version).order_by(schema.content_version.c.version)
        with self._store.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.boot_image_id, {})[row.version] = VersionRow(*row)
        return found

    def add_version(self, new: VersionRow) -> list[tuple[int, str]]:
        """Remember a packaged version; the (version, manifest) that somebody still wants. Raises AlreadyExists."""
        v, a = schema.content_version.c, schema.content_assignment.c
        with self._store.write("content package", f"{new.boot_image_id} version {new.version}") as connection:
            newest = _newest(connection, new.boot_image_id)
            if newest is not None and newest.version >= new.version:
                raise AlreadyExists(
                    f"boot image {new.boot_image_id} was packaged by somebody else at the same time; do it again"
                )
            connection.execute(insert(schema.content_version).values(**new._asdict()))
            wanted = select(a.version).where(a.boot_image_id == new.boot_image_id)
            rows = select(v.version, v.manifest).where(
                v.boot_image_id == new.boot_image_id, v.version.in_(wanted)
            )
            return [(number, manifest) for number, manifest in connection.execute(rows)]

    def targets(self, points: Sequence[str], groups: Sequence[str]) -> list[str]:
        """The names of these distribution points and of those in these groups, sorted. Raises NotFound."""
        with self._store.read() as connection:
            return _targets(connection, points, groups)

    def holders(self, image_id: str) -> list[str]:
        """The distribution points that are to have an image."""
        return [row.distribution_point for row in self.all(image_id=image_id)]

    def distribute(
        self, version: VersionRow, points: Sequence[str], groups: Sequence[str] = (), verb: str = "distribute"
    ) -> list[str]:
        """Order a version to distribution points and groups, each once more; the points. Raises NotFound.

        Whoever joins one of the groups later gets the image too.
        """
        image, now = version.boot_image_id, time.time()
        subject = f"{image} version {version.version} to {listed([*points, *groups], 50)}"
        with self._store.write(f"content {verb}", subject) as connection:
            names = _targets(connection, points, groups)
            for name in names:
                _order(connection, name, version, now)
            g = schema.group_content
            for key in _group_keys(connection, groups):
                connection.execute(delete(g).where(g.c.group_key == key, g.c.boot_image_id == image))
                connection.execute(insert(g).values(group_key=key, boot_image_id=image))
            return names

    def remove(self, image_id: str, points: Sequence[str], groups: Sequence[str] = ()) -> list[str]:
        """Order that an image be served no more by these points and groups; the points. Raises NotFound."""
        a, g = schema.content_assignment, schema.group_content
        subject = f"{image_id} from {listed([*points, *groups], 50)}"
        facts: dict[str, object] = {"boot_image": image_id}
        with self._store.write(_REMOVE, subject, facts) as connection:
            names = _targets(connection, points, groups)
            facts["points"] = names
            keys = _group_keys(connection, groups)
            connection.execute(
                delete(a).where(a.c.boot_image_id == image_id, a.c.distribution_point.in_(names))
            )
            connection.execute(delete(g).where(g.c.boot_image_id == image_id, g.c.group_key.in_(keys)))
            return names

    def removals(self, point: str, since: Mapping[str, float]) -> list[str]:
        """Those images that somebody has ordered away from a point after the Unix seconds since when it has them.

        An order to remove is one that was given. That no order to serve is there says nothing: a database that was
        lost, or put back from a backup, has none either (D37).
        """
        a = schema.audit.c
        query = select(schema.audit).where(a.action.in_((_REMOVE, _REMOVE_IMAGE)))
        found: set[str] = set()
        with self._store.read() as connection:
            for row in connection.execute(query):
                record = audit.AuditRow(*row)
                facts = record.fields or {}
                image = str(facts.get("boot_image"))
                if image not in since or record.at < since[image] - _SKEW_SECONDS:
                    continue
                if record.action == _REMOVE_IMAGE or point in facts.get("points", ()):
                    found.add(image)
        return sorted(found)

    def order_validation(self, image_id: str, points: Sequence[str]) -> None:
        """Order that points compare an image with its hashes soon."""
        c = schema.content_assignment.c
        with self._store.write("content validate", f"{image_id} at {listed(points, 50)}") as connection:
            connection.execute(
                update(schema.content_assignment)
                .where(c.boot_image_id == image_id, c.distribution_point.in_(points))
                .values(validated_at=None)
            )

    def all(self, point: str | None = None, image_id: str | None = None) -> list[AssignmentRow]:
        """What is assigned, by image and point."""
        c = schema.content_assignment.c
        query = select(schema.content_assignment).order_by(c.boot_image_id, c.distribution_point)
        if point is not None:
            query = query.where(c.distribution_point == point)
        if image_id is not None:
            query = query.where(c.boot_image_id == image_id)
        with self._store.read() as connection:
            return [AssignmentRow(*row) for row in connection.execute(query)]

    def report(self, row: AssignmentRow, state: ContentState, **values: Any) -> bool:
        """What this point says of an order; False if that was overtaken by another one, and nothing is written.

        `values` are columns of the assignment.
        """
        c = schema.content_assignment.c
        with self._store.record() as connection:
            written = connection.execute(
                update(schema.content_assignment)
                .where(
                    c.distribution_point == row.distribution_point,
                    c.boot_image_id == row.boot_image_id,
                    c.attempt == row.attempt,
                )
                .values(state=state, changed_at=time.time(), **values)
            )
            return bool(written.rowcount)


def join_group(connection: Connection, group_key: str, points: Iterable[str]) -> None:
    """Give new members of a group of distribution points its content, as far as they have not got it (CM-146)."""
    g, a = schema.group_content.c, schema.content_assignment.c
    images = list(connection.execute(select(g.boot_image_id).where(g.group_key == group_key)).scalars())
    for point in points:
        there = set(
            connection.execute(select(a.boot_image_id).where(a.distribution_point == point)).scalars()
        )
        for image in images:
            newest = _newest(connection, image)
            if newest is not None and image not in there:
                _order(connection, point, newest, time.time())


def _past(since: float, now: float, seconds: float) -> bool:
    """Whether it is so long ago. What lies ahead was written by a clock that was wrong, and says nothing."""
    return not 0 <= now - since < seconds


def _newest(connection: Connection, image_id: str) -> VersionRow | None:
    c = schema.content_version.c
    query = select(schema.content_version).where(c.boot_image_id == image_id).order_by(c.version.desc())
    found = connection.execute(query.limit(1)).first()
    return None if found is None else VersionRow(*found)


def _order(connection: Connection, point: str, version: VersionRow, now: float) -> None:
    """A new attempt: what is served meanwhile stays what it is."""
    c = schema.content_assignment.c
    ordered = {
        "version": version.version, "state": "wanted", "done": 0, "total": version.bytes, "why": None,
        "changed_at": now,
    }  # fmt: skip
    known = connection.execute(
        update(schema.content_assignment)
        .where(c.distribution_point == point, c.boot_image_id == version.boot_image_id)
        .values(attempt=c.attempt + 1, **ordered)
    )
    if not known.rowcount:
        connection.execute(
            insert(schema.content_assignment).values(
                distribution_point=point, boot_image_id=version.boot_image_id, attempt=1, **ordered
            )
        )


def _targets(connection: Connection, points: Sequence[str], groups: Sequence[str]) -> list[str]:
    noun, m = "distribution point", schema.distribution_point_group_member.c
    found = {str(find(connection, schema.distribution_point, "name", name, noun).name) for name in points}
    members = select(m.distribution_point).where(m.group_key.in_(_group_keys(connection, groups)))
    return sorted(found.union(connection.execute(members).scalars()))


def _group_keys(connection: Connection, groups: Sequence[str]) -> list[str]:
    table, noun = schema.distribution_point_group, "distribution point group"
    return [str(find(connection, table, "key", name.strip().casefold(), noun).key) for name in groups]
