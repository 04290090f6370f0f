"""Groups of distribution points, and boundary groups: which subnets they serve (CM-141, CM-146)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Table, delete, insert, select, update

from pxefast.errors import Invalid
from pxefast.site import schema
from pxefast.site.contents import join_group
from pxefast.site.names import chunks, find, listed, new_name
from pxefast.site.tftp_sizes import TftpSizes, check_sizes

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["GroupRow", "Groups", "boundary_groups", "distribution_point_groups"]

_POINT, _SUBNET = "distribution_point", "subnet"
_TFTP = "tftp_"


class GroupRow(NamedTuple):
    """A group: the distribution points in it, and a boundary group's subnets in CIDR form and TFTP sizes."""

    name: str
    distribution_points: tuple[str, ...]
    subnets: tuple[str, ...] = ()
    sizes: TftpSizes = TftpSizes()


class Groups:
    """Groups of one kind; `parts` has the table of each kind of member by its column."""

    def __init__(self, store: Store, noun: str, table: Table, parts: Mapping[str, Table]) -> None:
        self._store = store
        self._noun = noun
        self._table = table
        self._parts = parts

    def create(self, name: str) -> GroupRow:
        """A new, empty group. Raises Invalid or AlreadyExists."""
        with self._store.write(self._action("create"), name) as connection:
            name, key = new_name(connection, self._table, self._noun, name)
            connection.execute(insert(self._table).values(name=name, key=key))
            return GroupRow(name, ())

    def all(self) -> list[GroupRow]:
        """All groups, by name."""
        with self._store.read() as connection:
            return sorted(self._row(connection, row) for row in connection.execute(select(self._table)).all())

    def get(self, name: str) -> GroupRow:
        """One group. Raises NotFound."""
        with self._store.read() as connection:
            return self._row(connection, self._find(connection, name))

    def add(self, name: str, points: Sequence[str] = (), subnets: Sequence[str] = ()) -> GroupRow:
        """Put distribution points and subnets into a group; the group as it is now. Raises Invalid or NotFound.

        A distribution point that joins a group of them gets its content; one that leaves keeps it (CM-146).
        """
        return self._change("add", name, points, subnets, _put)

    def discard(self, name: str, points: Sequence[str] = (), subnets: Sequence[str] = ()) -> GroupRow:
        """Take distribution points and subnets out of a group; the group as it is now."""
        return self._change("remove", name, points, subnets, _take)

    def set_sizes(self, name: str, **changes: Any) -> GroupRow:
        """Change TFTP sizes of a boundary group, by their names in TftpSizes; None leaves one to the next level.

        Raises Invalid or NotFound.
        """
        words = (f"{size}={value}" for size, value in changes.items())
        with self._store.write(self._action("set"), " ".join((name, *words))) as connection:
            group = self._find(connection, name)
            check_sizes(_sizes(group)._replace(**changes))
            values = {f"{_TFTP}{size}": value for size, value in changes.items()}
            connection.execute(update(self._table).where(self._table.c.key == group.key).values(values))
            return self._row(connection, self._find(connection, name))

    def remove(self, name: str) -> None:
        """Remove a group; its distribution points stay."""
        with self._store.write(self._action("remove"), name) as connection:
            row = self._find(connection, name)
            connection.execute(delete(self._table).where(self._table.c.key == row.key))

    def _change(
        self,
        verb: str,
        name: str,
        points: Sequence[str],
        subnets: Sequence[str],
        change: Callable[[Connection, Table, str, str, Sequence[str]], None],
    ) -> GroupRow:
        networks = [_network(text) for text in subnets]
        with self._store.write(
            self._action(verb), f"{name}: {listed([*points, *networks], 50)}"
        ) as connection:
            group = self._find(connection, name)
            found = [
                find(connection, schema.distribution_point, "name", point, "distribution point").name
                for point in points
            ]
            for column, values in ((_POINT, found), (_SUBNET, networks)):
                if values:
                    change(connection, self._parts[column], group.key, column, values)
            if change is _put and self._table is schema.distribution_point_group:
                join_group(connection, group.key, found)
            return self._row(connection, group)

    def _action(self, verb: str) -> str:
        return f"{self._noun.replace(' ', '-')} {verb}"

    def _find(self, connection: Connection, name: str) -> Any:
        return find(connection, self._table, "key", name.strip().casefold(), self._noun)

    def _row(self, connection: Connection, row: Any) -> GroupRow:
        members: dict[str, tuple[str, ...]] = {}
        for column, table in self._parts.items():
            members[column] = _members(connection, table, row.key, column)
        sizes = _sizes(row) if _SUBNET in self._parts else TftpSizes()
        return GroupRow(row.name, members[_POINT], members.get(_SUBNET, ()), sizes)


def distribution_point_groups(store: Store) -> Groups:
    """The groups of distribution points."""
    parts = {_POINT: schema.distribution_point_group_member}
    return Groups(store, "distribution point group", schema.distribution_point_group, parts)


def boundary_groups(store: Store) -> Groups:
    """The boundary groups."""
    parts = {_POINT: schema.boundary_group_distribution_point, _SUBNET: schema.boundary}
    return Groups(store, "boundary group", schema.boundary_group, parts)


def _sizes(row: Any) -> TftpSizes:
    return TftpSizes(row.tftp_block_size, row.tftp_window_size, row.tftp_variable_window)


def _members(connection: Connection, table: Table, key: str, column: str) -> tuple[str, ...]:
    found = connection.execute(select(table.c[column]).where(table.c.group_key == key)).scalars()
    return tuple(sorted(found, key=IPv4Network if column == _SUBNET else None))


def _put(connection: Connection, table: Table, key: str, column: str, values: Sequence[str]) -> None:
    there = _members(connection, table, key, column)
    new = [{"group_key": key, column: value} for value in dict.fromkeys(values) if value not in there]
    if new:
        connection.execute(insert(table), new)


def _take(connection: Connection, table: Table, key: str, column: str, values: Sequence[str]) -> None:
    for part in chunks(values):
        connection.execute(delete(table).where(table.c.group_key == key, table.c[column].in_(part)))


def _network(text: str) -> str:
    try:
        return str(IPv4Network(text.strip()))
    except ValueError as error:
        raise Invalid(f"{text!r} is not a subnet: {error}; write it as 10.1.2.0/24") from None
