"""Which device a request comes from.

MAC addresses and GUIDs are claims, so two that disagree are no identity (T17).
"""

from __future__ import annotations

from .records import PLACEHOLDER_GUIDS, Device, Reason, Request, Site, swapped_guid


def identify(request: Request, site: Site) -> tuple[Device | None, Reason, bool]:
    """The device, the reason, and False where the identifiers contradict each other.

    A MAC or GUID on the duplicate lists is left out of the search (CM-60 to CM-65). A GUID is looked up in
    both byte orders, for SMBIOS before 2.6 (W-30).
    """
    mac = request.mac
    if mac in site.duplicate_macs:
        mac = ""
    guid = request.guid
    if guid is not None and (
        guid in PLACEHOLDER_GUIDS
        or (site.duplicate_guids and not site.duplicate_guids.isdisjoint((guid, swapped_guid(guid))))
    ):
        guid = None

    by_mac = site.devices_by_mac.get(mac) if mac else None
    by_guid = None
    if guid is not None:
        # The site database lets no two devices have one GUID in two byte orders.
        by_guid = site.devices_by_guid.get(guid) or site.devices_by_guid.get(swapped_guid(guid))

    if by_mac is None:
        if by_guid is None:
            return None, _nobody(mac, guid), True
        return by_guid, Reason("known_device", f"known device {by_guid.name} by SMBIOS GUID", "CM-99"), True
    if by_guid is not None:
        if by_guid.id != by_mac.id:
            return None, _ambiguous(f"MAC {mac}", by_mac, f"SMBIOS GUID {guid}", by_guid), False
        return (
            by_mac,
            Reason("known_device", f"known device {by_mac.name} by MAC and SMBIOS GUID", "CM-99"),
            True,
        )
    # Strict by T17. A site whose boards change under the same network card will want to relax exactly this.
    if guid is not None and by_mac.guid is not None and by_mac.guid not in site.duplicate_guids:
        return None, _mismatch(mac, guid, by_mac), False
    return by_mac, Reason("known_device", f"known device {by_mac.name} by MAC", "CM-99"), True


def _nobody(mac: str, guid: str | None) -> Reason:
    tried = [part for part in (f"MAC {mac}" if mac else "", f"SMBIOS GUID {guid}" if guid else "") if part]
    return Reason(
        "unknown_device", f"no device has {' or '.join(tried) or 'a usable MAC or SMBIOS GUID'}", "CM-99"
    )


def _ambiguous(first: str, device: Device, second: str, other: Device) -> Reason:
    return Reason(
        "ambiguous_identity",
        f"{first} is device {device.name} but {second} is device {other.name}; correct one of the records",
        "R-56",
    )


def _mismatch(mac: str, guid: str, device: Device) -> Reason:
    return Reason(
        "identity_mismatch",
        f"MAC {mac} is device {device.name}, whose SMBIOS GUID is {device.guid}, but the client says {guid}; "
        "import the device again with its new GUID if the board was changed",
        "T17",
    )
