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


def test_the_dictionary_has_exactly_the_promised_shape(world: World) -> None:
    value = world.ask().as_dict()
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


def test_an_excluded_mac_gets_nothing_whatever_is_deployed(world: World) -> None:
    world.exclusions = world.decide.Exclusions(frozenset({MAC}))
    for door in ("discover", "request"):
        assert refused(world.ask(door=door), "excluded")


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


@pytest.mark.parametrize(
    "guid", ["03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009"]
)
def test_a_placeholder_guid_is_no_guid(world: World, guid: str) -> None:
    world.devices.append(world.device(2, "web02", ["02:00:00:00:00:02"], guid))
    assert world.ask(guid=guid).device == "web01"
    assert refused(world.ask(mac="", guid=guid), "unknown_computers_off")


def test_a_duplicate_mac_is_left_out_of_the_search(world: World) -> None:
    world.duplicate_macs = frozenset({MAC})
    assert world.ask().device == "web01"
    assert refused(world.ask(guid=None), "unknown_computers_off")


def test_a_duplicate_guid_is_left_out_of_the_search(world: World) -> None:
    world.duplicate_guids = frozenset({GUID})
    assert world.ask(guid=GUID).device == "web01"
    assert refused(world.ask(mac="02:00:00:00:00:09"), "unknown_computers_off")


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


# Which deployment.


def test_a_deployment_for_clients_only_is_invisible_to_pxe(world: World) -> None:
    world.deployments = {1: [world.deployment("PS120001", audience="clients")]}
    assert refused(world.ask(), "no_deployment")


@pytest.mark.parametrize("audience", ["clients-media-pxe", "media-pxe", "media-pxe-hidden"])
def test_the_other_audiences_see_it(world: World, audience: str) -> None:
    world.deployments = {1: [world.deployment("PS120001", audience=audience)]}
    assert world.ask().action == "boot"


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
    world.marks = {(1, "PS120001"): world.mark()}
    decision = world.ask()
    assert (decision.action, decision.deployment, decision.claim) == ("prompt", "PS120000", False)
    assert "already_offered" in codes(decision)


def test_a_new_required_deployment_boots_without_clearing(world: World) -> None:
    world.deployments[1].append(world.deployment("PS120002"))
    world.marks = {(1, "PS120001"): world.mark()}
    assert world.ask().deployment == "PS120002"


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


def test_required_is_held_while_the_exclusion_list_cannot_be_trusted(world: World) -> None:
    world.exclusions = world.decide.Exclusions(paused="the list is gone")
    decision = world.ask()
    assert refused(decision, "required_paused")
    assert "the list is gone" in decision.reasons[-1].text
    world.deployments[1].append(world.deployment("PS120002", purpose="available"))
    assert refused(world.ask(), "required_paused")


def test_an_available_deployment_is_not_held(world: World) -> None:
    world.exclusions = world.decide.Exclusions(paused="the list is gone")
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
    world.marks = {(1, "PS120001"): world.mark(step=1)}
    assert refused(world.ask(ipxe=True, door="discover"), "no_ipxe_program")


def test_an_available_boot_never_uses_a_required_deployments_image(world: World) -> None:
    world.images = [world.image("PS100001"), world.image("PS100002")]
    world.deployments = {
        1: [world.deployment("PS120002", "PS100002"), world.deployment("PS120001", purpose="available")]
    }
    world.marks = {(1, "PS120002"): world.mark("PS120002")}
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
