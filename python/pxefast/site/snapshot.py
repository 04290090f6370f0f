"""The snapshot: the whole site as one immutable value to decide from.

Loading is a fixed number of bulk reads in one transaction, whatever the number of devices.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, Table, select

from pxefast.decide.records import BootImage, Deployment, Device, Mark, Site
from pxefast.site import schema
from pxefast.site.boot_images import read_boot_images
from pxefast.site.distribution_points import read_distribution_point
from pxefast.site.policy import read_policy
from pxefast.site.schema import LIVE
from pxefast.site.store import Store

__all__ = ["load", "read_marks"]

_PREFERRED = "smstspreferredadvertid"


def load(store: Store, dp_name: str, distributed: Collection[str], session_seconds: float) -> Site:
    """The hierarchy as distribution point `dp_name` sees it now.

    `distributed` holds the ids of the boot images in its content library. `Site.marks` and `Site.live` are plain
    dictionaries: whoever claims keeps them up to date. They may lag; the ledger decides.
    """
    with store.read() as connection:
        dp = read_distribution_point(connection, dp_name)
        by_mac, by_guid, unknown = _devices(connection, dp.site)
        images = {
            row.id: BootImage(
                row.id, row.name, row.architecture, row.programs, row.pxe_enabled, row.id in distributed
            )
            for row in read_boot_images(connection)
        }
        marks, live = read_marks(connection)
        duplicates = _identities(connection, schema.duplicate_identity)
        return Site(
            dp=dp,
            devices_by_mac=by_mac,
            devices_by_guid=by_guid,
            unknown=unknown,
            boot_images=images,
            marks=marks,
            live=live,
            hardware=dict(connection.execute(select(schema.hardware)).all()),
            session_seconds=session_seconds,
            duplicate_macs=frozenset(text[4:] for text in duplicates if text.startswith("mac:")),
            duplicate_guids=frozenset(text[5:] for text in duplicates if text.startswith("guid:")),
            own=_identities(connection, schema.own_identity),
            policy=read_policy(connection).decision,
        )


def read_marks(connection: Connection) -> tuple[dict[str, dict[int, Mark]], dict[int, Mark]]:
    """The newest generation of each (deployment id, device id), and each device's live mark."""
    c = schema.ledger.c
    query = select(
        c.device_id,
        c.deployment_id,
        c.generation,
        c.state,
        c.armed_at,
        c.claimed_at,
        c.step,
        c.xid,
        c.session,
        c.stepped_at,
        c.launch.is_not(None),
        c.returns,
        c.launched_at,
    ).order_by(c.generation)
    marks: dict[str, dict[int, Mark]] = {}
    live: dict[int, Mark] = {}
    for (
        device,
        deployment,
        generation,
        state,
        armed,
        claimed,
        step,
        xid,
        session,
        stepped,
        *rest,
    ) in connection.execute(query):
        mark = Mark(
            deployment, generation, state, armed, claimed or 0.0, step or 0, xid or 0, session or "",
            stepped or 0.0, bool(rest[0]), rest[1], rest[2] or 0.0,
        )  # fmt: skip
        marks.setdefault(deployment, {})[device] = mark
        if state in LIVE:
            live[device] = mark
    return marks, live


def _identities(connection: Connection, table: Table) -> frozenset[str]:
    return frozenset(connection.execute(select(table.c.identity)).scalars())


def _devices(
    connection: Connection, site: str
) -> tuple[dict[str, Device], dict[str, Device], dict[str, Device]]:
    """Devices by MAC and by GUID, and this site's unknown computer objects by architecture."""
    d, m = schema.device.c, schema.device_mac.c
    macs: dict[int, list[str]] = {}
    for number, mac in connection.execute(select(m.device_id, m.mac).order_by(m.device_id, m.position)):
        macs.setdefault(number, []).append(mac)
    deployments, preferred = _reaching(connection)
    by_mac: dict[str, Device] = {}
    by_guid: dict[str, Device] = {}
    unknown: dict[str, Device] = {}
    query = select(d.id, d.name, d.guid, d.site, d.protected, d.unknown_architecture)
    for number, name, guid, code, protected, architecture in connection.execute(query):
        device = Device(
            number,
            name,
            tuple(macs.get(number, ())),
            guid,
            code,
            protected,
            deployments.get(number, ()),
            preferred.get(number),
        )
        if architecture is not None:
            if code == site:
                unknown[architecture] = device
            continue
        for mac in device.macs:
            by_mac[mac] = device
        if guid is not None:
            by_guid[guid] = device
    return by_mac, by_guid, unknown


def _reaching(connection: Connection) -> tuple[dict[int, tuple[Deployment, ...]], dict[int, str]]:
    """The deployments that reach each device, and its preferred one."""
    by_collection = _by_collection(connection)
    cv, dv = schema.collection_variable.c, schema.device_variable.c
    wanted = dict(connection.execute(select(cv.collection_id, cv.value).where(cv.key == _PREFERRED)).all())
    m = schema.collection_member.c
    memberships: dict[int, tuple[str, ...]] = {}
    members = select(m.device_id, m.collection_id).order_by(m.device_id, m.collection_id)
    preferred: dict[int, str] = {}
    for device_id, collection_id in connection.execute(members):
        if collection_id in by_collection:
            memberships[device_id] = (*memberships.get(device_id, ()), collection_id)
        if collection_id in wanted:
            preferred[device_id] = wanted[collection_id]
    preferred.update(connection.execute(select(dv.device_id, dv.value).where(dv.key == _PREFERRED)).all())
    shared = {collections: _joined(collections, by_collection) for collections in set(memberships.values())}
    return {device_id: shared[collections] for device_id, collections in memberships.items()}, preferred


def _joined(
    collections: tuple[str, ...], by_collection: Mapping[str, list[Deployment]]
) -> tuple[Deployment, ...]:
    together = [deployment for collection in collections for deployment in by_collection[collection]]
    return tuple(sorted(together, key=lambda deployment: deployment.id, reverse=True))


def _by_collection(connection: Connection) -> dict[str, list[Deployment]]:
    d, t = schema.deployment.c, schema.task_sequence.c
    query = select(
        d.id,
        t.id,
        t.boot_image_id,
        d.collection_id,
        d.purpose,
        d.audience,
        d.enabled,
        d.available_at,
        d.expires_at,
        d.created_at,
    ).join_from(schema.deployment, schema.task_sequence)
    by_collection: dict[str, list[Deployment]] = {}
    for row in connection.execute(query):
        deployment = Deployment(*row)
        by_collection.setdefault(deployment.collection_id, []).append(deployment)
    return by_collection
