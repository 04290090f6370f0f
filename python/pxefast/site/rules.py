"""The rules of collections, and the members that they yield.

A device is in a collection if a direct, include or query rule says so and no exclude rule does. That depends on nothing
but the device and the rules, so a change works out anew no more than what it may concern: some devices in the
collections that ask about devices, or all devices in some collections and those that are made of them. Each collection
costs two statements, whatever the number of devices.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, false, insert, literal, or_, select, true

from pxefast.decide.records import normal_guid, swapped_guid
from pxefast.errors import Invalid
from pxefast.site import schema
from pxefast.site.names import checked_variable, chunks, find

__all__ = [
    "ALL_SYSTEMS",
    "ALL_UNKNOWN_COMPUTERS",
    "BUILT_IN",
    "Query",
    "add_direct",
    "changeable_collection",
    "dependents",
    "find_collection",
    "path",
    "refresh",
]

# Built in: every device with a record; and the unknown computer objects, for machines without one (CM-92, CM-95).
ALL_SYSTEMS = "SMS00001"
ALL_UNKNOWN_COMPUTERS = "SMS000US"
BUILT_IN = {ALL_SYSTEMS: "All Systems", ALL_UNKNOWN_COMPUTERS: "All Unknown Computers"}

# Beyond this devices are not named one by one: all between the least and the greatest id are worked out.
_MOST_NAMED = 300

_VARIABLE = "variable:"

_DEVICE = schema.device.c
_MEMBER = schema.collection_member.c
_RULE = schema.collection_rule.c
_KNOWN = _DEVICE.unknown_architecture.is_(None)


class Query(NamedTuple):
    """A condition on a device: `name` (a glob), `mac` (a prefix), `smbios-guid`, `site` or `variable:KEY`."""

    attribute: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Query:
        """The condition that `attribute=value` means, in canonical form. Raises Invalid."""
        attribute, sign, value = text.partition("=")
        attribute = attribute.strip().casefold()
        if attribute.startswith(_VARIABLE) and sign:
            return cls(_VARIABLE + checked_variable(attribute.removeprefix(_VARIABLE), value), value)
        canonical = {"name": _glob, "mac": _mac_prefix, "smbios-guid": _guid, "site": _site}.get(attribute)
        if canonical is None or not sign:
            raise Invalid(
                f"query {text!r} must be name=GLOB, mac=PREFIX, smbios-guid=GUID, site=CODE or variable:NAME=VALUE"
            )
        return cls(attribute, canonical(value.strip()))

    def __str__(self) -> str:
        return f"{self.attribute}={self.value}"

    def condition(self) -> ColumnElement[bool]:
        """The same as a condition on the rows of `device`."""
        if self.attribute == "name":
            return _DEVICE.key.like(_like(self.value), escape="\\")
        if self.attribute == "mac":
            m = schema.device_mac.c
            return _DEVICE.id.in_(select(m.device_id).where(m.mac.like(f"{self.value}%")))
        if self.attribute == "smbios-guid":
            return _DEVICE.guid.in_((self.value, swapped_guid(self.value)))
        if self.attribute == "site":
            return _DEVICE.site == self.value
        v = schema.device_variable.c
        key = self.attribute.removeprefix(_VARIABLE)
        return _DEVICE.id.in_(select(v.device_id).where(v.key == key, v.value == self.value))


def find_collection(connection: Connection, name: str) -> Any:
    """One collection's row by name. Raises NotFound."""
    return find(connection, schema.collection, "key", name.strip().casefold(), "collection")


def changeable_collection(connection: Connection, name: str) -> Any:
    """One collection's row by name. Raises NotFound, or Invalid for a built-in one."""
    row = find_collection(connection, name)
    if row.id == ALL_UNKNOWN_COMPUTERS:
        raise Invalid(f"collection {row.name!r} is built in: it is the machines without a record")
    if row.id == ALL_SYSTEMS:
        raise Invalid(f"collection {row.name!r} is built in: it is every device with a record")
    return row


def refresh(
    connection: Connection, collections: Iterable[str] | None = None, devices: Collection[int] | None = None
) -> None:
    """Work out members anew, after a change of `devices` or of the rules of `collections`.

    None means all devices, or every collection that asks about devices: a query, a built-in one.
    """
    if collections is None:
        queries = select(_RULE.collection_id).where(_RULE.kind == "query").distinct()
        collections = [*BUILT_IN, *connection.execute(queries).scalars()]
    affected = _in_order(collections, _made_of(connection))
    rules = _read(connection, affected)
    ids = None if devices is None else sorted(devices)
    if ids == []:
        return
    for collection in affected:
        _refresh_one(connection, collection, rules.get(collection, []), ids)


def dependents(connection: Connection, collection_id: str) -> list[str]:
    """The ids of a collection and of every one that is made of it."""
    return _in_order([collection_id], _made_of(connection))


def path(connection: Connection, start: str, end: str) -> list[str]:
    """The ids along which `end` is made of `start`, both included; empty if it is not."""
    made_of = _made_of(connection)
    came_from = {start: ""}
    waiting = [start]
    while waiting:
        here = waiting.pop(0)
        for other in made_of.get(here, ()):
            if other not in came_from:
                came_from[other] = here
                waiting.append(other)
    if end not in came_from:
        return []
    steps = [end]
    while came_from[steps[-1]]:
        steps.append(came_from[steps[-1]])
    return steps[::-1]


def add_direct(connection: Connection, collection_id: str, device_ids: Sequence[int]) -> list[int]:
    """Make devices direct members; those that were not. The members are worked out by the caller."""
    query = select(_RULE.device_id).where(_RULE.collection_id == collection_id, _RULE.kind == "direct")
    there = set(connection.execute(query).scalars())
    added = [number for number in dict.fromkeys(device_ids) if number not in there]
    if added:
        rows = [{"collection_id": collection_id, "kind": "direct", "device_id": number} for number in added]
        connection.execute(insert(schema.collection_rule), rows)
    return added


def _refresh_one(
    connection: Connection, collection: str, rules: Sequence[Any], ids: Sequence[int] | None
) -> None:
    here = _MEMBER.collection_id == collection
    wanted = select(_DEVICE.id).where(_belongs(collection, rules), _among(_DEVICE.id, ids))
    gone = delete(schema.collection_member).where(here, _MEMBER.device_id.not_in(wanted))
    connection.execute(gone.where(_among(_MEMBER.device_id, ids)))
    there = select(_MEMBER.device_id).where(here)
    missing = wanted.add_columns(literal(collection)).where(_DEVICE.id.not_in(there))
    connection.execute(insert(schema.collection_member).from_select(["device_id", "collection_id"], missing))


def _among(column: ColumnElement[int], ids: Sequence[int] | None) -> ColumnElement[bool]:
    """True for these devices, and maybe for others: working those out too changes nothing."""
    if ids is None:
        return true()
    return column.in_(ids) if len(ids) <= _MOST_NAMED else column.between(ids[0], ids[-1])


def _belongs(collection: str, rules: Sequence[Any]) -> ColumnElement[bool]:
    """Whether a row of `device` is in a collection, the collections that it is made of being worked out already."""
    if collection in BUILT_IN:
        return _KNOWN if collection == ALL_SYSTEMS else _DEVICE.unknown_architecture.is_not(None)
    direct = select(_RULE.device_id).where(_RULE.collection_id == collection, _RULE.kind == "direct")
    into: list[ColumnElement[bool]] = [_DEVICE.id.in_(direct)]
    includes = [rule.other_id for rule in rules if rule.kind == "include"]
    if includes:
        into.append(_DEVICE.id.in_(select(_MEMBER.device_id).where(_MEMBER.collection_id.in_(includes))))
    queries = [Query(rule.attribute, rule.value).condition() for rule in rules if rule.kind == "query"]
    if queries:
        # An unknown computer object is in a collection by name alone, never because it resembles something.
        into.append(and_(_KNOWN, or_(false(), *queries)))
    excludes = [rule.other_id for rule in rules if rule.kind == "exclude"]
    out = _DEVICE.id.in_(select(_MEMBER.device_id).where(_MEMBER.collection_id.in_(excludes)))
    return and_(or_(false(), *into), ~out) if excludes else or_(false(), *into)


def _made_of(connection: Connection) -> dict[str, list[str]]:
    """For each collection those that include or exclude it."""
    query = select(_RULE.other_id, _RULE.collection_id).where(_RULE.other_id.is_not(None)).order_by(_RULE.id)
    made_of: dict[str, list[str]] = {}
    for other, collection in connection.execute(query):
        made_of.setdefault(other, []).append(collection)
    return made_of


def _in_order(start: Iterable[str], made_of: Mapping[str, Sequence[str]]) -> list[str]:
    """These collections and all that are made of them, each after those that it is made of."""
    done: dict[str, None] = {}
    # Depth first without recursion: a chain of collections may be long. An entry comes a second time to be left.
    waiting = [(collection, False) for collection in start]
    while waiting:
        collection, leave = waiting.pop()
        if leave:
            done[collection] = None
        elif collection not in done:
            waiting.append((collection, True))
            waiting.extend((other, False) for other in made_of.get(collection, ()))
    return list(done)[::-1]


def _read(connection: Connection, collections: Sequence[str]) -> dict[str, list[Any]]:
    rules: dict[str, list[Any]] = {}
    for part in chunks(collections):
        query = select(schema.collection_rule).where(_RULE.collection_id.in_(part), _RULE.kind != "direct")
        for row in connection.execute(query):
            rules.setdefault(row.collection_id, []).append(row)
    return rules


def _glob(value: str) -> str:
    if not value.isascii() or not all(sign.isalnum() or sign in "._-*?" for sign in value) or not value:
        raise Invalid(f"name {value!r} matches no device; write a name, with * for any letters and ? for one")
    return value.casefold()


def _like(glob: str) -> str:
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def _mac_prefix(value: str) -> str:
    digits = value.lower().removesuffix("*").translate({ord(sign): None for sign in ":-."})
    if not 1 <= len(digits) <= 12 or not set(digits) <= set("0123456789abcdef"):
        raise Invalid(f"{value!r} is not the beginning of a MAC address; write it as 00:11:22 or alike")
    return ":".join(digits[start : start + 2] for start in range(0, len(digits), 2))


def _guid(value: str) -> str:
    guid = normal_guid(value)
    if guid is None:
        raise Invalid(f"{value!r} is not an SMBIOS GUID; write it as 8-4-4-4-12 hexadecimal digits")
    return guid


def _site(value: str) -> str:
    return value.upper()
