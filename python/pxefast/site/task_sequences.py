"""Task sequences: what is done to a machine, and the boot image it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from pxefast.errors import AlreadyExists, InUse
from pxefast.site import schema
from pxefast.site.boot_images import find_boot_image
from pxefast.site.names import checked_name, find

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["TaskSequenceRow", "TaskSequences"]


class TaskSequenceRow(NamedTuple):
    """A task sequence."""

    id: str
    name: str
    boot_image_id: str


class TaskSequences:
    """The task sequences of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, name: str, boot_image_id: str, wanted_id: str | None = None) -> TaskSequenceRow:
        """A new task sequence. Raises Invalid, AlreadyExists, or NotFound for the boot image."""
        name, key = checked_name("task sequence", name)
        with self._store.write("task-sequence create", name) as connection:
            image = find_boot_image(connection, boot_image_id).id
            if connection.execute(
                select(schema.task_sequence.c.id).where(schema.task_sequence.c.key == key)
            ).first():
                raise AlreadyExists(f"task sequence {name!r} already exists")
            new = self._store.new_id(connection, schema.task_sequence, wanted_id)
            connection.execute(
                insert(schema.task_sequence).values(
                    id=new, name=name, key=key, site=self._store.code, boot_image_id=image
                )
            )
            return TaskSequenceRow(new, name, image)

    def all(self) -> list[TaskSequenceRow]:
        """All task sequences, by id."""
        t = schema.task_sequence.c
        with self._store.read() as connection:
            query = select(t.id, t.name, t.boot_image_id).order_by(t.id)
            return [TaskSequenceRow(*row) for row in connection.execute(query)]

    def get(self, task_sequence_id: str) -> TaskSequenceRow:
        """One task sequence by id. Raises NotFound."""
        with self._store.read() as connection:
            row = find_task_sequence(connection, task_sequence_id)
            return TaskSequenceRow(row.id, row.name, row.boot_image_id)

    def remove(self, task_sequence_id: str) -> TaskSequenceRow:
        """Remove a task sequence. Raises InUse while it is deployed."""
        d = schema.deployment.c
        with self._store.write("task-sequence remove", task_sequence_id) as connection:
            row = find_task_sequence(connection, task_sequence_id)
            users = list(
                connection.execute(select(d.id).where(d.task_sequence_id == row.id).order_by(d.id)).scalars()
            )
            if users:
                raise InUse(
                    f"task sequence {row.id} is in use by deployment {', '.join(users)}; remove that first"
                )
            connection.execute(delete(schema.task_sequence).where(schema.task_sequence.c.id == row.id))
            return TaskSequenceRow(row.id, row.name, row.boot_image_id)


def find_task_sequence(connection: Connection, task_sequence_id: str) -> Any:
    """One task sequence's row by id, whatever its case. Raises NotFound."""
    return find(connection, schema.task_sequence, "id", task_sequence_id.strip().upper(), "task sequence")
