"""What the boot session of one machine needs from the database: its variables, and how its image is loaded.

Three queries, each by its index, whatever the size of the site: a service asks them between a request and its answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from typing import Any, NamedTuple

from sqlalchemy import Connection, literal, select, union_all

from pxefast.errors import Invalid
from pxefast.site import schema
from pxefast.site.tftp_sizes import (
    DEFAULTS,
    LARGEST_VARIABLE_WINDOW,
    TftpSizes,
    check_sizes,
    sizes_of_variable,
)

__all__ = ["Fact", "SessionFacts", "read"]

# What a level of the site says, under its name for people.
_Level = tuple[str, TftpSizes]


class Fact(NamedTuple):
    """A value, and where it comes from, in words for people."""

    value: Any
    source: str


class SessionFacts(NamedTuple):
    """What one machine boots with.

    `variables` by their names, sorted, without those that are secret. `block_size` holds bytes, `window_size` blocks
    (at most 255 with `variable_window`). `ignored` says in sentences which values of an older database no one can use.
    """

    variables: dict[str, Fact]
    block_size: Fact
    window_size: Fact
    variable_window: Fact
    ignored: tuple[str, ...]


def read(
    connection: Connection,
    *,
    point: str,
    device_id: int | None,
    deployment_id: str | None,
    image_id: str,
    address: str | None = None,
    relay: str | None = None,
) -> SessionFacts:
    """The facts of a machine at `address`, asked for through `relay`, that distribution point `point` boots.

    `device_id` is a device's, or for a machine without a record that of the unknown computer object, whose collections
    alone count (CM-96). Variables: the device's before the deployment's before those of collections, of these the
    highest id's (CM-103). Sizes: such variables, then the boot image, the boundary group with the longest prefix of
    the machine's address, else of its relay's, then the distribution point; each of the three by itself.
    """
    variables = _variables(connection, device_id, deployment_id)
    ignored: list[str] = []
    levels = list(_of_variables(variables, ignored))
    levels += _of_places(connection, point, image_id, address, relay, ignored)
    block, window, variable = (
        next(
            (Fact(value, source) for source, sizes in levels if (value := sizes[number]) is not None),
            Fact(DEFAULTS[number], "the default"),
        )
        for number in range(len(DEFAULTS))
    )
    if variable.value and window.value > LARGEST_VARIABLE_WINDOW:
        most = LARGEST_VARIABLE_WINDOW
        window = Fact(most, f"{window.source}: {window.value}, of which a variable window has at most {most}")
    first: dict[str, _Variable] = {}
    for item in variables:
        first.setdefault(item.key, item)
    # A secret one still hides what it takes the place of.
    told = {item.name: Fact(item.value, item.source) for _, item in sorted(first.items()) if not item.secret}
    return SessionFacts(told, block, window, variable, tuple(ignored))


class _Variable(NamedTuple):
    key: str
    name: str
    value: str
    secret: bool
    source: str


def _variables(connection: Connection, device_id: int | None, deployment_id: str | None) -> list[_Variable]:
    """All variables that concern a machine, those that win first."""
    member = schema.collection_member
    of_device = schema.device_variable.c.device_id
    of_deployment = schema.deployment_variable.c.deployment_id
    of_collection = schema.collection_variable.c.collection_id

    def query(rank: int, owner: Any, where: Any) -> Any:
        c = owner.table.c
        name = literal("") if owner is of_device else owner
        return select(literal(rank), name, c.key, c.name, c.value, c.secret).where(where)

    # Owners are put in order here: databases differ in how they sort text.
    rows = connection.execute(
        union_all(
            query(2, of_device, of_device == device_id),
            query(1, of_deployment, of_deployment == deployment_id),
            query(
                0,
                of_collection,
                of_collection.in_(select(member.c.collection_id).where(member.c.device_id == device_id)),
            ),
        )
    )
    nouns = ("collection", "deployment", "the device")
    return [
        _Variable(key, name, value, bool(secret), f"variable of {nouns[rank]} {owner}".rstrip())
        for rank, owner, key, name, value, secret in sorted(map(tuple, rows), reverse=True)
    ]


def _of_variables(variables: Sequence[_Variable], ignored: list[str]) -> Iterator[_Level]:
    for item in variables:
        try:
            sizes = sizes_of_variable(item.name, item.value)
            if sizes is not None and item.secret:
                raise Invalid(f"{item.name} is secret, and a size is sent to the machine")
        except Invalid as error:
            ignored.append(f"{item.source}: {error}")
        else:
            if sizes is not None:
                yield item.source, sizes


def _of_places(
    connection: Connection,
    point: str,
    image_id: str,
    address: str | None,
    relay: str | None,
    ignored: list[str],
) -> Iterator[_Level]:
    """The sizes of the image, the boundary groups and the distribution point."""
    i, p = schema.boot_image.c, schema.distribution_point.c
    own = (p.ramdisk_tftp_block_size, p.ramdisk_tftp_window_size, p.ramdisk_tftp_variable_window)
    row = connection.execute(
        select(i.tftp_block_size, i.tftp_window_size, i.tftp_variable_window, *own)
        .select_from(schema.distribution_point)
        .outerjoin(schema.boot_image, i.id == image_id)
        .where(p.name == point)
    ).one()
    levels = [
        (f"boot image {image_id}", row[:3]),
        *_boundary_groups(connection, [text for text in (address, relay) if text]),
        (f"distribution point {point}", row[3:]),
    ]
    for source, values in levels:
        for field, value in zip(TftpSizes._fields, values, strict=True):
            # Each by itself: one that is out of range takes no other with it.
            sizes = TftpSizes(**{field: value})
            try:
                check_sizes(sizes)
                yield source, sizes
            except Invalid as error:
                ignored.append(f"{source}: {error}")


def _boundary_groups(connection: Connection, addresses: Sequence[str]) -> list[tuple[str, Sequence[Any]]]:
    """The groups around the first address that is in any, the longest prefix first."""
    around = [
        [str(IPv4Network((text, length), strict=False)) for length in range(32, -1, -1)] for text in addresses
    ]
    b, g = schema.boundary.c, schema.boundary_group.c
    query = (
        select(b.subnet, g.name, g.tftp_block_size, g.tftp_window_size, g.tftp_variable_window)
        .join(schema.boundary_group, g.key == b.group_key)
        .where(b.subnet.in_({subnet for subnets in around for subnet in subnets}))
    )
    rows = sorted(map(tuple, connection.execute(query)), key=lambda row: str(row[1]))
    for subnets in around:
        found = [row for row in rows if row[0] in subnets]
        if found:
            found.sort(key=lambda row: subnets.index(row[0]))
            return [(f"boundary group {name} ({subnet})", sizes) for subnet, name, *sizes in found]
    return []
