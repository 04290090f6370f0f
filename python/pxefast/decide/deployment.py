"""Which deployment a device gets: visible to PXE, required first and once (CM-67 to CM-79)."""

from __future__ import annotations

from collections.abc import Iterable

from .records import Deployment, Mark, Reason, Request, Site, already_offered, same_session

ONCE = Reason("first_offer", "it was not offered to this device before", "CM-77")


def visible(deployments: Iterable[Deployment]) -> list[Deployment]:
    """Those made available to PXE; hidden ones count too, for hiding is WinPE's affair (CM-67, CM-69)."""
    return [deployment for deployment in deployments if deployment.audience != "clients"]


def newest(deployments: Iterable[Deployment], purpose: str) -> Deployment | None:
    """The one of this purpose with the highest id, by plain string order (CM-103), or None."""
    best: Deployment | None = None
    for deployment in deployments:
        if deployment.purpose == purpose and (best is None or deployment.id > best.id):
            best = deployment
    return best


def offered(
    deployment: Deployment, device_id: int, request: Request, site: Site
) -> tuple[Mark | None, Reason]:
    """The mark of the boot this request belongs to, if any, and what the ledger says.

    Reason `already_offered` ends the deployment for this device; the two others allow it.
    """
    mark = site.marks.get((device_id, deployment.id))
    if mark is None:
        return None, ONCE
    if mark.continues(request.step, request.xid, request.now, site.session_seconds):
        return mark, same_session(deployment.id)
    return None, already_offered(deployment.id)
