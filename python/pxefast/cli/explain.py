"""`pxefast explain`: the decision that a machine would get, and why. Nothing is sent, nothing is claimed."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Annotated

import typer

from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import note, print_json
from pxefast.errors import ExclusionError, UsageError

if TYPE_CHECKING:
    from pxefast.decide import Decision, Exclusions, Request, Site

# (architecture, firmware) -> option 93 (W-32). BIOS does not say whether it is x86 or x64.
_CODES = {
    ("x86", "bios"): 0,
    ("x64", "bios"): 0,
    ("x86", "uefi"): 6,
    ("x64", "uefi"): 7,
    ("arm64", "uefi"): 11,
}

_ACTIONS = {
    "boot": "boots, without asking anyone",
    "prompt": "may boot, if a person at the machine asks for it",
    "abort": "is told to go on to its next boot device",
    "ignore": "gets no answer",
}


def explain(
    context: typer.Context,
    mac: Annotated[
        str, typer.Option("--mac", metavar="M", help="The machine's MAC address, in any spelling.")
    ],
    smbios_guid: Annotated[
        str | None, typer.Option("--smbios-guid", metavar="G", help="Its SMBIOS GUID.", show_default=False)
    ] = None,
    arch: Annotated[str, typer.Option("--arch", metavar="ARCH", help="x86, x64 or arm64.")] = "x64",
    firmware: Annotated[str, typer.Option("--firmware", metavar="FIRMWARE", help="uefi or bios.")] = "uefi",
    relay: Annotated[
        str | None,
        typer.Option("--relay", metavar="IP", help="As if through this relay.", show_default=False),
    ] = None,
    interface: Annotated[
        str | None,
        typer.Option(
            "--interface",
            metavar="IF",
            help="As if heard on this interface (default: the first one the distribution point answers on).",
            show_default=False,
        ),
    ] = None,
    ipxe: Annotated[bool, typer.Option("--ipxe", help="As if the machine already runs iPXE.")] = False,
    json: Json = False,
) -> None:
    """Say what a machine that starts now would get, and why. Nothing is sent."""
    from pxefast.decide import decide
    from pxefast.site.snapshot import load

    here = get(context)
    request = _request(mac, smbios_guid, arch, firmware, relay, ipxe)
    store = here.store()
    site = load(store, store.point, here.library().published(), here.settings.session.seconds)
    request = replace(request, interface=interface or (site.dp.interfaces or ("",))[0])
    exclusions = _exclusions(site)
    decision = decide(request, site, exclusions)
    if json:
        print_json(decision.as_dict())
        return
    _print(request, decision)


def _request(mac: str, guid: str | None, arch: str, firmware: str, relay: str | None, ipxe: bool) -> Request:
    from pxefast.decide import Request, normal_guid, normal_mac

    canonical = normal_mac(mac)
    if canonical is None:
        raise UsageError(f"--mac {mac!r} is not a MAC address; write it as 01:23:45:67:89:ab or alike")
    code = _CODES.get((arch, firmware))
    if code is None:
        raise UsageError(
            f"--arch {arch} with --firmware {firmware} is no machine; use x86, x64 or arm64 and uefi or bios"
        )
    known = None
    if guid is not None:
        known = normal_guid(guid)
        if known is None:
            raise UsageError(
                f"--smbios-guid {guid!r} is not a GUID; write it as 8-4-4-4-12 hexadecimal digits"
            )
        if set(known) <= set("0-") or set(known) <= set("f-"):
            note("an SMBIOS GUID of all 0 or all F is none: a client that sends it sends nothing")
            known = None
    if relay is not None:
        try:
            IPv4Address(relay)
        except AddressValueError:
            raise UsageError(f"--relay {relay!r} is not an IPv4 address") from None
    # Transaction 0 repeats nothing, so that this is a machine that starts now.
    return Request(canonical, known, code, True, ipxe, "request", 0, 0, "", relay, time.time())


def _exclusions(site: Site) -> Exclusions:
    """The list as it is on disk.

    A service that has read it before keeps its last good one; this cannot know it.
    """
    from pxefast.decide import Exclusions
    from pxefast.responder import exclusions

    file = site.dp.mac_ignore_list_file
    if file is None:
        return Exclusions()
    try:
        return Exclusions(exclusions.read(file))
    except ExclusionError as error:
        note(f"exclusion list {error}")
        return Exclusions(paused=f"exclusion list {error}")


def _print(request: Request, decision: Decision) -> None:
    where = f" on {request.interface}" if request.interface else ""
    through = f" through relay {request.giaddr}" if request.giaddr else ""
    print(
        f"{decision.device or request.mac}{where}{through} {_ACTIONS[decision.action]}  [{decision.action}]"
    )
    for label, value in (
        ("deployment", decision.deployment),
        ("boot image", decision.boot_image),
        ("boot program", decision.boot_program),
    ):
        if value is not None:
            print(f"  {label + ':':<14}{value}")
    for number, reason in enumerate(decision.reasons, start=1):
        print(f"{number:>3}. {reason.text}  [{reason.rule}]")
