"""The decision itself: the steps of a distribution point in their order, each leaving its reason.

The same function answers the wire, `pxefast explain` and a replay.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from .bootimage import PLATFORMS, Choice, Platform, choose, program, unusable
from .deployment import newest, offered, visible
from .identity import identify
from .records import (
    Decision,
    Deployment,
    Device,
    DistributionPoint,
    Exclusions,
    Mark,
    Reason,
    Request,
    Site,
)

NOT_PXE = Reason("not_pxe_client", "the vendor class (option 60) does not begin with PXEClient", "T24")
PXE_OFF = Reason(
    "pxe_disabled", "PXE is not enabled on this distribution point; run: pxefast dp set --enable-pxe", "CM-1"
)
RESPONSES_OFF = Reason(
    "responses_not_allowed",
    "this distribution point does not respond to PXE requests; run: pxefast dp set --allow-pxe-response",
    "CM-2",
)
UNKNOWN_OFF = Reason("unknown_computers_off", "unknown computer support is off", "CM-3")
NO_DEPLOYMENT = Reason("no_deployment", "no deployment is made available to PXE on this device", "CM-100")
NO_ARCHITECTURE = Reason("no_architecture", "the client does not say its architecture (option 93)", "W-32")
REQUIRED_NOT_FOR_UNKNOWN = Reason(
    "required_not_for_unknown", "required deployments are never given to an unknown computer", "R-51"
)


def decide(request: Request, site: Site, exclusions: Exclusions) -> Decision:
    """What to do about one request, from one snapshot and one exclusion list. Pure; raises nothing.

    A distribution point that is told to answer nobody decides all the same, so that an operator sees what it
    would do (D4).
    """
    decision = _decide(request, site, exclusions)
    if site.dp.enable_pxe and site.dp.allow_pxe_response:
        return decision
    return replace(
        decision,
        action="ignore",
        reasons=(*decision.reasons, RESPONSES_OFF if site.dp.enable_pxe else PXE_OFF),
        boot_program=None,
        claim=False,
    )


def _decide(request: Request, site: Site, exclusions: Exclusions) -> Decision:
    refusal = _refused(request, site.dp, exclusions)
    if refusal is not None:
        return Decision("ignore", (refusal,))

    device, reason, unique = identify(request, site)
    reasons = [reason]
    platform = PLATFORMS.get(request.architecture) if request.architecture is not None else None
    if device is not None:
        if device.site != site.dp.site:
            reasons.append(_other_site(device, site.dp))
            return Decision("ignore", tuple(reasons), device.name, device.id)
        deployments = visible(site.deployments_by_device.get(device.id, ()))
        if not deployments:
            reasons.append(NO_DEPLOYMENT)
            return Decision("ignore", tuple(reasons), device.name, device.id)
    elif not unique:
        return Decision("ignore", tuple(reasons))
    elif not site.dp.unknown_computers:
        reasons.append(UNKNOWN_OFF)
        return Decision("ignore", tuple(reasons))
    else:
        deployments = _for_unknown(site, platform, reasons)
    if platform is None:
        reasons.append(_unsupported(request.architecture))
        name, number = (None, None) if device is None else (device.name, device.id)
        return Decision("ignore", tuple(reasons), name, number)
    reasons.append(platform.reason)
    return _deploy(request, site, exclusions, device, platform, deployments, reasons)


def _refused(request: Request, dp: DistributionPoint, exclusions: Exclusions) -> Reason | None:
    """The first of the steps that know nothing of devices and say no, or None."""
    if not request.pxe_client:
        return NOT_PXE
    if dp.interfaces is not None and request.interface not in dp.interfaces:
        bound = ", ".join(dp.interfaces) or "none"
        return Reason(
            "interface_not_bound",
            f"interface {request.interface or '?'} is not one that answers ({bound})",
            "CM-11",
        )
    if request.mac in exclusions.macs:
        return Reason("excluded", f"MAC {request.mac} is on the exclusion list", "CM-58")
    if request.door == "discover" and request.secs < dp.response_delay:
        return Reason(
            "response_delay",
            f"the response delay is {dp.response_delay} s and the client has waited {request.secs} s",
            "CM-16",
        )
    return None


def _for_unknown(site: Site, platform: Platform | None, reasons: list[Reason]) -> list[Deployment]:
    """What a machine without a record may have: available deployments for its architecture (CM-95, R-51)."""
    if platform is None:
        return []
    deployments = visible(site.unknown_deployments.get(platform.architecture, ()))
    available = [deployment for deployment in deployments if deployment.purpose == "available"]
    if len(available) < len(deployments):
        reasons.append(REQUIRED_NOT_FOR_UNKNOWN)
    return available


def _deploy(
    request: Request,
    site: Site,
    exclusions: Exclusions,
    device: Device | None,
    platform: Platform,
    deployments: list[Deployment],
    reasons: list[Reason],
) -> Decision:
    """From the deployments a machine can see to the answer.

    At most one required deployment stays in the race.
    """
    name = None if device is None else device.name
    device_id = None if device is None else device.id

    chosen, mark = None, None
    if device_id is not None:
        chosen, mark = _required(request, site, device_id, platform, deployments, reasons)
    required = chosen is not None
    if chosen is not None and exclusions.paused is not None:
        reasons.append(
            Reason("required_paused", f"required deployments are held: {exclusions.paused}", "R-53")
        )
        return Decision(
            "ignore", tuple(reasons), name, device_id, chosen[0].id, None, None, False,
            platform.architecture, platform.firmware,
        )  # fmt: skip

    if chosen is None:
        candidates = [deployment for deployment in deployments if deployment.purpose == "available"]
        chosen = choose(candidates, site.boot_images, platform)
        if chosen is None:
            if candidates:
                reasons.append(_no_image(candidates, platform))
            elif device is None:
                reasons.append(NO_DEPLOYMENT)
            return Decision(
                "ignore", tuple(reasons), name, device_id, None, None, None, False,
                platform.architecture, platform.firmware,
            )  # fmt: skip
        reasons.append(_available_reason(chosen[0].id))
        if device_id is not None:
            mark = _current(request, site, device_id, chosen[0].id)

    deployment, image, fit = chosen
    reasons.append(_image_reason(image.id, image.architecture, platform.label, fit == 2))

    refusal = unusable(image)
    boot_program = None
    if refusal is None:
        boot_program, refusal = program(image, platform, request, mark)
    if refusal is not None:
        reasons.append(refusal)
        return Decision(
            "ignore", tuple(reasons), name, device_id, deployment.id, image.id, None, False,
            platform.architecture, platform.firmware,
        )  # fmt: skip
    reasons.append(_program_reason(boot_program or "", "iPXE" if request.ipxe else platform.firmware.upper()))
    return Decision(
        "boot" if required else "prompt", tuple(reasons), name, device_id, deployment.id, image.id,
        boot_program, required, platform.architecture, platform.firmware,
    )  # fmt: skip


def _required(
    request: Request,
    site: Site,
    device_id: int,
    platform: Platform,
    deployments: list[Deployment],
    reasons: list[Reason],
) -> tuple[Choice | None, Mark | None]:
    """The required deployment that boots now, with its own boot image, and the mark of this very boot.

    What is claimed is what boots: the image is chosen among the required deployments alone, and its deployment
    is the one that counts. Once that, or the newest of all, was given, no older one takes its place (CM-77).
    """
    first = newest(deployments, "required")
    if first is None:
        return None, None
    chosen = choose([d for d in deployments if d.purpose == "required"], site.boot_images, platform)
    for deployment in (first,) if chosen is None or chosen[0] is first else (first, chosen[0]):
        mark, once = offered(deployment, device_id, request, site)
        if once.code == "already_offered":
            reasons.append(once)
            return None, None
    if chosen is None:
        reasons.append(_no_image([d for d in deployments if d.purpose == "required"], platform))
        return None, None
    reasons.append(_required_reason(chosen[0].id, chosen[0].task_sequence_id))
    reasons.append(once)
    return chosen, mark


def _current(request: Request, site: Site, device_id: int, deployment_id: str) -> Mark | None:
    """The mark of an available deployment's boot that this request is a later stage of (F-42)."""
    mark = site.marks.get((device_id, deployment_id))
    if mark is None or not mark.continues(request.step, request.xid, request.now, site.session_seconds):
        return None
    return mark


# A site has few deployments and images, and says the same of them to every machine.


@lru_cache(4096)
def _required_reason(deployment_id: str, task_sequence_id: str) -> Reason:
    return Reason(
        "required_deployment",
        f"required deployment {deployment_id} of task sequence {task_sequence_id}",
        "CM-72",
    )


@lru_cache(4096)
def _available_reason(deployment_id: str) -> Reason:
    return Reason(
        "available_deployment", f"available deployment {deployment_id}: its boot program asks first", "CM-74"
    )


@lru_cache(4096)
def _image_reason(image_id: str, architecture: str, client: str, exact: bool) -> Reason:
    """Which boot image, and by which rule."""
    if exact:
        text = f"boot image {image_id} ({architecture}) matches {client} exactly"
        return Reason("boot_image_exact", text, "CM-101")
    text = f"boot image {image_id} ({architecture}) is compatible with {client}"
    return Reason("boot_image_compatible", text, "CM-102")


@lru_cache(4096)
def _program_reason(program: str, client: str) -> Reason:
    return Reason("boot_program", f"boot program {program} for {client}", "CM-90")


def _no_image(deployments: list[Deployment], platform: Platform) -> Reason:
    named = ", ".join(sorted({deployment.boot_image_id for deployment in deployments}))
    return Reason(
        "no_boot_image", f"none of the deployed boot images ({named}) runs on {platform.label}", "CM-106"
    )


def _other_site(device: Device, dp: DistributionPoint) -> Reason:
    return Reason(
        "other_site",
        f"device {device.name} is assigned to site {device.site}; this distribution point serves {dp.site}",
        "CM-104",
    )


def _unsupported(architecture: int | None) -> Reason:
    if architecture is None:
        return NO_ARCHITECTURE
    return Reason(
        "unsupported_architecture", f"architecture {architecture} (option 93) is not served", "W-32"
    )
