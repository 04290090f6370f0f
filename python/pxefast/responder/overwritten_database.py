"""A database that was overwritten in place: its file keeps its inode, but not what was recorded in it (D37)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pxefast.decide import Mark, Site
from pxefast.errors import DatabaseReplaced

__all__ = ["find_forgotten", "forgotten"]


def find_forgotten(
    before: Mapping[str, Mapping[int, Mark]], now: Site, is_older: Callable[[Mark, Mark], bool]
) -> tuple[int, str] | None:
    """Return a device and a deployment of which `now` says less than `before`, or None where there are none.

    `before` are marks by deployment and device that were durable before `now` was read.
    """
    for deployment_id, known in before.items():
        found = now.marks.get(deployment_id, {})
        for device_id, mark in known.items():
            if device_id in found and is_older(found[device_id], mark):
                return device_id, deployment_id
    return None


def forgotten(device: str | None, deployment_id: str) -> DatabaseReplaced:
    """The error of such a database."""
    return DatabaseReplaced(
        f"the database has forgotten that {device} was given {deployment_id}: it was overwritten under the service; "
        "stop the service, put the newest backup in its place, then run: pxefast reconcile"
    )
