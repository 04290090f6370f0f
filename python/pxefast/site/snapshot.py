"""The snapshot: the whole site as one immutable value to decide from, and a watcher that says when it is old.

Loading is a fixed number of bulk reads in one transaction, whatever the number of devices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select

from pxefast.decide.records import BootImage, Deployment, Device, Mark, Site
from pxefast.site import schema
from pxefast.site.boot_images import read_boot_images
from pxefast.site.collections import ALL_UNKNOWN_COMPUTERS
from pxefast.site.devices import read_devices
from pxefast.site.distribution_points import read_distribution_point
from pxefast.site.store import Store

__all__ = ["Watcher", "load", "read_marks"]


def load(store: Store, distributed: Collection[str], session_seconds: float) -> Site:
    """The site as it is now. `distributed` holds the ids of the boot images in this content library.

    `Site.marks` is a plain dictionary: whoever claims keeps it up to date. It may lag; the ledger decides.
    """
    with store.read() as connection:
        by_mac: dict[str, Device] = {}
        by_guid: dict[str, Device] = {}
        for device in read_devices(connection):
            for mac in device.macs:
                by_mac[mac] = device
            if device.guid is not None:
                by_guid[device.guid] = device
        images = {
            row.id: BootImage(
                row.id, row.name, row.architecture, row.programs, row.pxe_enabled, row.id in distributed
            )
            for row in read_boot_images(connection)
        }
        by_collection = _by_collection(connection)
        return Site(
            dp=read_distribution_point(connection),
            devices_by_mac=by_mac,
            devices_by_guid=by_guid,
            deployments_by_device=_by_device(connection, by_collection),
            unknown_deployments=_unknown(by_collection),
            boot_images=images,
            marks=read_marks(connection),
            session_seconds=session_seconds,
        )


def read_marks(connection: Connection) -> dict[tuple[int, str], Mark]:
    """The newest claim of each (device id, deployment id); none where the newest generation waits for one."""
    c = schema.ledger.c
    query = select(
        c.device_id,
        c.deployment_id,
        c.generation,
        c.state,
        c.claimed_at,
        c.step,
        c.xid,
        c.session,
        c.stepped_at,
    ).order_by(c.device_id, c.deployment_id, c.generation)
    marks: dict[tuple[int, str], Mark] = {}
    for device_id, deployment_id, generation, state, *fields in connection.execute(query):
        if state == "CLAIMED":
            marks[device_id, deployment_id] = Mark(deployment_id, generation, *fields)
        else:
            marks.pop((device_id, deployment_id), None)
    return marks


class Watcher:
    """Notices changes that other connections made to the site, cheaply enough to ask many times a second.

    Make it before the snapshot: what changes in between is then noticed.
    """

    def __init__(self, store: Store) -> None:
        self._connection = store.watch()
        self._data_version = self._read("PRAGMA data_version")
        self._revision = self._read("SELECT revision FROM site")

    def changed(self) -> bool:
        """True once for each change since the last call; claims are none."""
        data_version = self._read("PRAGMA data_version")
        if data_version == self._data_version:
            return False
        self._data_version = data_version
        revision = self._read("SELECT revision FROM site")
        if revision == self._revision:
            return False
        self._revision = revision
        return True

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()

    def _read(self, statement: str) -> int:
        # In autocommit: an open read transaction would hide every change made after it began.
        return int(self._connection.execute(statement).fetchone()[0])


def _by_collection(connection: Connection) -> dict[str, list[Deployment]]:
    d, t = schema.deployment.c, schema.task_sequence.c
    query = select(d.id, t.id, t.boot_image_id, d.collection_id, d.purpose, d.audience).join_from(
        schema.deployment, schema.task_sequence
    )
    by_collection: dict[str, list[Deployment]] = {}
    for row in connection.execute(query.order_by(d.id.desc())):
        deployment = Deployment(*row)
        by_collection.setdefault(deployment.collection_id, []).append(deployment)
    return by_collection


def _unknown(by_collection: Mapping[str, list[Deployment]]) -> dict[str, tuple[Deployment, ...]]:
    """One unknown computer object an architecture, all in the one built-in collection (CM-92)."""
    deployments = tuple(by_collection.get(ALL_UNKNOWN_COMPUTERS, ()))
    return dict.fromkeys(("x86", "x64", "arm64"), deployments)


def _by_device(
    connection: Connection, by_collection: Mapping[str, list[Deployment]]
) -> dict[int, tuple[Deployment, ...]]:
    m = schema.collection_member.c
    memberships: dict[int, tuple[str, ...]] = {}
    if by_collection:
        members = (
            select(m.device_id, m.collection_id)
            .where(m.collection_id.in_(by_collection))
            .order_by(m.device_id, m.collection_id)
        )
        for device_id, collection_id in connection.execute(members):
            memberships[device_id] = (*memberships.get(device_id, ()), collection_id)
    # Devices of the same collections share one tuple, the highest id first.
    shared: dict[tuple[str, ...], tuple[Deployment, ...]] = {}
    for collections in set(memberships.values()):
        together = [deployment for collection in collections for deployment in by_collection[collection]]
        shared[collections] = tuple(sorted(together, key=lambda deployment: deployment.id, reverse=True))
    return {device_id: shared[collections] for device_id, collections in memberships.items()}
