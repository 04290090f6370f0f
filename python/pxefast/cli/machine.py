"""Machines that are only imagined, and the distribution point that they ask, as its service sees the site now."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.output import note
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.cli.context import Context
    from pxefast.config import Dhcp
    from pxefast.decide import Decision, Device, DistributionPoint, Exclusions, Reason, Request, Site
    from pxefast.responder.pauses import Files

__all__ = [
    "BOOTS", "Arch", "Firmware", "Point", "code", "devices", "heard", "point", "said", "starting", "starts", "stranger",
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


@dataclass(frozen=True)
class Point:
    """A distribution point at one moment: the site, what it adds to decisions, and what surrounds them on the wire."""

    site: Site
    exclusions: Exclusions
    dhcp: Dhcp
    gated: Mapping[str, str]
    files: Files
    problem: Reason | None = None

    def decide(self, request: Request) -> Decision:
        """What its service would do about a request."""
        from pxefast.responder.shape import evaluate

        return evaluate(request, self.site, self.exclusions, self.problem, self.dhcp, self.gated)

    def outcome(self, asked: Iterable[Request]) -> Decision:
        """What becomes of a machine: it boots if it does through any of its network cards, else the first counts."""
        first = None
        for request in asked:
            decision = self.decide(request)
            if decision.action in BOOTS:
                return decision
            first = first or decision
        assert first is not None
        return first


def point(here: Context, running: bool = True) -> Point:
    """Return this home's distribution point as its service sees it now, or would if it ran.

    A running service may decide from another view than the files show: its last good exclusion list, or a reason
    that is its own. That view is used then, and a note says what differs. `running` False: the files alone count, as
    for a change that no service knows.
    """
    from pxefast.decide import Exclusions
    from pxefast.responder.gated import gated_files
    from pxefast.responder.pauses import look
    from pxefast.responder.programs import distributed
    from pxefast.site.snapshot import load

    store, published = here.store(), here.library().published()
    site = load(store, store.point, distributed(published), here.settings.session.seconds)
    files = look(here.home, here.settings, store, site.dp)
    exclusions, problem = Exclusions(files.macs, files.paused), None
    if running:
        from pxefast.responder import running_service as service

        exclusions, problem, notes = service.look(here.home, store, site.dp, files)
        for text in notes:
            note(text)
    if exclusions.paused is not None:
        note(exclusions.paused.text)
    return Point(site, exclusions, here.settings.dhcp, gated_files(store, site, published), files, problem)


def code(arch: str, firmware: str) -> int:
    """The number that such a machine sends (option 93). Raises UsageError where there is no such machine."""
    known = _CODES.get((arch, firmware))
    if known is None:
        raise UsageError(
            f"--arch {arch} with --firmware {firmware} is no machine; use x86, x64 or arm64 and uefi or bios"
        )
    return known


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


def stranger(machine: Request) -> Request:
    """What a machine without a record asks."""
    return replace(machine, mac=_STRANGER, guid=None)


def said(decision: Decision) -> str:
    """A decision in one line: what boots, or the reason that decided."""
    if decision.action in BOOTS:
        how = "boots" if decision.action == "boot" else "may boot"
        return f"{how} {decision.deployment} with {decision.boot_image} ({decision.boot_program})"
    reason = decision.reasons[-1]
    how = {"abort": "sent on to its next boot device", "pending": "asks again and again"}.get(
        decision.action, "no answer"
    )
    return f"{how}: {reason.text}  [{reason.rule}]"


def devices(site: Site) -> list[Device]:
    """Every known device, by name."""
    found = {device.id: device for device in site.devices_by_mac.values()}
    found.update((device.id, device) for device in site.devices_by_guid.values())
    return sorted(found.values(), key=lambda device: device.name.casefold())
