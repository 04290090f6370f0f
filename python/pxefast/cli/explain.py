"""`pxefast explain`: the decision that a machine would get, and why. Nothing is sent, nothing is claimed."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pxefast.cli import machine
from pxefast.cli.context import get
from pxefast.cli.options import Json
from pxefast.cli.output import note, print_json, word
from pxefast.errors import UsageError

if TYPE_CHECKING:
    from pxefast.cli.context import Context
    from pxefast.decide import Decision, Request, Site
    from pxefast.site.session_facts import SessionFacts

_UNSET: dict[str, Any] = {"show_default": False}
_ACTIONS = {
    "boot": "boots, without asking anyone",
    "prompt": "may boot, if a person at the machine asks for it",
    "pending": "asks again and again until its deployment is approved",
    "abort": "is told to go on to its next boot device",
    "ignore": "gets no answer",
}


def explain(
    context: typer.Context,
    mac: Annotated[
        str | None,
        typer.Option("--mac", metavar="M", help="The machine's MAC address, in any spelling.", **_UNSET),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="NAME", help="A known device, by its record.", **_UNSET),
    ] = None,
    deployment: Annotated[
        str | None,
        typer.Option(
            "--deployment",
            metavar="ID",
            help="Every machine that this deployment reaches, in place of one machine.",
            **_UNSET,
        ),
    ] = None,
    smbios_guid: Annotated[
        str | None, typer.Option("--smbios-guid", metavar="G", help="Its SMBIOS GUID.", **_UNSET)
    ] = None,
    arch: machine.Arch = "x64",
    firmware: machine.Firmware = "uefi",
    relay: Annotated[
        str | None, typer.Option("--relay", metavar="IP", help="As if through this relay.", **_UNSET)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="IP",
            help="As if it had this address, which a boundary group may be around.",
            **_UNSET,
        ),
    ] = None,
    interface: Annotated[
        str | None,
        typer.Option(
            "--interface",
            metavar="IF",
            help="As if heard on this interface (default: the first one the distribution point answers on).",
            **_UNSET,
        ),
    ] = None,
    ipxe: Annotated[bool, typer.Option("--ipxe", help="As if the machine already runs iPXE.")] = False,
    secs: Annotated[
        int | None,
        typer.Option(
            "--secs",
            metavar="S",
            min=0,
            max=65535,
            help="As if it only began to ask, S seconds ago (a DHCPDISCOVER, which the response delay is for).",
            **_UNSET,
        ),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            "--at", metavar="TIME", help="As if it were this time, such as 2030-01-31T08:00.", **_UNSET
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what a machine that starts now would get, and why.

    Nothing is sent and nothing is changed. The reasons are numbered in the order in which they were found, each with
    the rule that it comes from. With --deployment, every machine that the deployment reaches is asked about: those that
    it would boot now, then those that it would not, each with the reason that decides.
    """
    if sum(choice is not None for choice in (mac, device, deployment)) != 1:
        raise UsageError("give one of --mac M, --device NAME and --deployment ID")
    here = get(context)
    request = machine.starting(machine.code(arch, firmware))
    if at is not None:
        request = replace(request, now=at.timestamp())
    if deployment is not None:
        if smbios_guid or relay or address or interface or ipxe or secs is not None:
            raise UsageError(
                "--deployment asks about every machine; only --arch, --firmware and --at go with it"
            )
        from pxefast.cli.reach import explain_deployment

        return explain_deployment(here, deployment, request, json)
    request = _identified(here, request, mac, device, smbios_guid)
    request = replace(request, giaddr=_ipv4("--relay", relay), ipxe=ipxe)
    if secs is not None:
        request = replace(request, door="discover", secs=secs)
    _explain(here, request, interface, _ipv4("--address", address), json)
    return None


def _explain(here: Context, request: Request, interface: str | None, address: str | None, json: bool) -> None:
    from pxefast.responder.sessions import ramdisk, ramdisk_reason
    from pxefast.responder.tuning import Limit, limit_of

    point = machine.point(here)
    request = machine.heard(request, point.site.dp, interface)
    decision = point.decide(request)
    facts = _facts(here, point.site, decision, request, address)
    limit = limit_of(request, point.site) if decision.action in machine.BOOTS else Limit()
    decision = replace(decision, reasons=(*decision.reasons, *limit.reasons))
    windows: dict[str, object] | None = None
    if facts is not None and decision.kind == "windows-pe":
        windows = asdict(ramdisk(decision, facts, point.site.policy))
        decision = replace(decision, reasons=(*decision.reasons, ramdisk_reason(facts)))
    variables = {} if facts is None else facts.variables
    if json:
        told = {name: each._asdict() for name, each in variables.items()}
        tftp = {"model": limit.model, "largest_window": limit.blocks or None}
        print_json({**decision.as_dict(), "variables": told, "windows": windows, "tftp": tftp})
        return
    _print(request, decision)
    for name, value in (windows or {}).items():
        print(f"  boot configuration data: {name.replace('_', ' ')} = {word(value)}")
    for name, fact in variables.items():
        print(f"  {name}={fact.value}  ({fact.source})")


def _facts(
    here: Context, site: Site, decision: Decision, request: Request, address: str | None
) -> SessionFacts | None:
    """What the machine boots with beside its boot program; None for one that does not boot."""
    from pxefast.responder.sessions import ask_of
    from pxefast.site import session_facts

    if decision.action not in machine.BOOTS:
        return None
    store = here.store()
    with store.read() as connection:
        (facts,) = session_facts.read(
            connection, store.point, [ask_of(decision, site, address, request.giaddr)]
        )
    return facts


def _identified(
    here: Context, request: Request, mac: str | None, device: str | None, guid: str | None
) -> Request:
    from pxefast.decide import normal_guid, normal_mac

    if device is not None:
        found = here.store().devices.get(device)
        request = next(machine.starts(found, request))
    if mac is not None:
        canonical = normal_mac(mac)
        if canonical is None:
            raise UsageError(f"--mac {mac!r} is not a MAC address; write it as 01:23:45:67:89:ab or alike")
        request = replace(request, mac=canonical)
    if guid is None:
        return request
    known = normal_guid(guid)
    if known is None:
        raise UsageError(f"--smbios-guid {guid!r} is not a GUID; write it as 8-4-4-4-12 hexadecimal digits")
    if set(known) <= set("0-") or set(known) <= set("f-"):
        note("an SMBIOS GUID of all 0 or all F is none: a client that sends it sends nothing")
        known = None
    return replace(request, guid=known)


def _ipv4(option: str, text: str | None) -> str | None:
    if text is not None:
        try:
            IPv4Address(text)
        except AddressValueError:
            raise UsageError(f"{option} {text!r} is not an IPv4 address") from None
    return text


def _print(request: Request, decision: Decision) -> None:
    where = f" on {request.interface}" if request.interface else ""
    through = f" through relay {request.giaddr}" if request.giaddr else ""
    who = decision.device or request.mac or request.guid
    print(f"{who}{where}{through} {_ACTIONS[decision.action]}  [{decision.action}]")
    for label, value in (
        ("deployment", decision.deployment),
        ("boot image", decision.boot_image),
        ("boot program", decision.boot_program),
    ):
        if value is not None:
            print(f"  {label + ':':<14}{value}")
    for number, reason in enumerate(decision.reasons, start=1):
        print(f"{number:>3}. {reason.text}  [{reason.rule}]")
