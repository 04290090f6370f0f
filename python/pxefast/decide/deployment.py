"""Which deployments reach a device by PXE, and what becomes of a required one (CM-67 to CM-79, D5, R-63)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from .bootimage import Choice, Platform, choose
from .identity import Machine
from .reasons import (
    FIRST,
    NO_DEPLOYMENT,
    NO_IDENTITY,
    REQUIRED_NOT_FOR_UNKNOWN,
    RETURNED,
    already_offered,
    arming_expired,
    available_deployment,
    held,
    no_boot_image,
    offered_again,
    pending_approval,
    required_deployment,
    same_session,
    time_text,
    too_many_returns,
    withdrawn,
)
from .records import CLOCK_SLACK_SECONDS, Deployment, Device, Mark, Policy, Reason, Request, Site
from .settling import name_of


def listed(device: Device, policy: Policy, reasons: list[Reason]) -> list[Deployment]:
    """The deployments that PXE gives this device: the preferred one alone, or all but hidden ones (CM-67 to CM-71).

    A device whose preferred id names nothing that reaches it goes on as if it had none. Says why in `reasons`.
    """
    hidden_too = policy.hidden_deployments == "listed"
    preferred = device.preferred
    deployments: list[Deployment] = []
    deployment: Deployment
    for deployment in device.deployments:
        if deployment.audience == "clients" or deployment.boot_image_id is None:
            continue
        if preferred is not None and deployment.id == preferred:
            reasons.append(_preferred(preferred))
            return [deployment]
        if hidden_too or deployment.audience != "media-pxe-hidden":
            deployments.append(deployment)
    if preferred is not None:
        reasons.append(_not_preferred(preferred))
    if not deployments:
        reasons.extend(_left_out(device.deployments))
    return deployments


def of_purpose(deployments: list[Deployment], purpose: str) -> list[Deployment]:
    """Those that are required, or those that are available."""
    found: list[Deployment] = []
    deployment: (
        Deployment  # Cython knows the type of a loop's variable so, and not that of a comprehension's.
    )
    for deployment in deployments:
        if deployment.purpose == purpose:
            found.append(deployment)  # noqa: PERF401
    return found


def for_unknown(
    site: Site, machine: Machine, deployments: list[Deployment], reasons: list[Reason]
) -> tuple[list[Deployment], Reason | None]:
    """What a machine without a record may have of these: required ones only by setting (R-51), and only if it can be
    told from others, for it must get them once. With it, why nothing at all is left."""
    if site.policy.required_for_unknown and (machine.mac or machine.guid is not None):
        return deployments, None
    optional = of_purpose(deployments, "available")
    if len(optional) == len(deployments):
        return optional, None
    left_out = NO_IDENTITY if site.policy.required_for_unknown else REQUIRED_NOT_FOR_UNKNOWN
    reasons.append(left_out)
    if optional:
        return optional, None
    reasons.append(NO_DEPLOYMENT)
    return optional, left_out


def _newest(deployments: list[Deployment]) -> Deployment:
    """The one with the highest id, by plain string order (CM-103)."""
    best = deployments[0]
    deployment: Deployment
    for deployment in deployments:
        if deployment.id > best.id:
            best = deployment
    return best


def required(
    request: Request,
    site: Site,
    machine: Machine,
    platform: Platform,
    deployments: list[Deployment],
    reasons: list[Reason],
) -> tuple[Choice | None, Mark | None, str | None, str]:
    """The required deployment that boots, with the mark of the boot it continues; else None and the one that is over.

    The last value is the outcome: "boots", "pending" (it waits for approval), "no_image" or "refused".

    What is claimed is what boots: the image is chosen among the required deployments alone, and its deployment is the
    one that counts. Where that, or the newest of all, was given or is on hold, no older one takes its place (CM-77).
    """
    first = _newest(deployments)
    chosen = choose(deployments, site.boot_images, platform)
    if chosen is None or chosen.deployment is not first:
        goes_on, reason, _ = _once(first, _mark(site, machine, first.id), request, site, machine)
        if not goes_on:
            reasons.append(reason)
            return None, None, first.id, "refused"
    if chosen is None:
        reasons.append(no_boot_image(deployments, platform.label))
        return None, None, None, "no_image"
    deployment = chosen.deployment
    mark = _mark(site, machine, deployment.id)
    goes_on, reason, continued = _once(deployment, mark, request, site, machine)
    if goes_on:
        if mark is None and site.policy.approve_new_members:
            reasons.append(pending_approval(deployment.id))
            return None, None, deployment.id, "pending"
        refusal = _not_armed(deployment, mark, request.now, site.policy)
        if refusal is None:
            refusal = not_in_force(deployment, request.now, site.policy)
        if refusal is None:
            reasons.append(required_deployment(deployment.id, deployment.task_sequence_id))
            reasons.append(reason)
            return chosen, continued, None, "boots"
        reason = refusal
    reasons.append(reason)
    return None, None, deployment.id, "refused"


def _mark(site: Site, machine: Machine, deployment_id: str) -> Mark | None:
    """The ledger's mark of this machine; a machine without a record is armed with its unknown computer object."""
    marks = site.marks.get(deployment_id)
    if marks is None:
        return None
    mark = marks.get(machine.number) if machine.number is not None else None
    return marks.get(machine.device.id) if mark is None else mark


def available(
    request: Request, site: Site, platform: Platform, deployments: list[Deployment], reasons: list[Reason]
) -> tuple[Choice | None, str]:
    """The available deployment that asks, or None; one that is not handed out now leaves its place to the next.

    The second value is the outcome: "boots", "no_image", "refused", or "none" where there is none at all.
    """
    candidates = []
    optional = of_purpose(deployments, "available")
    for deployment in optional:
        refusal = not_in_force(deployment, request.now, site.policy)
        if refusal is None:
            candidates.append(deployment)
        else:
            reasons.append(refusal)
    chosen = choose(candidates, site.boot_images, platform)
    if chosen is not None:
        reasons.append(available_deployment(chosen.deployment.id))
        return chosen, "boots"
    if candidates:
        reasons.append(no_boot_image(candidates, platform.label))
        return None, "no_image"
    return None, "refused" if optional else "none"


def current(request: Request, site: Site, number: int | None, deployment_id: str) -> Mark | None:
    """The mark of an available deployment's boot that this request is a later stage of (F-42)."""
    marks = site.marks.get(deployment_id)
    mark = marks.get(number) if marks is not None and number is not None else None
    if mark is None or not mark.continues(request.step, request.xid, request.now, site.session_seconds):
        return None
    return mark


def _once(
    deployment: Deployment, mark: Mark | None, request: Request, site: Site, machine: Machine
) -> tuple[bool, Reason, Mark | None]:
    """Whether the ledger lets a required deployment go on, why, and the mark of the boot that the request continues.

    A device that is not in the ledger at all passes here; see `_not_armed`.
    """
    if mark is None:
        return True, FIRST, None
    standing = mark.standing(
        request.step, request.xid, request.now, site.session_seconds, site.policy.max_returns
    )
    if standing == "armed":
        if mark.generation > 1:
            return True, offered_again(mark.history), None
        return True, FIRST if mark.returns == 0 else RETURNED, None
    if standing == "same":
        going_on = mark.continues(request.step, request.xid, request.now, site.session_seconds)
        return True, same_session(deployment.id), mark if going_on else None
    if standing == "return":
        return True, RETURNED, None
    if standing == "hold":
        return False, held(deployment.id, mark.why, name_of(machine)), None
    if standing == "worn":
        return False, too_many_returns(deployment.id, mark.returns, name_of(machine)), None
    if mark.state == "WITHDRAWN" or mark.state == "CLEARED":
        return False, withdrawn(deployment.id), None
    since = mark.claimed_at if mark.state == "CLAIMED" else mark.launched_at
    return False, already_offered(deployment.id, mark.state, since, name_of(machine)), None


def _not_armed(deployment: Deployment, mark: Mark | None, now: float, policy: Policy) -> Reason | None:
    """Why a required deployment is no longer armed for a device, or None (R-63).

    A device without a mark has come since the deployment was made.
    """
    armed_at = deployment.created_at if mark is None else mark.armed_at
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
            f"deployment {deployment.id} is disabled; run: pxefast deployment enable {deployment.id}",
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
