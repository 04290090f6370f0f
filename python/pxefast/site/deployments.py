"""Deployments: a task sequence offered to a collection, required or available (CM-67 to CM-84)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from sqlalchemy import Connection, insert, select, update

from pxefast.decide.records import Audience, Purpose
from pxefast.errors import AlreadyExists, Invalid
from pxefast.site import arming, schema
from pxefast.site.blocked_devices import Behind, blocked_devices
from pxefast.site.deployment_status import DeploymentCounts, DeploymentStatus, read_counts, read_status
from pxefast.site.names import find, listed, site_code
from pxefast.site.policy import SitePolicy, read_policy
from pxefast.site.removal import Removal, read_removal, remove
from pxefast.site.rules import ALL_SYSTEMS, find_collection
from pxefast.site.task_sequences import find_task_sequence
from pxefast.site.variables import Variables

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = [
    "AUDIENCES",
    "PURPOSES",
    "RERUNS",
    "DeploymentRow",
    "DeploymentStatus",
    "Deployments",
    "Plan",
    "Rerun",
    "read_deployments",
]

Rerun = Literal["never", "always", "if-failed", "if-succeeded"]

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
AUDIENCES: tuple[Audience, ...] = get_args(Audience)
RERUNS: tuple[Rerun, ...] = get_args(Rerun)


class DeploymentRow(NamedTuple):
    """A deployment with the names a person knows its parts by; times are Unix seconds or None."""

    id: str
    task_sequence_id: str
    task_sequence: str
    boot_image_id: str | None
    collection_id: str
    collection: str
    purpose: Purpose
    audience: Audience
    site: str
    enabled: bool
    created_at: float
    available_at: float | None
    expires_at: float | None
    rerun: Rerun


class Plan(NamedTuple):
    """What a new deployment would mean: `hash` is what `--confirm` takes, None where none is needed.

    `members` counts the collection's devices; `warning` is something about them that its author should know. `blocked`
    are the devices that will wait behind another deployment's launch (D34).
    """

    members: int
    targets: arming.Targets
    hash: str | None
    warning: str | None
    blocked: list[Behind]


class Deployments:
    """The deployments of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.variables = Variables(store, "deployment")

    def plan(self, task_sequence_id: str, collection: str, purpose: Purpose, audience: Audience) -> Plan:
        """What `create` would do now. Raises what it would raise, except Unconfirmed."""
        with self._store.read() as connection:
            return _plan(connection, task_sequence_id, collection, purpose, audience)

    def create(
        self,
        task_sequence_id: str,
        collection: str,
        purpose: Purpose,
        audience: Audience,
        wanted_id: str | None = None,
        *,
        site: str | None = None,
        available_at: float | None = None,
        expires_at: float | None = None,
        rerun: Rerun = "always",
        confirm: str | None = None,
    ) -> DeploymentRow:
        """Deploy a task sequence to a collection.

        A required one is armed for its members, who boot it at their next network boot. Raises Invalid for a target
        that is none (CM-81 to CM-84, R-59), Unconfirmed for a large one without the hash of its list (R-57).
        """
        _check({"audience": audience, "available_at": available_at, "expires_at": expires_at, "rerun": rerun})
        subject = f"{task_sequence_id} to {collection}, {purpose}"
        with self._store.write("deployment create", subject) as connection:
            plan = _plan(connection, task_sequence_id, collection, purpose, audience)
            sequence = find_task_sequence(connection, task_sequence_id)
            target = find_collection(connection, collection)
            policy = read_policy(connection)
            if purpose == "required":
                deed = _deed(sequence.id, target.id)
                above = policy.confirm_above
                arming.check_confirmed(connection, deed, plan.targets.devices, confirm, above)
            now = time.time()
            code = site_code(connection, site, self._store.code)
            new = self._new_id(connection, wanted_id, code)
            connection.execute(
                insert(schema.deployment).values(
                    id=new,
                    site=code,
                    task_sequence_id=sequence.id,
                    collection_id=target.id,
                    purpose=purpose,
                    audience=audience,
                    enabled=True,
                    created_at=now,
                    available_at=available_at,
                    expires_at=expires_at,
                    rerun=rerun,
                )
            )
            if purpose == "required":
                arming.arm(connection, new, now)
            return _read_one(connection, new)

    def all(self) -> list[DeploymentRow]:
        """All deployments, the highest id first: that is the order that counts (CM-103)."""
        with self._store.read() as connection:
            return read_deployments(connection)

    def get(self, deployment_id: str) -> DeploymentRow:
        """One deployment by id. Raises NotFound."""
        with self._store.read() as connection:
            return _read_one(connection, find_deployment(connection, deployment_id).id)

    def status(self, deployment_id: str) -> DeploymentStatus:
        """What has become of a deployment."""
        with self._store.read() as connection:
            row = _read_one(connection, find_deployment(connection, deployment_id).id)
            return read_status(connection, row.id, row.collection_id, row.purpose == "required")

    def counts(self) -> dict[str, DeploymentCounts]:
        """What has become of every deployment, in numbers."""
        with self._store.read() as connection:
            return read_counts(connection)

    def set(self, deployment_id: str, **changes: object) -> DeploymentRow:
        """Change audience, available_at, expires_at or rerun; the purpose stays. Raises Invalid or NotFound."""
        words = " ".join((deployment_id, *(f"{name}={value}" for name, value in changes.items())))
        with self._store.write("deployment set", words) as connection:
            row = _read_one(connection, find_deployment(connection, deployment_id).id)
            _check({**row._asdict(), **changes})
            _check_audience(
                row.task_sequence_id, row.boot_image_id, str(changes.get("audience", row.audience))
            )
            return _update(connection, row.id, changes)

    def enable(self, deployment_id: str, enabled: bool) -> DeploymentRow:
        """Withdraw a deployment for the moment, or give it back. It counts as soon as this returns."""
        verb = "enable" if enabled else "disable"
        with self._store.write(f"deployment {verb}", deployment_id) as connection:
            return _update(connection, find_deployment(connection, deployment_id).id, {"enabled": enabled})

    def removal(self, deployment_id: str) -> Removal:
        """Return what `remove` would end now. Raises NotFound."""
        with self._store.read() as connection:
            return read_removal(connection, find_deployment(connection, deployment_id).id)

    def remove(self, deployment_id: str) -> Removal:
        """Remove a deployment and withdraw its cases. Return what was ended. Raises NotFound (D32).

        No claim or launch succeeds after this returns; the ledger keeps what was handed out.
        """
        with self._store.write("deployment remove", deployment_id) as connection:
            return remove(connection, find_deployment(connection, deployment_id).id)

    def _new_id(self, connection: Connection, wanted: str | None, site: str) -> str:
        """An id that the ledger knows nothing of: no deployment inherits another's history (I6)."""
        while True:
            new = self._store.new_id(connection, schema.deployment, wanted, site)
            used = select(schema.ledger.c.device_id).where(schema.ledger.c.deployment_id == new).limit(1)
            if connection.execute(used).first() is None:
                return new
            if wanted is not None:
                raise AlreadyExists(f"id {new} was a deployment's that machines were given; use another")


def read_deployments(connection: Connection) -> list[DeploymentRow]:
    """All deployments, the highest id first."""
    rows = [DeploymentRow._make(row) for row in connection.execute(_ROWS)]
    return sorted(rows, key=lambda row: row.id, reverse=True)


def find_deployment(connection: Connection, deployment_id: str) -> Any:
    """One deployment's row by id, whatever its case. Raises NotFound."""
    return find(connection, schema.deployment, "id", deployment_id.strip().upper(), "deployment")


_D, _T, _C = schema.deployment.c, schema.task_sequence.c, schema.collection.c
_ROWS = (
    select(
        _D.id, _T.id, _T.name, _T.boot_image_id, _C.id, _C.name, _D.purpose, _D.audience,
        _D.site, _D.enabled, _D.created_at, _D.available_at, _D.expires_at, _D.rerun,
    )
    .join_from(schema.deployment, schema.task_sequence)
    .join(schema.collection, _D.collection_id == _C.id)
)  # fmt: skip


def _read_one(connection: Connection, deployment_id: str) -> DeploymentRow:
    return DeploymentRow._make(connection.execute(_ROWS.where(_D.id == deployment_id)).one())


def _update(connection: Connection, deployment_id: str, values: dict[str, Any]) -> DeploymentRow:
    if values:
        connection.execute(update(schema.deployment).where(_D.id == deployment_id).values(values))
    return _read_one(connection, deployment_id)


def _plan(
    connection: Connection, task_sequence_id: str, collection: str, purpose: Purpose, audience: Audience
) -> Plan:
    if purpose not in PURPOSES:
        raise Invalid(f"purpose {purpose!r} must be one of {', '.join(PURPOSES)}")
    _check({"audience": audience})
    sequence = find_task_sequence(connection, task_sequence_id)
    _check_audience(sequence.id, sequence.boot_image_id, audience)
    target = find_collection(connection, collection)
    targets = arming.targets(connection, target.id)
    members = len(targets.devices) + len(targets.protected) + len(targets.own)
    if purpose == "available":
        return Plan(members, targets, None, None, [])
    policy = read_policy(connection)
    _check_risk(target, members, targets, policy)
    above = policy.collection_default_size
    warning = (
        f"collection {target.name!r} has {members} members, more than {above}" if members > above else None
    )
    needed = len(targets.devices) > policy.confirm_above
    wanted = arming.list_hash(_deed(sequence.id, target.id), targets.devices) if needed else None
    return Plan(members, targets, wanted, warning, blocked_devices(connection, "", targets.devices))


def _deed(task_sequence_id: str, collection_id: str) -> str:
    return f"required deployment of {task_sequence_id} to {collection_id}"


def _check_audience(task_sequence_id: str, boot_image_id: str | None, audience: str) -> None:
    if boot_image_id is None and audience != "clients":
        raise Invalid(
            f"task sequence {task_sequence_id} has no boot image (CM-71); make it available to clients only, "
            "or make one with a boot image"
        )


def _check_risk(target: Any, members: int, targets: arming.Targets, policy: SitePolicy) -> None:
    """What Configuration Manager and common sense forbid for a required deployment (CM-81 to CM-84, R-59)."""
    if target.id == ALL_SYSTEMS:
        raise Invalid(
            f"a required deployment to {target.name!r} would image every device (CM-81); "
            "make a collection of those that are meant"
        )
    if targets.own:
        raise Invalid(
            f"collection {target.name!r} holds {listed(targets.own)}, which pxefast itself runs on (R-59); "
            "take it out of the collection first"
        )
    if targets.unknown and not policy.decision.required_for_unknown:
        raise Invalid(
            f"a required deployment to {target.name!r} would image every machine without a record; deploy it as "
            "available, import the devices, or allow it by: pxefast setting set required_for_unknown yes"
        )
    most = policy.collection_maximum_size
    if 0 < most < members:
        raise Invalid(
            f"collection {target.name!r} has {members} members; a required deployment may have {most} (CM-82), "
            "see: pxefast setting set collection_maximum_size"
        )


def _check(values: dict[str, object]) -> None:
    for name, words in (("audience", AUDIENCES), ("rerun", RERUNS)):
        if name in values and values[name] not in words:
            raise Invalid(f"{values[name]!r} must be one of {', '.join(words)}")
    available, expires = values.get("available_at"), values.get("expires_at")
    if isinstance(available, float) and isinstance(expires, float) and expires <= available:
        raise Invalid(
            "a deployment must expire after it becomes available; check --available-at and --expires-at"
        )
