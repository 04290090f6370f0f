"""Collections: named sets of devices that deployments are made to."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from pxefast.decide.records import Device
from pxefast.errors import AlreadyExists, InUse, Invalid, NotFound
from pxefast.site import rules, schema
from pxefast.site.devices import device_names, read_devices
from pxefast.site.names import chunks, listed, new_name, site_code
from pxefast.site.rules import ALL_SYSTEMS, ALL_UNKNOWN_COMPUTERS, BUILT_IN, Query, find_collection
from pxefast.site.variables import Variables

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = [
    "ALL_SYSTEMS",
    "ALL_UNKNOWN_COMPUTERS",
    "CollectionRow",
    "Collections",
    "RuleRow",
    "deployments_to",
    "find_collection",
    "insert_built_in",
    "member_ids",
]

Kind = Literal["include", "exclude", "query"]

# A condition is a term of one statement, and SQLite bounds how deep those nest.
_MOST_QUERIES = 200


class CollectionRow(NamedTuple):
    """A collection and how many devices are in it."""

    id: str
    name: str
    members: int
    site: str


class RuleRow(NamedTuple):
    """A rule of a collection: `value` is a device's name, a collection's name, or a query."""

    kind: str
    value: str


class Collections:
    """The collections of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.variables = Variables(store, "collection")

    def create(self, name: str, wanted_id: str | None = None, site: str | None = None) -> CollectionRow:
        """A new, empty collection. Raises Invalid, AlreadyExists or NotFound."""
        with self._store.write("collection create", name) as connection:
            name, key = new_name(connection, schema.collection, "collection", name)
            code = site_code(connection, site, self._store.code)
            new = self._store.new_id(connection, schema.collection, wanted_id, code)
            connection.execute(insert(schema.collection).values(id=new, name=name, key=key, site=code))
            return CollectionRow(new, name, 0, code)

    def all(self) -> list[CollectionRow]:
        """All collections, by name."""
        c, m = schema.collection.c, schema.collection_member.c
        count = select(m.collection_id, func.count()).group_by(m.collection_id)
        with self._store.read() as connection:
            members: dict[str, int] = dict(connection.execute(count).all())
            rows = connection.execute(select(c.id, c.name, c.site)).all()
        # Sorted here, for databases do not agree on the order of text.
        return sorted(
            (CollectionRow(number, name, members.get(number, 0), site) for number, name, site in rows),
            key=lambda row: row.name,
        )

    def get(self, name: str) -> CollectionRow:
        """One collection by name. Raises NotFound."""
        with self._store.read() as connection:
            return _read(connection, name)

    def members(self, name: str) -> list[Device]:
        """The devices of a collection, by name."""
        with self._store.read() as connection:
            ids = member_ids(connection, find_collection(connection, name).id)
            found = [device for part in chunks(ids) for device in read_devices(connection, part)]
            return sorted(found, key=lambda device: device.name)

    def add(self, name: str, devices: Sequence[str]) -> list[str]:
        """Make devices direct members; the names of those that were not."""
        with self._store.write("collection add", f"{name}: {listed(devices, 50)}") as connection:
            row = rules.changeable_collection(connection, name)
            names = device_names(connection, devices)
            added = rules.add_direct(connection, row.id, list(names))
            rules.refresh(connection, [row.id], added)
            return [names[number] for number in added]

    def discard(self, name: str, devices: Sequence[str]) -> list[str]:
        """Make devices no longer direct members; the names of those that were.

        What an include or a query rule finds stays a member.
        """
        r = schema.collection_rule.c
        with self._store.write("collection remove", f"{name}: {listed(devices, 50)}") as connection:
            row = rules.changeable_collection(connection, name)
            names = device_names(connection, devices)
            gone: list[int] = []
            for part in chunks(list(names)):
                direct = (r.collection_id == row.id, r.kind == "direct", r.device_id.in_(part))
                gone += connection.execute(select(r.device_id).where(*direct)).scalars()
                connection.execute(delete(schema.collection_rule).where(*direct))
            rules.refresh(connection, [row.id], gone)
            return [names[number] for number in gone]

    def rules(self, name: str) -> list[RuleRow]:
        """A collection's rules in the order they were made."""
        r, d, c = schema.collection_rule.c, schema.device.c, schema.collection.c
        query = (
            select(r.kind, d.name, c.name, r.attribute, r.value)
            .select_from(schema.collection_rule)
            .outerjoin(schema.device, r.device_id == d.id)
            .outerjoin(schema.collection, r.other_id == c.id)
            .order_by(r.id)
        )
        with self._store.read() as connection:
            wanted = find_collection(connection, name).id
            return [
                RuleRow(kind, device or other or str(Query(attribute, value)))
                for kind, device, other, attribute, value in connection.execute(
                    query.where(r.collection_id == wanted)
                )
            ]

    def add_rule(self, name: str, kind: Kind, text: str) -> CollectionRow:
        """Add a rule; `text` is another collection's name, or a query. The collection as it is now.

        Raises Invalid for a rule that would make a collection of itself, AlreadyExists, or NotFound.
        """
        r = schema.collection_rule.c
        with self._store.write("collection rule add", f"{name}: {kind} {text}") as connection:
            row = rules.changeable_collection(connection, name)
            values = _rule_values(connection, kind, text)
            if _find_rule(connection, row.id, values) is not None:
                raise AlreadyExists(f"collection {row.name!r} already has the rule {kind} {text!r}")
            if kind == "query":
                count = select(func.count()).where(r.collection_id == row.id, r.kind == "query")
                if connection.execute(count).scalar_one() >= _MOST_QUERIES:
                    raise Invalid(
                        f"collection {row.name!r} has {_MOST_QUERIES} queries; "
                        "put more into another collection that this one includes"
                    )
            else:
                _refuse_cycle(connection, row.id, values["other_id"], kind)
            connection.execute(insert(schema.collection_rule).values(collection_id=row.id, **values))
            rules.refresh(connection, [row.id])
            return _read(connection, row.name)

    def remove_rule(self, name: str, kind: Kind, text: str) -> CollectionRow:
        """Remove a rule. Raises NotFound if the collection has no such rule."""
        with self._store.write("collection rule remove", f"{name}: {kind} {text}") as connection:
            row = rules.changeable_collection(connection, name)
            found = _find_rule(connection, row.id, _rule_values(connection, kind, text))
            if found is None:
                raise NotFound(
                    f"collection {row.name!r} has no rule {kind} {text!r}; "
                    f"see: pxefast collection rules {quote(row.name)}"
                )
            connection.execute(delete(schema.collection_rule).where(schema.collection_rule.c.id == found))
            rules.refresh(connection, [row.id])
            return _read(connection, row.name)

    def required(self, name: str) -> list[str]:
        """The required deployments to a collection or to one that is made of it: what new members may get."""
        d = schema.deployment.c
        with self._store.read() as connection:
            targets = rules.dependents(connection, find_collection(connection, name).id)
            query = select(d.id).where(d.collection_id.in_(targets), d.purpose == "required").order_by(d.id)
            return list(connection.execute(query).scalars())

    def remove(self, name: str) -> CollectionRow:
        """Remove a collection; its devices stay. Raises InUse while a deployment or another collection needs it."""
        with self._store.write("collection remove", name) as connection:
            rules.changeable_collection(connection, name)
            row = _read(connection, name)
            users = _users(connection, row.id)
            if users:
                raise InUse(f"collection {row.name!r} is in use by {listed(users)}; remove that first")
            connection.execute(delete(schema.collection).where(schema.collection.c.id == row.id))
            return row

    def users(self, name: str) -> list[str]:
        """What a collection cannot be removed for, in words."""
        with self._store.read() as connection:
            return _users(connection, find_collection(connection, name).id)


def insert_built_in(connection: Connection, site: str) -> None:
    """The built-in collections of a new hierarchy, whose first site is there already."""
    rows = [{"id": new, "name": name, "key": name.casefold(), "site": site} for new, name in BUILT_IN.items()]
    connection.execute(insert(schema.collection), rows)
    rules.refresh(connection, BUILT_IN)


def member_ids(connection: Connection, collection_id: str) -> list[int]:
    """The ids of a collection's devices, in order."""
    m = schema.collection_member.c
    query = select(m.device_id).where(m.collection_id == collection_id).order_by(m.device_id)
    return list(connection.execute(query).scalars())


def deployments_to(connection: Connection, collection_id: str) -> list[str]:
    """The ids of the deployments to a collection, in order."""
    d = schema.deployment.c
    query = select(d.id).where(d.collection_id == collection_id).order_by(d.id)
    return list(connection.execute(query).scalars())


def _read(connection: Connection, name: str) -> CollectionRow:
    m = schema.collection_member.c
    row = find_collection(connection, name)
    count = select(func.count()).where(m.collection_id == row.id)
    return CollectionRow(row.id, row.name, int(connection.execute(count).scalar_one()), row.site)


def _rule_values(connection: Connection, kind: Kind, text: str) -> dict[str, Any]:
    if kind != "query":
        return {"kind": kind, "other_id": find_collection(connection, text).id}
    query = Query.parse(text)
    if query.attribute == "site":
        site_code(connection, query.value, query.value)
    return {"kind": kind, "attribute": query.attribute, "value": query.value}


def _find_rule(connection: Connection, collection_id: str, values: dict[str, Any]) -> int | None:
    table = schema.collection_rule
    same = [table.c[column] == value for column, value in values.items()]
    found = connection.execute(
        select(table.c.id).where(table.c.collection_id == collection_id, *same)
    ).first()
    return None if found is None else int(found.id)


def _refuse_cycle(connection: Connection, collection_id: str, other_id: str, kind: Kind) -> None:
    """A collection made of itself, directly or not, would have no definite members."""
    way = rules.path(connection, collection_id, other_id)
    if way:
        c = schema.collection.c
        names = dict(connection.execute(select(c.id, c.name).where(c.id.in_(way))).all())
        chain = " is part of ".join(repr(names[number]) for number in way)
        raise Invalid(
            f"{names[collection_id]!r} cannot {kind} {names[other_id]!r}, which is made of it: {chain}"
            if len(way) > 1
            else f"collection {names[collection_id]!r} cannot {kind} itself"
        )


def _users(connection: Connection, collection_id: str) -> list[str]:
    r, c = schema.collection_rule.c, schema.collection.c
    query = select(c.name).join_from(schema.collection_rule, schema.collection, r.collection_id == c.id)
    made_of = connection.execute(
        query.where(r.other_id == collection_id).distinct().order_by(c.name)
    ).scalars()
    users = [f"deployment {number}" for number in deployments_to(connection, collection_id)]
    return users + [f"a rule of collection {name!r}" for name in made_of]
