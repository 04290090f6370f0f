"""What boot sessions need from the database: a machine's variables, and how its image is loaded.

Three queries for many machines at once, each by its index, whatever the size of the site: a service asks them between
requests and their answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address
from socket import inet_ntoa
from typing import Any, NamedTuple

from sqlalchemy import CompoundSelect, Connection, literal, select, union_all

from pxefast.errors import Invalid
from pxefast.site import schema
from pxefast.site.names import chunks
from pxefast.site.tftp_sizes import (
    DEFAULTS,
    LARGEST_VARIABLE_WINDOW,
    TftpSizes,
    check_sizes,
    sizes_of_variable,
)

__all__ = ["Ask", "Fact", "SessionFacts", "read"]

# Machines whose ids fit one statement.
_MOST = 200

# Which variables win, the highest first.
_DEVICE, _DEPLOYMENT, _COLLECTION = 2, 1, 0
_SOURCES = {_DEVICE: "the device", _DEPLOYMENT: "deployment ", _COLLECTION: "collection "}

# What a level of the site says, under its name for people.
_Level = tuple[str, Sequence[Any]]


class Ask(NamedTuple):
    """One machine that is about to boot.

    `device_id` is a device's, or for a machine without a record that of the unknown computer object, whose collections
    alone count (CM-96). `image_id` None is an image that no sizes are for. `relay` is where the requests came through;
    it counts where no boundary holds `address`.
    """

    device_id: int | None
    deployment_id: str | None
    image_id: str | None
    address: str | None = None
    relay: str | None = None


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


def read(connection: Connection, point: str, asks: Sequence[Ask]) -> list[SessionFacts]:
    """The facts of machines that distribution point `point` boots, in their order.

    Variables: the device's before the deployment's before those of its collections, of these the highest id's (CM-103).
    Sizes: such variables, then the boot image, the boundary group with the longest prefix of the machine's address,
    else of its relay's, then the distribution point; each of the three by itself.
    """
    return [facts for part in chunks(asks, _MOST) for facts in _read(connection, point, part)]


def _read(connection: Connection, point: str, asks: Sequence[Ask]) -> Iterator[SessionFacts]:
    variables = _Variables(connection, asks)
    loads = [ask for ask in asks if ask.image_id is not None]
    places = _Places(connection, point, loads) if loads else None
    for ask in asks:
        found = variables.of(ask)
        ignored: list[str] = []
        levels: list[_Level] = []
        if places is not None and ask.image_id is not None:
            levels += _of_variables(found, ignored)
            levels += _usable(places.around(ask), ignored)
        sizes = _chosen(levels)
        # A secret one still hides what it takes the place of.
        first = {item.key: item for item in reversed(found)}
        told = {
            item.name: Fact(item.value, item.source) for _, item in sorted(first.items()) if not item.secret
        }
        yield SessionFacts(told, *sizes, tuple(ignored))


class _Variable(NamedTuple):
    key: str
    name: str
    value: str
    secret: bool
    source: str


class _Variables:
    """Every variable that concerns any of some machines."""

    def __init__(self, connection: Connection, asks: Sequence[Ask]) -> None:
        self._found: dict[tuple[int, int | str | None], list[_Variable]] = {}
        # Put in order here: databases differ in how they sort text.
        rows = sorted(map(tuple, connection.execute(_variables(asks))), reverse=True)
        for rank, device, owner, key, name, value, secret in rows:
            source = f"variable of {_SOURCES[rank]}{owner}"
            place = self._found.setdefault((rank, device or owner), [])
            place.append(_Variable(key, name, value, bool(secret), source))

    def of(self, ask: Ask) -> list[_Variable]:
        """Those of one machine, the ones that win first."""
        owners = ((_DEVICE, ask.device_id), (_DEPLOYMENT, ask.deployment_id), (_COLLECTION, ask.device_id))
        return [item for owner in owners for item in self._found.get(owner, ())]


def _variables(asks: Sequence[Ask]) -> CompoundSelect[Any]:
    """Rank, device (0 for a deployment's), owner, and the variable."""
    devices = {ask.device_id for ask in asks if ask.device_id is not None}
    deployments = {ask.deployment_id for ask in asks if ask.deployment_id is not None}
    d, o, c = schema.device_variable.c, schema.deployment_variable.c, schema.collection_variable.c
    m = schema.collection_member.c
    return union_all(
        select(literal(_DEVICE), d.device_id, literal(""), d.key, d.name, d.value, d.secret).where(
            d.device_id.in_(devices)
        ),
        select(literal(_DEPLOYMENT), literal(0), o.deployment_id, o.key, o.name, o.value, o.secret).where(
            o.deployment_id.in_(deployments)
        ),
        select(literal(_COLLECTION), m.device_id, c.collection_id, c.key, c.name, c.value, c.secret)
        .join_from(schema.collection_member, schema.collection_variable, m.collection_id == c.collection_id)
        .where(m.device_id.in_(devices)),
    )


class _Places:
    """The sizes of boot images, of the boundary groups around some machines, and of the distribution point."""

    def __init__(self, connection: Connection, point: str, asks: Sequence[Ask]) -> None:
        i, p = schema.boot_image.c, schema.distribution_point.c
        own = (p.ramdisk_tftp_block_size, p.ramdisk_tftp_window_size, p.ramdisk_tftp_variable_window)
        query = (
            select(i.id, i.tftp_block_size, i.tftp_window_size, i.tftp_variable_window, *own)
            .select_from(schema.distribution_point)
            .outerjoin(schema.boot_image, i.id.in_({ask.image_id for ask in asks}))
            .where(p.name == point)
        )
        self._images: dict[str, Sequence[Any]] = {}
        self._point: _Level = (f"distribution point {point}", ())
        for image, *sizes in connection.execute(query):
            self._images[image] = sizes[:3]
            self._point = (self._point[0], sizes[3:])
        self._groups: dict[str, list[_Level]] = {}
        addresses = {address for ask in asks for address in (ask.address, ask.relay) if address}
        self._read_groups(connection, {subnet for address in addresses for subnet in _around(address)})

    def _read_groups(self, connection: Connection, subnets: Iterable[str]) -> None:
        b, g = schema.boundary.c, schema.boundary_group.c
        query = select(g.name, b.subnet, g.tftp_block_size, g.tftp_window_size, g.tftp_variable_window).join(
            schema.boundary_group, g.key == b.group_key
        )
        for part in chunks(sorted(subnets)):
            rows = connection.execute(query.where(b.subnet.in_(part)))
            for name, subnet, *sizes in sorted(map(tuple, rows), key=lambda row: str(row[0])):
                self._groups.setdefault(subnet, []).append((f"boundary group {name} ({subnet})", sizes))

    def around(self, ask: Ask) -> Iterator[_Level]:
        """What is said about one machine, what wins first."""
        assert ask.image_id is not None
        yield f"boot image {ask.image_id}", self._images.get(ask.image_id, ())
        for address in (ask.address, ask.relay):
            groups = (
                [group for subnet in _around(address) for group in self._groups.get(subnet, ())]
                if address
                else ()
            )
            yield from groups
            if groups:
                break
        yield self._point


@lru_cache(1024)
def _around(address: str) -> tuple[str, ...]:
    """Every subnet that holds an address, the smallest first."""
    number = int(IPv4Address(address))
    masks = ((length, number >> 32 - length << 32 - length) for length in range(32, -1, -1))
    return tuple(f"{inet_ntoa(network.to_bytes(4, 'big'))}/{length}" for length, network in masks)


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


def _usable(levels: Iterable[_Level], ignored: list[str]) -> Iterator[_Level]:
    for source, values in levels:
        # Each by itself: one that is out of range takes no other with it.
        for field, value in zip(TftpSizes._fields, values, strict=False):
            sizes = TftpSizes(**{field: value})
            try:
                check_sizes(sizes)
                yield source, sizes
            except Invalid as error:
                ignored.append(f"{source}: {error}")


def _chosen(levels: Sequence[_Level]) -> tuple[Fact, Fact, Fact]:
    """Block size, window size and variable window of the first level that says each."""
    block, window, variable = (
        next(
            (Fact(value, source) for source, sizes in levels if (value := sizes[number]) is not None),
            Fact(default, "the default"),
        )
        for number, default in enumerate(DEFAULTS)
    )
    if variable.value and window.value > LARGEST_VARIABLE_WINDOW:
        most = LARGEST_VARIABLE_WINDOW
        window = Fact(most, f"{window.source}: {window.value}, of which a variable window has at most {most}")
    return block, window, variable
