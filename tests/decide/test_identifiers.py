"""MAC addresses and SMBIOS GUIDs as text, and the GUIDs that identify no machine, each with the nearest other text."""

from __future__ import annotations

import uuid
from types import ModuleType
from typing import Any

import pytest
from pxefast.decide import placeholders
from pxefast.decide.identifiers import swapped_guid, usable_mac

MAC = "0a:1b:2c:3d:4e:5f"
GUID = "1a2b3c4d-5e6f-7081-92a3-b4c5d6e7f809"


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        (MAC, MAC),
        ("0A-1B-2C-3D-4E-5F", MAC),
        ("0a1b.2c3d.4e5f", MAC),
        ("0A1B2C3D4E5F", MAC),
        (f"\t {MAC}\n", MAC),
        ("0a:1b:2c:3d:4e-5f", None),
        ("0a-1b-2c-3d-4e:5f", None),
        ("0a:1b2:c:3d:4e:5f", None),
        ("0a:1b:2c:3d:4e:5g", None),
        ("0a:1b:2c:3d::4e5f", None),
        ("0a.1b.2c.3d.4e.5f", None),
        ("0a:1b:2c:3d:4e:5", None),
        ("0a:1b:2c:3d:4e:5f0", None),
        ("0a1b.2c3d4.e5f", None),
        ("0a1b2.c3d.4e5f", None),
        ("0a1b-2c3d-4e5f", None),
        ("0a1b2c3d4e5", None),
        ("0a1b2c3d4e5f0", None),
        ("0a1b2c3d4e5f00", None),
        ("0a1b2c3d4e5g", None),
        ("", None),
    ],
)
def test_a_mac_address_has_one_spelling_or_is_none(decide: ModuleType, text: str, mac: str | None) -> None:
    assert decide.normal_mac(text) == mac


@pytest.mark.parametrize(
    ("text", "guid"),
    [
        (GUID, GUID),
        (GUID.upper(), GUID),
        (f" {{{GUID}}}\n", GUID),
        (GUID.replace("-", ""), GUID),
        (f"{{{GUID.replace('-', '')}}}", GUID),
        (f"{{{GUID}", None),
        (f"{{{GUID}0", None),
        (f"0{GUID}}}", None),
        (f"{GUID}}}", None),
        (f"({GUID})", None),
        ("1a2b3c4d05e6f-7081-92a3-b4c5d6e7f809", None),
        ("1a2b3c4d-5e6f07081-92a3-b4c5d6e7f809", None),
        ("1a2b3c4d-5e6f-7081092a3-b4c5d6e7f809", None),
        ("1a2b3c4d-5e6f-7081-92a30b4c5d6e7f809", None),
        ("1a2b3c4d:5e6f:7081:92a3:b4c5d6e7f809", None),
        (GUID[:-1], None),
        (GUID + "0", None),
        (GUID[:-1] + "g", None),
        (GUID.replace("-", "")[:-1], None),
        (GUID.replace("-", "") + "0", None),
        ("", None),
    ],
)
def test_a_guid_has_one_spelling_or_is_none(decide: ModuleType, text: str, guid: str | None) -> None:
    assert decide.normal_guid(text) == guid


def test_the_other_byte_order_turns_round_the_first_three_fields() -> None:
    assert swapped_guid(GUID) == "4d3c2b1a-6f5e-8170-92a3-b4c5d6e7f809"
    assert swapped_guid(swapped_guid(GUID)) == GUID


@pytest.mark.parametrize("digit", "0123456789abcdef")
def test_a_group_address_is_of_no_network_card(digit: str) -> None:
    assert usable_mac(f"0{digit}:00:00:00:00:00") == (digit in "2468ace")
    assert usable_mac(f"{digit}2:00:00:00:00:00")
    assert usable_mac("00:00:00:00:00:01")
    assert usable_mac("") is False


def of_bytes(values: Any) -> str:
    return str(uuid.UUID(bytes=bytes(value % 256 for value in values)))


def of_digits(values: Any) -> str:
    return str(uuid.UUID("".join(format(value, "x") for value in values)))


def test_every_pattern_of_a_placeholder_is_known_in_both_byte_orders_and_nothing_else() -> None:
    """D30. What the module made at its start, and what it makes now."""
    patterns = {of_bytes(first + by * n for n in range(16)) for by in (0, 1, -1) for first in range(256)}
    for base in (10, 16):
        patterns |= {
            of_digits((first + by * n) % base for n in range(32)) for by in (1, -1) for first in range(base)
        }
    expected = patterns | {guid for guid, _ in placeholders.VENDOR_DEFAULTS}
    expected |= {str(uuid.UUID(bytes=uuid.UUID(guid).bytes_le)) for guid in expected}
    assert expected == placeholders.PLACEHOLDER_GUIDS
    made = placeholders._patterns() + [guid for guid, _ in placeholders.VENDOR_DEFAULTS]
    assert placeholders.both_orders(made) == expected


def test_an_operators_placeholder_counts_beside_the_known_ones() -> None:
    assert not placeholders.is_placeholder(GUID)
    assert placeholders.is_placeholder(GUID, frozenset({GUID}))
    known = "03000200-0400-0500-0006-000700080009"
    assert placeholders.is_placeholder(known)
    assert placeholders.is_placeholder(known, frozenset({GUID}))
