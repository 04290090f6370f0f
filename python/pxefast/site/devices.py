"""Devices: the machines the site knows, by name, MAC addresses and SMBIOS GUID."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select, update

from pxefast.decide.records import Device
from pxefast.errors import AlreadyExists, Invalid
from pxefast.site import rules, schema
from pxefast.site.device_import import CONFLICTS, OnConflict, insert_devices
from pxefast.site.device_rows import (
    NewDevice,
    check_device_name,
    checked,
    checked_mac,
    device_names,
    find_device,
    identities,
    located,
    read_devices,
)
from pxefast.site.names import site_code
from pxefast.site.policy import read_policy
from pxefast.site.variables import Variables

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["CONFLICTS", "Devices", "NewDevice", "OnConflict", "device_names", "find_device", "read_devices"]


class Devices:
    """The devices of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.variables = Variables(store, "device")

    def add(self, device: NewDevice, on_conflict: OnConflict | None = None) -> Device:
        """Import one device. Raises Invalid, AlreadyExists or NotFound."""
        return self.add_many([device], on_conflict=on_conflict)[0]

    def add_many(
        self, devices: Sequence[NewDevice], file: str | None = None, on_conflict: OnConflict | None = None
    ) -> list[Device]:
        """Import devices, all or none of them; what they are now, in their order.

        `on_conflict` None is the hierarchy's setting (CM-66). An error names `file` and the device's line where they
        are given.
        """
        wanted: list[tuple[NewDevice, Device]] = []
        for new in devices:
            with located(file, new.line):
                wanted.append((new, checked(new)))
        subject = devices[0].name if len(devices) == 1 else f"{len(devices)} devices"
        with self._store.write("device import", subject) as connection:
            conflicts = on_conflict or read_policy(connection).conflicting_records
            return insert_devices(connection, wanted, self._store.code, conflicts, file)

    def all(self) -> list[Device]:
        """All devices with a record, by name."""
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
            return sorted(connection.execute(query.where(m.device_id == device.id)).scalars())

    def states(self, name: str) -> dict[str, str]:
        """The state of the newest generation of each deployment that the ledger has of a device."""
        k = schema.ledger.c
        with self._store.read() as connection:
            device = find_device(connection, name)
            query = select(k.deployment_id, k.state).where(k.device_id == device.id)
            rows = connection.execute(query.order_by(k.deployment_id, k.generation)).all()
            return dict(rows)

    def set(
        self,
        name: str,
        *,
        site: str | None = None,
        protected: bool | None = None,
        new_name: str | None = None,
        add_macs: Sequence[str] = (),
    ) -> Device:
        """Change a device; None leaves a field as it is. Raises Invalid, AlreadyExists or NotFound.

        `add_macs` are MAC addresses, in any usual spelling, that its record gets in addition.
        """
        macs = tuple(checked_mac(text) for text in add_macs)
        wanted = (
            ("site", site),
            ("protected", protected),
            ("name", new_name),
            ("add_macs", ",".join(macs) or None),
        )
        words = (f"{field}={value}" for field, value in wanted if value is not None)
        d = schema.device.c
        with self._store.write("device set", " ".join((name, *words))) as connection:
            device = _changeable(connection, name)
            if macs:
                device = _with_macs(connection, device, macs)
            values: dict[str, object] = {}
            if site is not None:
                values["site"] = site_code(connection, site, device.site)
            if protected is not None:
                values["protected"] = protected
            if new_name is not None:
                check_device_name(new_name)
                taken = select(d.name).where(d.key == new_name.casefold(), d.id != device.id)
                if connection.execute(taken).first() is not None:
                    raise AlreadyExists(f"device {new_name} already exists; use another name")
                values |= {"name": new_name, "key": new_name.casefold()}
            if values:
                connection.execute(update(schema.device).where(d.id == device.id).values(values))
            rules.refresh(connection, devices=[device.id])
            return next(read_devices(connection, [device.id]))

    def remove(self, name: str) -> Device:
        """Remove a device, its memberships and its variables.

        Its ledger rows stay, and count again if the hardware comes back.
        """
        h = schema.hardware
        with self._store.write("device remove", name) as connection:
            device = _changeable(connection, name)
            names = identities(device)
            connection.execute(delete(h).where(h.c.identity.in_(names)))
            if names:
                connection.execute(insert(h), [{"identity": text, "device_id": device.id} for text in names])
            connection.execute(delete(schema.device).where(schema.device.c.id == device.id))
            return device


def _with_macs(connection: Connection, device: Device, macs: Sequence[str]) -> Device:
    """Record more MAC addresses for a device; what that hardware was given without a record, it was given (I6)."""
    m, d = schema.device_mac.c, schema.device.c
    query = select(m.mac, d.name).join_from(schema.device_mac, schema.device)
    taken = connection.execute(query.where(m.mac.in_(macs), d.id != device.id).order_by(m.mac)).first()
    if taken is not None:
        raise AlreadyExists(
            f"cannot add MAC {taken.mac} to device {device.name}: it is recorded for device {taken.name}; look at both "
            f"machines, then remove the record that is wrong: pxefast device remove {quote(taken.name)}"
        )
    new = NewDevice(device.name, tuple(macs))
    (merged,) = insert_devices(connection, [(new, checked(new))], device.site, "merge", None)
    return merged


def _changeable(connection: Connection, name: str) -> Device:
    device = find_device(connection, name)
    if device.id >= schema.FIRST_UNKNOWN:
        raise Invalid(f"{device.name!r} is built in: it stands for machines without a record")
    return device
