"""Whether a required deployment may reach a device at this moment, read inside the change that depends on it.

The snapshot that the decision was made from may be a second old; what counts is what stands here (D1, D7).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, select

from pxefast.decide.placeholders import is_placeholder
from pxefast.decide.reasons import excluded, guid_alone_refused, guid_conflict, pending_approval
from pxefast.decide.records import Policy, Reason, swapped_guid
from pxefast.site import schema
from pxefast.site.ledger_rows import chunks
from pxefast.site.policy import read_placeholders
from pxefast.site.protocol import Row
from pxefast.site.sightings import seen_with

__all__ = ["Grounds", "own_devices", "read_own"]

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
    name: str
    site: str
    protected: bool
    guid: str | None
    macs: tuple[str, ...]


class Grounds:
    """The deployments and devices of one batch as they stand."""

    def __init__(
        self,
        connection: Connection,
        point: str,
        policy: Policy,
        deployment_ids: Collection[str],
        device_ids: Collection[int],
        excluded_macs: frozenset[str] = frozenset(),
    ) -> None:
        self._connection = connection
        self._policy = policy
        self._excluded = excluded_macs
        p = schema.distribution_point.c
        where = select(p.site, p.enable_pxe, p.allow_pxe_response).where(p.name == point)
        found = connection.execute(where).first()
        self._site = "" if found is None else found.site
        self._answers = found is not None and bool(found.enable_pxe and found.allow_pxe_response)
        self._created = _required(connection, deployment_ids)
        self._devices = _devices(connection, device_ids)
        self._reached = _reached(connection, self._created, self._devices)
        self._own = read_own(connection)
        self._duplicates: frozenset[str] | None = None
        self._seen: dict[int, dict[str, float]] = {}
        strangers = any(device_id not in self._devices for device_id in device_ids)
        self._objects = _objects(connection, self._created, self._site) if strangers else {}

    def refusal(self, device_id: int, deployment_id: str, identities: Collection[str] = ()) -> Reason | None:
        """Why the device must not have the deployment, or None."""
        if not self._answers:
            return _STOPPED
        if deployment_id not in self._created:
            return _WITHDRAWN
        device = self._devices.get(device_id)
        if not self._own.isdisjoint(identities) or (device is not None and _is_own(device, self._own)):
            return _OWN
        if device is None:
            if not self._policy.required_for_unknown:
                return _NOT_FOR_UNKNOWN
            return None if deployment_id in self._objects else _WITHDRAWN
        listed = next((mac for mac in device.macs if mac in self._excluded), None)
        if listed is not None:
            return excluded(listed, device.name)
        if device.protected:
            return _PROTECTED
        reached = device.site == self._site and (device_id, deployment_id) in self._reached
        return None if reached else _WITHDRAWN

    def unsure(self, device_id: int, mac: str, now: float, of_record: str | None = None) -> Reason | None:
        """Return why a request by its GUID alone must not have a required deployment of this device, or None (D29).

        Args:
            device_id: A number; that of a machine without a record is never refused here.
            mac: The MAC address of the request, or of the claim that is launched; "" where it has none.
            now: Unix seconds.
            of_record: The MAC address of the live claim that the request continues at a known IPv4 address.
        """
        device = self._devices.get(device_id)
        if device is None or device.guid is None or self._policy.guid_alone == "allow":
            return None
        duplicates = self._duplicate_macs()
        for card in (mac, of_record):
            if card in device.macs and card not in duplicates:
                return None
        if self._policy.guid_alone == "refuse":
            return guid_alone_refused(device.name, device.guid)
        seen = dict(self._seen_with(device_id, now))
        seen.update({mac: now} if mac else {})
        return guid_conflict(
            device.name,
            device.guid,
            device.macs,
            {card: at for card, at in seen.items() if card not in duplicates},
        )

    def _duplicate_macs(self) -> frozenset[str]:
        if self._duplicates is None:
            identity = schema.duplicate_identity.c.identity
            found = self._connection.execute(select(identity).where(identity.like("mac:%"))).scalars()
            self._duplicates = frozenset([text.removeprefix("mac:") for text in found])
        return self._duplicates

    def _seen_with(self, device_id: int, now: float) -> dict[str, float]:
        """Return the MAC addresses that the GUID of a device was seen with; one read for every device of the batch."""
        if device_id not in self._seen:
            guids = {
                number: device.guid for number, device in self._devices.items() if device.guid is not None
            }
            found = seen_with(self._connection, guids.values(), now)
            self._seen = {number: found.get(each, {}) for number, each in guids.items()}
        return self._seen.get(device_id, {})

    def name(self, device_id: int, identities: Collection[str] = ()) -> str:
        """Return what commands take as the device's name: an identity of a machine without a record, "" for none."""
        device = self._devices.get(device_id)
        return next(iter(identities), "") if device is None else device.name

    def first(self, device_id: int, deployment_id: str) -> Row | Reason:
        """The row of a device that has none of a deployment that reaches it, or why it gets none (R-58)."""
        armed_at = None if device_id in self._devices else self._objects.get(deployment_id)
        if armed_at is None and self._policy.approve_new_members:
            return pending_approval(deployment_id)
        created = self._created[deployment_id]
        return Row(device_id, deployment_id, 1, "ARMED", created if armed_at is None else armed_at)


def own_devices(connection: Connection, device_ids: Collection[int]) -> set[int]:
    """Those of the devices that pxefast itself runs on (R-59)."""
    own = read_own(connection)
    if not own:
        return set()
    return {number for number, device in _devices(connection, device_ids).items() if _is_own(device, own)}


def read_own(connection: Connection, placeholders: frozenset[str] | None = None) -> frozenset[str]:
    """Return the identities (`mac:..`, `guid:..`) of the machines that pxefast runs on, a GUID in both byte orders.

    A placeholder GUID identifies none of them, whoever recorded it (D30). `placeholders`: those that the operator
    added, None to read them.
    """
    more = read_placeholders(connection) if placeholders is None else placeholders
    found = connection.execute(select(schema.own_identity.c.identity)).scalars().all()
    kept = [text for text in found if not (text.startswith("guid:") and is_placeholder(text[5:], more))]
    return frozenset(
        [*kept, *(f"guid:{swapped_guid(text[5:])}" for text in kept if text.startswith("guid:"))]
    )


def _is_own(device: _Device, own: frozenset[str]) -> bool:
    return any(f"mac:{mac}" in own for mac in device.macs) or f"guid:{device.guid}" in own


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
        macs: dict[int, tuple[str, ...]] = {}
        for number, mac in connection.execute(_MACS, {"keys": part}):
            macs[number] = (*macs.get(number, ()), mac)
        for number, name, site, protected, guid in connection.execute(_DEVICES, {"keys": part}):
            found[number] = _Device(name, site, protected, guid, macs.get(number, ()))
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
_DEVICES = select(_V.id, _V.name, _V.site, _V.protected, _V.guid).where(
    _V.id.in_(_keys()), _V.unknown_architecture.is_(None)
)
_MACS = (
    select(schema.device_mac.c.device_id, schema.device_mac.c.mac)
    .where(schema.device_mac.c.device_id.in_(_keys()))
    .order_by(schema.device_mac.c.position)
)
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
