"""MAC addresses and SMBIOS GUIDs as text, in one canonical spelling."""

from __future__ import annotations

_HEX = frozenset("0123456789abcdef")


def normal_mac(text: str) -> str | None:
    """`aa:bb:cc:dd:ee:ff` from any usual spelling (colons, dashes, Cisco dots, bare), or None."""
    bare = text.strip().lower()
    if len(bare) == 17 and (bare[2] == ":" or bare[2] == "-"):
        parts = bare.split(bare[2])
        if len(parts) != 6 or any(len(part) != 2 for part in parts):
            return None
        bare = "".join(parts)
    elif len(bare) == 14 and bare[4] == "." and bare[9] == ".":
        bare = bare[:4] + bare[5:9] + bare[10:]
    if len(bare) != 12 or not _HEX.issuperset(bare):
        return None
    return ":".join((bare[0:2], bare[2:4], bare[4:6], bare[6:8], bare[8:10], bare[10:]))


def normal_guid(text: str) -> str | None:
    """Lower-case 8-4-4-4-12 from a GUID with or without braces and dashes, or None."""
    bare = text.strip().lower()
    if bare.startswith("{") and bare.endswith("}"):
        bare = bare[1:-1]
    if len(bare) == 36:
        if not (bare[8] == bare[13] == bare[18] == bare[23] == "-"):
            return None
        bare = bare[:8] + bare[9:13] + bare[14:18] + bare[19:23] + bare[24:]
    if len(bare) != 32 or not _HEX.issuperset(bare):
        return None
    return "-".join((bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:]))


def swapped_guid(guid: str) -> str:
    """The same GUID with its first three fields in the other byte order (W-30)."""
    return (
        guid[6:8] + guid[4:6] + guid[2:4] + guid[0:2] + "-"
        + guid[11:13] + guid[9:11] + "-"
        + guid[16:18] + guid[14:16] + guid[18:]
    )  # fmt: skip


def usable_mac(mac: str) -> bool:
    """Return True if a canonical MAC address can be that of a network card: neither zero nor a group address."""
    return bool(mac) and mac != "00:00:00:00:00:00" and mac[1] not in "13579bdf"
