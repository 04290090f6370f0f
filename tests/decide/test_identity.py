"""Which machine a request is from, where two machines may say the same (D28 to D31)."""

from __future__ import annotations

import uuid
from types import ModuleType
from typing import Any

import pytest

from .test_decision import GUID, MAC, NOW, codes, refused

World = Any
CLONE, OTHER = "02:00:00:00:00:bb", "02:00:00:00:00:0d"


def last(decision: Any) -> Any:
    return decision.reasons[-1]


# D28: a live claim stays with the machine that made it.


@pytest.fixture
def world(world: World) -> World:
    """The ordinary world, with a program for iPXE."""
    world.images = [world.image("PS100001", uefi="grubx64.efi", ipxe="boot.ipxe")]
    return world


@pytest.fixture
def claimed(world: World) -> World:
    """web01 has claimed at 10.0.0.1; what its GUID alone says is not looked at."""
    world.policy = {"guid_alone": "allow"}
    world.marks = {(1, "PS120001"): world.mark(mac=MAC, peer="10.0.0.1", returnable=True)}
    return world


@pytest.mark.parametrize("step", [{}, {"ipxe": True}, {"wds": True, "loader_architecture": 9}])
def test_a_live_claim_never_passes_to_another_mac_at_another_address(claimed: World, step: Any) -> None:
    decision = claimed.ask(mac=CLONE, peer="10.0.0.2", **step)
    assert refused(decision, "other_session")
    assert last(decision).rule == "D28"
    assert all(word in last(decision).text for word in (MAC, "10.0.0.1", CLONE, "10.0.0.2"))


def test_a_second_recorded_network_card_at_another_address_waits_for_the_end_of_the_session(
    claimed: World,
) -> None:
    claimed.devices = [claimed.device(macs=(MAC, OTHER))]
    assert refused(claimed.ask(mac=OTHER, peer="10.0.0.2"), "other_session")
    later = NOW + 900
    assert claimed.ask(mac=OTHER, peer="10.0.0.2", now=later).action == "boot"


def test_the_machine_that_claimed_goes_on_whatever_its_address_is_now(claimed: World) -> None:
    for peer in ("10.0.0.1", "10.0.0.9", None):
        assert claimed.ask(peer=peer).action == "boot"


def test_ipxe_with_another_mac_at_the_same_address_goes_on(claimed: World) -> None:
    assert claimed.ask(mac=OTHER, peer="10.0.0.1", ipxe=True).action == "boot"


def test_ipxe_with_another_mac_and_no_address_yet_goes_on(claimed: World) -> None:
    assert claimed.ask(mac=OTHER, door="discover", ipxe=True).action == "boot"
    # The same again, and no earlier program.
    claimed.marks = {(1, "PS120001"): claimed.mark(mac=MAC, peer="10.0.0.1", returnable=True, step=2, xid=99)}
    assert claimed.ask(mac=OTHER, door="discover", ipxe=True, xid=99).action == "boot"
    assert refused(claimed.ask(mac=OTHER, door="discover", ipxe=True, xid=98), "other_session")
    assert refused(claimed.ask(mac=OTHER, door="discover"), "other_session")


def test_firmware_with_another_mac_does_not_go_on_with_a_claim_without_an_address(claimed: World) -> None:
    claimed.marks = {(1, "PS120001"): claimed.mark(mac=MAC, peer=None, returnable=True, step=0)}
    assert refused(claimed.ask(mac=CLONE, peer="10.0.0.2"), "other_session")
    assert claimed.ask(peer="10.0.0.1").action == "boot"


def test_two_machines_without_a_mac_at_two_addresses_are_two(claimed: World) -> None:
    claimed.marks = {(1, "PS120001"): claimed.mark(mac="", peer="10.0.0.1", returnable=True)}
    assert refused(claimed.ask(mac="", peer="10.0.0.2"), "other_session")
    assert claimed.ask(mac="", peer="10.0.0.1").action == "boot"
    assert claimed.ask(mac="").action == "boot"


def test_a_mac_that_no_network_card_has_is_none_in_the_ledger(claimed: World) -> None:
    claimed.marks = {(1, "PS120001"): claimed.mark(mac="", peer=None, returnable=True)}
    assert claimed.ask(mac="00:00:00:00:00:00", xid=8).action == "boot"
    assert refused(claimed.ask(mac=CLONE, xid=8), "other_session")


def test_a_claim_of_an_older_pxefast_is_bound_to_its_address_alone(claimed: World) -> None:
    claimed.marks = {(1, "PS120001"): claimed.mark(mac=None, peer="10.0.0.1", returnable=True)}
    assert claimed.ask(peer=None).action == "boot"
    assert refused(claimed.ask(mac=CLONE, peer="10.0.0.2"), "other_session")


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"])
def test_a_mac_that_no_network_card_has_identifies_nobody(world: World, mac: str) -> None:
    world.devices = [world.device(macs=(mac,), guid=None)]
    world.dp["unknown_computers"] = True
    world.policy = {"required_for_unknown": True}
    world.unknown = {"x64": (world.deployment("PS120001"),)}
    decision = world.ask(mac=mac, guid=None)
    assert decision.action == "ignore"
    assert "unusable_mac" in codes(decision)
    assert "no_identity" in codes(decision)


# D29: a GUID that more than one machine may have.


def test_a_guid_with_an_unrecorded_mac_holds_required_deployments_from_the_first_request_on(
    world: World,
) -> None:
    world.seen = {1: {MAC: NOW - 3600}}
    decision = world.ask(mac=CLONE)
    assert refused(decision, "guid_conflict")
    assert (decision.device, last(decision).rule) == ("web01", "D29")
    text = last(decision).text
    assert all(word in text for word in (MAC, CLONE, "21:13:20 UTC", "22:13:20 UTC"))
    assert f"pxefast device set web01 --add-mac {CLONE}" in text
    assert f"pxefast duplicate-id add --smbios-guid {GUID}" in text


def test_the_recorded_mac_boots_whatever_else_was_seen(world: World) -> None:
    world.seen = {1: {CLONE: NOW - 60}}
    assert world.ask().action == "boot"


def test_a_request_without_a_mac_is_held_only_where_the_guid_was_seen_elsewhere(world: World) -> None:
    assert world.ask(mac="").action == "boot"
    world.seen = {1: {CLONE: NOW - 60}}
    assert refused(world.ask(mac=""), "guid_conflict")
    world.seen = {1: {MAC: NOW - 60}}
    assert world.ask(mac="").action == "boot"


def test_a_device_with_a_guid_alone_boots_until_a_second_mac_is_seen(world: World) -> None:
    world.devices = [world.device(macs=())]
    assert world.ask(mac=CLONE).action == "boot"
    world.seen = {1: {CLONE: NOW - 60}}
    assert world.ask(mac=CLONE).action == "boot"
    decision = world.ask(mac=OTHER)
    assert refused(decision, "guid_conflict")
    assert f"--add-mac {CLONE} --add-mac {OTHER}" in last(decision).text
    world.seen = {1: {CLONE: NOW - 60, OTHER: NOW - 30}}
    assert refused(world.ask(mac=CLONE), "guid_conflict")


def test_a_mac_on_the_list_of_duplicates_is_no_sighting(world: World) -> None:
    world.duplicate_macs = frozenset({OTHER})
    assert world.ask(mac=OTHER).action == "boot"


def test_an_available_deployment_stays_possible_by_the_guid_alone(world: World) -> None:
    world.deployments[1].append(world.deployment("PS120009", purpose="available"))
    decision = world.ask(mac=CLONE)
    assert (decision.action, decision.deployment) == ("prompt", "PS120009")
    assert "guid_conflict" in codes(decision)


@pytest.mark.parametrize(
    ("setting", "action", "code"), [("allow", "boot", None), ("refuse", "ignore", "guid_alone")]
)
def test_guid_alone_is_a_setting(world: World, setting: str, action: str, code: str | None) -> None:
    world.policy = {"guid_alone": setting}
    for mac in (CLONE, ""):
        decision = world.ask(mac=mac)
        assert decision.action == action
        assert code is None or last(decision).code == code
    assert world.ask().action == "boot"


def test_a_later_stage_of_a_claim_by_the_recorded_mac_is_not_held(world: World) -> None:
    world.marks = {(1, "PS120001"): world.mark(mac=MAC, peer="10.0.0.1", returnable=True)}
    assert world.ask(mac=OTHER, peer="10.0.0.1", ipxe=True).action == "boot"
    assert world.ask(mac=OTHER, door="discover", ipxe=True).action == "boot"
    # Nothing binds the launch of a claim that has no address: the clone's iPXE could take it.
    world.marks = {(1, "PS120001"): world.mark(mac=MAC, peer=None, returnable=True)}
    assert refused(world.ask(mac=CLONE, door="discover", ipxe=True), "guid_conflict")
    # Nor is a claim whose session is over, or of a card that is on the list of duplicates, one that goes on.
    for age, duplicates, action in ((900, (), "boot"), (900.5, (), "ignore"), (60, (MAC,), "ignore")):
        claimed = world.mark(mac=MAC, peer="10.0.0.1", returnable=True, claimed_at=NOW - age)
        world.marks, world.duplicate_macs = {(1, "PS120001"): claimed}, frozenset(duplicates)
        decision = world.ask(mac=OTHER, peer="10.0.0.1", ipxe=True)
        assert decision.action == action
        assert (last(decision).code == "guid_conflict") == (action == "ignore")
    world.duplicate_macs = frozenset()
    # Nor does a claim count that the GUID alone made.
    world.marks = {(1, "PS120001"): world.mark(mac=CLONE, peer="10.0.0.1", returnable=True)}
    assert refused(world.ask(mac=CLONE, peer="10.0.0.1"), "guid_conflict")


# D30: GUIDs that identify nobody.


def spellings(digits: str) -> list[str]:
    guid = uuid.UUID(digits)
    return [str(guid), str(uuid.UUID(bytes=guid.bytes_le))]


@pytest.mark.parametrize(
    "digits",
    [
        *(f"{byte:02x}" * 16 for byte in (0, 1, 0x11, 0xAA, 0xFF)),
        "000102030405060708090a0b0c0d0e0f",
        "0102030405060708090a0b0c0d0e0f10",
        "0f0e0d0c0b0a09080706050403020100",
        "0123456789abcdef0123456789abcdef",
        "fedcba9876543210fedcba9876543210",
        "12345678901234567890123456789012",
        "03000200040005000006000700080009",
        "00020003000400050006000700080009",
        "030201000504070608090a0b0c0d0e0f",
        "123456781234567890abcddeefaabbcc",
        "6ab5b300538d10149fb5b0684d007b53",
    ],
)
def test_a_placeholder_of_either_byte_order_is_left_out(world: World, digits: str) -> None:
    for guid in spellings(digits):
        world.devices = [world.device(macs=(), guid=guid)]
        decision = world.ask(guid=guid, mac=CLONE)
        assert codes(decision)[0] == "placeholder_guid", guid
        assert decision.device is None


@pytest.mark.parametrize("digits", ["5c9e4b1c0f6e4b449a550d6a3e1b7c01", "4c4c4544004335108052b3c04f4b4e32"])
def test_a_real_guid_is_no_placeholder(world: World, digits: str) -> None:
    guid = str(uuid.UUID(digits))
    world.devices = [world.device(guid=guid)]
    assert world.ask(guid=guid).action == "boot"


def test_an_operator_adds_placeholders(world: World) -> None:
    world.placeholders = frozenset({GUID})
    decision = world.ask(mac=CLONE)
    assert codes(decision)[0] == "placeholder_guid"


def test_a_placeholder_is_never_the_guid_of_pxefasts_own_machine(world: World) -> None:
    guid = "03000200-0400-0500-0006-000700080009"
    world.own = frozenset({guid})
    assert world.ask(guid=guid).action == "boot"
    world.devices = [world.device(guid=None)]
    world.own = world.placeholders = frozenset({GUID})
    assert world.ask().action == "boot"


def test_every_vendor_default_is_canonical_and_names_its_source(decide: ModuleType) -> None:
    from pxefast.decide.placeholders import VENDOR_DEFAULTS, is_placeholder

    for guid, source in VENDOR_DEFAULTS:
        assert decide.normal_guid(guid) == guid
        assert is_placeholder(guid)
        assert len(source) > 3


# D31: exclusion is of the device.


@pytest.mark.parametrize("request_", [{}, {"mac": OTHER}, {"mac": CLONE}, {"mac": ""}])
def test_a_device_with_one_excluded_mac_is_excluded_by_every_way_in(world: World, request_: Any) -> None:
    world.devices = [world.device(macs=(MAC, OTHER))]
    world.policy = {"guid_alone": "allow"}
    world.deployments[1].append(world.deployment("PS120009", purpose="available"))
    world.exclusions = world.decide.Exclusions(frozenset({MAC}))
    decision = world.ask(**request_)
    assert refused(decision, "excluded")
    assert MAC in last(decision).text


def test_another_device_is_not_excluded(world: World) -> None:
    world.exclusions = world.decide.Exclusions(frozenset({CLONE}))
    assert world.ask().action == "boot"
