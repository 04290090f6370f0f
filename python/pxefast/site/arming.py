"""Arming: which machines a required deployment is for, said by a person and confirmed where they are many (D5).

A row of the ledger with generation 1 and state ARMED is the permission (I5). Protected devices and the machines that
pxefast itself runs on never get one (D7, R-59); an unknown computer object's row stands for every machine without a
record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, exists, insert, select, update

from pxefast.errors import Unconfirmed
from pxefast.site import schema
from pxefast.site.grounds import own_devices
from pxefast.site.policy import read_policy

__all__ = [
    "Targets",
    "arm",
    "arm_devices",
    "check_confirmed",
    "inherit",
    "list_hash",
    "pending",
    "targets",
]

# So many are named in an error.
_NAMED = 5
# States of a row that nothing was handed out by.
_NOT_GIVEN = ("ARMED", "CLEARED")


class Targets(NamedTuple):
    """A collection's members as a required deployment sees them: who may get it by id, who may not by name."""

    devices: list[int]
    unknown: list[str]
    protected: list[str]
    own: list[str]


def targets(connection: Connection, collection_id: str) -> Targets:
    """Sort a collection's members; `unknown` are those of `devices` that are unknown computer objects."""
    d, m = schema.device.c, schema.collection_member.c
    found = Targets([], [], [], [])
    query = select(d.id, d.name, d.protected).join_from(schema.collection_member, schema.device)
    members = connection.execute(query.where(m.collection_id == collection_id)).all()
    own_ids = own_devices(connection, [number for number, _, _ in members])
    for number, name, protected in members:
        if number in own_ids:
            found.own.append(name)
        elif protected:
            found.protected.append(name)
        else:
            found.devices.append(number)
            if number >= schema.FIRST_UNKNOWN:
                found.unknown.append(name)
    for names in (found.unknown, found.protected, found.own):
        names.sort()
    found.devices.sort()
    return found


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
    if confirm == wanted or (confirm is None and len(device_ids) <= most):
        return
    first = sorted(device_ids)[:_NAMED]
    more = len(device_ids) - len(first)
    names = ", ".join(_names(connection, first)) + (f" and {more} more" if more else "")
    what = "the list is not the one that was confirmed" if confirm else "the list must be confirmed"
    raise Unconfirmed(
        f"{deed}: this is about {len(device_ids)} devices ({names}) and {what}; "
        f"look at it, then add --confirm {wanted}",
        len(device_ids),
        wanted,
    )


def _names(connection: Connection, device_ids: Iterable[int]) -> list[str]:
    d = schema.device.c
    return list(connection.execute(select(d.name).where(d.id.in_(device_ids)).order_by(d.id)).scalars())


def inherit(connection: Connection, old: int, new: int) -> None:
    """Hardware that had number `old` is device `new` now: what it was given, it was given (I6).

    A session cannot go on under another number: what was live is held for a person.
    """
    c = schema.ledger.c
    histories: dict[int, dict[str, list[dict[str, Any]]]] = {old: {}, new: {}}
    query = select(schema.ledger).where(c.device_id.in_((old, new))).order_by(c.generation)
    for found in connection.execute(query).mappings():
        histories[found["device_id"]].setdefault(found["deployment_id"], []).append(dict(found))
    why = f"was given to this hardware as device number {old}"
    for deployment, former in histories[old].items():
        present = histories[new].get(deployment)
        if present is None:
            rows = [{**row, "device_id": new, "session": None, "token": None} for row in former]
            for row in rows:
                if row["state"] in schema.LIVE:
                    row.update(state="HOLD", why=why)
            connection.execute(insert(schema.ledger), rows)
        elif former[-1]["state"] not in _NOT_GIVEN and present[-1]["state"] == "ARMED":
            newest = (
                c.device_id == new,
                c.deployment_id == deployment,
                c.generation == present[-1]["generation"],
            )
            connection.execute(update(schema.ledger).where(*newest).values(state="HOLD", why=why))
