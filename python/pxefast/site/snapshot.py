"""The snapshot: the whole site as one immutable value to decide from.

Loading is a fixed number of bulk reads in one transaction, whatever the number of devices. What many devices have in
common (their deployments, an armed mark, a site's code) is one object, and what one device is found by is another.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, union

from pxefast.decide.records import BootImage, Deployment, Device, Site, swapped_guid
from pxefast.site import schema
from pxefast.site.boot_images import read_boot_images
from pxefast.site.distribution_points import read_distribution_point
from pxefast.site.grounds import read_own
from pxefast.site.learned_windows import read_windows
from pxefast.site.policy import read_placeholders, read_policy
from pxefast.site.sightings import read_seen
from pxefast.site.snapshot_marks import read_marks
from pxefast.site.store import Store

__all__ = ["load"]

_PREFERRED = "smstspreferredadvertid"


def load(
    store: Store, dp_name: str, distributed: Mapping[str, Mapping[str, str]], session_seconds: float
) -> Site:
    """The hierarchy as distribution point `dp_name` sees it now. Raises NotFound, CannotOpen or SiteError.

    `distributed` holds the ids of the boot images in its content library, with the boot programs that are found there
    and not named by the site: those of kind windows-pe. `Site.marks`, `Site.live` and `Site.launches` are
    plain dictionaries: whoever claims keeps them up to date. They may lag; the ledger decides.
    """
    with store.read() as connection, _uncollected():
        dp = read_distribution_point(connection, dp_name)
        devices = _devices(connection, dp.site)
        policy = read_policy(connection).decision
        marks = read_marks(connection, devices.numbers, policy.launch_settles_hours, time.time())
        duplicates = set(connection.execute(select(schema.duplicate_identity.c.identity)).scalars())
        duplicate_guids = {text[5:] for text in duplicates if text.startswith("guid:")}
        placeholders = read_placeholders(connection)
        duplicate_macs = frozenset(text[4:] for text in duplicates if text.startswith("mac:"))
        return Site(
            dp=dp,
            devices_by_mac=devices.by_mac,
            devices_by_guid=devices.by_guid,
            unknown=devices.unknown,
            boot_images={
                row.id: BootImage(
                    row.id,
                    row.name,
                    row.architecture,
                    row.programs or distributed.get(row.id, {}),
                    row.pxe_enabled,
                    row.id in distributed,
                    row.launch_file,
                    row.kind,
                )
                for row in read_boot_images(connection)
            },
            marks=marks.newest,
            live=marks.live,
            hardware=dict(
                connection.execute(select(schema.hardware.c.identity, schema.hardware.c.device_id)).all()
            ),
            session_seconds=float(session_seconds),
            duplicate_macs=duplicate_macs,
            duplicate_guids=frozenset(duplicate_guids | {swapped_guid(guid) for guid in duplicate_guids}),
            own=frozenset(text.partition(":")[2] for text in read_own(connection, placeholders)),
            policy=policy,
            windows=read_windows(connection),
            placeholders=placeholders,
            seen=read_seen(connection, devices.by_mac, devices.by_guid, duplicate_macs, time.time()),
            launches=marks.launches,
        )


class _Devices(NamedTuple):
    """Devices by MAC and by GUID, one site's unknown computer objects by architecture, and each id's one integer."""

    by_mac: dict[str, Device]
    by_guid: dict[str, Device]
    unknown: dict[str, Device]
    numbers: dict[int, int]


class _Reach(NamedTuple):
    """What a set of collections brings to its members: deployments, the highest id first, and the preferred one."""

    deployments: tuple[Deployment, ...]
    preferred: str | None


_NOTHING = _Reach((), None)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector, which would look at each of a million new objects many times over."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _devices(connection: Connection, site: str) -> _Devices:
    d, m, v = schema.device.c, schema.device_mac.c, schema.device_variable.c
    macs: dict[int, tuple[str, ...]] = {}
    for number, mac in connection.execute(select(m.device_id, m.mac).order_by(m.position)):
        macs[number] = (*macs[number], mac) if number in macs else (mac,)
    reach = _reach(connection)
    own = {number: _id(value) for number, value in connection.execute(
        select(v.device_id, v.value).where(v.key == _PREFERRED)
    )}  # fmt: skip
    found = _Devices({}, {}, {}, {})
    by_mac, by_guid, unknown, numbers = found
    codes: dict[str, str] = {}
    query = select(d.id, d.name, d.guid, d.site, d.protected, d.unknown_architecture)
    for number, name, guid, code, protected, architecture in connection.execute(query):
        deployments, preferred = reach.get(number, _NOTHING)
        device = Device(
            number,
            name,
            macs.get(number, ()),
            guid,
            codes.setdefault(code, code),
            protected,
            deployments,
            own.get(number, preferred),
        )
        numbers[number] = number
        if architecture is not None:
            if code == site:
                unknown[architecture] = device
            continue
        for mac in device.macs:
            by_mac[mac] = device
        if guid is not None:
            by_guid[guid] = device
    return found


def _reach(connection: Connection) -> dict[int, _Reach]:
    """What each device gets by its collections; devices of the same ones share it."""
    by_collection = _by_collection(connection)
    m, d, v = schema.collection_member.c, schema.deployment.c, schema.collection_variable.c
    preferred = {
        collection: _id(value)
        for collection, value in connection.execute(
            select(v.collection_id, v.value).where(v.key == _PREFERRED)
        )
    }
    bringing = union(select(d.collection_id), select(v.collection_id).where(v.key == _PREFERRED))
    memberships: dict[int, tuple[str, ...]] = {}
    known: dict[str, tuple[str, ...]] = {}
    members = select(m.device_id, m.collection_id).where(m.collection_id.in_(bringing))
    for number, collection in connection.execute(members):
        if number in memberships:
            memberships[number] = (*memberships[number], collection)
        else:
            memberships[number] = known.setdefault(collection, (collection,))
    shared: dict[tuple[str, ...], _Reach] = {}
    reach: dict[int, _Reach] = {}
    for number, collections in memberships.items():
        if collections not in shared:
            ordered = tuple(sorted(collections))
            shared[collections] = shared.setdefault(ordered, _joined(ordered, by_collection, preferred))
        reach[number] = shared[collections]
    return reach


def _joined(
    collections: tuple[str, ...],
    by_collection: Mapping[str, list[Deployment]],
    preferred: Mapping[str, str],
) -> _Reach:
    together = [deployment for collection in collections for deployment in by_collection.get(collection, ())]
    # Of several collections' variables, that of the highest id counts.
    wanted = [preferred[collection] for collection in collections if collection in preferred]
    return _Reach(
        tuple(sorted(together, key=lambda deployment: deployment.id, reverse=True)),
        wanted[-1] if wanted else None,
    )


def _by_collection(connection: Connection) -> dict[str, list[Deployment]]:
    d, t = schema.deployment.c, schema.task_sequence.c
    columns = (d.id, t.id, t.boot_image_id, d.collection_id, d.purpose, d.audience, d.enabled)
    query = select(*columns, d.available_at, d.expires_at, d.created_at)
    rows: Iterable[Any] = connection.execute(query.join_from(schema.deployment, schema.task_sequence))
    by_collection: dict[str, list[Deployment]] = {}
    for row in rows:
        deployment = Deployment(*row)
        by_collection.setdefault(deployment.collection_id, []).append(deployment)
    return by_collection


def _id(value: str) -> str:
    """A deployment id as a person wrote it into a variable."""
    return value.strip().upper()
