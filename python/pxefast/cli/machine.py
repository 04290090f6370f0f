"""Machines that are only imagined, and the site as the service sees it now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.output import note
from pxefast.errors import ExclusionError, UsageError

if TYPE_CHECKING:
    from pxefast.cli.context import Context
    from pxefast.decide import Decision, Device, DistributionPoint, Exclusions, Request, Site

__all__ = [
    "BOOTS", "Arch", "Firmware", "code", "devices", "exclusions", "heard", "outcome", "said", "site", "starting",
    "starts", "stranger",
]  # fmt: skip

Arch = Annotated[str, typer.Option("--arch", metavar="ARCH", help="x86, x64 or arm64.")]
Firmware = Annotated[str, typer.Option("--firmware", metavar="FIRMWARE", help="uefi or bios.")]

BOOTS = ("boot", "prompt")

# (architecture, firmware) -> option 93 (W-32). BIOS does not say whether it is x86 or x64.
_CODES = {
    ("x86", "bios"): 0,
    ("x64", "bios"): 0,
    ("x86", "uefi"): 6,
    ("x64", "uefi"): 7,
    ("arm64", "uefi"): 11,
}
# Of no vendor and in no record: a machine that nobody knows.
_STRANGER = "02:00:00:00:00:00"


def code(arch: str, firmware: str) -> int:
    """The number that such a machine sends (option 93). Raises UsageError where there is no such machine."""
    known = _CODES.get((arch, firmware))
    if known is None:
        raise UsageError(
            f"--arch {arch} with --firmware {firmware} is no machine; use x86, x64 or arm64 and uefi or bios"
        )
    return known


def site(here: Context) -> Site:
    """The hierarchy as it is now, as this home's distribution point sees it."""
    from pxefast.site.snapshot import load

    store = here.store()
    return load(store, store.point, here.library().published(), here.settings.session.seconds)


def exclusions(here: Context, site: Site) -> Exclusions:
    """The exclusion list as it is on disk, and why required deployments are off.

    A service that has read the list before keeps its last good one; this cannot know it.
    """
    from pxefast.decide import Exclusions, Reason
    from pxefast.responder import exclusions

    file = site.dp.mac_ignore_list_file
    if file is None:
        return Exclusions()
    try:
        return Exclusions(exclusions.read(file))
    except ExclusionError as error:
        note(f"exclusion list {error}")
        text = f"required deployments are held: exclusion list {error}"
        return Exclusions(paused=Reason("required_paused", text, "R-53"))


def heard(request: Request, dp: DistributionPoint, interface: str | None) -> Request:
    """The request as heard on an interface, by default the first one that the distribution point answers on."""
    from pxefast.decide import normal_mac

    name = interface or (dp.interfaces or ("",))[0]
    mac = normal_mac(name)
    return replace(request, interface=name) if mac is None else replace(request, interface_mac=mac)


def starting(architecture: int) -> Request:
    """What a machine of no identity asks when it starts now: its request on port 4011, which no delay holds back."""
    from pxefast.decide import Request

    # Transaction 0 repeats nothing, so that this is a machine that starts now.
    return Request("", None, architecture, True, False, "request", 0, 0, "", None, time.time())


def starts(device: Device, machine: Request) -> Iterator[Request]:
    """What a known device asks, through each of its network cards."""
    for mac in device.macs or ("",):
        yield replace(machine, mac=mac, guid=device.guid)


def outcome(asked: Iterable[Request], site: Site, exclusions: Exclusions) -> Decision:
    """What becomes of a machine: it boots if it does through any of its network cards, else the first one counts."""
    from pxefast.decide import decide

    first = None
    for request in asked:
        decision = decide(request, site, exclusions)
        if decision.action in BOOTS:
            return decision
        first = first or decision
    assert first is not None
    return first


def said(decision: Decision) -> str:
    """A decision in one line: what boots, or the reason that decided."""
    if decision.action in BOOTS:
        how = "boots" if decision.action == "boot" else "may boot"
        return f"{how} {decision.deployment} with {decision.boot_image} ({decision.boot_program})"
    reason = decision.reasons[-1]
    how = "sent on to its next boot device" if decision.action == "abort" else "no answer"
    return f"{how}: {reason.text}  [{reason.rule}]"


def stranger(machine: Request) -> Request:
    """What a machine without a record asks."""
    return replace(machine, mac=_STRANGER, guid=None)


def devices(site: Site) -> list[Device]:
    """Every known device, by name."""
    found = {device.id: device for device in site.devices_by_mac.values()}
    found.update((device.id, device) for device in site.devices_by_guid.values())
    return sorted(found.values(), key=lambda device: device.name.casefold())
