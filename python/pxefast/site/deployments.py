"""Deployments: a task sequence offered to a collection, required or available (CM-67 to CM-79)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from sqlalchemy import Connection, delete, insert, select

from pxefast.decide.records import Audience, Purpose
from pxefast.errors import Invalid
from pxefast.site import schema
from pxefast.site.arming import arm
from pxefast.site.collections import ALL_UNKNOWN_COMPUTERS, find_collection
from pxefast.site.names import find
from pxefast.site.task_sequences import find_task_sequence

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["AUDIENCES", "PURPOSES", "DeploymentRow", "Deployments"]

PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
AUDIENCES: tuple[Audience, ...] = get_args(Audience)


class DeploymentRow(NamedTuple):
    """A deployment with the names a person knows its parts by."""

    id: str
    task_sequence_id: str
    task_sequence: str
    boot_image_id: str
    collection_id: str
    collection: str
    purpose: Purpose
    audience: Audience


class Deployments:
    """The deployments of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self,
        task_sequence_id: str,
        collection: str,
        purpose: Purpose,
        audience: Audience,
        wanted_id: str | None = None,
    ) -> DeploymentRow:
        """Deploy a task sequence to a collection.

        A required one boots its devices at their next network boot.
        """
        if purpose not in PURPOSES:
            raise Invalid(f"purpose {purpose!r} must be one of {', '.join(PURPOSES)}")
        if audience not in AUDIENCES:
            raise Invalid(f"{audience!r} must be one of {', '.join(AUDIENCES)}")
        with self._store.write(
            "deployment create", f"{task_sequence_id} to {collection}, {purpose}"
        ) as connection:
            sequence = find_task_sequence(connection, task_sequence_id)
            target = find_collection(connection, collection)
            if target.id == ALL_UNKNOWN_COMPUTERS and purpose == "required":
                raise Invalid(
                    f"a required deployment to {target.name!r} would image every machine without a record; "
                    "deploy it as available, or import the devices"
                )
            new = self._store.new_id(connection, schema.deployment, wanted_id)
            connection.execute(
                insert(schema.deployment).values(
                    id=new,
                    site=self._store.code,
                    enabled=True,
                    created_at=time.time(),
                    rerun="never",
                    task_sequence_id=sequence.id,
                    collection_id=target.id,
                    purpose=purpose,
                    audience=audience,
                )
            )
            if purpose == "required":
                arm(connection, new, time.time())
            return next(row for row in read_deployments(connection) if row.id == new)

    def all(self) -> list[DeploymentRow]:
        """All deployments, the highest id first: that is the order that counts (CM-103)."""
        with self._store.read() as connection:
            return read_deployments(connection)

    def get(self, deployment_id: str) -> DeploymentRow:
        """One deployment by id. Raises NotFound."""
        with self._store.read() as connection:
            wanted = _find(connection, deployment_id).id
            return next(row for row in read_deployments(connection) if row.id == wanted)

    def remove(self, deployment_id: str) -> None:
        """Withdraw a deployment.

        No claim succeeds after this returns; the ledger keeps what was handed out.
        """
        with self._store.write("deployment remove", deployment_id) as connection:
            wanted = _find(connection, deployment_id).id
            connection.execute(delete(schema.deployment).where(schema.deployment.c.id == wanted))


def read_deployments(connection: Connection) -> list[DeploymentRow]:
    """All deployments, the highest id first."""
    d, t, c = schema.deployment.c, schema.task_sequence.c, schema.collection.c
    query = (
        select(d.id, t.id, t.name, t.boot_image_id, c.id, c.name, d.purpose, d.audience)
        .join_from(schema.deployment, schema.task_sequence)
        .join(schema.collection)
        .order_by(d.id.desc())
    )
    return [DeploymentRow(*row) for row in connection.execute(query)]


def _find(connection: Connection, deployment_id: str) -> Any:
    return find(connection, schema.deployment, "id", deployment_id.strip().upper(), "deployment")
