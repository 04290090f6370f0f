"""The decision itself: the steps of a distribution point in their order, each leaving its reason.

The same function answers the wire, `pxefast explain` and a replay.

The choice of a deployment never looks at whether it is enabled, in time, armed or already given; what is chosen is then
judged. So taking anything away from a machine never makes another required deployment boot it (R-54).
"""

from __future__ import annotations

from dataclasses import replace

from .bootimage import Choice, Platform, choose, lacks_x86, launch_file, platform_of, program, unusable
from .deployment import (
    available,
    current,
    for_unknown,
    listed,
    not_in_force,
    of_purpose,
    required,
)
from .endings import end, nothing, pending
from .identity import (
    Machine,
    guid_alone,
    hardware_conflict,
    identify,
    identities,
    not_here,
    other_machine_has_it,
    own_machine,
)
from .reasons import (
    NO_DEPLOYMENT,
    NO_X86_IMAGE,
    NOT_PXE,
    PXE_OFF,
    RESPONSES_OFF,
    UNKNOWN_OFF,
    boot_program_named,
    excluded,
    image_chosen,
    image_of_highest_id,
    other_session,
    protected,
    unknown_computer,
    unsupported,
)
from .records import Action, Decision, Deployment, Exclusions, Mark, Reason, Request, Site
from .settling import in_session, unreported, unsettled, waits
from .windows import program as windows_program


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
        launch_file=None,
        identities=(),
        because=None,
    )


def _decide(request: Request, site: Site, exclusions: Exclusions) -> Decision:
    refusal = _refused(request, site, exclusions)
    if refusal is not None:
        return Decision("ignore", (refusal,))
    reasons: list[Reason] = []
    device, mac, guid, unique = identify(request, site, reasons)
    platform = platform_of(request, site.policy)
    if device is not None:
        live, launch = site.live.get(device.id), site.launches.get(device.id)
        machine = Machine(device, True, device.id, live, mac, guid, platform, launch)
        refusal = not_here(device, site, exclusions)
        if refusal is None:
            return _serve(request, site, exclusions, machine, reasons)
        reasons.append(refusal)
        return end("ignore", machine, reasons)
    if not unique:
        return Decision("ignore", tuple(reasons))
    if not site.dp.unknown_computers:
        reasons.append(UNKNOWN_OFF)
        return Decision("ignore", tuple(reasons))
    if platform is None:
        reasons.append(unsupported(request.architecture))
        return Decision("ignore", tuple(reasons))
    return _unknown(request, site, exclusions, mac, guid, platform, reasons)


def _refused(request: Request, site: Site, exclusions: Exclusions) -> Reason | None:
    """The first of the steps that know nothing of devices and say no, or None."""
    dp = site.dp
    if not request.pxe_client:
        return NOT_PXE
    if (
        dp.interfaces is not None
        and request.interface not in dp.interfaces
        and (not request.interface_mac or request.interface_mac not in dp.interfaces)
    ):
        bound = ", ".join(dp.interfaces) or "none"
        return Reason(
            "interface_not_bound",
            f"interface {request.interface or '?'} is not one that answers ({bound})",
            "CM-11",
        )
    if request.mac in exclusions.macs:
        return excluded(request.mac)
    if request.door == "discover" and request.secs < dp.response_delay:
        return Reason(
            "response_delay",
            f"the response delay is {dp.response_delay} s and the client has waited {request.secs} s",
            "CM-16",
        )
    return own_machine(request, site)


def _unknown(
    request: Request,
    site: Site,
    exclusions: Exclusions,
    mac: str,
    guid: str | None,
    platform: Platform,
    reasons: list[Reason],
) -> Decision:
    """A machine without a record: what its architecture's unknown computer object gets (CM-94, CM-95)."""
    stand_in = site.unknown.get(platform.architecture)
    if stand_in is None:
        reasons.append(NO_DEPLOYMENT)
        return Decision(
            "ignore", tuple(reasons), architecture=platform.architecture, firmware=platform.firmware
        )
    reasons.append(unknown_computer(stand_in.name))
    by_mac = site.hardware.get("mac:" + mac)
    by_guid = site.hardware.get("guid:" + guid) if guid is not None else None
    number = by_mac if by_guid is None else by_guid
    live = site.live.get(number) if number is not None else None
    launch = site.launches.get(number) if number is not None else None
    if by_mac is not None and by_mac != number:
        if site.policy.identity_conflict != "lenient":
            reasons.append(hardware_conflict(mac, guid))
            return Decision("ignore", tuple(reasons))
        live = site.live.get(by_mac) if live is None else live
        launch = site.launches.get(by_mac) if launch is None else launch
    machine = Machine(stand_in, False, number, live, mac, guid, platform, launch)
    if stand_in.protected:
        reasons.append(protected(stand_in))
        return end("ignore", machine, reasons)
    return _serve(request, site, exclusions, machine, reasons)


def _serve(
    request: Request, site: Site, exclusions: Exclusions, machine: Machine, reasons: list[Reason]
) -> Decision:
    """From who it is to the answer."""
    live = machine.live
    launch = unsettled(request, site, machine)
    if launch is not None and launch.state != "CLAIMED" and in_session(launch, request, site):
        # Its work may run at this moment: nothing boots this machine, available deployments neither (I4).
        reasons.append(unreported(launch, site, machine))
        return nothing(site, machine, reasons, launch.deployment_id)
    taken = other_machine_has_it(request, site, live)
    if taken is not None and live is not None:
        reasons.append(taken)
        return end("ignore", machine, reasons, live.deployment_id)

    deployments = listed(machine.device, site.policy, reasons)
    if not deployments:
        return nothing(site, machine, reasons)
    platform = machine.platform
    if platform is None:
        reasons.append(unsupported(request.architecture))
        return end("ignore", machine, reasons)
    reasons.append(platform.reason)
    left_out: Reason | None = None
    if not machine.known:
        deployments, left_out = for_unknown(site, machine, deployments, reasons)

    must = of_purpose(deployments, "required")
    chosen, mark, refused, outcome = None, None, None, "none"
    if must:
        chosen, mark, refused, outcome = required(request, site, machine, platform, must, reasons)
    if chosen is not None:
        unsure = guid_alone(request, site, machine)
        if unsure is not None:
            reasons.append(unsure)
            refused, chosen = chosen.deployment.id, None
    # What may run already goes on alone (I2); what cannot run yet gives way.
    if (
        live is not None
        and live.state == "CLAIMED"
        and not live.returnable
        and (chosen is None or chosen.deployment.id != live.deployment_id)
        and in_session(live, request, site)
    ):
        if refused == live.deployment_id:
            return nothing(site, machine, reasons, refused)
        reasons.append(other_session(live.deployment_id))
        return end("ignore", machine, reasons, live.deployment_id)
    behind: str | None = None
    if chosen is not None and launch is not None and launch.deployment_id != chosen.deployment.id:
        # The other launch may still be at work: only a person at the machine may start something now (D34).
        behind, refused, chosen = launch.deployment_id, chosen.deployment.id, None
        reasons.append(waits(launch, site, machine))
    if chosen is not None:
        because = reasons[-1]
        if exclusions.paused is not None:
            reasons.append(exclusions.paused)
            return end("ignore", machine, reasons, chosen.deployment.id)
        return _boot("boot", request, site, machine, platform, deployments, chosen, mark, reasons, because)

    chosen, optional = available(request, site, platform, deployments, reasons)
    if chosen is None:
        if optional == "no_image" or (optional == "none" and outcome == "no_image"):
            return end("ignore", machine, reasons, refused)
        if outcome == "pending" and site.policy.pending_machines == "poll":
            return pending(request, site, machine, platform, must, refused, reasons)
        return nothing(site, machine, reasons, refused, left_out, behind)
    mark = current(request, site, machine.number, chosen.deployment.id)
    return _boot(
        "prompt", request, site, machine, platform, deployments, chosen, mark, reasons, reasons[-1], behind
    )


def _boot(
    action: Action,
    request: Request,
    site: Site,
    machine: Machine,
    platform: Platform,
    deployments: list[Deployment],
    chosen: Choice,
    mark: Mark | None,
    reasons: list[Reason],
    because: Reason,
    behind: str | None = None,
) -> Decision:
    """From the chosen deployment to its boot image and boot program."""
    deployment, image, fit = chosen.deployment, chosen.image, chosen.fit
    refusal = None
    if site.policy.boot_image_of == "highest-id":
        # Configuration Manager's own rule, and its danger: the image that boots may be that of another deployment than
        # the one that is claimed, or asked for; where an image does the work by itself, that work runs unclaimed.
        highest = choose(deployments, site.boot_images, platform)
        if highest is not None and highest.deployment.id != deployment.id:
            image, fit = highest.image, highest.fit
            reasons.append(image_of_highest_id(highest.deployment.id))
            refusal = not_in_force(highest.deployment, request.now, site.policy)
    reasons.append(image_chosen(image.id, image.architecture, platform.label, fit == 2))

    boot_program, says = None, None
    if refusal is None and not (image.pxe_enabled and image.distributed):
        refusal = unusable(image)
    if refusal is None:
        if platform.firmware == "bios" and lacks_x86(site.boot_images):
            reasons.append(NO_X86_IMAGE)
        if image.kind == "windows-pe":
            boot_program, says = windows_program(image, platform, request, action == "prompt", site.policy)
        else:
            boot_program, refusal = program(image, platform, request, mark)
        if boot_program is None:
            refusal = says or refusal
    if boot_program is None:
        if refusal is not None:
            reasons.append(refusal)
        return end("ignore", machine, reasons, deployment.id, image.id)
    reasons.append(boot_program_named(boot_program, "iPXE" if request.ipxe else platform.label))
    if says is not None:
        reasons.append(says)
    claim = action == "boot"
    return Decision(
        action, tuple(reasons), machine.device.name if machine.known else None, machine.number, deployment.id,
        image.id, boot_program, claim, platform.architecture, platform.firmware,
        launch_file(image, request, boot_program), identities(machine.mac, machine.guid) if claim else (), image.kind,
        because, behind,
    )  # fmt: skip
