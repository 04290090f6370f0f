"""Sightings: which MAC addresses an SMBIOS GUID was seen with, in the whole hierarchy, within 90 days (D29).

A GUID that was seen with a MAC address that is neither recorded for its device nor on the list of duplicates is
suspect: two machines may have it. The rows are bounded for each GUID and in all.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from pxefast.decide.records import Device, swapped_guid
from pxefast.site import schema
from pxefast.site.device_rows import read_devices
from pxefast.site.ledger_rows import chunks

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = [
    "KEPT_SECONDS",
    "REFRESH_SECONDS",
    "Seen",
    "Sighting",
    "Sightings",
    "Suspect",
    "guid_key",
    "read_seen",
    "seen_with",
]

# How long a sighting counts, and how old a row may be before it is written again.
KEPT_SECONDS = 90 * 86400.0
REFRESH_SECONDS = 3600.0
# Rows of one GUID: two foreign MAC addresses already say everything. Beyond so many rows in all, GUIDs of machines
# without a record are no longer kept.
_MOST_OF_GUID = 16
_MOST = 250_000

_S = schema.sighting.c


class Sighting(NamedTuple):
    """A MAC address that an SMBIOS GUID came with, and when (Unix seconds). Both are canonical."""

    guid: str
    mac: str
    at: float


class Seen(NamedTuple):
    """A MAC address that a suspect GUID was seen with; times in Unix seconds. `recorded`: it is its device's."""

    mac: str
    recorded: bool
    first_at: float
    last_at: float
    distribution_point: str


class Suspect(NamedTuple):
    """A device whose GUID another machine may have as well; `seen` has the newest sighting first."""

    device: str
    guid: str
    macs: tuple[str, ...]
    seen: tuple[Seen, ...]


class Sightings:
    """The sightings of a hierarchy."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def note(self, sightings: Sequence[Sighting], now: float | None = None) -> int:
        """Keep sightings and forget those of 90 days ago; return how many rows were added.

        A pair that is known is written again once an hour at most; where nothing is to be written, nothing is locked.
        """
        at = time.time() if now is None else now
        wanted = {(guid_key(each.guid), each.mac): each.at for each in sightings}
        with self._store.read() as connection:
            oldest = connection.execute(select(func.min(_S.last_at))).scalar()
            known = _known(connection, wanted)
        stale = [key for key, when in wanted.items() if when - known.get(key, 0.0) > REFRESH_SECONDS]
        if not stale and (oldest is None or at - oldest <= KEPT_SECONDS):
            return 0
        with self._store.record() as connection:
            connection.execute(delete(schema.sighting).where(_S.last_at < at - KEPT_SECONDS))
            return _write(connection, {key: wanted[key] for key in stale}, self._store.point)

    def suspects(self, now: float | None = None) -> list[Suspect]:
        """Return the devices whose GUID is suspect, by name."""
        at = time.time() if now is None else now
        with self._store.read() as connection:
            devices = [device for device in read_devices(connection) if device.guid is not None]
            duplicates = set(connection.execute(select(schema.duplicate_identity.c.identity)).scalars())
            query = select(_S.guid, _S.mac, _S.first_at, _S.last_at, _S.distribution_point)
            rows: dict[str, list[tuple[str, float, float, str]]] = {}
            for guid, mac, first_at, last_at, point in connection.execute(
                query.where(_S.last_at >= at - KEPT_SECONDS)
            ):
                if f"mac:{mac}" not in duplicates:
                    rows.setdefault(guid, []).append((mac, first_at, last_at, point))
        found = []
        for device in devices:
            guid = device.guid or ""
            if f"guid:{guid}" in duplicates or f"guid:{swapped_guid(guid)}" in duplicates:
                continue
            seen = [Seen(row[0], row[0] in device.macs, *row[1:]) for row in rows.get(guid_key(guid), ())]
            foreign = sum(not each.recorded for each in seen)
            if foreign >= (1 if device.macs else 2):
                seen.sort(key=lambda each: (-each.last_at, each.mac))
                found.append(Suspect(device.name, guid, device.macs, tuple(seen)))
        return sorted(found, key=lambda suspect: suspect.device.casefold())


def guid_key(guid: str) -> str:
    """Return the spelling that a GUID is kept under: the lesser of its two byte orders (W-30)."""
    return min(guid, swapped_guid(guid))


def seen_with(connection: Connection, guids: Collection[str], now: float) -> dict[str, dict[str, float]]:
    """Return the MAC addresses that each of these GUIDs was seen with within 90 days, and when last."""
    spelled = {guid_key(guid): guid for guid in guids}
    found: dict[str, dict[str, float]] = {}
    for part in chunks(spelled):
        for guid, mac, at in connection.execute(_OF_GUIDS, {"keys": part, "since": now - KEPT_SECONDS}):
            found.setdefault(spelled[guid], {})[mac] = at
    return found


def read_seen(
    connection: Connection,
    by_mac: Mapping[str, Device],
    by_guid: Mapping[str, Device],
    duplicates: Collection[str],
    now: float,
) -> dict[int, dict[str, float]]:
    """Return `Site.seen`: of each device with a foreign MAC address, every address that its GUID was seen with.

    One read, whatever the number of devices. `duplicates` are MAC addresses on the list of duplicates.
    """
    found: dict[int, dict[str, float]] = {}
    for guid, mac, at in connection.execute(_SUSPECTS, {"since": now - KEPT_SECONDS}):
        device = by_guid.get(guid) or by_guid.get(swapped_guid(guid))
        if device is not None and mac not in duplicates:
            found.setdefault(device.id, {})[mac] = at
    return {
        number: macs for number, macs in found.items() if any(_foreign(by_mac, number, mac) for mac in macs)
    }


def _foreign(by_mac: Mapping[str, Device], number: int, mac: str) -> bool:
    device = by_mac.get(mac)
    return device is None or device.id != number


def _known(connection: Connection, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """When each pair of these GUIDs was last written."""
    found: dict[tuple[str, str], float] = {}
    for part in chunks([guid for guid, _ in wanted]):
        rows = connection.execute(_OF_GUIDS, {"keys": part, "since": 0.0})
        found.update({(guid, mac): at for guid, mac, at in rows})
    return found


def _write(connection: Connection, stale: Mapping[tuple[str, str], float], point: str) -> int:
    known = _known(connection, stale)
    devices = _guids_of_devices(connection, [guid for guid, _ in stale])
    total = int(connection.execute(select(func.count()).select_from(schema.sighting)).scalar_one())
    of_guid: dict[str, int] = {}
    for guid, _ in known:
        of_guid[guid] = of_guid.get(guid, 0) + 1
    old, new = [], []
    for (guid, mac), at in stale.items():
        if (guid, mac) in known:
            old.append({"row_guid": guid, "row_mac": mac, "at": at, "point": point})
            continue
        if of_guid.get(guid, 0) >= _MOST_OF_GUID or (total >= _MOST and guid not in devices):
            continue
        of_guid[guid] = of_guid.get(guid, 0) + 1
        total += 1
        new.append({"guid": guid, "mac": mac, "first_at": at, "last_at": at, "distribution_point": point})
    if old:
        connection.execute(_AGAIN, old)
    if new:
        connection.execute(insert(schema.sighting), new)
    return len(new)


def _guids_of_devices(connection: Connection, guids: Collection[str]) -> set[str]:
    """Those of the GUIDs, as they are kept, that a device has."""
    spelled = {spelling: guid for guid in guids for spelling in (guid, swapped_guid(guid))}
    column = schema.device.c.guid
    found: set[str] = set()
    for part in chunks(spelled):
        found.update(
            spelled[guid] for guid in connection.execute(select(column).where(column.in_(part))).scalars()
        )
    return found


_OF_GUIDS = select(_S.guid, _S.mac, _S.last_at).where(
    _S.guid.in_(bindparam("keys", expanding=True)), _S.last_at >= bindparam("since")
)


def _suspects() -> Select[Any]:
    """Every pair of those GUIDs that came with a MAC address which is not recorded for their device.

    The database leaves out the many pairs that are as they should be; Python would take as long for them as for
    loading the devices.
    """
    pair, d, m = schema.sighting.alias(), schema.device.c, schema.device_mac.c
    guid = pair.c.guid

    def part(*place: int) -> ColumnElement[str]:
        return func.substr(guid, *place, type_=String())

    swapped = (
        part(7, 2) + part(5, 2) + part(3, 2) + part(1, 2) + "-"
        + part(12, 2) + part(10, 2) + "-" + part(17, 2) + part(15, 2) + part(19)
    )  # fmt: skip
    recorded = exists().where(m.mac == pair.c.mac, m.device_id == d.id)
    foreign = (
        select(guid)
        .join_from(pair, schema.device, d.guid.in_([guid, swapped]))
        .where(pair.c.last_at >= bindparam("since"), ~recorded)
    )
    return select(_S.guid, _S.mac, _S.last_at).where(_S.last_at >= bindparam("since"), _S.guid.in_(foreign))


_SUSPECTS = _suspects()
_AGAIN = (
    update(schema.sighting)
    .where(_S.guid == bindparam("row_guid"), _S.mac == bindparam("row_mac"))
    .values(last_at=bindparam("at"), distribution_point=bindparam("point"))
)
