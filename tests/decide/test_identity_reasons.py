"""What is said of who a machine is: each identifier by name, and the rule (CM-60 to CM-65, CM-99, T17, R-56, R-59)."""

from __future__ import annotations

from typing import Any

import pytest
from pxefast.decide.identity import identities as filed

from .conftest import World

MAC, GUID = World.MAC, World.GUID
OTHER_MAC, OTHER_GUID = "02:00:00:00:00:02", "99999999-0000-0000-0000-000000000001"
SWAPPED = "44332211-6655-8877-99aa-bbccddeeff00"
PLACEHOLDER = "03000200-0400-0500-0006-000700080009"
NOBODY = {"mac": "02:00:00:00:00:09", "guid": "99999999-0000-0000-0000-000000000009"}


def said(decision: Any, code: str) -> Any:
    """The one reason of this code; no text holds a hole or a leftover."""
    for reason in decision.reasons:
        assert "None" not in reason.text
        assert "XX" not in reason.text
    (found,) = [reason for reason in decision.reasons if reason.code == code]
    return found


def two_devices(world: World, **second: Any) -> World:
    world.devices.append(world.device(2, "web02", [OTHER_MAC], OTHER_GUID, **second))
    world.deployments[2] = [world.deployment("PS120001")]
    return world


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "known device web01 by MAC and SMBIOS GUID"),
        ({"guid": None}, "known device web01 by MAC"),
        ({"mac": OTHER_MAC}, "known device web01 by SMBIOS GUID"),
        ({"mac": ""}, "known device web01 by SMBIOS GUID"),
        ({"guid": SWAPPED}, "known device web01 by MAC and SMBIOS GUID"),
        ({"mac": "", "guid": SWAPPED}, "known device web01 by SMBIOS GUID"),
    ],
)
def test_a_known_device_is_said_to_be_known_by_what_found_it(
    world: World, fields: dict[str, Any], text: str
) -> None:
    world.policy = {"guid_alone": "allow"}
    decision = world.ask(**fields)
    assert (decision.action, decision.device_id) == ("boot", 1)
    reason = said(decision, "known_device")
    assert (reason.text, reason.rule) == (text, "CM-99")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (NOBODY, f"no device has MAC {NOBODY['mac']} or SMBIOS GUID {NOBODY['guid']}"),
        ({**NOBODY, "guid": None}, f"no device has MAC {NOBODY['mac']}"),
        ({**NOBODY, "mac": ""}, f"no device has SMBIOS GUID {NOBODY['guid']}"),
        ({"mac": "", "guid": None}, "no device has a usable MAC or SMBIOS GUID"),
        ({"mac": "", "guid": PLACEHOLDER}, "no device has a usable MAC or SMBIOS GUID"),
    ],
)
def test_a_machine_without_a_record_is_told_what_was_looked_up(
    world: World, fields: dict[str, Any], text: str
) -> None:
    decision = world.ask(**fields)
    assert (decision.action, decision.device) == ("ignore", None)
    reason = said(decision, "unknown_device")
    assert (reason.text, reason.rule) == (text, "CM-99")


def test_each_identifier_that_is_left_out_is_named_with_its_rule(world: World) -> None:
    world.duplicate_macs = frozenset({MAC})
    reason = said(world.ask(), "duplicate_mac")
    assert reason.rule == "CM-61"
    assert reason.text == f"MAC {MAC} is on the list of duplicate hardware identifiers; it is left out"
    world.duplicate_macs, world.duplicate_guids = frozenset(), frozenset({GUID})
    reason = said(world.ask(), "duplicate_guid")
    assert reason.rule == "CM-62"
    assert (
        reason.text == f"SMBIOS GUID {GUID} is on the list of duplicate hardware identifiers; it is left out"
    )
    reason = said(world.ask(guid=PLACEHOLDER), "placeholder_guid")
    assert reason.rule == "D30"
    assert PLACEHOLDER in reason.text
    assert reason.text.endswith("it is left out")


def test_a_guid_on_the_list_finds_no_device_and_contradicts_none(world: World) -> None:
    world.duplicate_guids = frozenset({OTHER_GUID})
    decision = two_devices(world).ask(guid=OTHER_GUID)
    assert (decision.action, decision.device, decision.identities) == ("boot", "web01", (f"mac:{MAC}",))
    assert world.ask(mac="", guid=OTHER_GUID).device is None


def test_a_stored_guid_on_the_list_contradicts_no_other_guid(world: World) -> None:
    world.duplicate_guids = frozenset({GUID})
    decision = world.ask(guid=OTHER_GUID)
    assert (decision.action, decision.device) == ("boot", "web01")
    assert said(decision, "known_device").text == "known device web01 by MAC"
    assert decision.identities == (f"mac:{MAC}", f"guid:{OTHER_GUID}")


def test_two_devices_in_one_request_are_both_named_and_neither_boots(world: World) -> None:
    decision = two_devices(world).ask(guid=OTHER_GUID)
    assert (decision.action, decision.device, decision.claim) == ("ignore", None, False)
    reason = said(decision, "ambiguous_identity")
    facts = f"MAC {MAC} is device web01 but SMBIOS GUID {OTHER_GUID} is device web02"
    assert (reason.rule, reason.text) == ("R-56", f"{facts}; correct one of the records")
    world.policy = {"identity_conflict": "lenient", "guid_alone": "allow"}
    decision = world.ask(guid=OTHER_GUID)
    assert (decision.action, decision.device) == ("boot", "web02")
    reason = said(decision, "identity_conflict")
    assert reason.rule == "R-56"
    assert reason.text == f"{facts}; the GUID counts and web01 loses (setting identity_conflict)"
    assert decision.identities == (f"mac:{MAC}", f"guid:{OTHER_GUID}")


def test_a_guid_that_is_not_the_stored_one_is_named_with_both(world: World) -> None:
    decision = world.ask(guid=OTHER_GUID)
    assert (decision.action, decision.device, decision.claim) == ("ignore", None, False)
    reason = said(decision, "identity_mismatch")
    facts = f"MAC {MAC} is device web01, whose SMBIOS GUID is {GUID}, but the client says {OTHER_GUID}"
    assert reason.rule == "T17"
    assert reason.text.startswith(facts)
    assert "import the device again" in reason.text
    world.policy = {"identity_conflict": "lenient"}
    decision = world.ask(guid=OTHER_GUID)
    assert (decision.action, decision.device) == ("boot", "web01")
    reason = said(decision, "identity_conflict")
    assert (reason.rule, reason.text) == ("T17", f"{facts}; the MAC counts (setting identity_conflict)")


def test_a_machine_of_pxefasts_own_is_refused_by_each_of_its_identifiers(world: World) -> None:
    for own, fields in (
        ({MAC}, {}),
        ({GUID}, {}),
        ({GUID}, {"mac": OTHER_MAC}),
        ({MAC}, {"guid": None}),
        ({OTHER_MAC}, {"mac": OTHER_MAC, "guid": None}),
    ):
        world.own = frozenset(own)
        decision = world.ask(**fields)
        assert (decision.action, decision.claim) == ("ignore", False)
        (reason,) = [each for each in decision.reasons if each.code == "own_machine"]
        assert reason.rule == "R-59"
        assert "it is never imaged" in reason.text
        assert str(fields.get("mac", MAC)) in reason.text
    world.own = frozenset({OTHER_MAC, OTHER_GUID})
    assert world.ask().action == "boot"
    assert world.ask(guid=None).action == "boot"


def test_a_device_with_another_address_of_such_a_machine_is_refused_by_its_name(world: World) -> None:
    world.devices = [world.device(macs=[MAC, OTHER_MAC, "02:00:00:00:00:03"], guid=GUID)]
    for own in ({OTHER_MAC}, {"02:00:00:00:00:03"}):
        world.own = frozenset(own)
        reason = said(world.ask(guid=None), "own_machine")
        assert reason.text == "pxefast runs on this machine (device web01); it is never imaged"
        assert reason.rule == "R-59"
    world.own = frozenset({GUID})
    assert said(world.ask(guid=None), "own_machine").text.startswith(
        "pxefast runs on this machine (device web01)"
    )
    world.devices = [world.device(macs=[MAC], guid=None)]
    assert world.ask(guid=None).action == "boot"


def test_hardware_that_was_two_machines_is_said_with_both_identifiers(world: World) -> None:
    world.dp["unknown_computers"] = True
    world.policy = {"required_for_unknown": True}
    world.unknown = {"x64": (world.deployment("PS120002"),)}
    world.hardware = {f"mac:{NOBODY['mac']}": 77, f"guid:{NOBODY['guid']}": 78}
    reason = said(world.ask(**NOBODY), "ambiguous_identity")
    assert reason.rule == "R-56"
    assert (
        f"MAC {NOBODY['mac']} and SMBIOS GUID {NOBODY['guid']} were seen on two different machines"
        in reason.text
    )
    assert "import this one as a device" in reason.text


@pytest.mark.parametrize(
    ("fields", "identities"),
    [
        ({}, (f"mac:{MAC}", f"guid:{GUID}")),
        ({"guid": None}, (f"mac:{MAC}",)),
        ({"mac": ""}, (f"guid:{GUID}",)),
    ],
)
def test_a_claim_is_filed_under_what_identified_the_machine(
    world: World, fields: dict[str, Any], identities: tuple[str, ...]
) -> None:
    assert world.ask(**fields).identities == identities


def test_what_identifies_nobody_is_filed_under_nothing() -> None:
    assert filed("", None) == ()
