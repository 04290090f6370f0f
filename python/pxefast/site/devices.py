"""Devices: the machines the site knows, by name, MAC addresses and SMBIOS GUID."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column, Connection, Table, delete, insert, select, update

from pxefast.decide.records import PLACEHOLDER_GUIDS, Device, normal_guid, normal_mac, swapped_guid
from pxefast.errors import AlreadyExists, Invalid, SiteError
from pxefast.site import schema
from pxefast.site.names import find

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["Devices", "NewDevice"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# SQLite allows 999 variables in a statement where it is old.
_CHUNK = 900


class NewDevice(NamedTuple):
    """A device to import; MACs and GUID in any usual spelling.

    `line` is where it stood in its file, 0 for none.
    """

    name: str
    macs: tuple[str, ...] = ()
    guid: str | None = None
    id: int | None = None
    site: str | None = None
    line: int = 0


class Devices:
    """The devices of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, device: NewDevice) -> Device:
        """Import one device. Raises Invalid or AlreadyExists."""
        return self.add_many([device])[0]

    def add_many(self, devices: Sequence[NewDevice], file: str | None = None) -> list[Device]:
        """Import devices, all or none of them.

        An error names `file` and the device's line where they are given.
        """
        wanted: list[tuple[NewDevice, Device]] = []
        for new in devices:
            with _located(file, new.line):
                wanted.append((new, _checked(new, self._store.code)))
        subject = devices[0].name if len(devices) == 1 else f"{len(devices)} devices"
        with self._store.write("device import", subject) as connection:
            return _insert(connection, wanted, file)

    def all(self) -> list[Device]:
        """All devices, by name."""
        with self._store.read() as connection:
            return sorted(read_devices(connection), key=lambda device: device.name)

    def get(self, name: str) -> Device:
        """One device by its name, whatever its case. Raises NotFound."""
        with self._store.read() as connection:
            return find_device(connection, name)

    def collections(self, name: str) -> list[str]:
        """The names of the collections a device is in."""
        c, m = schema.collection.c, schema.collection_member.c
        with self._store.read() as connection:
            device = find_device(connection, name)
            query = select(c.name).join_from(schema.collection_member, schema.collection)
            return list(connection.execute(query.where(m.device_id == device.id).order_by(c.name)).scalars())

    def remove(self, name: str) -> Device:
        """Remove a device and its memberships.

        Its ledger rows stay, and count again if the hardware comes back.
        """
        with self._store.write("device remove", name) as connection:
            device = find_device(connection, name)
            for identity in _identities(device):
                connection.execute(delete(schema.hardware).where(schema.hardware.c.identity == identity))
                connection.execute(insert(schema.hardware).values(identity=identity, device_id=device.id))
            connection.execute(delete(schema.device).where(schema.device.c.id == device.id))
            return device


def read_devices(connection: Connection, ids: Sequence[int] | None = None) -> Iterator[Device]:
    """Devices in no order, all of them or those with the given ids; two statements whatever their number."""
    d, m = schema.device.c, schema.device_mac.c
    mac_query = select(m.device_id, m.mac).order_by(m.device_id, m.position)
    query = select(d.id, d.name, d.guid, d.site, d.protected).where(d.unknown_architecture.is_(None))
    if ids is not None:
        mac_query = mac_query.where(m.device_id.in_(ids))
        query = query.where(d.id.in_(ids))
    macs: dict[int, list[str]] = {}
    for number, mac in connection.execute(mac_query):
        macs.setdefault(number, []).append(mac)
    for number, name, guid, site, protected in connection.execute(query):
        yield Device(number, name, tuple(macs.get(number, ())), guid, site, protected)


def find_device(connection: Connection, name: str) -> Device:
    """One device by name. Raises NotFound."""
    row = find(connection, schema.device, "key", name.casefold(), "device")
    if row.unknown_architecture is not None:
        raise Invalid(f"{row.name} is a site's unknown computer object, no device")
    return next(read_devices(connection, [row.id]))


def device_names(connection: Connection, names: Sequence[str]) -> dict[int, str]:
    """The names of several devices by their ids, each device once. Raises NotFound."""
    d = schema.device.c
    found: dict[str, tuple[int, str]] = {}
    for part in _chunks([name.casefold() for name in names]):
        query = select(d.key, d.id, d.name).where(d.key.in_(part))
        found.update({key: (number, name) for key, number, name in connection.execute(query)})
    for name in names:
        if name.casefold() not in found:
            find_device(connection, name)
    return dict(found[name.casefold()] for name in names)


@contextmanager
def _located(file: str | None, line: int) -> Iterator[None]:
    """Puts file and line before the message of a SiteError."""
    try:
        yield
    except SiteError as error:
        if file is None or not line:
            raise
        raise type(error)(f"{file}: line {line}: {error}") from None


def _checked(new: NewDevice, code: str) -> Device:
    """A device with everything in canonical form, its id 0 where none was asked for."""
    if not _NAME.fullmatch(new.name):
        raise Invalid(
            f"device name {new.name!r} must be 1 to 63 letters, digits, dots, dashes or underscores"
        )
    macs: dict[str, None] = {}
    for text in new.macs:
        mac = normal_mac(text)
        if mac is None or mac == "00:00:00:00:00:00" or int(mac[:2], 16) & 1:
            raise Invalid(
                f"{text!r} is not the MAC address of a network card; write it as 01:23:45:67:89:ab or alike"
            )
        macs[mac] = None
    guid = None
    if new.guid is not None:
        guid = normal_guid(new.guid)
        if guid is None:
            raise Invalid(f"{new.guid!r} is not an SMBIOS GUID; write it as 8-4-4-4-12 hexadecimal digits")
        if guid in PLACEHOLDER_GUIDS:
            raise Invalid(
                f"SMBIOS GUID {guid} is a placeholder that many boards share; import {new.name} by its MAC"
            )
    if not macs and guid is None:
        raise Invalid(f"device {new.name} has no MAC and no SMBIOS GUID; give at least one")
    if new.id is not None and new.id < 1:
        raise Invalid(f"device id {new.id} must be 1 or more")
    return Device(new.id or 0, new.name, tuple(macs), guid, new.site or code)


def _identities(device: Device) -> list[str]:
    return [f"mac:{mac}" for mac in device.macs] + ([f"guid:{device.guid}"] if device.guid else [])


def _insert(connection: Connection, wanted: list[tuple[NewDevice, Device]], file: str | None) -> list[Device]:
    devices = [device for _, device in wanted]
    names = _taken(
        connection, schema.device.c.key, schema.device.c.name, [item.name.casefold() for item in devices]
    )
    ids = _taken(
        connection, schema.device.c.id, schema.device.c.name, [item.id for item in devices if item.id]
    )
    macs = _mac_owners(connection, [mac for item in devices for mac in item.macs])
    # A GUID may be on record in the other byte order: both spellings are one machine (W-30).
    both = [text for item in devices if item.guid for text in (item.guid, swapped_guid(item.guid))]
    guids = _taken(connection, schema.device.c.guid, schema.device.c.name, both)
    retired = _taken(
        connection,
        schema.hardware.c.identity,
        schema.hardware.c.device_id,
        [identity for item in devices for identity in _identities(item)],
    )
    number = int(connection.execute(select(schema.hierarchy.c.next_device)).scalar_one())
    done: list[Device] = []
    for new, device in wanted:
        with _located(file, new.line):
            _refuse_taken(device, names, ids, macs, guids)
        former = sorted(
            {retired[identity] for identity in _identities(device) if identity in retired}, reverse=True
        )
        chosen = device.id or next((old for old in former if old not in ids), 0)
        if not chosen:
            chosen = number
        number = max(number, chosen + 1)
        for old in former:
            if old != chosen:
                _inherit(connection, old, chosen)
        numbered = replace(device, id=chosen)
        names[device.name.casefold()] = ids[chosen] = device.name
        macs.update(dict.fromkeys(device.macs, device.name))
        if device.guid:
            guids[device.guid] = device.name
        done.append(numbered)
    connection.execute(update(schema.hierarchy).values(next_device=number))
    connection.execute(
        insert(schema.device),
        [
            {
                "id": item.id,
                "name": item.name,
                "key": item.name.casefold(),
                "guid": item.guid,
                "site": item.site,
                "protected": item.protected,
            }
            for item in done
        ],
    )
    rows = [
        {"mac": mac, "device_id": item.id, "position": position}
        for item in done
        for position, mac in enumerate(item.macs)
    ]
    if rows:
        connection.execute(insert(schema.device_mac), rows)
    return done


def _refuse_taken(
    device: Device, names: dict[Any, Any], ids: dict[Any, Any], macs: dict[Any, Any], guids: dict[Any, Any]
) -> None:
    if device.name.casefold() in names:
        raise AlreadyExists(
            f"device {names[device.name.casefold()]} already exists; remove it first or use another name"
        )
    if device.id in ids:
        raise AlreadyExists(f"device id {device.id} belongs to device {ids[device.id]}")
    for mac in device.macs:
        if mac in macs:
            raise AlreadyExists(f"MAC {mac} belongs to device {macs[mac]}")
    if device.guid:
        for guid in (device.guid, swapped_guid(device.guid)):
            if guid in guids:
                raise AlreadyExists(f"SMBIOS GUID {guid} belongs to device {guids[guid]}")


def _inherit(connection: Connection, old: int, new: int) -> None:
    """Hardware that was two removed devices is one now: what either was given, it was given (I6)."""
    table: Table = schema.ledger
    kept = {
        (row.deployment_id, row.generation)
        for row in connection.execute(select(table).where(table.c.device_id == new))
    }
    for row in connection.execute(select(table).where(table.c.device_id == old)).mappings().all():
        if (row["deployment_id"], row["generation"]) not in kept:
            connection.execute(insert(table).values({**row, "device_id": new}))


def _taken(
    connection: Connection, key: Column[Any], value: Column[Any], wanted: Sequence[object]
) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for part in _chunks(wanted):
        found.update({row[0]: row[1] for row in connection.execute(select(key, value).where(key.in_(part)))})
    return found


def _mac_owners(connection: Connection, wanted: Sequence[str]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    m, d = schema.device_mac.c, schema.device.c
    for part in _chunks(wanted):
        query = select(m.mac, d.name).join_from(schema.device_mac, schema.device).where(m.mac.in_(part))
        found.update({row[0]: row[1] for row in connection.execute(query)})
    return found


def _chunks(items: Sequence[object]) -> Iterable[Sequence[object]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
