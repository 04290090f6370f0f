"""Decisions that name no boot program of a deployment: nothing to boot, a refusal, or a machine that asks again."""

from __future__ import annotations

from .bootimage import Platform, choose, unusable
from .identity import Machine
from .reasons import polls
from .records import Action, BootImage, Decision, Deployment, Reason, Request, Site
from .windows import loader


def pending(
    request: Request,
    site: Site,
    machine: Machine,
    platform: Platform,
    deployments: list[Deployment],
    waiting: str | None,
    reasons: list[Reason],
) -> Decision:
    """A machine whose required deployment waits for approval: Microsoft's loader asks here again until then (W-69).

    The loader itself starts nothing, so that nothing is claimed; what it is told to start one day is.
    """
    chosen = choose(deployments, site.boot_images, platform)
    image: BootImage | None = None if chosen is None else chosen.image
    if image is None or image.kind != "windows-pe":
        return nothing(site, machine, reasons, waiting)
    boot_program, refusal = None, None
    if not (image.pxe_enabled and image.distributed):
        refusal = unusable(image)
    elif not request.wds:
        boot_program, refusal = loader(image, platform)
    if refusal is not None:
        reasons.append(refusal)
        return nothing(site, machine, reasons, waiting)
    reasons.append(polls(site.policy.pending_poll_seconds, site.policy.pending_poll_count))
    return Decision(
        "pending", tuple(reasons), machine.device.name if machine.known else None, machine.number, waiting,
        image.id, boot_program, False, platform.architecture, platform.firmware, kind=image.kind,
    )  # fmt: skip


def nothing(
    site: Site,
    machine: Machine,
    reasons: list[Reason],
    deployment_id: str | None = None,
    because: Reason | None = None,
    behind: str | None = None,
) -> Decision:
    """A machine for which there is nothing to boot: a known device may be sent on to its next boot device (CM-89)."""
    action: Action = "ignore"
    if machine.known and machine.platform is not None:
        bios = machine.platform.firmware == "bios"
        action = site.policy.no_deployment_bios if bios else site.policy.no_deployment_uefi
    return end(action, machine, reasons, deployment_id, None, because, behind)


def end(
    action: Action,
    machine: Machine,
    reasons: list[Reason],
    deployment_id: str | None = None,
    image_id: str | None = None,
    because: Reason | None = None,
    behind: str | None = None,
) -> Decision:
    """A decision without a boot program. What decided is the last reason, unless another one is given."""
    platform = machine.platform
    architecture, firmware = (None, None) if platform is None else (platform.architecture, platform.firmware)
    decided = reasons[-1] if because is None else because
    return Decision(
        action, tuple(reasons), machine.device.name if machine.known else None, machine.number, deployment_id,
        image_id, None, False, architecture, firmware, because=decided, behind=behind,
    )  # fmt: skip
