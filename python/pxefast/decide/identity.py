"""Which device a request comes from.

MAC addresses and GUIDs are claims, so two that disagree are no identity (T17), unless the policy is lenient.
"""

from __future__ import annotations

from dataclasses import dataclass

from .bootimage import Platform
from .placeholders import is_placeholder
from .reasons import excluded, guid_alone_refused, guid_conflict, no_card, other_machine, protected
from .records import Device, Exclusions, Mark, Reason, Request, Site, swapped_guid, usable_mac


@dataclass(frozen=True)
class Machine:
    """Who asks: the record whose deployments it gets, its own or the unknown computer object.

    `number` is what the ledger knows it by, None for a machine that it has never seen; `live` that number's live mark;
    `mac` and `guid` are what identified it. `launch` is that number's newest unreported launch.
    """

    device: Device
    known: bool
    number: int | None
    live: Mark | None
    mac: str
    guid: str | None
    platform: Platform | None
    launch: Mark | None = None


def identify(
    request: Request, site: Site, reasons: list[Reason]
) -> tuple[Device | None, str, str | None, bool]:
    """The device or None, the MAC ("" for none) and the GUID that were looked up, and False for a contradiction.

    A MAC or GUID on the duplicate lists, a GUID that its maker left in thousands of machines, or a MAC that no network
    card has, is left out of the search (CM-60 to CM-65, D28, D30). A GUID is looked up in both byte orders, for SMBIOS
    before 2.6 (W-30). Says why in `reasons`.
    """
    mac = request.mac
    if mac and not usable_mac(mac):
        reasons.append(no_card(mac))
        mac = ""
    elif mac in site.duplicate_macs:
        text = f"MAC {mac} is on the list of duplicate hardware identifiers; it is left out"
        reasons.append(Reason("duplicate_mac", text, "CM-61"))
        mac = ""
    guid = request.guid
    if guid is not None:
        if is_placeholder(guid, site.placeholders):
            text = f"SMBIOS GUID {guid} is a placeholder of the board's maker; it is left out"
            reasons.append(Reason("placeholder_guid", text, "D30"))
            guid = None
        elif guid in site.duplicate_guids:
            text = f"SMBIOS GUID {guid} is on the list of duplicate hardware identifiers; it is left out"
            reasons.append(Reason("duplicate_guid", text, "CM-62"))
            guid = None

    by_mac = site.devices_by_mac.get(mac)
    by_guid = None
    if guid is not None:
        # The site database lets no two devices have one GUID in two byte orders.
        by_guid = site.devices_by_guid.get(guid) or site.devices_by_guid.get(swapped_guid(guid))

    if by_mac is None:
        if by_guid is None:
            reasons.append(_nobody(mac, guid))
            return None, mac, guid, True
        reasons.append(Reason("known_device", f"known device {by_guid.name} by SMBIOS GUID", "CM-99"))
        return by_guid, mac, guid, True
    lenient = site.policy.identity_conflict == "lenient"
    if by_guid is not None:
        if by_guid.id == by_mac.id:
            text = f"known device {by_mac.name} by MAC and SMBIOS GUID"
            reasons.append(Reason("known_device", text, "CM-99"))
            return by_mac, mac, guid, True
        reasons.append(_ambiguous(mac, by_mac, guid, by_guid, lenient))
        return (by_guid if lenient else None), mac, guid, lenient
    stored = by_mac.guid
    if guid is not None and stored is not None and stored not in site.duplicate_guids:
        # Strict by T17. A site whose boards change under the same network card wants to relax exactly this.
        reasons.append(_mismatch(mac, guid, by_mac, lenient))
        return (by_mac if lenient else None), mac, guid, lenient
    reasons.append(Reason("known_device", f"known device {by_mac.name} by MAC", "CM-99"))
    return by_mac, mac, guid, True


def identities(mac: str, guid: str | None) -> tuple[str, ...]:
    """What the ledger files a machine under: `mac:..` and `guid:..`, of those that identify it."""
    if guid is None:
        return ("mac:" + mac,) if mac else ()
    return ("mac:" + mac, "guid:" + guid) if mac else ("guid:" + guid,)


def card_of(request: Request) -> str:
    """Return the MAC address of the request as the ledger keeps it; "" for one that no network card has."""
    return request.mac if usable_mac(request.mac) else ""


def other_machine_has_it(request: Request, site: Site, live: Mark | None) -> Reason | None:
    """Return the refusal of a request whose device's live claim is another machine's, as far as can be told, or None.

    The ledger decides by the same rule when it commits (D28).
    """
    if live is None or live.state != "CLAIMED" or request.now - live.claimed_at > site.session_seconds:
        return None
    mac = card_of(request)
    if live.passes(request.step, request.xid, mac, request.peer):
        return None
    return other_machine(live, mac, request.peer)


def guid_alone(request: Request, site: Site, machine: Machine) -> Reason | None:
    """Return why a device that its GUID alone identifies gets nothing required, or None (D29).

    A request with an unrecorded MAC address is itself a sighting of that address with the GUID. A device with a
    recorded MAC address is therefore never booted by its GUID from another address, whichever machine comes first; one
    with a GUID alone is, until a second MAC address is seen with the GUID. A later stage of a claim that a recorded MAC
    address made passes: its launch is bound to that claim's IPv4 address.
    """
    device = machine.device
    if not machine.known or machine.mac in device.macs or site.policy.guid_alone == "allow":
        return None
    live = machine.live
    # A request that may not go on with the live claim was refused before (`other_machine_has_it`).
    if (
        live is not None
        and live.state == "CLAIMED"
        and live.mac in device.macs
        and live.mac not in site.duplicate_macs
        and live.peer is not None
        and request.now - live.claimed_at <= site.session_seconds
    ):
        return None
    if site.policy.guid_alone == "refuse":
        return guid_alone_refused(device.name, device.guid or "")
    seen = dict(site.seen.get(device.id, {}))
    if machine.mac:
        seen[machine.mac] = request.now
    return guid_conflict(device.name, device.guid or "", device.macs, seen)


def own_machine(request: Request, site: Site) -> Reason | None:
    """The refusal of a machine that pxefast itself runs on, or None; also by an address it has not given (R-59)."""
    guid = None if request.guid is None or is_placeholder(request.guid, site.placeholders) else request.guid
    if request.mac not in site.own and (guid is None or guid not in site.own):
        return None
    return _own(f"MAC {request.mac}, SMBIOS GUID {guid}")


def own_device(device: Device, site: Site) -> Reason | None:
    """The same for a device whose other addresses are those of such a machine."""
    found = device.guid is not None and device.guid in site.own
    for mac in device.macs:
        found = found or mac in site.own
    return _own(f"device {device.name}") if found else None


def not_here(device: Device, site: Site, exclusions: Exclusions) -> Reason | None:
    """Why a device gets nothing from this distribution point whatever is deployed to it, or None."""
    if exclusions.macs:
        for mac in device.macs:
            if mac in exclusions.macs:
                return excluded(mac, device.name)
    if device.site != site.dp.site:
        return Reason(
            "other_site",
            f"device {device.name} is assigned to site {device.site}; this distribution point serves "
            f"{site.dp.site}, where the policies of {device.site} are not visible",
            "CM-104",
        )
    if site.own:
        own = own_device(device, site)
        if own is not None:
            return own
    return protected(device) if device.protected else None


def hardware_conflict(mac: str, guid: str | None) -> Reason:
    """The refusal of a machine without a record whose MAC and GUID the ledger knows from two machines."""
    return Reason(
        "ambiguous_identity",
        f"MAC {mac} and SMBIOS GUID {guid} were seen on two different machines; import this one as a device",
        "R-56",
    )


def _own(what: str) -> Reason:
    return Reason("own_machine", f"pxefast runs on this machine ({what}); it is never imaged", "R-59")


def _nobody(mac: str, guid: str | None) -> Reason:
    tried = [part for part in (f"MAC {mac}" if mac else "", f"SMBIOS GUID {guid}" if guid else "") if part]
    return Reason(
        "unknown_device", f"no device has {' or '.join(tried) or 'a usable MAC or SMBIOS GUID'}", "CM-99"
    )


def _ambiguous(mac: str, by_mac: Device, guid: str | None, by_guid: Device, lenient: bool) -> Reason:
    facts = f"MAC {mac} is device {by_mac.name} but SMBIOS GUID {guid} is device {by_guid.name}"
    if lenient:
        text = f"{facts}; the GUID counts and {by_mac.name} loses (setting identity_conflict)"
        return Reason("identity_conflict", text, "R-56")
    return Reason("ambiguous_identity", f"{facts}; correct one of the records", "R-56")


def _mismatch(mac: str, guid: str, device: Device, lenient: bool) -> Reason:
    facts = (
        f"MAC {mac} is device {device.name}, whose SMBIOS GUID is {device.guid}, but the client says {guid}"
    )
    if lenient:
        return Reason("identity_conflict", f"{facts}; the MAC counts (setting identity_conflict)", "T17")
    text = f"{facts}; import the device again with its new GUID if the board was changed"
    return Reason("identity_mismatch", text, "T17")
