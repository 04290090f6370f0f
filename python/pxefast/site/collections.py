"""Collections: named sets of devices that deployments are made to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from pxefast.decide.records import Device
from pxefast.errors import AlreadyExists, InUse, Invalid
from pxefast.site import schema
from pxefast.site.devices import device_names, read_devices
from pxefast.site.names import checked_name, find

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["ALL_SYSTEMS", "ALL_UNKNOWN_COMPUTERS", "CollectionRow", "Collections"]

# Built in: machines without a record, of every architecture (CM-92, CM-95). Nobody is put into it.
ALL_UNKNOWN_COMPUTERS = "SMS000US"
# Built in: every device that the hierarchy knows.
ALL_SYSTEMS = "SMS00001"


class CollectionRow(NamedTuple):
    """A collection and how many devices are in it."""

    id: str
    name: str
    members: int


class Collections:
    """The collections of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, wanted_id: str | None = None) -> CollectionRow:
        """A new, empty collection. Raises Invalid or AlreadyExists."""
        name, key = checked_name("collection", name)
        with self._store.write("collection create", name) as connection:
            if connection.execute(
                select(schema.collection.c.id).where(schema.collection.c.key == key)
            ).first():
                raise AlreadyExists(f"collection {name!r} already exists")
            new = self._store.new_id(connection, schema.collection, wanted_id)
            connection.execute(
                insert(schema.collection).values(id=new, name=name, key=key, site=self._store.code)
            )
            return CollectionRow(new, name, 0)

    def all(self) -> list[CollectionRow]:
        """All collections, by name."""
        c, m = schema.collection.c, schema.collection_member.c
        query = (
            select(c.id, c.name, func.count(m.device_id))
            .join_from(schema.collection, schema.collection_member, isouter=True)
            .group_by(c.id, c.name)
            .order_by(c.name)
        )
        with self._store.read() as connection:
            return [CollectionRow(*row) for row in connection.execute(query)]

    def get(self, name: str) -> CollectionRow:
        """One collection by name. Raises NotFound."""
        m = schema.collection_member.c
        with self._store.read() as connection:
            row = find_collection(connection, name)
            query = (
                select(func.count()).select_from(schema.collection_member).where(m.collection_id == row.id)
            )
            return CollectionRow(row.id, row.name, int(connection.execute(query).scalar_one()))

    def members(self, name: str) -> list[Device]:
        """The devices of a collection, by name."""
        with self._store.read() as connection:
            ids = set(member_ids(connection, find_collection(connection, name).id))
            return sorted(
                (item for item in read_devices(connection) if item.id in ids), key=lambda item: item.name
            )

    def add(self, name: str, devices: Sequence[str]) -> list[str]:
        """Put devices into a collection; the names of those that were not in it already."""
        with self._store.write("collection add", f"{name}: {' '.join(devices)}") as connection:
            row = _changeable(connection, name)
            inside = set(member_ids(connection, row.id))
            added = {
                number: device
                for number, device in device_names(connection, devices).items()
                if number not in inside
            }
            if added:
                members = [{"collection_id": row.id, "device_id": number} for number in added]
                connection.execute(insert(schema.collection_member), members)
            return list(added.values())

    def discard(self, name: str, devices: Sequence[str]) -> list[str]:
        """Take devices out of a collection; the names of those that were in it."""
        m = schema.collection_member.c
        with self._store.write("collection remove", f"{name}: {' '.join(devices)}") as connection:
            row = find_collection(connection, name)
            inside = set(member_ids(connection, row.id))
            found = device_names(connection, devices)
            gone = {number: device for number, device in found.items() if number in inside}
            for number in gone:
                connection.execute(
                    delete(schema.collection_member).where(m.collection_id == row.id, m.device_id == number)
                )
            return list(gone.values())

    def remove(self, name: str) -> CollectionRow:
        """Remove a collection; its devices stay. Raises InUse while something is deployed to it."""
        with self._store.write("collection remove", name) as connection:
            row = _changeable(connection, name)
            deployments = deployments_to(connection, row.id)
            if deployments:
                raise InUse(
                    f"collection {row.name!r} is in use by deployment {', '.join(deployments)}; "
                    "remove that first"
                )
            count = len(member_ids(connection, row.id))
            connection.execute(delete(schema.collection).where(schema.collection.c.id == row.id))
            return CollectionRow(row.id, row.name, count)


def insert_built_in(connection: Connection, site_code: str) -> None:
    """The built-in collections of a new hierarchy; its unknown computer objects are there already."""
    for number, name in ((ALL_SYSTEMS, "All Systems"), (ALL_UNKNOWN_COMPUTERS, "All Unknown Computers")):
        row = {"id": number, "name": name, "key": name.casefold(), "site": site_code}
        connection.execute(insert(schema.collection).values(row))
    d = schema.device.c
    unknown = connection.execute(select(d.id).where(d.unknown_architecture.is_not(None))).scalars().all()
    connection.execute(
        insert(schema.collection_member),
        [{"collection_id": ALL_UNKNOWN_COMPUTERS, "device_id": number} for number in unknown],
    )


def _changeable(connection: Connection, name: str) -> Any:
    row = find_collection(connection, name)
    if row.id in (ALL_SYSTEMS, ALL_UNKNOWN_COMPUTERS):
        raise Invalid(f"collection {row.name!r} is built in: its members find themselves")
    return row


def find_collection(connection: Connection, name: str) -> Any:
    """One collection's row by name. Raises NotFound."""
    return find(connection, schema.collection, "key", name.strip().casefold(), "collection")


def member_ids(connection: Connection, collection_id: str) -> list[int]:
    """The ids of a collection's devices, in order."""
    m = schema.collection_member.c
    query = select(m.device_id).where(m.collection_id == collection_id).order_by(m.device_id)
    return list(connection.execute(query).scalars())


def deployments_to(connection: Connection, collection_id: str) -> list[str]:
    """The ids of the deployments to a collection, in order."""
    d = schema.deployment.c
    return list(
        connection.execute(select(d.id).where(d.collection_id == collection_id).order_by(d.id)).scalars()
    )
