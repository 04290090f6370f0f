"""One device: what may be imported, in canonical form, and how its row is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, select

from pxefast.decide.placeholders import is_placeholder
from pxefast.decide.records import Device, normal_guid, normal_mac, usable_mac
from pxefast.errors import Invalid, SiteError
from pxefast.site import schema
from pxefast.site.names import checked_variable, chunks, find
from pxefast.site.tftp_sizes import sizes_of_variable

__all__ = [
    "NewDevice",
    "check_device_name",
    "check_guid",
    "checked",
    "checked_mac",
    "device_names",
    "find_device",
    "identities",
    "located",
    "names_of",
    "read_devices",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class NewDevice(NamedTuple):
    """A device to import; MACs and GUID in any usual spelling.

    It becomes a direct member of `collections` and gets `variables` (name, value). `line` is where it stood in its
    file, 0 for none.
    """

    name: str
    macs: tuple[str, ...] = ()
    guid: str | None = None
    id: int | None = None
    site: str | None = None
    line: int = 0
    collections: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()


@contextmanager
def located(file: str | None, line: int) -> Iterator[None]:
    """Puts file and line before the message of a SiteError."""
    try:
        yield
    except SiteError as error:
        if file is None or not line:
            raise
        raise type(error)(f"{file}: line {line}: {error}") from None


def check_device_name(name: str) -> None:
    """Raises Invalid unless a device can have this name."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"device name {name!r} must be 1 to 63 letters, digits, dots, dashes or underscores")


def checked_mac(text: str) -> str:
    """A network card's MAC address in canonical form. Raises Invalid."""
    mac = normal_mac(text)
    if mac is None or not usable_mac(mac):
        raise Invalid(
            f"{text!r} is not the MAC address of a network card; write it as 01:23:45:67:89:ab or alike"
        )
    return mac


def check_guid(guid: str, name: str, more: frozenset[str] = frozenset()) -> None:
    """Raise Invalid for a canonical GUID that identifies no machine; `more` are the operator's placeholders (D30)."""
    if is_placeholder(guid, more):
        raise Invalid(f"SMBIOS GUID {guid} is a placeholder that many boards share; import {name} by its MAC")


def checked(new: NewDevice) -> Device:
    """A device with everything in canonical form; its id 0 and its site "" where none was asked for. Raises Invalid."""
    check_device_name(new.name)
    macs: dict[str, None] = {}
    for text in new.macs:
        macs[checked_mac(text)] = None
    guid = None
    if new.guid is not None:
        guid = normal_guid(new.guid)
        if guid is None:
            raise Invalid(f"{new.guid!r} is not an SMBIOS GUID; write it as 8-4-4-4-12 hexadecimal digits")
        check_guid(guid, new.name)
    if not macs and guid is None:
        raise Invalid(f"device {new.name} has no MAC and no SMBIOS GUID; give at least one")
    if new.id is not None and not 1 <= new.id < schema.FIRST_UNKNOWN:
        raise Invalid(f"device id {new.id} must be 1 or more, and less than {schema.FIRST_UNKNOWN}")
    for name, value in new.variables:
        sizes_of_variable(checked_variable(name, value), value)
    return Device(new.id or 0, new.name, tuple(macs), guid, new.site or "")


def identities(device: Device) -> list[str]:
    """A device's identifiers as the tables `hardware` and `own_identity` spell them."""
    return [f"mac:{mac}" for mac in device.macs] + ([f"guid:{device.guid}"] if device.guid else [])


def read_devices(connection: Connection, ids: Sequence[int] | None = None) -> Iterator[Device]:
    """Devices in no order: all of those with a record, or those with the given ids, unknown computer objects too.

    Two statements whatever their number; no more than fit one statement can be asked for by their ids.
    """
    d, m = schema.device.c, schema.device_mac.c
    mac_query = select(m.device_id, m.mac).order_by(m.device_id, m.position)
    query = select(d.id, d.name, d.guid, d.site, d.protected)
    if ids is None:
        query = query.where(d.unknown_architecture.is_(None))
    else:
        mac_query = mac_query.where(m.device_id.in_(ids))
        query = query.where(d.id.in_(ids))
    macs: dict[int, list[str]] = {}
    for number, mac in connection.execute(mac_query):
        macs.setdefault(number, []).append(mac)
    for number, name, guid, site, protected in connection.execute(query):
        yield Device(number, name, tuple(macs.get(number, ())), guid, site, bool(protected))


def find_device(connection: Connection, name: str) -> Device:
    """One device or unknown computer object by name. Raises NotFound."""
    row = find(connection, schema.device, "key", name.strip().casefold(), "device")
    return next(read_devices(connection, [row.id]))


def device_names(connection: Connection, names: Sequence[str]) -> dict[int, str]:
    """The names of several devices by their ids, each device once. Raises NotFound."""
    d = schema.device.c
    found: dict[str, tuple[int, str]] = {}
    for part in chunks([name.strip().casefold() for name in names]):
        query = select(d.key, d.id, d.name).where(d.key.in_(part))
        found.update({key: (number, name) for key, number, name in connection.execute(query)})
    for name in names:
        if name.strip().casefold() not in found:
            find_device(connection, name)
    return dict(found[name.strip().casefold()] for name in names)


def names_of(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """The names of devices by their ids, of those that there are."""
    d = schema.device.c
    found: dict[int, str] = {}
    for part in chunks(ids):
        found.update(connection.execute(select(d.id, d.name).where(d.id.in_(part))).all())
    return found
