"""SMBIOS GUIDs that identify no machine: patterns that no generator makes, and defaults that vendors ship (D30).

Each vendor default names its source. An operator adds more with the setting `placeholder_guids`. Every GUID counts in
both of its byte orders (W-30).
"""

from __future__ import annotations

from .identifiers import swapped_guid

_GLPI = "GLPI, Blacklist: invalid UUID"
_FOG = "FOG Project, HostManager::getHostByUuidAndSerial: invalid UUIDs"
_EXAMPLE = "an example value that is typed in by hand"

# (GUID, source). A GUID that one of the patterns below makes needs no entry.
VENDOR_DEFAULTS: tuple[tuple[str, str], ...] = (
    ("03000200-0400-0500-0006-000700080009", f"{_GLPI}; oshi, issue 2417"),
    ("00020003-0004-0005-0006-000700080009", _FOG),
    ("6ab5b300-538d-1014-9fb5-b0684d007b53", _GLPI),
    ("12345678-1234-5678-90ab-cddeefaabbcc", _FOG),
    ("12345678-1234-1234-1234-123456789abc", _EXAMPLE),
    ("12345678-1234-5678-1234-567812345678", f"{_EXAMPLE}; documentation of Python's uuid module"),
    ("12345678-1234-5678-1234-567890abcdef", _EXAMPLE),
    ("12345678-1234-5678-9abc-123456789abc", _EXAMPLE),
    ("00112233-4455-6677-8899-aabbccddeeff", _EXAMPLE),
    ("deadbeef-dead-beef-dead-beefdeadbeef", _EXAMPLE),
    ("ffffff00-ffff-ffff-ffff-ffffffffffff", _FOG),
    ("8a95d198-7f46-11e5-bf8b-08002704d48e", "SolidRun LX2160A UEFI, issue 4: one GUID in every system"),
)


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _counted(first: int, by: int, modulus: int, written: str) -> str:
    """Return 32 hexadecimal digits that count from `first`."""
    return "".join(
        [format((first + by * place) % modulus, written) for place in range(16 if modulus == 256 else 32)]
    )


def _patterns() -> list[str]:
    """All 0, all F and any other repeated byte; bytes or hexadecimal digits that go up or down by one."""
    found: list[str] = []
    for by in (0, 1, -1):
        found += [_dashed(_counted(first, by, 256, "02x")) for first in range(256)]
    for by in (1, -1):
        found += [_dashed(_counted(first, by, 16, "x")) for first in range(16)]
        # Decimal digits, as a person types them.
        found += [_dashed(_counted(first, by, 10, "x")) for first in range(10)]
    return found


def both_orders(guids: list[str]) -> frozenset[str]:
    """The GUIDs, which are canonical, and each of them in the other byte order."""
    return frozenset(guids) | frozenset([swapped_guid(guid) for guid in guids])


# Made once, so that a decision costs one look into a set.
PLACEHOLDER_GUIDS = both_orders(_patterns() + [entry[0] for entry in VENDOR_DEFAULTS])


def is_placeholder(guid: str, more: frozenset[str] = frozenset()) -> bool:
    """Return True if a canonical GUID identifies no machine; `more` holds what the operator added, in both orders."""
    return guid in PLACEHOLDER_GUIDS or guid in more
