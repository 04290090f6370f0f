from dataclasses import replace
from typing import Any

import pytest

MAC = "00:11:22:33:44:55"
GUID = "11223344-5566-7788-99aa-bbccddeeff00"
NOW = 1_700_000_000.0
World = Any


def codes(decision: Any) -> list[str]:
    return [reason.code for reason in decision.reasons]


def refused(decision: Any, code: str) -> bool:
    """No boot file, nothing to claim, and this is the last word."""
    return (
        decision.action == "ignore"
        and decision.boot_program is None
        and not decision.claim
        and decision.reasons[-1].code == code
    )


def test_a_known_device_with_a_required_deployment_boots_and_must_be_claimed(world: World) -> None:
    decision = world.ask()
    assert (decision.action, decision.claim) == ("boot", True)
    assert (decision.device, decision.device_id, decision.deployment) == ("web01", 1, "PS120001")
    assert (decision.boot_image, decision.boot_program) == ("PS100001", "grubx64.efi")
    assert (decision.architecture, decision.firmware) == ("x64", "uefi")
    assert [reason.rule for reason in decision.reasons] == [
        "CM-99",
        "CM-109",
        "CM-72",
        "CM-77",
        "CM-101",
        "CM-90",
    ]
    assert decision.identities == (f"mac:{MAC}", f"guid:{GUID}")


def test_the_dictionary_has_exactly_the_promised_shape(world: World) -> None:
    decision = world.ask()
    value = decision.as_dict()
    assert value["reasons"][0] == {
        "code": "known_device",
        "text": "known device web01 by MAC and SMBIOS GUID",
        "rule": "CM-99",
    }
    named = ("boot", "web01", "PS120001", "PS100001", "grubx64.efi")
    assert tuple(value[name] for name in list(value)[:5]) == named
    assert list(value) == ["action", "device", "deployment", "boot_image", "boot_program", "reasons"]
    assert all(list(reason) == ["code", "text", "rule"] for reason in value["reasons"])


# Who is answered at all.


def test_a_client_that_is_not_pxe_is_never_answered(world: World) -> None:
    assert refused(world.ask(pxe_client=False), "not_pxe_client")


@pytest.mark.parametrize(
    ("switch", "code"), [("enable_pxe", "pxe_disabled"), ("allow_pxe_response", "responses_not_allowed")]
)
def test_a_distribution_point_that_is_switched_off_answers_nobody(
    world: World, switch: str, code: str
) -> None:
    world.dp[switch] = False
    assert refused(world.ask(), code)


def test_a_new_distribution_point_answers_nobody(world: World) -> None:
    world.dp = {"site": "PS1"}
    assert world.ask().action == "ignore"


@pytest.mark.parametrize("interfaces", [("eth1",), ()])
def test_only_bound_interfaces_answer_and_an_empty_list_answers_nobody(world: World, interfaces: Any) -> None:
    world.dp["interfaces"] = interfaces
    assert refused(world.ask(interface="eth0"), "interface_not_bound")


def test_a_bound_interface_answers(world: World) -> None:
    world.dp["interfaces"] = ("eth1", "eth0")
    assert world.ask(interface="eth0").action == "boot"


def test_an_interface_is_bound_by_its_name_or_by_its_mac(world: World) -> None:
    world.dp["interfaces"] = ("eth1", "02:ff:00:00:00:01")
    assert world.ask(interface="eth1").action == "boot"
    assert world.ask(interface="eth0", interface_mac="02:ff:00:00:00:01").action == "boot"
    assert refused(world.ask(interface="eth0", interface_mac="02:ff:00:00:00:02"), "interface_not_bound")
    assert refused(world.ask(interface="", interface_mac=""), "interface_not_bound")


def test_an_excluded_mac_gets_nothing_whatever_is_deployed(world: World) -> None:
    world.exclusions = world.decide.Exclusions(frozenset({MAC}))
    world.policy = {"identity_conflict": "lenient"}
    for door in ("discover", "request"):
        assert refused(world.ask(door=door), "excluded")


@pytest.mark.parametrize("own", [MAC, GUID, "02:00:00:00:00:77"], ids=["mac", "guid", "its other card"])
def test_the_machine_that_pxefast_runs_on_gets_nothing(world: World, own: str) -> None:
    world.devices = [world.device(macs=[MAC, "02:00:00:00:00:77"])]
    world.own = frozenset({own})
    assert refused(world.ask(), "own_machine")


def test_a_protected_device_gets_nothing_whatever_is_deployed(world: World) -> None:
    world.devices = [world.device(protected=True)]
    world.deployments[1].append(world.deployment("PS120002", purpose="available"))
    decision = world.ask()
    assert refused(decision, "protected")
    assert (decision.device, decision.device_id) == ("web01", 1)


def test_the_response_delay_drops_early_discovers_only(world: World) -> None:
    world.dp["response_delay"] = 10
    assert refused(world.ask(door="discover", secs=9), "response_delay")
    assert world.ask(door="discover", secs=10).action == "boot"
    assert world.ask(door="request", secs=0).action == "boot"


# Who it is.


def test_a_device_of_another_site_is_named_but_not_served(world: World) -> None:
    world.devices = [world.device(site="ABC")]
    decision = world.ask()
    assert refused(decision, "other_site")
    assert decision.device == "web01"
    assert decision.reasons[-1].rule == "CM-104"


def test_the_guid_alone_finds_a_device_behind_another_network_card(world: World) -> None:
    world.policy = {"guid_alone": "allow"}
    decision = world.ask(mac="02:00:00:00:00:01")
    assert (decision.action, decision.device) == ("boot", "web01")
    assert "SMBIOS GUID" in decision.reasons[0].text


def test_a_guid_in_the_other_byte_order_is_the_same_guid(world: World) -> None:
    assert world.ask(mac="", guid="44332211-6655-8877-99aa-bbccddeeff00").device == "web01"


def test_a_client_without_a_guid_is_known_by_its_mac(world: World) -> None:
    assert world.ask(guid=None).action == "boot"


def test_a_device_without_a_stored_guid_is_known_by_its_mac(world: World) -> None:
    world.devices = [world.device(guid=None)]
    assert world.ask().action == "boot"


def test_a_mac_of_one_device_and_a_guid_of_another_is_nobody(world: World) -> None:
    world.devices.append(
        world.device(2, "web02", ["02:00:00:00:00:02"], "99999999-0000-0000-0000-000000000001")
    )
    decision = world.ask(guid="99999999-0000-0000-0000-000000000001")
    assert refused(decision, "ambiguous_identity")
    assert "web01" in decision.reasons[-1].text
    assert "web02" in decision.reasons[-1].text


def test_a_known_mac_with_another_guid_is_not_imaged(world: World) -> None:
    assert refused(world.ask(guid="99999999-0000-0000-0000-000000000001"), "identity_mismatch")


OTHER_MAC, OTHER_GUID = "02:00:00:00:00:02", "99999999-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("mac", "guid", "device", "told"),
    [
        (MAC, GUID, "web01", "by MAC and SMBIOS GUID"),
        (MAC, OTHER_GUID, "web02", "web01 loses"),
        (MAC, None, "web01", "by MAC"),
        (MAC, "99999999-0000-0000-0000-000000000005", "web01", "the MAC counts"),
        ("02:00:00:00:00:09", OTHER_GUID, "web02", "by SMBIOS GUID"),
    ],
)
def test_the_lenient_order_is_both_then_guid_then_mac_and_names_who_loses(
    world: World, mac: str, guid: str | None, device: str, told: str
) -> None:
    world.policy = {"identity_conflict": "lenient", "guid_alone": "allow"}
    world.devices.append(world.device(2, "web02", [OTHER_MAC], OTHER_GUID))
    world.deployments[2] = [world.deployment("PS120001")]
    decision = world.ask(mac=mac, guid=guid)
    assert (decision.action, decision.device) == ("boot", device)
    assert told in decision.reasons[0].text


@pytest.mark.parametrize(
    "guid", ["03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009"]
)
def test_a_placeholder_guid_is_no_guid(world: World, guid: str) -> None:
    world.devices.append(world.device(2, "web02", ["02:00:00:00:00:02"], guid))
    assert world.ask(guid=guid).device == "web01"
    assert refused(world.ask(mac="", guid=guid), "unknown_computers_off")


def test_a_duplicate_mac_is_left_out_of_the_search(world: World) -> None:
    world.duplicate_macs = frozenset({MAC})
    decision = world.ask()
    assert (decision.device, codes(decision)[0], decision.reasons[0].rule) == (
        "web01",
        "duplicate_mac",
        "CM-61",
    )
    assert decision.identities == (f"guid:{GUID}",)
    assert refused(world.ask(guid=None), "unknown_computers_off")


def test_a_duplicate_guid_is_left_out_of_the_search(world: World) -> None:
    world.duplicate_guids = frozenset({GUID, "44332211-6655-8877-99aa-bbccddeeff00"})
    for guid in (GUID, "44332211-6655-8877-99aa-bbccddeeff00"):
        decision = world.ask(guid=guid)
        assert (decision.device, codes(decision)[0]) == ("web01", "duplicate_guid")
        assert decision.identities == (f"mac:{MAC}",)
    assert refused(world.ask(mac="02:00:00:00:00:09"), "unknown_computers_off")


def test_where_both_identifiers_are_duplicates_the_machine_is_unknown(world: World) -> None:
    world.duplicate_macs, world.duplicate_guids = frozenset({MAC}), frozenset({GUID})
    world.dp["unknown_computers"] = True
    world.unknown = {"x64": (world.deployment("PS120002", purpose="available"),)}
    decision = world.ask()
    assert (decision.action, decision.device, decision.deployment) == ("prompt", None, "PS120002")
    world.policy = {"required_for_unknown": True}
    world.unknown = {"x64": (world.deployment("PS120002"),)}
    assert "no_identity" in codes(world.ask())
    assert world.ask().action == "ignore"


def test_two_network_cards_of_one_device_share_its_ledger(world: World) -> None:
    world.devices = [world.device(macs=[MAC, "02:00:00:00:00:02"], guid=None)]
    world.marks = {(1, "PS120001"): world.mark()}
    assert refused(world.ask(mac="02:00:00:00:00:02", guid=None), "already_offered")


# Unknown computers.


def test_a_machine_without_a_record_gets_nothing_by_default(world: World) -> None:
    assert refused(world.ask(mac="02:00:00:00:00:09", guid=None), "unknown_computers_off")


def test_an_unknown_computer_is_only_ever_asked(world: World) -> None:
    world.dp["unknown_computers"] = True
    world.unknown = {"x64": (world.deployment("PS120002"), world.deployment("PS120001", purpose="available"))}
    decision = world.ask(mac="02:00:00:00:00:09", guid=None)
    assert (decision.action, decision.deployment, decision.claim) == ("prompt", "PS120001", False)
    assert "required_not_for_unknown" in codes(decision)


def test_an_unknown_computer_of_another_architecture_gets_nothing(world: World) -> None:
    world.dp["unknown_computers"] = True
    world.unknown = {"arm64": (world.deployment("PS120001", purpose="available"),)}
    assert refused(world.ask(mac="02:00:00:00:00:09", guid=None), "no_deployment")


def test_a_known_device_never_falls_back_to_unknown_deployments(world: World) -> None:
    world.dp["unknown_computers"] = True
    world.unknown = {"x64": (world.deployment("PS120001", purpose="available"),)}
    world.deployments = {}
    assert refused(world.ask(), "no_deployment")


NEW = {"mac": "02:00:00:00:00:09", "guid": "99999999-0000-0000-0000-000000000009"}


def unknown_required(world: World) -> World:
    world.dp["unknown_computers"] = True
    world.policy = {"required_for_unknown": True}
    world.unknown = {"x64": (world.deployment("PS120002"),)}
    return world


def test_required_for_unknown_computers_is_a_setting_and_claimed_for_the_hardware(world: World) -> None:
    decision = unknown_required(world).ask(**NEW)
    assert (decision.action, decision.claim, decision.device, decision.device_id) == (
        "boot",
        True,
        None,
        None,
    )
    assert decision.identities == (f"mac:{NEW['mac']}", f"guid:{NEW['guid']}")
    world.hardware = {f"mac:{NEW['mac']}": 77}
    assert world.ask(**NEW).device_id == 77
    world.marks = {(77, "PS120002"): world.mark("PS120002", "DONE")}
    assert refused(world.ask(**NEW), "already_offered")
    world.marks = {(77, "PS120001"): world.mark("PS120001", "LAUNCHED")}
    assert refused(world.ask(**NEW), "already_offered")


def test_an_unknown_computer_is_armed_by_the_unknown_computer_object(world: World) -> None:
    unknown_required(world).armed = False
    assert refused(world.ask(**NEW), "pending_approval")
    world.marks = {(world.UNKNOWN["x64"], "PS120002"): world.mark("PS120002", "ARMED")}
    assert world.ask(**NEW).action == "boot"


def test_hardware_seen_as_two_machines_is_nobody_unless_lenient(world: World) -> None:
    unknown_required(world).hardware = {f"mac:{NEW['mac']}": 77, f"guid:{NEW['guid']}": 78}
    assert refused(world.ask(**NEW), "ambiguous_identity")
    world.policy["identity_conflict"] = "lenient"
    assert world.ask(**NEW).device_id == 78
    world.marks = {(77, "PS120001"): world.mark("PS120001", "LAUNCHED")}
    assert refused(world.ask(**NEW), "already_offered")


def test_an_unknown_computer_is_never_told_to_abort(world: World) -> None:
    world.policy = {"no_deployment_bios": "abort", "no_deployment_uefi": "abort"}
    assert refused(world.ask(**NEW), "unknown_computers_off")
    world.dp["unknown_computers"] = True
    assert refused(world.ask(**NEW), "no_deployment")
    world.unknown = {"x64": ()}
    assert refused(world.ask(**NEW), "no_deployment")


def test_a_protected_unknown_computer_object_gives_nothing(world: World) -> None:
    world.dp["unknown_computers"] = True
    world.unknown = {"x64": (world.deployment("PS120002", purpose="available"),)}
    site = world.site()
    guarded = replace(site, unknown={"x64": replace(site.unknown["x64"], protected=True)})
    decision = world.decide.decide(world.request(**NEW), guarded, world.exclusions)
    assert refused(decision, "protected")


# Which deployment.


def test_a_deployment_for_clients_only_is_invisible_to_pxe(world: World) -> None:
    world.deployments = {1: [world.deployment("PS120001", audience="clients")]}
    assert refused(world.ask(), "no_deployment")


AUDIENCES = [
    # audience, policy hidden_deployments, is the preferred id, boots
    ("clients", "preferred", False, False),
    ("clients", "listed", False, False),
    ("clients", "listed", True, False),
    ("clients-media-pxe", "preferred", False, True),
    ("clients-media-pxe", "preferred", True, True),
    ("media-pxe", "preferred", False, True),
    ("media-pxe", "preferred", True, True),
    ("media-pxe-hidden", "preferred", False, False),
    ("media-pxe-hidden", "preferred", True, True),
    ("media-pxe-hidden", "listed", False, True),
    ("media-pxe-hidden", "listed", True, True),
]


@pytest.mark.parametrize(("audience", "hidden", "preferred", "boots"), AUDIENCES)
def test_who_sees_which_audience(
    world: World, audience: str, hidden: str, preferred: bool, boots: bool
) -> None:
    world.policy = {"hidden_deployments": hidden}
    world.devices = [world.device(preferred="PS120001" if preferred else None)]
    world.deployments = {1: [world.deployment("PS120001", audience=audience)]}
    assert (world.ask().action == "boot") == boots
    if not boots:
        said = codes(world.ask())
        assert said[-1] == "no_deployment"
        assert ("clients_only" if audience == "clients" else "hidden") in said


def test_the_preferred_deployment_goes_before_required_ones_and_nothing_follows_it(world: World) -> None:
    world.devices = [world.device(preferred="PS120000")]
    world.deployments[1].append(
        world.deployment("PS120000", purpose="available", audience="media-pxe-hidden")
    )
    decision = world.ask()
    assert (decision.action, decision.deployment) == ("prompt", "PS120000")
    assert decision.reasons[1].rule == "CM-70"
    world.deployments[1][1] = world.deployment("PS120000")
    world.marks = {(1, "PS120000"): world.mark("PS120000", "DONE")}
    assert refused(world.ask(), "already_offered")


@pytest.mark.parametrize("why", ["another id", "clients only", "no boot image"])
def test_a_preferred_id_that_reaches_nobody_is_named_and_left(world: World, why: str) -> None:
    world.devices = [world.device(preferred="PS120009")]
    if why == "clients only":
        world.deployments[1].append(world.deployment("PS120009", audience="clients"))
    if why == "no boot image":
        world.deployments[1].append(world.deployment("PS120009", None))
    decision = world.ask()
    assert (decision.action, decision.deployment) == ("boot", "PS120001")
    assert "PS120009" in next(r.text for r in decision.reasons if r.code == "preferred_not_found")


def test_a_task_sequence_without_a_boot_image_never_counts(world: World) -> None:
    world.deployments[1].append(world.deployment("PS120009", None))
    assert world.ask().deployment == "PS120001"
    world.deployments = {1: [world.deployment("PS120009", None)]}
    assert refused(world.ask(), "no_deployment")
    assert "no_image_named" in codes(world.ask())


def test_an_available_deployment_asks_and_claims_nothing(world: World) -> None:
    world.deployments = {1: [world.deployment("PS120001", purpose="available")]}
    decision = world.ask()
    assert (decision.action, decision.claim, decision.boot_program) == ("prompt", False, "grubx64.efi")


def test_required_goes_before_a_newer_available(world: World) -> None:
    world.deployments[1].append(world.deployment("PS120002", purpose="available"))
    decision = world.ask()
    assert (decision.action, decision.deployment) == ("boot", "PS120001")


@pytest.mark.parametrize("order", [1, -1])
def test_the_highest_id_counts_in_string_order_whatever_the_order_of_the_list(
    world: World, order: int
) -> None:
    world.deployments = {
        1: [world.deployment(name) for name in ("AAA20009", "ZZZ20001", "PS120001")][::order]
    }
    assert world.ask().deployment == "ZZZ20001"


# Once only.


def test_a_required_deployment_is_not_offered_a_second_time(world: World) -> None:
    world.marks = {(1, "PS120001"): world.mark()}
    for door in ("discover", "request"):
        decision = world.ask(door=door)
        assert refused(decision, "already_offered")
        assert decision.reasons[-1].text.startswith("already offered")


def test_no_older_required_takes_the_place_of_one_already_offered(world: World) -> None:
    world.deployments[1].append(world.deployment("PS120002"))
    world.marks = {(1, "PS120002"): world.mark("PS120002")}
    assert refused(world.ask(), "already_offered")


def test_an_available_one_may_follow_a_required_one_already_offered(world: World) -> None:
    world.deployments[1].append(world.deployment("PS120000", purpose="available"))
    world.marks = {(1, "PS120001"): world.mark(state="DONE")}
    decision = world.ask()
    assert (decision.action, decision.deployment, decision.claim) == ("prompt", "PS120000", False)
    assert "already_offered" in codes(decision)


def test_a_new_required_deployment_boots_without_clearing(world: World) -> None:
    world.deployments[1].append(world.deployment("PS120002"))
    world.marks = {(1, "PS120001"): world.mark(state="DONE")}
    assert world.ask().deployment == "PS120002"


OLD = {"claimed_at": NOW - 901}
SESSION_OVER = {"claimed_at": NOW - 950, "launched_at": NOW - 901}
SETTLED = {"claimed_at": NOW - 15_000, "launched_at": NOW - 4 * 3600}
STATES = [
    # state and fields of the mark, whether it is a new start, action, code
    ("ARMED", {}, True, "boot", "first_offer"),
    ("CLAIMED", {}, False, "boot", "same_session"),
    ("CLAIMED", {}, True, "abort", "already_offered"),
    ("CLAIMED", OLD, True, "abort", "already_offered"),
    ("CLAIMED", {"returnable": True}, False, "boot", "same_session"),
    ("CLAIMED", {"returnable": True}, True, "boot", "same_session"),
    ("CLAIMED", {"returnable": True, **OLD}, True, "boot", "returned"),
    ("CLAIMED", {"returnable": True, "returns": 4, **OLD}, True, "boot", "returned"),
    ("CLAIMED", {"returnable": True, "returns": 5, **OLD}, True, "abort", "hold"),
    ("CLAIMED", {"returnable": True, "returns": 5}, True, "boot", "same_session"),
    ("LAUNCHED", {}, False, "abort", "already_offered"),
    ("LAUNCHED", {"returnable": True}, True, "abort", "already_offered"),
    ("STARTED", {}, False, "abort", "already_offered"),
    ("DONE", {}, False, "abort", "already_offered"),
    ("FAILED", {}, True, "abort", "already_offered"),
    ("HOLD", {"why": "no started report"}, False, "abort", "hold"),
]


@pytest.mark.parametrize(("state", "fields", "new", "action", "code"), STATES)
def test_what_each_state_of_the_ledger_leaves_to_its_deployment(
    world: World, state: str, fields: dict[str, Any], new: bool, action: str, code: str
) -> None:
    world.policy = {"no_deployment_uefi": "abort"}
    world.marks = {(1, "PS120001"): world.mark(state=state, step=0, **fields)}
    decision = world.ask(door="discover" if new else "request", xid=8)
    assert (decision.action, decision.deployment) == (action, "PS120001")
    assert code in codes(decision)
    if action != "boot":
        assert decision.reasons[-1].code == code
        assert "pxefast deployment clear" in decision.reasons[-1].text
    if state == "HOLD":
        assert "no started report" in decision.reasons[-1].text


@pytest.mark.parametrize(
    ("state", "fields", "required", "available"),
    [
        ("CLAIMED", {"returnable": True}, "boot", "prompt"),
        ("CLAIMED", {}, "other_session", "other_session"),
        ("CLAIMED", {**OLD, "launched_at": 0.0}, "waits_behind", "prompt"),
        ("LAUNCHED", {}, "already_offered", "already_offered"),
        ("LAUNCHED", SESSION_OVER, "waits_behind", "prompt"),
        ("LAUNCHED", SETTLED, "boot", "prompt"),
        ("STARTED", {}, "already_offered", "already_offered"),
        ("STARTED", SESSION_OVER, "waits_behind", "prompt"),
        ("STARTED", SETTLED, "waits_behind", "prompt"),
        ("DONE", {}, "boot", "prompt"),
        ("FAILED", {}, "boot", "prompt"),
        ("HOLD", {}, "hold", "hold"),
        ("HOLD", SESSION_OVER, "waits_behind", "prompt"),
        ("HOLD", SETTLED, "boot", "prompt"),
        ("HOLD", {"launched_at": 0.0}, "boot", "prompt"),
        ("WITHDRAWN", {}, "waits_behind", "waits_behind"),
        ("WITHDRAWN", SESSION_OVER, "waits_behind", "prompt"),
        ("WITHDRAWN", SETTLED, "boot", "prompt"),
        ("CLEARED", {}, "boot", "prompt"),
    ],
)
def test_what_each_state_of_the_ledger_leaves_to_another_deployment(
    world: World, state: str, fields: dict[str, Any], required: str, available: str
) -> None:
    world.marks = {(1, "PS120009"): world.mark("PS120009", state, **fields)}
    for purpose, outcome in (("required", required), ("available", available)):
        world.deployments = {1: [world.deployment("PS120001", purpose=purpose)]}
        decision = world.ask()
        assert outcome in (decision.action, decision.reasons[-1].code)
        waits = decision.behind == "PS120009"
        assert waits == (outcome == "waits_behind" and fields != {})
        assert decision.deployment == ("PS120001" if outcome == decision.action or waits else "PS120009")


def test_what_waits_says_behind_what_until_when_and_what_ends_the_wait(world: World) -> None:
    """D34."""
    world.marks = {(1, "PS120009"): world.mark("PS120009", "LAUNCHED", **SESSION_OVER)}
    waits = world.ask().reasons[-1].text
    assert waits.startswith("waits behind PS120009 until 2023-11-15 01:58:19 UTC")
    assert waits.endswith(
        "to run PS120009 again: pxefast deployment clear --device web01 --deployment PS120009"
    )
    world.marks = {(1, "PS120009"): world.mark("PS120009", "WITHDRAWN", **SESSION_OVER)}
    assert "to end the wait: pxefast deployment clear --device web01" in world.ask().reasons[-1].text
    world.policy["launch_settles_hours"] = 0
    assert "until it reports its end" in world.ask().reasons[-1].text


def test_a_launch_bars_its_machine_for_its_whole_session_however_soon_launches_settle(world: World) -> None:
    """D34: with `session.seconds` above `launch_settles_hours`."""
    world.session_seconds = 5 * 3600.0
    world.deployments[1].append(world.deployment("PS120000", purpose="available"))
    launched = {"claimed_at": NOW - 4 * 3600.0 - 9, "launched_at": NOW - 4 * 3600.0 - 1}
    for state, code in (("LAUNCHED", "already_offered"), ("HOLD", "hold"), ("WITHDRAWN", "waits_behind")):
        world.marks = {(1, "PS120009"): world.mark("PS120009", state, **launched)}
        assert codes(world.ask())[-1] == code
    assert "until 2023-11-14 23:13:19 UTC" in world.ask().reasons[-1].text


def test_a_launch_settles_to_the_second(world: World) -> None:
    """D34."""
    for age, code in ((4 * 3600.0 - 1, "waits_behind"), (4 * 3600.0, "boot_program")):
        world.marks = {
            (1, "PS120009"): world.mark("PS120009", "LAUNCHED", claimed_at=NOW - age, launched_at=NOW - age)
        }
        assert codes(world.ask())[-1] == code


def test_an_available_deployment_is_possible_while_a_required_one_waits(world: World) -> None:
    world.marks = {(1, "PS120009"): world.mark("PS120009", "LAUNCHED", **SESSION_OVER)}
    world.deployments[1].append(world.deployment("PS120000", purpose="available"))
    decision = world.ask()
    assert (decision.action, decision.deployment, decision.behind) == ("prompt", "PS120000", "PS120009")
    assert "waits_behind" in codes(decision)


def test_what_was_cleared_is_offered_again_with_its_history(world: World) -> None:
    history = "launched 2023-11-14 22:00:00 UTC, reported done 2023-11-14 22:10:00 UTC, cleared by root"
    world.marks = {
        (1, "PS120001"): world.mark(
            state="ARMED", generation=2, history=history, claimed_at=0.0, launched_at=0.0
        )
    }
    decision = world.ask()
    assert decision.action == "boot"
    assert decision.because.code == "offered_again"
    assert history in decision.because.text
    assert "first_offer" not in codes(decision)


@pytest.mark.parametrize("change", ["enabled", "arming", "pending", "hold"])
def test_no_older_required_deployment_takes_the_place_of_the_newest(world: World, change: str) -> None:
    world.deployments[1].append(world.deployment("PS120002", enabled=change != "enabled"))
    if change == "arming":
        world.marks = {(1, "PS120002"): world.mark("PS120002", "ARMED", armed_at=NOW - 90_000)}
    if change == "hold":
        world.marks = {(1, "PS120002"): world.mark("PS120002", "HOLD")}
    if change == "pending":
        world.armed = False
        world.marks = {(1, "PS120001"): world.mark(state="ARMED")}
    decision = world.ask()
    assert (decision.action, decision.deployment) == ("ignore", "PS120002")


# Armed, in time, enabled.


@pytest.mark.parametrize(
    ("policy", "armed", "created", "outcome"),
    [
        ({}, 3600, 0, "boot"),
        ({}, 86399, 0, "boot"),
        ({}, 86400, 0, "arming_expired"),
        ({"armed_hours": 1}, 3600, 0, "arming_expired"),
        ({"armed_hours": 0}, 10_000_000, 0, "boot"),
        ({}, -60, 0, "boot"),
        ({}, -61, 0, "clock_behind"),
        ({}, None, 0, "pending_approval"),
        ({"approve_new_members": False}, None, 86399, "boot"),
        ({"approve_new_members": False}, None, 86400, "arming_expired"),
        ({"approve_new_members": False, "armed_hours": 0}, None, 86400, "boot"),
    ],
)
def test_when_a_required_deployment_is_armed(
    world: World, policy: dict[str, Any], armed: float | None, created: float, outcome: str
) -> None:
    world.policy = policy
    world.armed = False
    world.deployments = {1: [world.deployment("PS120001", created_at=NOW - created)]}
    if armed is not None:
        world.marks = {(1, "PS120001"): world.mark(state="ARMED", armed_at=NOW - armed)}
    decision = world.ask()
    assert decision.action == "boot" if outcome == "boot" else refused(decision, outcome)
    if outcome in ("arming_expired", "pending_approval"):
        assert "pxefast deployment approve PS120001" in decision.reasons[-1].text


@pytest.mark.parametrize("purpose", ["required", "available"])
@pytest.mark.parametrize(
    ("schedules", "available", "expires", "code"),
    [
        ("ignore", NOW + 1, None, None),
        ("ignore", None, NOW - 1, None),
        ("enforce", None, None, None),
        ("enforce", NOW + 1, None, "not_yet_available"),
        ("enforce", NOW, NOW + 1, None),
        ("enforce", None, NOW, "expired"),
    ],
)
def test_availability_and_expiry_count_only_where_they_are_enforced(
    world: World, purpose: str, schedules: str, available: Any, expires: Any, code: str | None
) -> None:
    world.policy = {"schedules": schedules}
    times = {"available_at": available, "expires_at": expires}
    world.deployments = {1: [world.deployment("PS120001", purpose=purpose, **times)]}
    decision = world.ask()
    assert (
        decision.action == {"required": "boot", "available": "prompt"}[purpose]
        if code is None
        else refused(decision, code)
    )


@pytest.mark.parametrize("purpose", ["required", "available"])
def test_a_disabled_deployment_boots_nobody(world: World, purpose: str) -> None:
    world.deployments = {1: [world.deployment("PS120001", purpose=purpose, enabled=False)]}
    assert refused(world.ask(), "deployment_disabled")


def test_an_available_one_that_is_disabled_leaves_its_place_to_the_next(world: World) -> None:
    world.deployments = {
        1: [
            world.deployment("PS120002", purpose="available", enabled=False),
            world.deployment("PS120001", purpose="available"),
        ]
    }
    assert world.ask().deployment == "PS120001"


# What a machine is told for which there is nothing.


@pytest.mark.parametrize(("code", "firmware"), [(0, "bios"), (7, "uefi")])
@pytest.mark.parametrize("action", ["abort", "ignore"])
def test_a_known_device_without_anything_to_boot_is_told_what_the_setting_says(
    world: World, code: int, firmware: str, action: str
) -> None:
    other = "ignore" if action == "abort" else "abort"
    world.policy = {
        "no_deployment_bios": other,
        "no_deployment_uefi": other,
        f"no_deployment_{firmware}": action,
    }
    world.deployments = {}
    assert world.ask(architecture=code).action == action
    world.deployments = {1: [world.deployment("PS120001")]}
    for state in ("DONE", "HOLD", "LAUNCHED"):
        world.marks = {(1, "PS120001"): world.mark(state=state)}
        assert world.ask(architecture=code).action == action
    assert world.ask(architecture=code).boot_program is None


def test_by_default_bios_is_sent_on_and_uefi_is_not_answered(world: World) -> None:
    world.deployments = {}
    assert [world.ask(architecture=code).action for code in (0, 7)] == ["abort", "ignore"]


def test_an_abort_is_never_sent_where_another_server_may_know_better(world: World) -> None:
    world.policy = {"no_deployment_bios": "abort", "no_deployment_uefi": "abort"}
    reason = world.decide.Reason("halted", "halted", "D8")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("excluded", {"exclusions": world.decide.Exclusions(frozenset({MAC}))}),
        ("halted", {"exclusions": world.decide.Exclusions(paused=reason)}),
        ("other_site", {"devices": [world.device(site="ABC")]}),
        ("protected", {"devices": [world.device(protected=True)]}),
        ("own_machine", {"own": frozenset({MAC})}),
        ("interface_not_bound", {"dp": {**world.dp, "interfaces": ()}}),
        ("responses_not_allowed", {"dp": {**world.dp, "allow_pxe_response": False}, "deployments": {}}),
        ("boot_image_not_distributed", {"images": [world.image("PS100001", here=False)]}),
        ("no_boot_image", {"images": []}),
    ]
    for code, changes in cases:
        other = type(world)(world.decide)
        other.policy = world.policy
        for name, value in changes.items():
            setattr(other, name, value)
        assert refused(other.ask(), code)


def test_the_mark_of_one_device_says_nothing_of_another(world: World) -> None:
    world.marks = {(2, "PS120001"): world.mark()}
    assert world.ask().action == "boot"


@pytest.mark.parametrize(
    ("mark", "request_", "same"),
    [
        ({"step": 1, "xid": 7}, {"xid": 7}, True),
        ({"step": 1, "xid": 7, "stepped_at": NOW - 30}, {"xid": 7}, True),
        ({"step": 1, "xid": 7, "stepped_at": NOW - 31}, {"xid": 7}, False),
        ({"step": 0, "xid": 7, "stepped_at": NOW - 31}, {"xid": 7}, True),
        ({"step": 1, "xid": 7}, {"xid": 8}, False),
        ({"step": 0, "xid": 7}, {"xid": 8}, True),
        ({"step": 1, "xid": 7}, {"door": "discover", "xid": 7}, False),
        ({"step": 1, "xid": 7}, {"ipxe": True, "door": "discover", "xid": 8}, True),
        ({"step": 3, "xid": 7}, {"ipxe": True, "door": "discover", "xid": 8}, False),
        ({"step": 3, "xid": 7}, {"ipxe": True, "door": "request", "xid": 7}, True),
        ({"step": 3, "xid": 7}, {"xid": 7}, False),
        ({"step": 0, "xid": 7, "claimed_at": NOW - 901}, {}, False),
        ({"step": 0, "xid": 7, "claimed_at": NOW - 900}, {}, True),
        ({"step": 0, "xid": 7, "claimed_at": NOW + 30}, {}, True),
        ({"step": 0, "xid": 7, "claimed_at": NOW + 61}, {}, False),
        ({"step": 1, "xid": 0}, {"xid": 0}, False),
    ],
)
def test_only_later_stages_and_repeats_belong_to_the_boot_that_claimed(
    world: World, mark: dict[str, Any], request_: dict[str, Any], same: bool
) -> None:
    world.images = [world.image("PS100001", uefi="grubx64.efi", ipxe="boot.ipxe")]
    world.marks = {(1, "PS120001"): world.mark(**mark)}
    decision = world.ask(**request_)
    assert (decision.action == "boot") == same
    assert decision.claim == same
    assert ("same_session" if same else "already_offered") in codes(decision)


def test_while_required_is_off_its_reason_is_given_and_nothing_takes_its_place(world: World) -> None:
    reason = world.decide.Reason("halted", "somebody said stop", "D8")
    world.exclusions = world.decide.Exclusions(paused=reason)
    decision = world.ask()
    assert refused(decision, "halted")
    assert decision.reasons[-1] == reason
    assert (decision.device, decision.device_id, decision.deployment) == ("web01", 1, "PS120001")
    world.deployments[1].append(world.deployment("PS120002", purpose="available"))
    assert refused(world.ask(), "halted")


def test_while_required_is_off_available_deployments_go_on(world: World) -> None:
    world.exclusions = world.decide.Exclusions(paused=world.decide.Reason("halted", "stop", "D8"))
    world.deployments[1].append(world.deployment("PS120002", purpose="available"))
    world.marks = {(1, "PS120001"): world.mark(state="DONE")}
    assert world.ask().action == "prompt"
    world.deployments = {1: [world.deployment("PS120001", purpose="available")]}
    assert world.ask().action == "prompt"


# Which boot image and boot program.

ARCHITECTURES = [
    (0, "x64", "bios"),
    (6, "x86", "uefi"),
    (7, "x64", "uefi"),
    (9, "x64", "uefi"),
    (11, "arm64", "uefi"),
]


@pytest.mark.parametrize(("code", "architecture", "firmware"), ARCHITECTURES)
def test_each_client_gets_its_own_architecture_and_its_firmwares_program(
    world: World, code: int, architecture: str, firmware: str
) -> None:
    world.images = [
        world.image(f"PS10000{number}", name, bios=f"{name}.0", uefi=f"{name}.efi")
        for number, name in enumerate(("x86", "x64", "arm64"))
    ]
    world.deployments = {
        1: [world.deployment(f"PS12000{number}", f"PS10000{number}", "available") for number in range(3)]
    }
    decision = world.ask(architecture=code)
    assert (decision.architecture, decision.firmware) == (architecture, firmware)
    assert decision.boot_program == f"{architecture}.{'0' if firmware == 'bios' else 'efi'}"
    assert "boot_image_exact" in codes(decision)


@pytest.mark.parametrize(
    "code", [None, *(number for number in range(42) if number not in (0, 6, 7, 9, 11)), 65535]
)
def test_any_other_architecture_gets_nothing(world: World, code: int | None) -> None:
    decision = world.ask(architecture=code)
    assert decision.action == "ignore"
    assert decision.reasons[-1].rule == "W-32"
    assert decision.device == "web01"


@pytest.mark.parametrize(("code", "own", "_firmware"), ARCHITECTURES)
@pytest.mark.parametrize("image", ["x86", "x64", "arm64"])
def test_no_client_ever_gets_a_program_of_another_architecture(
    world: World, code: int, own: str, _firmware: str, image: str
) -> None:
    world.images = [world.image("PS100001", image)]
    decision = world.ask(architecture=code)
    compatible = image == own or (code == 0 and image == "x86")
    assert (decision.action == "boot") == compatible
    if not compatible:
        assert refused(decision, "no_boot_image")


@pytest.mark.parametrize(
    ("text", "code", "image", "boots"),
    [
        (text, code, image, image == own or (text == "older" and code == 0 and image == "x86"))
        for text in ("older", "current")
        for code, own, _ in ARCHITECTURES
        for image in ("x86", "x64", "arm64")
    ],
)
def test_both_texts_of_the_page_are_one_setting(
    world: World, text: str, code: int, image: str, boots: bool
) -> None:
    world.policy = {"compatible_architectures": text}
    world.images = [world.image("PS100001", image)]
    assert (world.ask(architecture=code).action == "boot") == boots


@pytest.mark.parametrize(
    ("image", "warned"),
    [({}, False), ({"pxe": False}, True), ({"here": False}, True), ({"architecture": "arm64"}, True)],
)
def test_an_x64_bios_client_boots_without_an_x86_image_but_it_is_said(
    world: World, image: dict[str, Any], warned: bool
) -> None:
    world.images.append(world.image("PS100002", **{"architecture": "x86", **image}))
    decision = world.ask(architecture=0)
    assert decision.action == "boot"
    assert ("no_x86_boot_image" in codes(decision)) == warned
    assert "no_x86_boot_image" not in codes(world.ask(architecture=7))


def test_the_image_of_the_highest_id_of_all_is_a_setting(world: World) -> None:
    world.policy = {"boot_image_of": "highest-id"}
    world.images = [world.image("PS100001"), world.image("PS100002")]
    world.deployments[1].append(world.deployment("PS120009", "PS100002", "available"))
    decision = world.ask()
    assert (decision.action, decision.deployment, decision.boot_image) == ("boot", "PS120001", "PS100002")
    assert "boot_image_of_highest_id" in codes(decision)
    world.deployments[1][1] = world.deployment("PS120009", "PS100002", "available", enabled=False)
    decision = world.ask()
    assert refused(decision, "deployment_disabled")
    assert decision.deployment == "PS120001"


LAUNCHES = [
    # declared, programs, ipxe client, launch file
    ("boot.wim", {"uefi": "a.efi"}, False, "boot.wim"),
    ("boot.wim", {"uefi": "a.efi", "ipxe": "b.ipxe"}, True, "boot.wim"),
    (None, {"uefi": "a.efi"}, False, "a.efi"),
    (None, {"uefi": "a.efi"}, True, "a.efi"),
    (None, {"uefi": "a.efi", "ipxe": "b.ipxe"}, False, None),
    (None, {"uefi": "a.efi", "ipxe": "b.ipxe"}, True, "b.ipxe"),
]


@pytest.mark.parametrize(("declared", "programs", "ipxe", "launch"), LAUNCHES)
def test_the_launch_file_is_the_declared_one_or_the_last_program(
    world: World, declared: str | None, programs: dict[str, str], ipxe: bool, launch: str | None
) -> None:
    world.images = [world.image("PS100001", launch=declared, **programs)]
    assert world.ask(ipxe=ipxe).launch_file == launch


def test_an_exact_architecture_goes_before_a_newer_compatible_one(world: World) -> None:
    world.images = [world.image("PS100001", "x64"), world.image("PS100002", "x86")]
    world.deployments = {1: [world.deployment("PS120001"), world.deployment("PS120002", "PS100002")]}
    decision = world.ask(architecture=0)
    assert (decision.deployment, decision.boot_image) == ("PS120001", "PS100001")
    assert "boot_image_exact" in codes(decision)


def test_a_compatible_image_is_taken_where_there_is_no_exact_one(world: World) -> None:
    world.images = [world.image("PS100001", "x86")]
    decision = world.ask(architecture=0)
    assert decision.boot_image == "PS100001"
    assert "boot_image_compatible" in codes(decision)


def test_the_highest_deployment_id_chooses_among_the_required_ones(world: World) -> None:
    world.images = [world.image("PS100001"), world.image("PS100002"), world.image("PS100003")]
    world.deployments = {
        1: [
            world.deployment("PS120001"),
            world.deployment("PS120002", "PS100002"),
            world.deployment("PS120003", "PS100003", "available"),
        ]
    }
    decision = world.ask()
    assert (decision.action, decision.deployment, decision.boot_image) == ("boot", "PS120002", "PS100002")


def test_what_is_claimed_is_what_boots_also_where_an_available_one_is_newer(world: World) -> None:
    world.images = [world.image("PS100001"), world.image("PS100002")]
    world.deployments = {
        1: [world.deployment("PS120001"), world.deployment("PS120002", "PS100002", "available")]
    }
    decision = world.ask()
    assert (decision.action, decision.deployment, decision.boot_image) == ("boot", "PS120001", "PS100001")


def test_a_required_deployment_already_given_does_not_follow_a_newer_one_for_other_machines(
    world: World,
) -> None:
    world.images = [world.image("PS100001"), world.image("PS100002", "arm64")]
    world.deployments = {1: [world.deployment("PS120001"), world.deployment("PS120002", "PS100002")]}
    assert world.ask().deployment == "PS120001"
    world.marks = {(1, "PS120001"): world.mark()}
    assert refused(world.ask(), "already_offered")


def test_where_no_required_image_runs_an_available_one_may_still_be_asked_for(world: World) -> None:
    world.images = [world.image("PS100001", "arm64"), world.image("PS100002")]
    world.deployments = {
        1: [world.deployment("PS120002"), world.deployment("PS120001", "PS100002", "available")]
    }
    decision = world.ask()
    assert (decision.action, decision.deployment) == ("prompt", "PS120001")
    assert "no_boot_image" in codes(decision)


def test_an_ipxe_that_an_available_image_loaded_does_not_load_it_again(world: World) -> None:
    world.images = [world.image("PS100001")]
    world.deployments = {1: [world.deployment("PS120001", purpose="available")]}
    assert world.ask(ipxe=True, door="discover").action == "prompt"
    # What the service remembers of a boot that asks is no claim: no session is live.
    site = replace(world.site(), marks={"PS120001": {1: world.mark(generation=0, step=1)}})
    again = world.request(ipxe=True, door="discover")
    assert refused(world.decide.decide(again, site, world.exclusions), "no_ipxe_program")


def test_an_available_boot_never_uses_a_required_deployments_image(world: World) -> None:
    world.images = [world.image("PS100001"), world.image("PS100002")]
    world.deployments = {
        1: [world.deployment("PS120002", "PS100002"), world.deployment("PS120001", purpose="available")]
    }
    world.marks = {(1, "PS120002"): world.mark("PS120002", "DONE")}
    decision = world.ask()
    assert (decision.action, decision.boot_image) == ("prompt", "PS100001")


@pytest.mark.parametrize(
    ("image", "code"),
    [({"pxe": False}, "boot_image_not_pxe_enabled"), ({"here": False}, "boot_image_not_distributed")],
)
def test_an_image_not_enabled_or_not_distributed_boots_nothing(world: World, image: Any, code: str) -> None:
    world.images = [world.image("PS100001", **image)]
    decision = world.ask()
    assert refused(decision, code)
    assert decision.boot_image == "PS100001"


def test_a_missing_boot_program_is_named(world: World) -> None:
    world.images = [world.image("PS100001", bios="pxelinux.0")]
    decision = world.ask()
    assert refused(decision, "no_boot_program")
    assert "uefi=FILE" in decision.reasons[-1].text


def test_an_ipxe_client_gets_the_images_ipxe_program(world: World) -> None:
    world.images = [world.image("PS100001", uefi="ipxe.efi", ipxe="boot.ipxe")]
    assert world.ask(ipxe=True).boot_program == "boot.ipxe"


def test_a_rom_that_is_ipxe_gets_the_firmwares_program_where_the_image_has_no_other(world: World) -> None:
    assert world.ask(ipxe=True, architecture=0).boot_program == "pxelinux.0"


def test_an_ipxe_that_the_firmware_loaded_is_not_given_itself_again(world: World) -> None:
    world.images = [world.image("PS100001", bios="undionly.kpxe")]
    world.marks = {(1, "PS120001"): world.mark(step=1)}
    assert refused(world.ask(ipxe=True, architecture=0, door="discover"), "no_ipxe_program")


def test_a_later_stage_of_an_ipxe_rom_goes_on(world: World) -> None:
    world.marks = {(1, "PS120001"): world.mark(step=2)}
    assert world.ask(ipxe=True, architecture=0).boot_program == "pxelinux.0"


@pytest.mark.parametrize(
    ("dp", "code"),
    [({"enable_pxe": False}, "pxe_disabled"), ({"allow_pxe_response": False}, "responses_not_allowed")],
)
def test_a_point_that_answers_nobody_decides_all_the_same(
    world: World, dp: dict[str, Any], code: str
) -> None:
    willing = world.ask()
    world.dp = {**world.dp, **dp}
    decision = world.ask()
    assert (decision.action, decision.claim, decision.boot_program) == ("ignore", False, None)
    assert (decision.deployment, decision.boot_image) == (willing.deployment, willing.boot_image)
    assert decision.reasons[:-1] == willing.reasons
    assert decision.reasons[-1].code == code
