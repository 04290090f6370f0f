"""Distribution points' settings: safe at first, for a new one answers nobody (CM-1 to CM-19, CM-54)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from pxefast.decide.records import DistributionPoint, normal_mac
from pxefast.errors import AlreadyExists, Invalid
from pxefast.site import schema
from pxefast.site.names import find, site_code
from pxefast.site.tftp_sizes import TftpSizes, check_sizes

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = [
    "AFFINITIES",
    "DistributionPoints",
    "check_point_name",
    "checked",
    "insert_distribution_point",
    "read_distribution_point",
]

# User device affinity by its number (CM-9): off, once a person approves it, at once.
AFFINITIES = ("none", "manual", "automatic")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class DistributionPoints:
    """The settings of the distribution points of a hierarchy; without a name, of this one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, site: str | None = None) -> DistributionPoint:
        """A new distribution point, which answers nobody. Raises Invalid, AlreadyExists or NotFound."""
        name = name.strip()
        with self._store.write("dp create", name) as connection:
            p = schema.distribution_point.c
            if connection.execute(select(p.name).where(p.name == name)).first() is not None:
                raise AlreadyExists(f"distribution point {name!r} already exists")
            insert_distribution_point(connection, name, site_code(connection, site, self._store.code))
            return read_distribution_point(connection, name)

    def all(self) -> list[DistributionPoint]:
        """All distribution points, by name."""
        with self._store.read() as connection:
            rows = connection.execute(select(schema.distribution_point))
            return sorted((_value(row) for row in rows), key=lambda point: point.name)

    def get(self, name: str | None = None) -> DistributionPoint:
        """The settings now. Raises NotFound."""
        with self._store.read() as connection:
            return read_distribution_point(connection, name or self._store.point)

    def set(self, name: str | None = None, /, **changes: Any) -> DistributionPoint:
        """Change settings by their names in DistributionPoint. Raises Invalid for a value out of range."""
        values = _columns(checked(changes))
        wanted = name or self._store.point
        p = schema.distribution_point
        words = (f"{key}={value}" for key, value in values.items())
        with self._store.write("dp set", " ".join((wanted, *words))) as connection:
            row = find(connection, p, "name", wanted, "distribution point")
            wanted = row.name
            if values.keys() & _SIZES.keys():
                check_sizes(TftpSizes(*(values.get(column, getattr(row, column)) for column in _SIZES)))
            if "site" in values:
                values["site"] = site_code(connection, str(values["site"]), "")
            if values:
                connection.execute(update(p).where(p.c.name == wanted).values(values))
            return read_distribution_point(connection, wanted)

    def set_own(self, identities: Collection[str]) -> bool:
        """Say on which machine this distribution point runs: it is never imaged (R-59). False if it was known."""
        o, point = schema.own_identity, self._store.point
        here = o.c.distribution_point == point
        with self._store.read() as connection:
            if set(connection.execute(select(o.c.identity).where(here)).scalars()) == set(identities):
                return False
        with self._store.write("dp host", f"{point} {' '.join(identities)}") as connection:
            connection.execute(delete(o).where(here))
            rows = [
                {"identity": identity, "distribution_point": point} for identity in sorted(set(identities))
            ]
            if rows:
                connection.execute(insert(o), rows)
        return True

    def remove(self, name: str) -> None:
        """Remove a distribution point that no home is any more. Raises Invalid for this one, NotFound."""
        with self._store.write("dp remove", name) as connection:
            wanted = find(
                connection, schema.distribution_point, "name", name.strip(), "distribution point"
            ).name
            if wanted == self._store.own_point:
                raise Invalid(
                    f"{wanted} is the distribution point that this command runs on; remove it from another"
                )
            o = schema.own_identity
            connection.execute(delete(o).where(o.c.distribution_point == wanted))
            p = schema.distribution_point
            connection.execute(delete(p).where(p.c.name == wanted))


def check_point_name(name: str) -> None:
    """Raises Invalid unless a distribution point can be called this."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"distribution point name {name!r} must be 1 to 63 letters, digits, dots, dashes or underscores"
        )


def insert_distribution_point(connection: Connection, name: str, site_code: str) -> None:
    """A new distribution point that answers nobody. Raises Invalid for a name that it cannot have."""
    check_point_name(name)
    row = asdict(DistributionPoint(site_code, name=name))
    connection.execute(insert(schema.distribution_point).values(_columns(row)))


def read_distribution_point(connection: Connection, name: str) -> DistributionPoint:
    """The settings as one value. Raises NotFound."""
    return _value(find(connection, schema.distribution_point, "name", name, "distribution point"))


def _value(row: Row[tuple[object, ...]]) -> DistributionPoint:
    values = {field.name: getattr(row, field.name) for field in fields(DistributionPoint)}
    values["interfaces"] = None if values["interfaces"] is None else tuple(values["interfaces"].split())
    return DistributionPoint(**values)


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    interfaces = values.get("interfaces")
    return {**values, "interfaces": " ".join(interfaces)} if isinstance(interfaces, tuple) else values


# The columns of the sizes, in the order of TftpSizes.
_SIZES = {f"ramdisk_tftp_{field}": field for field in TftpSizes._fields}
_RANGES = {
    "response_delay": (0, 65535, "seconds"),
    "user_device_affinity": (0, len(AFFINITIES) - 1, "(none, manual, automatic)"),
}


def checked(changes: dict[str, Any]) -> dict[str, Any]:
    """Settings as they are kept. Raises Invalid for a value out of range."""
    for name, (low, high, unit) in _RANGES.items():
        value = changes.get(name)
        if isinstance(value, int) and not low <= value <= high:
            raise Invalid(f"{name.replace('_', ' ')} {value} must be {low} to {high} {unit}")
    check_sizes(TftpSizes(**{_SIZES[name]: value for name, value in changes.items() if name in _SIZES}))
    interfaces = changes.get("interfaces")
    if not isinstance(interfaces, tuple):
        return changes
    return {**changes, "interfaces": tuple(dict.fromkeys(map(_interface, interfaces)))}


def _interface(text: str) -> str:
    """An interface's name, or its MAC address in colon form (CM-13)."""
    mac = normal_mac(text)
    # The kernel's limit is 15 characters, without blank or slash.
    if mac is None and (not 1 <= len(text) <= 15 or any(sign.isspace() or sign == "/" for sign in text)):
        raise Invalid(f"{text!r} is not the name or the MAC address of a network interface")
    return mac or text
