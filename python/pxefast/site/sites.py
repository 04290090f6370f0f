"""Sites: the parts of a hierarchy. Everything belongs to one, and shows it by the code in its id (CM-103, CM-104)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from sqlalchemy import Connection, delete, func, insert, select, update

from pxefast.decide.records import Architecture
from pxefast.errors import AlreadyExists, InUse, Invalid
from pxefast.site import schema
from pxefast.site.names import find, listed
from pxefast.site.rules import BUILT_IN, refresh

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["SiteRow", "Sites", "check_site_code", "insert_site"]

_CODE = re.compile(r"[A-Z0-9]{3}")
_FIRST_OBJECT = 1
_FIRST_DEPLOYMENT = 0x20001

_CONTENTS = (
    schema.distribution_point,
    schema.collection,
    schema.boot_image,
    schema.task_sequence,
    schema.deployment,
)


class SiteRow(NamedTuple):
    """A site, the one above it, its distribution points, and how many devices it has."""

    code: str
    parent: str | None
    distribution_points: tuple[str, ...]
    devices: int


class Sites:
    """The sites of a hierarchy."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, code: str, parent: str | None = None) -> SiteRow:
        """A new site with its three unknown computer objects. Raises Invalid, AlreadyExists or NotFound."""
        code = code.strip().upper()
        check_site_code(code)
        with self._store.write(
            "site create", code if parent is None else f"{code} below {parent}"
        ) as connection:
            s = schema.site.c
            if connection.execute(select(s.code).where(s.code == code)).first() is not None:
                raise AlreadyExists(f"site {code} already exists")
            above = None if parent is None else _find(connection, parent).code
            insert_site(connection, code, above)
            refresh(connection, BUILT_IN)
            return SiteRow(code, above, (), 0)

    def all(self) -> list[SiteRow]:
        """All sites, by code."""
        with self._store.read() as connection:
            return _read(connection)

    def get(self, code: str) -> SiteRow:
        """One site. Raises NotFound."""
        with self._store.read() as connection:
            wanted = _find(connection, code).code
            return next(row for row in _read(connection) if row.code == wanted)

    def remove(self, code: str) -> None:
        """Remove a site with its unknown computer objects. Raises InUse while anything else belongs to it."""
        with self._store.write("site remove", code) as connection:
            code = _find(connection, code).code
            users = _users(connection, code)
            if users:
                raise InUse(f"site {code} still has {listed(users)}; remove that first")
            # The built-in collections are every site's; they lie in the one that was made first, or in another.
            other = select(func.min(schema.site.c.code)).where(schema.site.c.code != code).scalar_subquery()
            connection.execute(
                update(schema.collection).where(schema.collection.c.site == code).values(site=other)
            )
            connection.execute(delete(schema.device).where(schema.device.c.site == code))
            connection.execute(delete(schema.site).where(schema.site.c.code == code))

    def users(self, code: str) -> list[str]:
        """What a site cannot be removed for, in words."""
        with self._store.read() as connection:
            return _users(connection, _find(connection, code).code)


def check_site_code(code: str) -> None:
    """Raises Invalid unless this is a site code: three characters of A-Z and 0-9."""
    if not _CODE.fullmatch(code):
        raise Invalid(f"site code {code!r} must be three characters of A-Z and 0-9, such as PS1")
    if code == "SMS":
        raise Invalid("site code SMS is that of the built-in collections; take another, such as PS1")


def insert_site(connection: Connection, code: str, parent: str | None) -> None:
    """A site's row and one unknown computer object for each architecture (CM-92), in no collection yet."""
    connection.execute(
        insert(schema.site).values(
            code=code, parent=parent, next_object=_FIRST_OBJECT, next_deployment=_FIRST_DEPLOYMENT
        )
    )
    d = schema.device.c
    highest = connection.execute(select(func.max(d.id)).where(d.id >= schema.FIRST_UNKNOWN)).scalar()
    first = schema.FIRST_UNKNOWN if highest is None else highest + 1
    objects: list[dict[str, Any]] = []
    for number, architecture in enumerate(get_args(Architecture), first):
        name = f"{architecture} Unknown Computer ({code})"
        objects.append(
            {
                "id": number,
                "name": name,
                "key": name.casefold(),
                "site": code,
                "protected": False,
                "unknown_architecture": architecture,
            }
        )
    connection.execute(insert(schema.device), objects)


def _find(connection: Connection, code: str) -> Any:
    return find(connection, schema.site, "code", code.strip().upper(), "site")


def _read(connection: Connection) -> list[SiteRow]:
    s, d, p = schema.site.c, schema.device.c, schema.distribution_point.c
    count = select(d.site, func.count()).where(d.unknown_architecture.is_(None)).group_by(d.site)
    devices: dict[str, int] = dict(connection.execute(count).all())
    points: dict[str, list[str]] = {}
    for code, name in connection.execute(select(p.site, p.name).order_by(p.name)):
        points.setdefault(code, []).append(name)
    return [
        SiteRow(code, parent, tuple(points.get(code, ())), devices.get(code, 0))
        for code, parent in connection.execute(select(s.code, s.parent).order_by(s.code))
    ]


def _users(connection: Connection, code: str) -> list[str]:
    s, d = schema.site.c, schema.device.c
    users = [
        f"site {child}" for child in connection.execute(select(s.code).where(s.parent == code)).scalars()
    ]
    for table in _CONTENTS:
        column = table.c.name if table is schema.distribution_point else table.c.id
        noun = str(table.name).replace("_", " ")
        query = select(column).where(table.c.site == code, column.not_in(BUILT_IN)).order_by(column)
        users += [f"{noun} {item}" for item in connection.execute(query).scalars()]
    known = select(d.name).where(d.site == code, d.unknown_architecture.is_(None)).order_by(d.name)
    return users + [f"device {name}" for name in connection.execute(known).scalars()]
