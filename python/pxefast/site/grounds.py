"""Whether a required deployment may reach a device at this moment, read inside the change that depends on it.

The snapshot that the decision was made from may be a second old; what counts is what stands here (D1, D7).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, select

from pxefast.decide.reasons import pending_approval
from pxefast.decide.records import Policy, Reason, swapped_guid
from pxefast.site import schema
from pxefast.site.ledger_rows import chunks
from pxefast.site.protocol import Row

__all__ = ["Grounds", "own_devices"]

_STOPPED = Reason("responses_not_allowed", "the distribution point was told to answer nobody", "CM-2")
_WITHDRAWN = Reason("withdrawn", "the deployment no longer reaches this device", "I1")
_PROTECTED = Reason("protected", "the device is protected: nothing is ever deployed to it", "D7")
_OWN = Reason("own_machine", "pxefast itself runs on this machine: nothing is ever deployed to it", "R-59")
_NOT_FOR_UNKNOWN = Reason(
    "required_not_for_unknown",
    "required deployments are not given to machines without a record; the setting required_for_unknown allows it",
    "R-51",
)


class _Device(NamedTuple):
    site: str
    protected: bool


class Grounds:
    """The deployments and devices of one batch as they stand."""

    def __init__(
        self,
        connection: Connection,
        point: str,
        policy: Policy,
        deployment_ids: Collection[str],
        device_ids: Collection[int],
    ) -> None:
        self._policy = policy
        p = schema.distribution_point.c
        where = select(p.site, p.enable_pxe, p.allow_pxe_response).where(p.name == point)
        found = connection.execute(where).first()
        self._site = "" if found is None else found.site
        self._answers = found is not None and bool(found.enable_pxe and found.allow_pxe_response)
        self._created = _required(connection, deployment_ids)
        self._devices = _devices(connection, device_ids)
        self._reached = _reached(connection, self._created, self._devices)
        self._own = own_devices(connection, self._devices)
        self._own_identities = frozenset(connection.execute(select(schema.own_identity.c.identity)).scalars())
        strangers = any(device_id not in self._devices for device_id in device_ids)
        self._objects = _objects(connection, self._created, self._site) if strangers else {}

    def refusal(self, device_id: int, deployment_id: str, identities: Collection[str] = ()) -> Reason | None:
        """Why the device must not have the deployment, or None."""
        if not self._answers:
            return _STOPPED
        if deployment_id not in self._created:
            return _WITHDRAWN
        if device_id in self._own or not self._own_identities.isdisjoint(_spellings(identities)):
            return _OWN
        device = self._devices.get(device_id)
        if device is None:
            if not self._policy.required_for_unknown:
                return _NOT_FOR_UNKNOWN
            return None if deployment_id in self._objects else _WITHDRAWN
        if device.protected:
            return _PROTECTED
        reached = device.site == self._site and (device_id, deployment_id) in self._reached
        return None if reached else _WITHDRAWN

    def first(self, device_id: int, deployment_id: str) -> Row | Reason:
        """The row of a device that has none of a deployment that reaches it, or why it gets none (R-58)."""
        armed_at = None if device_id in self._devices else self._objects.get(deployment_id)
        if armed_at is None and self._policy.approve_new_members:
            return pending_approval(deployment_id)
        created = self._created[deployment_id]
        return Row(device_id, deployment_id, 1, "ARMED", created if armed_at is None else armed_at)


def own_devices(connection: Connection, device_ids: Collection[int]) -> set[int]:
    """Those of the devices that pxefast itself runs on (R-59)."""
    own = set(_spellings(connection.execute(select(schema.own_identity.c.identity)).scalars().all()))
    if not own:
        return set()
    m, d = schema.device_mac.c, schema.device.c
    found: set[int] = set()
    for part in chunks(device_ids):
        macs = connection.execute(select(m.device_id, m.mac).where(m.device_id.in_(part)))
        found.update(device_id for device_id, mac in macs if f"mac:{mac}" in own)
        guids = connection.execute(select(d.id, d.guid).where(d.id.in_(part), d.guid.is_not(None)))
        found.update(device_id for device_id, guid in guids if f"guid:{guid}" in own)
    return found


def _spellings(identities: Collection[str]) -> list[str]:
    """With each GUID in both byte orders (W-30)."""
    swapped = (f"guid:{swapped_guid(text[5:])}" for text in identities if text.startswith("guid:"))
    return [*identities, *swapped]


def _required(connection: Connection, deployment_ids: Collection[str]) -> dict[str, float]:
    """When each of those deployments was made that is required and enabled."""
    found: dict[str, float] = {}
    for part in chunks(deployment_ids):
        rows = connection.execute(_REQUIRED, {"keys": part})
        found.update((number, created) for number, created in rows)
    return found


def _devices(connection: Connection, device_ids: Collection[int]) -> dict[int, _Device]:
    found: dict[int, _Device] = {}
    for part in chunks(device_ids):
        rows = connection.execute(_DEVICES, {"keys": part})
        found.update((number, _Device(site, protected)) for number, site, protected in rows)
    return found


def _reached(
    connection: Connection, deployment_ids: Collection[str], device_ids: Collection[int]
) -> set[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    for deployments in chunks(deployment_ids):
        for devices in chunks(device_ids):
            rows = connection.execute(_REACHED, {"keys": devices, "deployments": deployments})
            found.update((device_id, deployment_id) for device_id, deployment_id in rows)
    return found


def _keys(name: str = "keys") -> BindParameter[Any]:
    return bindparam(name, expanding=True)


# Built once: to build a statement takes as long as to run it, and each batch of claims runs these.
_D, _V, _M = schema.deployment.c, schema.device.c, schema.collection_member.c
_REQUIRED = select(_D.id, _D.created_at).where(_D.id.in_(_keys()), _D.purpose == "required", _D.enabled)
_DEVICES = select(_V.id, _V.site, _V.protected).where(_V.id.in_(_keys()), _V.unknown_architecture.is_(None))
_REACHED = (
    select(_M.device_id, _D.id)
    .join_from(schema.deployment, schema.collection_member, _D.collection_id == _M.collection_id)
    .where(_D.id.in_(_keys("deployments")), _M.device_id.in_(_keys()))
)


def _objects(connection: Connection, deployment_ids: Collection[str], site: str) -> dict[str, float | None]:
    """When the site's unknown computer objects were armed, by those deployments that reach one; None: never."""
    d, m, v, r = schema.deployment.c, schema.collection_member.c, schema.device.c, schema.ledger.c
    joined = (
        select(d.id, r.armed_at)
        .join_from(schema.deployment, schema.collection_member, d.collection_id == m.collection_id)
        .join(schema.device, v.id == m.device_id)
        .outerjoin(schema.ledger, (r.device_id == v.id) & (r.deployment_id == d.id) & (r.state == "ARMED"))
        .where(v.unknown_architecture.is_not(None), v.site == site)
    )
    found: dict[str, float | None] = {}
    for part in chunks(deployment_ids):
        for deployment_id, armed_at in connection.execute(joined.where(d.id.in_(part))):
            before = found.get(deployment_id)
            found[deployment_id] = armed_at if before is None else max(before, armed_at or before)
    return found
