"""The largest TFTP window of each model of machine that lost blocks at a larger one, for the whole hierarchy (W-105).

A service lowers it, never raises it; a person clears it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from pxefast.errors import AlreadyExists, Invalid, NotFound
from pxefast.site import schema

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["LearnedWindow", "LearnedWindows", "Lesson", "read_windows"]

# What one hierarchy may learn: whoever makes up machines of ever new models cannot fill the database, or any snapshot.
_MOST = 1024


class Lesson(NamedTuple):
    """What one transfer showed: `granted` blocks were too many for a machine of `model`, `blocks` are not.

    In `gap_windows` of its `windows` windows blocks were lost, after `arrived` of them at the least. `machine` is a
    device's name, or a MAC address.
    """

    model: str
    blocks: int
    granted: int
    arrived: int
    gap_windows: int
    windows: int
    machine: str


class LearnedWindow(NamedTuple):
    """A model's newest lesson, at which distribution point it was learned, and when (Unix seconds)."""

    lesson: Lesson
    distribution_point: str
    learned_at: float


_C = schema.learned_window.c


class LearnedWindows:
    """What a hierarchy has learned."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[LearnedWindow]:
        """Every model's, in order."""
        columns = [_C[name] for name in Lesson._fields]
        query = select(*columns, _C.distribution_point, _C.learned_at).order_by(_C.model)
        with self._store.read() as connection:
            rows = connection.execute(query).all()
        return [LearnedWindow(Lesson(*row[:-2]), row[-2], row[-1]) for row in rows]

    def learn(self, lesson: Lesson) -> None:
        """Lower a model's window.

        Raises AlreadyExists where it is as low already, Invalid where windows of too many models are learned.
        """
        lowered = f"{lesson.model} {lesson.granted} to {lesson.blocks}"
        with self._store.write("tune learn", f"{lowered} by {lesson.machine}") as connection:
            # Another distribution point may have learned more since this one's snapshot: nothing ever raises a window.
            known = read_windows(connection).get(lesson.model)
            if known is not None and known <= lesson.blocks:
                raise AlreadyExists(f"{lesson.model} has a window of {known} blocks already")
            if known is None and _count(connection) >= _MOST:
                raise Invalid(
                    f"windows of {_MOST} models are learned, the most there may be; see: pxefast tune show"
                )
            connection.execute(delete(schema.learned_window).where(_C.model == lesson.model))
            row = {**lesson._asdict(), "distribution_point": self._store.point, "learned_at": time.time()}
            connection.execute(insert(schema.learned_window).values(row))

    def clear(self, models: Sequence[str]) -> None:
        """Forget what was learned of these models: they get what they ask for again. Raises NotFound."""
        with self._store.write("tune clear", ", ".join(models)) as connection:
            for model in models:
                if connection.execute(delete(schema.learned_window).where(_C.model == model)).rowcount == 0:
                    raise NotFound(f"nothing is learned of model {model}; see: pxefast tune show")


def read_windows(connection: Connection) -> dict[str, int]:
    """The largest window of each model, in blocks."""
    return dict(connection.execute(select(_C.model, _C.blocks)).all())


def _count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(schema.learned_window)).scalar_one())
