"""What has become of deployments: their members, who waits for approval, and the ledger's states."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, func, select

from pxefast.site import arming, schema
from pxefast.site.blocked_devices import Behind, count_blocked, read_blocked
from pxefast.site.device_rows import names_of
from pxefast.site.policy import read_policy

__all__ = ["DeploymentCounts", "DeploymentStatus", "read_counts", "read_status"]

_NOTHING_GIVEN = ("ARMED", "CLEARED")


class DeploymentStatus(NamedTuple):
    """A deployment's machines: members, and by name those left out, waiting for approval, and given it.

    `approval`: new members wait for it. `states` counts the ledger's newest generations, of former members too.
    `blocked` are those that wait behind another deployment's launch (D34).
    """

    members: int
    approval: bool
    protected: list[str]
    pending: list[str]
    given: list[str]
    states: dict[str, int]
    blocked: list[Behind]


class DeploymentCounts(NamedTuple):
    """The same in numbers; `pending` counts members that the ledger knows nothing of."""

    members: int
    pending: int
    blocked: int
    states: dict[str, int]


def read_status(
    connection: Connection, deployment_id: str, collection_id: str, required: bool
) -> DeploymentStatus:
    """One deployment's machines by name."""
    m, k = schema.collection_member.c, schema.ledger.c
    count = select(func.count()).where(m.collection_id == collection_id)
    members = int(connection.execute(count).scalar_one())
    if not required:
        return DeploymentStatus(members, False, [], [], [], {}, [])
    approval = read_policy(connection).decision.approve_new_members
    pending = arming.pending(connection, deployment_id) if approval else []
    query = select(k.device_id, k.state).where(k.deployment_id == deployment_id).order_by(k.generation)
    newest: dict[int, str] = dict(connection.execute(query).all())
    given = [number for number, state in newest.items() if state not in _NOTHING_GIVEN]
    states = list(newest.values())
    names = names_of(connection, [*pending, *given])
    return DeploymentStatus(
        members,
        approval,
        arming.targets(connection, collection_id).protected,
        sorted(names.get(number, f"number {number}") for number in pending),
        sorted(names.get(number, f"number {number}") for number in given),
        {state: states.count(state) for state in sorted(set(states))},
        read_blocked(connection, deployment_id),
    )


def read_counts(connection: Connection) -> dict[str, DeploymentCounts]:
    """All deployments' machines in numbers, in three statements."""
    p, m = schema.deployment.c, schema.collection_member.c
    joined = select(p.id, func.count()).join_from(
        schema.deployment, schema.collection_member, p.collection_id == m.collection_id
    )
    members: dict[str, int] = dict(connection.execute(joined.group_by(p.id)).all())
    pending: dict[str, int] = {}
    if read_policy(connection).decision.approve_new_members:
        pending = _pending(connection)
    blocked = count_blocked(connection)
    states: dict[str, dict[str, int]] = {}
    k = schema.ledger.c
    newest = select(k.device_id, k.deployment_id, func.max(k.generation).label("generation"))
    last = newest.group_by(k.device_id, k.deployment_id).subquery()
    same = and_(*(last.c[name] == k[name] for name in ("device_id", "deployment_id", "generation")))
    query = select(k.deployment_id, k.state, func.count()).join_from(schema.ledger, last, same)
    for deployment, state, count in connection.execute(query.group_by(k.deployment_id, k.state)):
        states.setdefault(deployment, {})[state] = count
    return {
        deployment: DeploymentCounts(
            members.get(deployment, 0),
            pending.get(deployment, 0),
            blocked.get(deployment, 0),
            dict(sorted(states.get(deployment, {}).items())),
        )
        for deployment in connection.execute(select(p.id)).scalars()
    }


def _pending(connection: Connection) -> dict[str, int]:
    p, m, d, k = schema.deployment.c, schema.collection_member.c, schema.device.c, schema.ledger.c
    known = exists().where(k.device_id == m.device_id, k.deployment_id == p.id)
    query = (
        select(p.id, func.count())
        .join_from(schema.deployment, schema.collection_member, p.collection_id == m.collection_id)
        .join(schema.device, d.id == m.device_id)
        .where(p.purpose == "required", ~d.protected, ~known)
        .group_by(p.id)
    )
    return dict(connection.execute(query).all())
