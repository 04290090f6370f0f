"""What a mark of the ledger leaves to a request, on both sides of every limit (CM-77, D28, safety 5.4)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

NOW, SESSION = 1_700_000_000.0, 900.0
MAC, OTHER = "00:11:22:33:44:55", "02:00:00:00:00:02"
HERE, THERE = "10.0.0.1", "10.0.0.2"


def mark(decide: ModuleType, state: str = "CLAIMED", **fields: Any) -> Any:
    """A claim of a minute ago by firmware's DHCPREQUEST, transaction 7, from MAC at HERE."""
    ordinary = {
        "claimed_at": NOW - 60, "stepped_at": NOW - 10, "step": 1, "xid": 7, "mac": MAC, "peer": HERE,
    }  # fmt: skip
    return decide.Mark("PS120001", 1, state, NOW - 3600, **{**ordinary, **fields})


@pytest.mark.parametrize(
    ("fields", "step", "xid", "mac", "peer", "passes"),
    [
        ({}, 1, 7, MAC, HERE, True),
        ({}, 0, 8, MAC, THERE, True),
        ({}, 0, 8, MAC, None, True),
        ({}, 0, 8, OTHER, HERE, True),
        ({}, 1, 7, OTHER, THERE, False),
        ({}, 3, 8, OTHER, THERE, False),
        ({}, 0, 8, "", HERE, True),
        ({}, 0, 8, "", THERE, False),
        # Where an address is not known, another MAC is a later program's, or the same packet's again.
        ({}, 2, 8, OTHER, None, True),
        ({}, 4, 8, OTHER, None, True),
        ({}, 0, 8, OTHER, None, False),
        ({}, 1, 8, OTHER, None, False),
        ({}, 1, 7, OTHER, None, True),
        ({}, 0, 7, OTHER, None, False),
        ({"xid": 0}, 1, 0, OTHER, None, False),
        ({"step": 0}, 1, 8, OTHER, None, False),
        ({"step": 2}, 1, 8, OTHER, None, False),
        ({"step": 2}, 3, 8, OTHER, None, False),
        ({"step": 3}, 4, 8, OTHER, None, True),
        ({"peer": None}, 1, 8, OTHER, THERE, False),
        ({"peer": None}, 2, 8, OTHER, THERE, True),
        ({"peer": None, "mac": None}, 0, 8, OTHER, THERE, True),
        ({"mac": None}, 0, 8, OTHER, None, True),
        ({"mac": None}, 0, 8, OTHER, THERE, False),
        ({"mac": ""}, 0, 8, "", None, True),
        ({"mac": ""}, 0, 8, MAC, None, False),
        ({"mac": ""}, 0, 8, "", THERE, False),
    ],
)
def test_a_live_claim_passes_to_its_own_machine_alone(
    decide: ModuleType, fields: dict[str, Any], step: int, xid: int, mac: str, peer: str | None, passes: bool
) -> None:
    assert mark(decide, **fields).passes(step, xid, mac, peer) is passes


@pytest.mark.parametrize(
    ("fields", "step", "xid", "continues"),
    [
        ({}, 2, 8, True),
        ({}, 1, 7, True),
        ({}, 1, 8, False),
        ({}, 0, 7, False),
        ({"xid": 0}, 1, 0, False),
        ({"xid": 0}, 2, 0, True),
        ({"stepped_at": NOW - 30}, 1, 7, True),
        ({"stepped_at": NOW - 30.5}, 1, 7, False),
        ({"stepped_at": NOW - 31}, 2, 8, True),
        ({"claimed_at": NOW - 900}, 2, 8, True),
        ({"claimed_at": NOW - 900.5}, 2, 8, False),
        ({"claimed_at": NOW + 60}, 2, 8, True),
        ({"claimed_at": NOW + 60.5}, 2, 8, False),
    ],
)
def test_a_later_stage_or_a_soon_repeat_continues_the_boot(
    decide: ModuleType, fields: dict[str, Any], step: int, xid: int, continues: bool
) -> None:
    assert mark(decide, **fields).continues(step, xid, NOW, SESSION) is continues


BACK = {"returnable": True, "claimed_at": NOW - 900.5}


@pytest.mark.parametrize(
    ("state", "fields", "xid", "standing"),
    [
        ("ARMED", {}, 8, "armed"),
        ("HOLD", {"returnable": True}, 7, "hold"),
        *((state, {"returnable": True}, 7, "given") for state in ("LAUNCHED", "STARTED", "DONE", "FAILED")),
        *((state, {"returnable": True}, 7, "given") for state in ("WITHDRAWN", "CLEARED")),
        ("CLAIMED", {}, 7, "same"),
        ("CLAIMED", {}, 8, "given"),
        ("CLAIMED", {"returnable": True}, 8, "same"),
        ("CLAIMED", {"returnable": True, "claimed_at": NOW - 900}, 8, "same"),
        ("CLAIMED", {"claimed_at": NOW - 900.5}, 7, "given"),
        ("CLAIMED", BACK, 7, "return"),
        ("CLAIMED", {**BACK, "returns": 4}, 8, "return"),
        ("CLAIMED", {**BACK, "returns": 5}, 8, "worn"),
        ("CLAIMED", {**BACK, "returns": 6}, 8, "worn"),
        ("CLAIMED", {"returnable": True, "returns": 6}, 8, "same"),
    ],
)
def test_the_standing_of_a_mark_is_what_it_leaves_to_its_own_deployment(
    decide: ModuleType, state: str, fields: dict[str, Any], xid: int, standing: str
) -> None:
    assert mark(decide, state, **fields).standing(1, xid, NOW, SESSION, 5) == standing


def test_a_decision_is_shown_by_the_names_of_its_event(decide: ModuleType) -> None:
    reasons = (decide.Reason("one", "first", "CM-1"), decide.Reason("two", "second", "R-2"))
    decision = decide.Decision("boot", reasons, "web01", 1, "PS120001", "PS100001", "a.efi", True)
    assert decision.as_dict() == {
        "action": "boot",
        "device": "web01",
        "deployment": "PS120001",
        "boot_image": "PS100001",
        "boot_program": "a.efi",
        "reasons": [
            {"code": "one", "text": "first", "rule": "CM-1"},
            {"code": "two", "text": "second", "rule": "R-2"},
        ],
    }
