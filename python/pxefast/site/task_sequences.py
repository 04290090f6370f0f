"""Task sequences: what is done to a machine, and the boot image it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from pxefast.errors import InUse
from pxefast.site import schema
from pxefast.site.boot_images import find_boot_image
from pxefast.site.names import find, listed, new_name, site_code

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["TaskSequenceRow", "TaskSequences"]


class TaskSequenceRow(NamedTuple):
    """A task sequence; without a boot image it can be made available to clients only (CM-71)."""

    id: str
    name: str
    boot_image_id: str | None
    site: str


class TaskSequences:
    """The task sequences of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(
        self,
        name: str,
        boot_image_id: str | None = None,
        wanted_id: str | None = None,
        site: str | None = None,
    ) -> TaskSequenceRow:
        """A new task sequence. Raises Invalid, AlreadyExists, or NotFound for the boot image."""
        with self._store.write("task-sequence create", name) as connection:
            name, key = new_name(connection, schema.task_sequence, "task sequence", name)
            image = None if boot_image_id is None else find_boot_image(connection, boot_image_id).id
            code = site_code(connection, site, self._store.code)
            new = self._store.new_id(connection, schema.task_sequence, wanted_id, code)
            connection.execute(
                insert(schema.task_sequence).values(
                    id=new, name=name, key=key, boot_image_id=image, site=code
                )
            )
            return TaskSequenceRow(new, name, image, code)

    def all(self) -> list[TaskSequenceRow]:
        """All task sequences, by id."""
        t = schema.task_sequence.c
        with self._store.read() as connection:
            query = select(t.id, t.name, t.boot_image_id, t.site).order_by(t.id)
            return [TaskSequenceRow(*row) for row in connection.execute(query)]

    def get(self, task_sequence_id: str) -> TaskSequenceRow:
        """One task sequence by id. Raises NotFound."""
        with self._store.read() as connection:
            return _row(find_task_sequence(connection, task_sequence_id))

    def remove(self, task_sequence_id: str) -> TaskSequenceRow:
        """Remove a task sequence. Raises InUse while it is deployed."""
        d = schema.deployment.c
        with self._store.write("task-sequence remove", task_sequence_id) as connection:
            row = find_task_sequence(connection, task_sequence_id)
            query = select(d.id).where(d.task_sequence_id == row.id).order_by(d.id)
            users = list(connection.execute(query).scalars())
            if users:
                raise InUse(
                    f"task sequence {row.id} is in use by deployment {listed(users)}; remove that first"
                )
            connection.execute(delete(schema.task_sequence).where(schema.task_sequence.c.id == row.id))
            return _row(row)


def find_task_sequence(connection: Connection, task_sequence_id: str) -> Any:
    """One task sequence's row by id, whatever its case. Raises NotFound."""
    return find(connection, schema.task_sequence, "id", task_sequence_id.strip().upper(), "task sequence")


def _row(row: Any) -> TaskSequenceRow:
    return TaskSequenceRow(row.id, row.name, row.boot_image_id, row.site)
