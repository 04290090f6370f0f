"""Which device a request comes from.

MAC addresses and GUIDs are claims, so two that disagree are no identity (T17), unless the policy is lenient.
"""

from __future__ import annotations

from dataclasses import dataclass

from .bootimage import Platform
from .records import PLACEHOLDER_GUIDS, Device, Mark, Reason, Request, Site, swapped_guid


@dataclass(frozen=True)
class Machine:
    """Who asks: the record whose deployments it gets, its own or the unknown computer object.

    `number` is what the ledger knows it by, None for a machine that it has never seen; `live` that number's live mark;
    `mac` and `guid` are what identified it.
    """

    device: Device
    known: bool
    number: int | None
    live: Mark | None
    mac: str
    guid: str | None
    platform: Platform | None


def identify(
    request: Request, site: Site, reasons: list[Reason]
) -> tuple[Device | None, str, str | None, bool]:
    """The device or None, the MAC ("" for none) and the GUID that were looked up, and False for a contradiction.

    A MAC or GUID on the duplicate lists, or a GUID that its maker left in thousands of machines, is left out of the
    search (CM-60 to CM-65). A GUID is looked up in both byte orders, for SMBIOS before 2.6 (W-30). Says why in
    `reasons`.
    """
    mac = request.mac
    if mac in site.duplicate_macs:
        text = f"MAC {mac} is on the list of duplicate hardware identifiers; it is left out"
        reasons.append(Reason("duplicate_mac", text, "CM-61"))
        mac = ""
    guid = request.guid
    if guid is not None:
        if guid in PLACEHOLDER_GUIDS:
            text = f"SMBIOS GUID {guid} is a placeholder of the board's maker; it is left out"
            reasons.append(Reason("placeholder_guid", text, "T17"))
            guid = None
        elif guid in site.duplicate_guids:
            text = f"SMBIOS GUID {guid} is on the list of duplicate hardware identifiers; it is left out"
            reasons.append(Reason("duplicate_guid", text, "CM-62"))
            guid = None

    by_mac = site.devices_by_mac.get(mac) if mac else None
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


def own_machine(request: Request, site: Site) -> Reason | None:
    """The refusal of a machine that pxefast itself runs on, or None; also by an address it has not given (R-59)."""
    guid = request.guid
    if request.mac not in site.own and (guid is None or guid not in site.own):
        return None
    return _own(f"MAC {request.mac}, SMBIOS GUID {guid}")


def own_device(device: Device, site: Site) -> Reason | None:
    """The same for a device whose other addresses are those of such a machine."""
    found = device.guid is not None and device.guid in site.own
    for mac in device.macs:
        found = found or mac in site.own
    return _own(f"device {device.name}") if found else None


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
