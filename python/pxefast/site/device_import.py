"""The way of devices into the site: checked, all or none of them, and what happens where records conflict (CM-66)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from sqlalchemy import Column, Connection, bindparam, delete, insert, select, tuple_, update

from pxefast.decide.records import Device, swapped_guid
from pxefast.errors import AlreadyExists, Invalid
from pxefast.site import rules, schema
from pxefast.site.arming import inherit
from pxefast.site.device_rows import NewDevice, check_guid, identities, located, read_devices
from pxefast.site.names import chunks, listed, site_code
from pxefast.site.policy import read_placeholders

__all__ = ["CONFLICTS", "OnConflict", "insert_devices"]

# What to do about a device whose name, MAC or GUID is another record's: refuse it, make it one with that record, or
# give it the identifiers of the others.
OnConflict = Literal["block", "merge", "new"]
CONFLICTS: tuple[OnConflict, ...] = get_args(OnConflict)


def insert_devices(
    connection: Connection,
    wanted: Sequence[tuple[NewDevice, Device]],
    default_site: str,
    on_conflict: OnConflict,
    file: str | None,
) -> list[Device]:
    """Put checked devices into the site as they were decided on, in their order."""
    placeholders = read_placeholders(connection)
    for new, device in wanted if placeholders else ():
        with located(file, new.line):
            check_guid(device.guid or "", device.name, placeholders)
    batch = _Batch(connection, [device for _, device in wanted])
    done: list[Device] = []
    for new, device in wanted:
        with located(file, new.line):
            site = site_code(connection, device.site, default_site) if device.site else default_site
            done.append(batch.take(replace(device, site=site), on_conflict, moves=bool(device.site)))
    batch.write()
    _insert_variables(connection, wanted, done, batch.merged)
    rules.refresh(connection, devices=[device.id for device in done])
    _add_to_collections(connection, wanted, done, file)
    return done


class _Batch:
    """The devices of one import, decided on one after the other and written together."""

    def __init__(self, connection: Connection, devices: Sequence[Device]) -> None:
        self._connection = connection
        d, m, h = schema.device.c, schema.device_mac.c, schema.hardware.c
        # A GUID may be on record in the other byte order: both spellings are one machine (W-30).
        guids = [text for item in devices if item.guid for text in (item.guid, swapped_guid(item.guid))]
        self._by_name = _lookup(connection, d.key, d.id, [item.name.casefold() for item in devices])
        self._by_mac = _lookup(connection, m.mac, m.device_id, [mac for item in devices for mac in item.macs])
        self._by_guid = _lookup(connection, d.guid, d.id, guids)
        self._former = _lookup(
            connection, h.identity, h.device_id, [text for item in devices for text in _spellings(item)]
        )
        asked = [item.id for item in devices if item.id]
        hits = (*self._by_name.values(), *self._by_mac.values(), *self._by_guid.values())
        self._known = _records(connection, list({*asked, *hits, *self._former.values()}))
        used = schema.ledger.c.device_id
        self._used = {
            *_lookup(connection, used, used, asked),
            *_lookup(connection, h.device_id, h.device_id, asked),
        }
        self._next = int(connection.execute(select(schema.hierarchy.c.next_device)).scalar_one())
        self._added: list[Device] = []
        self._added_ids: set[int] = set()
        self._merged: dict[int, Device] = {}
        self._left: dict[str, int] = {}
        self._inherited: list[tuple[int, int]] = []

    @property
    def merged(self) -> Collection[int]:
        """The ids of records that were there before."""
        return self._merged.keys()

    def take(self, device: Device, on_conflict: OnConflict, moves: bool) -> Device:
        """Decide on one device; what it will be. `moves`: its site was asked for. Raises AlreadyExists or Invalid."""
        hits = self._hits(device)
        if not hits:
            return self._add(device, [])
        fresh = next(
            (owner for owner in hits.values() if owner in self._added_ids or owner in self._merged), None
        )
        if on_conflict == "block" or fresh is not None:
            what, owner = next(iter(hits.items()))
            advice = (
                "; import it with --on-conflict merge or new, or remove that first" if fresh is None else ""
            )
            raise AlreadyExists(f"{what} belongs to device {self._known[owner].name}{advice}")
        if on_conflict == "new":
            return self._replace(device, hits)
        owners = set(hits.values())
        if len(owners) > 1:
            told = listed(f"{what} belongs to {self._known[owner].name}" for what, owner in hits.items())
            raise AlreadyExists(
                f"{device.name} cannot be merged into two records: {told}; remove one of them first"
            )
        return self._merge(device, self._known[owners.pop()], moves)

    def write(self) -> None:
        """Write what was decided."""
        connection, d, m = self._connection, schema.device, schema.device_mac
        merged = [
            {
                "wanted": item.id,
                "name": item.name,
                "key": item.name.casefold(),
                "guid": item.guid,
                "site": item.site,
            }
            for item in self._merged.values()
        ]
        if merged:
            values: dict[str, Any] = {column: bindparam(column) for column in ("name", "key", "guid", "site")}
            connection.execute(update(d).where(d.c.id == bindparam("wanted")).values(values), merged)
        for ids in chunks(list(self._merged)):
            connection.execute(delete(m).where(m.c.device_id.in_(ids)))
        if self._added:
            connection.execute(insert(d), [_row(item) for item in self._added])
        present = [*self._added, *self._merged.values()]
        macs = [
            {"mac": mac, "device_id": item.id, "position": position}
            for item in present
            for position, mac in enumerate(item.macs)
        ]
        if macs:
            connection.execute(insert(m), macs)
        hardware = schema.hardware
        found = (text for item in present for text in _spellings(item) if text in self._former)
        for texts in chunks([*self._left, *found]):
            connection.execute(delete(hardware).where(hardware.c.identity.in_(texts)))
        if self._left:
            left = [{"identity": text, "device_id": number} for text, number in self._left.items()]
            connection.execute(insert(hardware), left)
        connection.execute(update(schema.hierarchy).values(next_device=self._next))
        for old, new in self._inherited:
            inherit(connection, old, new)

    def _hits(self, device: Device) -> dict[str, int]:
        """What the site has already: the words for it, and the id of the record that it belongs to."""
        hits: dict[str, int] = {}
        if device.name.casefold() in self._by_name:
            hits[f"name {device.name}"] = self._by_name[device.name.casefold()]
        if device.id in self._known:
            hits[f"device id {device.id}"] = device.id
        for mac in device.macs:
            if mac in self._by_mac:
                hits[f"MAC {mac}"] = self._by_mac[mac]
        for guid in (device.guid, swapped_guid(device.guid)) if device.guid else ():
            if guid in self._by_guid:
                hits[f"SMBIOS GUID {guid}"] = self._by_guid[guid]
        return hits

    def _add(self, device: Device, took_from: Sequence[int]) -> Device:
        """A new record. Hardware that had a number before keeps it, and all that it was given (I6)."""
        former = sorted(self._formers(device), reverse=True)
        if device.id in self._used and device.id not in former:
            raise AlreadyExists(
                f"device id {device.id} was another machine's, whose history it keeps; use another"
            )
        number = device.id or next((old for old in former if old not in self._known), 0) or self._next
        self._next = max(self._next, number + 1)
        device = replace(device, id=number)
        self._inherited += [(old, number) for old in (*former, *took_from) if old != number]
        self._added.append(device)
        self._added_ids.add(number)
        self._remember(device)
        return device

    def _replace(self, device: Device, hits: dict[str, int]) -> Device:
        """The identifiers leave their old records, and the history of the hardware comes with them."""
        owners: dict[int, list[str]] = {}
        for what, owner in hits.items():
            if what.startswith(("name ", "device id ")):
                raise AlreadyExists(
                    f"{what} belongs to device {self._known[owner].name}; use another, or merge"
                )
            owners.setdefault(owner, []).append(what)
        for owner in owners:
            old = self._known[owner]
            same_guid = device.guid is not None and old.guid in (device.guid, swapped_guid(device.guid))
            macs = tuple(mac for mac in old.macs if mac not in device.macs)
            left = replace(old, macs=macs, guid=None if same_guid else old.guid)
            self._merged[owner] = self._known[owner] = left
        return self._add(device, list(owners))

    def _merge(self, device: Device, old: Device, moves: bool) -> Device:
        """The record gets the new name and identifiers, and keeps the MACs that it had."""
        if device.id and device.id != old.id:
            raise Invalid(f"device {old.name} has the id {old.id}; it cannot become {device.id}")
        merged = replace(
            old,
            name=device.name,
            macs=tuple(dict.fromkeys((*old.macs, *device.macs))),
            guid=device.guid or old.guid,
            site=device.site if moves else old.site,
        )
        if old.guid and old.guid != merged.guid:
            self._left[f"guid:{old.guid}"] = old.id
        self._inherited += [(number, old.id) for number in sorted(self._formers(device) - {old.id})]
        self._merged[old.id] = merged
        self._remember(merged)
        return merged

    def _formers(self, device: Device) -> set[int]:
        """The numbers that this hardware had without a record."""
        return {self._former[text] for text in _spellings(device) if text in self._former}

    def _remember(self, device: Device) -> None:
        self._known[device.id] = device
        self._by_name[device.name.casefold()] = device.id
        self._by_mac.update(dict.fromkeys(device.macs, device.id))
        if device.guid:
            self._by_guid[device.guid] = device.id


def _spellings(device: Device) -> list[str]:
    """A device's identities, a GUID in both of its byte orders."""
    return identities(device) + ([f"guid:{swapped_guid(device.guid)}"] if device.guid else [])


def _records(connection: Connection, ids: Sequence[int]) -> dict[int, Device]:
    found: dict[int, Device] = {}
    for part in chunks(ids):
        found.update((device.id, device) for device in read_devices(connection, part))
    return found


def _lookup(
    connection: Connection, key: Column[Any], value: Column[Any], wanted: Sequence[object]
) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for part in chunks(wanted):
        found.update((row[0], row[1]) for row in connection.execute(select(key, value).where(key.in_(part))))
    return found


def _row(device: Device) -> dict[str, object]:
    return {
        "id": device.id,
        "name": device.name,
        "key": device.name.casefold(),
        "guid": device.guid,
        "site": device.site,
        "protected": device.protected,
    }


def _insert_variables(
    connection: Connection,
    wanted: Sequence[tuple[NewDevice, Device]],
    done: Sequence[Device],
    merged: Collection[int],
) -> None:
    v = schema.device_variable
    rows = {
        (device.id, name.strip().casefold()): {"name": name.strip(), "value": value, "secret": False}
        for (new, _), device in zip(wanted, done, strict=True)
        for name, value in new.variables
    }
    for part in chunks([row for row in rows if row[0] in merged], 450):
        connection.execute(delete(v).where(tuple_(v.c.device_id, v.c.key).in_(part)))
    if rows:
        connection.execute(
            insert(v), [{"device_id": number, "key": key, **row} for (number, key), row in rows.items()]
        )


def _add_to_collections(
    connection: Connection,
    wanted: Sequence[tuple[NewDevice, Device]],
    done: Sequence[Device],
    file: str | None,
) -> None:
    ids: dict[str, str] = {}
    into: dict[str, list[int]] = {}
    for (new, _), device in zip(wanted, done, strict=True):
        for name in new.collections:
            if name not in ids:
                with located(file, new.line):
                    ids[name] = rules.changeable_collection(connection, name).id
            into.setdefault(ids[name], []).append(device.id)
    for collection, members in into.items():
        rules.refresh(connection, [collection], rules.add_direct(connection, collection, members))
