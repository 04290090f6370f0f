"""Arming: which machines a required deployment is for, said by a person and confirmed where they are many (D5)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from sqlalchemy import Connection, exists, insert, select

from pxefast.errors import Unconfirmed
from pxefast.site import schema
from pxefast.site.grounds import own_devices
from pxefast.site.ledger_rows import chunks
from pxefast.site.policy import read_policy

__all__ = ["arm", "arm_devices", "check_confirmed", "list_hash", "pending"]

# So many are named in an error.
_NAMED = 5


def arm(connection: Connection, deployment_id: str, now: float) -> int:
    """Arm a deployment's members of now; how many. An unknown computer object's row arms the unknown machines."""
    return arm_devices(connection, deployment_id, pending(connection, deployment_id), now)


def arm_devices(connection: Connection, deployment_id: str, device_ids: Iterable[int], now: float) -> int:
    """Arm devices that have no row of the deployment; how many."""
    rows = [
        {
            "device_id": device_id,
            "deployment_id": deployment_id,
            "generation": 1,
            "state": "ARMED",
            "armed_at": now,
            "returns": 0,
        }
        for device_id in device_ids
    ]
    if rows:
        connection.execute(insert(schema.ledger), rows)
    return len(rows)


def pending(connection: Connection, deployment_id: str) -> list[int]:
    """The members of a deployment's collection that nobody armed for it; without protected and own ones (D7)."""
    d, m, v, r = schema.deployment.c, schema.collection_member.c, schema.device.c, schema.ledger.c
    armed = exists().where(r.device_id == v.id, r.deployment_id == d.id)
    query = (
        select(v.id)
        .join_from(schema.deployment, schema.collection_member, m.collection_id == d.collection_id)
        .join(schema.device, v.id == m.device_id)
        .where(d.id == deployment_id, v.protected.is_(False), ~armed)
        .order_by(v.id)
    )
    found = list(connection.execute(query).scalars())
    own = own_devices(connection, found)
    return [device_id for device_id in found if device_id not in own]


def list_hash(deed: str, device_ids: Collection[int]) -> str:
    """What stands for a deed and exactly these devices: 12 hexadecimal digits (R-57)."""
    text = f"{deed}\n{','.join(str(device_id) for device_id in sorted(device_ids))}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_confirmed(
    connection: Connection,
    deed: str,
    device_ids: Collection[int],
    confirm: str | None,
    above: int | None = None,
) -> None:
    """Raises Unconfirmed where so many devices are meant that their list must be confirmed by its hash (R-57).

    `above` is the setting confirm_above unless it is given.
    """
    most = read_policy(connection).confirm_above if above is None else above
    wanted = list_hash(deed, device_ids)
    if len(device_ids) <= most or confirm == wanted:
        return
    first = sorted(device_ids)[:_NAMED]
    names = [name for part in chunks(first) for name in _names(connection, part)]
    what = "the list is not the one that was confirmed" if confirm else "the list must be confirmed"
    raise Unconfirmed(
        f"{deed}: this is about {len(device_ids)} devices ({', '.join(names)}, ...) and {what}; "
        f"look at it, then add --confirm {wanted}",
        len(device_ids),
        wanted,
    )


def _names(connection: Connection, device_ids: Iterable[int]) -> list[str]:
    d = schema.device.c
    return list(connection.execute(select(d.name).where(d.id.in_(device_ids)).order_by(d.id)).scalars())
