"""Distribution points' settings: safe at first, for a new one answers nobody (CM-1 to CM-18, CM-54)."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from pxefast.decide.records import DistributionPoint, normal_mac
from pxefast.errors import Invalid
from pxefast.site import schema

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["DistributionPoints", "check_settings", "insert_distribution_point", "read_distribution_point"]


class DistributionPoints:
    """The settings of the distribution points of a hierarchy; without a name, of this one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, name: str | None = None) -> DistributionPoint:
        """The settings now."""
        with self._store.read() as connection:
            return read_distribution_point(connection, name or self._store.point)

    def set(self, name: str | None = None, /, **changes: object) -> DistributionPoint:
        """Change settings by their names in DistributionPoint. Raises Invalid for a value out of range."""
        check_settings(changes)
        wanted = name or self._store.point
        d = schema.distribution_point
        with self._store.write(
            "dp set", " ".join((wanted, *(f"{key}={value}" for key, value in changes.items())))
        ) as connection:
            if changes:
                connection.execute(update(d).where(d.c.name == wanted).values(_columns(changes)))
            return read_distribution_point(connection, wanted)


def insert_distribution_point(connection: Connection, name: str, site_code: str) -> None:
    """A new distribution point that answers nobody."""
    row = asdict(DistributionPoint(site_code, name=name))
    connection.execute(insert(schema.distribution_point).values(_columns(row)))


def read_distribution_point(connection: Connection, name: str) -> DistributionPoint:
    """The settings as one value."""
    d = schema.distribution_point
    row = connection.execute(select(d).where(d.c.name == name)).one()
    values = {field.name: getattr(row, field.name) for field in fields(DistributionPoint)}
    values["interfaces"] = None if row.interfaces is None else tuple(row.interfaces.split())
    return DistributionPoint(**values)


def _columns(values: dict[str, object]) -> dict[str, object]:
    interfaces = values.get("interfaces")
    return {**values, "interfaces": " ".join(interfaces)} if isinstance(interfaces, tuple) else values


_RANGES = {
    "response_delay": (0, 65535, "seconds"),
    # CM-9: off, with approval, automatic.
    "user_device_affinity": (0, 2, "(off, manual, automatic)"),
    # RFC 2348 and RFC 7440 (CM-46).
    "ramdisk_tftp_block_size": (8, 65464, "bytes"),
    "ramdisk_tftp_window_size": (1, 65535, "blocks"),
}


def check_settings(changes: dict[str, object]) -> None:
    """Raises Invalid for a value out of range."""
    for name, (low, high, unit) in _RANGES.items():
        value = changes.get(name)
        if isinstance(value, int) and not low <= value <= high:
            raise Invalid(f"{name.replace('_', ' ')} {value} must be {low} to {high} {unit}")
    interfaces = changes.get("interfaces")
    if isinstance(interfaces, tuple):
        for interface in interfaces:
            if normal_mac(interface) == interface:
                continue
            # The kernel's limit is 15 characters, without blank or slash.
            if not 1 <= len(interface) <= 15 or any(sign.isspace() or sign == "/" for sign in interface):
                raise Invalid(f"{interface!r} is neither a network interface nor a MAC address such as 00:11:22:33:44:55")
