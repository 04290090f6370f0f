"""Marks of a snapshot, kept up to date between two loads."""

from __future__ import annotations

from pxefast.decide import Mark, Site
from pxefast.site.schema import LIVE

__all__ = ["older", "put_mark"]


def older(mark: Mark, there: Mark) -> bool:
    """Whether a mark was read before what is known: nothing leads back from a launch but a new generation (I5)."""
    if mark.generation != there.generation:
        return mark.generation < there.generation
    return there.state not in ("ARMED", "CLAIMED") and mark.state in ("ARMED", "CLAIMED")


def put_mark(site: Site, device_id: int, mark: Mark) -> None:
    """Put a mark where decisions look, unless a newer one is there."""
    of_deployment = site.marks.setdefault(mark.deployment_id, {})
    there = of_deployment.get(device_id)
    if there is not None and older(mark, there):
        return
    of_deployment[device_id] = mark
    if mark.state in LIVE:
        site.live[device_id] = mark
    elif device_id in site.live and site.live[device_id].deployment_id == mark.deployment_id:
        del site.live[device_id]
    launch = site.launches.get(device_id)
    if mark.unreported and (launch is None or launch.unreported <= mark.unreported):
        site.launches[device_id] = mark
    elif launch is not None and launch.deployment_id == mark.deployment_id:
        del site.launches[device_id]
