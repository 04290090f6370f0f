"""Which deployments reach a device by PXE, and what becomes of a required one (CM-67 to CM-79, D5, R-63)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .records import (
    CLOCK_SLACK_SECONDS,
    Deployment,
    Device,
    Mark,
    Policy,
    Reason,
    Request,
    Site,
    already_offered,
    arming_expired,
    held,
    pending_approval,
    same_session,
    time_text,
    too_many_returns,
)

NO_DEPLOYMENT = Reason("no_deployment", "no deployment is made available to PXE on this device", "CM-100")
FIRST = Reason("first_offer", "it was not offered to this device before", "CM-77")
RETURNED = Reason(
    "returned", "its last boot never got to the launch file, so nothing has run: it is offered again", "R-80"
)


def listed(device: Device, policy: Policy, reasons: list[Reason]) -> list[Deployment]:
    """The deployments that PXE gives this device: the preferred one alone, or all but hidden ones (CM-67 to CM-71).

    A device whose preferred id names nothing that reaches it goes on as if it had none. Says why in `reasons`.
    """
    hidden = "media-pxe-hidden" if policy.hidden_deployments == "preferred" else ""
    preferred = device.preferred
    deployments: list[Deployment] = []
    deployment: Deployment
    for deployment in device.deployments:
        if deployment.audience == "clients" or deployment.boot_image_id is None:
            continue
        if preferred is not None and deployment.id == preferred:
            reasons.append(_preferred(preferred))
            return [deployment]
        if deployment.audience != hidden:
            deployments.append(deployment)
    if preferred is not None:
        reasons.append(_not_preferred(preferred))
    if not deployments:
        reasons.extend(_left_out(device.deployments))
    return deployments


def newest(deployments: Iterable[Deployment], purpose: str) -> Deployment | None:
    """The one of this purpose with the highest id, by plain string order (CM-103), or None."""
    best: Deployment | None = None
    deployment: Deployment
    for deployment in deployments:
        if deployment.purpose == purpose and (best is None or deployment.id > best.id):
            best = deployment
    return best


def once(
    deployment: Deployment, mark: Mark | None, request: Request, site: Site
) -> tuple[bool, Reason, Mark | None]:
    """Whether the ledger lets a required deployment go on, why, and the mark of the boot that the request continues.

    A device that is not in the ledger at all passes here; see `not_armed`.
    """
    if mark is None:
        return True, FIRST, None
    standing = mark.standing(
        request.step, request.xid, request.now, site.session_seconds, site.policy.max_returns
    )
    if standing == "armed":
        return True, FIRST, None
    if standing == "same":
        going_on = mark.continues(request.step, request.xid, request.now, site.session_seconds)
        return True, same_session(deployment.id), mark if going_on else None
    if standing == "return":
        return True, RETURNED, None
    if standing == "hold":
        return False, held(deployment.id, mark.why), None
    if standing == "worn":
        return False, too_many_returns(deployment.id, mark.returns), None
    since = mark.claimed_at if mark.state == "CLAIMED" else mark.launched_at
    return False, already_offered(deployment.id, mark.state, since), None


def not_armed(deployment: Deployment, mark: Mark | None, now: float, policy: Policy) -> Reason | None:
    """Why a required deployment is not, or no longer, armed for a device, or None (R-58, R-63).

    A device without a mark has come since the deployment was made.
    """
    if mark is not None:
        armed_at = mark.armed_at
    elif policy.approve_new_members:
        return pending_approval(deployment.id)
    else:
        armed_at = deployment.created_at
    age = now - armed_at
    if age < -CLOCK_SLACK_SECONDS:
        text = f"{deployment.id} was armed {time_text(armed_at)}, which is in the future; set this server's clock"
        return Reason("clock_behind", text, "T23")
    if policy.armed_hours > 0 and age >= policy.armed_hours * 3600:
        return arming_expired(deployment.id, armed_at, policy.armed_hours)
    return None


def not_in_force(deployment: Deployment, now: float, policy: Policy) -> Reason | None:
    """Why a deployment is not handed out at this time, or None. Times count only where the policy says so (CM-75)."""
    if policy.schedules == "enforce":
        if deployment.available_at is not None and now < deployment.available_at:
            return Reason(
                "not_yet_available",
                f"deployment {deployment.id} is available from {time_text(deployment.available_at)}",
                "CM-75",
            )
        if deployment.expires_at is not None and now >= deployment.expires_at:
            return Reason(
                "expired",
                f"deployment {deployment.id} expired {time_text(deployment.expires_at)}",
                "CM-75",
            )
    if not deployment.enabled:
        return Reason(
            "deployment_disabled",
            f"deployment {deployment.id} is disabled; run: pxefast deployment set {deployment.id} --enable",
            "D1",
        )
    return None


def _left_out(deployments: Iterable[Deployment]) -> list[Reason]:
    """Why none of these is given by PXE: a reason a kind, the last one NO_DEPLOYMENT."""
    clients, imageless, hidden = [], [], []
    for deployment in deployments:
        if deployment.audience == "clients":
            clients.append(deployment.id)
        elif deployment.boot_image_id is None:
            imageless.append(deployment.id)
        else:
            hidden.append(deployment.id)
    reasons = []
    if clients:
        text = f"made available to clients only: {', '.join(clients)}"
        reasons.append(Reason("clients_only", text, "CM-67"))
    if imageless:
        text = f"of a task sequence without a boot image: {', '.join(imageless)}"
        reasons.append(Reason("no_image_named", text, "CM-71"))
    if hidden:
        text = f"hidden, so that only the variable SMSTSPreferredAdvertID starts it: {', '.join(hidden)}"
        reasons.append(Reason("hidden", text, "CM-69"))
    return [*reasons, NO_DEPLOYMENT]


# A site says the same of one deployment to every machine.


@lru_cache(4096)
def _preferred(deployment_id: str) -> Reason:
    text = f"SMSTSPreferredAdvertID forces deployment {deployment_id}; no other counts"
    return Reason("preferred_deployment", text, "CM-70")


@lru_cache(4096)
def _not_preferred(deployment_id: str) -> Reason:
    text = (
        f"SMSTSPreferredAdvertID names {deployment_id}, which does not reach this device by PXE; "
        "it goes on as if it were not set"
    )
    return Reason("preferred_not_found", text, "CM-70")
