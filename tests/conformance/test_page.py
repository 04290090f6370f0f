"""What the page says of a boot request, sentence by sentence, where no other test takes it in the page's own words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pxefast.decide import BootImage, Device, DistributionPoint, Mark, Policy
from pxefast.decide.windows import ROLES

from .world import (
    BIOS,
    GUID,
    MAC,
    NOW,
    OTHER_GUID,
    OTHER_MAC,
    UEFI_ARM64,
    UEFI_X64,
    UEFI_X86,
    World,
    deployment,
    image,
)

# scenarios


def test_a_machine_with_a_required_deployment_boots_without_anyone() -> None:
    for architecture in (BIOS, UEFI_X64):
        assert World().ask(architecture).action == "boot"


def test_a_machine_that_always_starts_from_the_network_is_imaged_once() -> None:
    launched = Mark("PS120001", 1, "LAUNCHED", NOW - 60, NOW - 50, launched_at=NOW - 40)
    world = World(site={"marks": {"PS120001": {1: launched}}, "live": {1: launched}})
    assert world.ask().action == "ignore"
    assert world.code() == "already_offered"


def test_an_x64_bios_machine_boots_and_hears_that_the_x86_image_is_missing() -> None:
    codes = [reason.code for reason in World().ask(BIOS).reasons]
    both = World(images=(image("PS100001"), image("PS100002", "x86")))
    codes_of_both = [reason.code for reason in both.ask(BIOS).reasons]
    assert set(codes) - set(codes_of_both) == {"no_x86_boot_image"}
    assert World().ask(BIOS).boot_image == both.ask(BIOS).boot_image == "PS100001"


def test_no_32_bit_boot_image_is_needed_and_one_is_still_taken() -> None:
    assert World().ask(UEFI_X64).action == "boot"
    assert World(images=(image("PS100001", "x86"),)).ask(UEFI_X86).boot_image == "PS100001"


# distribution points


def test_a_point_answers_only_where_pxe_is_enabled_and_answers_are_allowed() -> None:
    world = World(dp=DistributionPoint("PS1"))
    assert (world.ask().action, world.code()) == ("ignore", "pxe_disabled")
    world = World(dp=DistributionPoint("PS1", enable_pxe=True))
    assert (world.ask().action, world.code()) == ("ignore", "responses_not_allowed")


def test_interfaces_are_bound_by_name_or_by_mac_and_an_empty_list_answers_nobody() -> None:
    def code(*interfaces: str, **heard: Any) -> str:
        dp = DistributionPoint("PS1", True, True, interfaces=interfaces)
        return World(dp=dp).code(**heard)

    assert code("eth0") == "boot_program"
    assert code(OTHER_MAC, interface_mac=OTHER_MAC) == "boot_program"
    assert code(OTHER_MAC) == "interface_not_bound"
    assert code() == "interface_not_bound"


@pytest.mark.parametrize("secs", [0, 4, 8, 12, 16, 28, 32])
def test_the_response_delay_is_held_against_the_clients_own_seconds(secs: int) -> None:
    world = World(dp=DistributionPoint("PS1", True, True, response_delay=12))
    expected = "response_delay" if secs < 12 else "boot_program"
    assert world.code(door="discover", secs=secs) == expected
    assert world.code(door="request", secs=0) == "boot_program"


def test_protected_devices_and_the_machines_that_pxefast_runs_on_are_spared() -> None:
    spared = World(device=Device(1, "web01", (MAC,), GUID, "PS1", protected=True))
    assert spared.code() == "protected"
    assert World(site={"own": frozenset({MAC})}).code() == "own_machine"


# duplicate hardware identifiers and the exclusion list


def test_the_exclusion_list_beats_everything_that_is_deployed() -> None:
    everything = World(
        (deployment(), deployment("PS120002", purpose="available")),
        unknown=(deployment("PS120003", purpose="available"),),
        dp=DistributionPoint("PS1", True, True, unknown_computers=True),
        excluded=frozenset({MAC}),
    )
    assert everything.code() == "excluded"
    assert everything.code(guid=None) == "excluded"


DUPLICATE = {"duplicate_macs": frozenset({MAC})}


def test_a_mac_on_the_duplicate_list_does_not_find_a_task_sequence() -> None:
    world = World(site=DUPLICATE)
    assert world.ask(guid=None).device is None
    assert world.code(guid=None) == "unknown_computers_off"


def test_with_its_mac_on_the_duplicate_list_a_machine_boots_by_its_smbios_guid() -> None:
    assert World(site=DUPLICATE).ask().action == "boot"
    assert World(site={"duplicate_guids": frozenset({GUID})}).ask().action == "boot"


def test_with_its_mac_on_the_duplicate_list_a_machine_boots_as_an_unknown_one() -> None:
    world = World(
        unknown=(deployment("PS120003", purpose="available"),),
        dp=DistributionPoint("PS1", True, True, unknown_computers=True),
        site=DUPLICATE,
    )
    decision = world.ask(guid=None)
    assert (decision.action, decision.deployment) == ("prompt", "PS120003")


def test_a_machine_of_which_both_identifiers_are_duplicates_is_unknown() -> None:
    both = {**DUPLICATE, "duplicate_guids": frozenset({GUID})}
    assert World(site=both).code() == "unknown_computers_off"


# deployment settings


@pytest.mark.parametrize("purpose", ["required", "available"])
@pytest.mark.parametrize(
    ("audience", "seen"),
    [("clients", False), ("clients-media-pxe", True), ("media-pxe", True), ("media-pxe-hidden", False)],
)
def test_pxe_sees_a_deployment_by_whom_it_is_made_available_to(
    purpose: str, audience: str, seen: bool
) -> None:
    decision = World((deployment(purpose=purpose, audience=audience),)).ask()
    assert (decision.action in ("boot", "prompt")) is seen


def test_a_hidden_deployment_runs_only_where_its_id_is_preferred_and_then_before_all() -> None:
    hidden = deployment("PS120000", purpose="available", audience="media-pxe-hidden")
    world = World((deployment(), hidden))
    assert world.ask().deployment == "PS120001"
    world.device = replace(world.device, preferred="PS120000")
    assert (world.ask().action, world.ask().deployment) == ("prompt", "PS120000")


def test_a_task_sequence_without_a_boot_image_is_not_offered_to_pxe() -> None:
    assert World((deployment(image_id=None),)).ask().action == "ignore"


def test_start_and_expiry_are_ignored_until_a_setting_enforces_them() -> None:
    late = deployment(purpose="available", available_at=NOW + 60)
    over = deployment(purpose="available", expires_at=NOW - 60)
    for one in (late, over):
        assert World((one,)).ask().action == "prompt"
        assert World((one,), policy=Policy(schedules="enforce")).ask().action == "ignore"


# deploying


def test_required_and_available_differ_in_whether_anyone_is_asked() -> None:
    assert World().ask().action == "boot"
    available = World((deployment(purpose="available"),)).ask()
    assert (available.action, available.claim) == ("prompt", False)


def test_nothing_is_claimed_of_a_machine_that_only_discovers_and_is_switched_off() -> None:
    # The claim belongs to the answer that names the boot program, and an offer names none.
    from pxefast.config import Dhcp
    from pxefast.decide import Request
    from pxefast.responder.shape import names_program

    request = Request(MAC, GUID, UEFI_X64, True, False, "discover", 0, 1, "eth0", None, NOW)
    assert not names_program(request, World().ask(door="discover"), Dhcp())


def test_nothing_to_boot_sends_a_bios_machine_on_and_leaves_a_uefi_one_without_answer() -> None:
    assert World(()).ask(BIOS).action == "abort"
    assert World(()).ask(UEFI_X64).action == "ignore"
    other = Policy(no_deployment_bios="ignore", no_deployment_uefi="abort")
    assert World((), policy=other).ask(BIOS).action == "ignore"
    assert World((), policy=other).ask(UEFI_X64).action == "abort"


def test_a_cleared_required_deployment_is_the_one_that_runs_again() -> None:
    older, newest = deployment("PS120001"), deployment("PS120002")
    marks = {
        "PS120001": {1: Mark("PS120001", 1, "DONE", NOW - 90, NOW - 80)},
        "PS120002": {1: Mark("PS120002", 2, "ARMED", NOW - 10)},
    }
    assert World((older, newest), site={"marks": marks}).ask().deployment == "PS120002"


# unknown computers

UNKNOWN = DistributionPoint("PS1", True, True, unknown_computers=True)


def test_a_machine_without_a_record_gets_what_its_architectures_object_gets() -> None:
    world = World(unknown=(deployment("PS120003", purpose="available"),), dp=UNKNOWN)
    stranger = {"mac": OTHER_MAC, "guid": None}
    assert world.ask(**stranger).action == "prompt"
    assert world.code(UEFI_ARM64, **stranger) == "no_boot_image"
    world.dp = replace(UNKNOWN, unknown_computers=False)
    assert world.code(**stranger) == "unknown_computers_off"


def test_a_known_machine_never_gets_what_unknown_ones_get() -> None:
    world = World((), unknown=(deployment("PS120003", purpose="available"),), dp=UNKNOWN)
    assert world.ask().action == "ignore"


# how the boot image is selected


def test_the_record_is_found_by_mac_or_by_smbios_guid() -> None:
    for asked in ({}, {"guid": None}, {"mac": OTHER_MAC}):
        assert World().ask(**asked).device == "web01"
    assert World().ask(mac=OTHER_MAC, guid=OTHER_GUID).device is None


def test_a_device_of_site_a_gets_nothing_from_site_b_and_hears_why() -> None:
    world = World(device=Device(1, "web01", (MAC,), GUID, "AAA"))
    reason = world.ask().reasons[-1]
    assert (world.ask().action, reason.code) == ("ignore", "other_site")
    assert "AAA" in reason.text
    assert "PS1" in reason.text


def test_only_what_is_deployed_to_the_record_is_considered() -> None:
    world = World((deployment(image_id="PS100001"),), images=(image("PS100001"), image("PS100009")))
    assert world.ask().boot_image == "PS100001"
    assert World(()).code() == "no_deployment"


def test_the_boot_image_of_the_machines_own_architecture_is_used() -> None:
    images = (image("PS100001", "x86"), image("PS100002", "x64"), image("PS100003", "arm64"))
    world = World(tuple(deployment(f"PS12000{n}", f"PS10000{n}") for n in (1, 2, 3)), images=images)
    assert {code: world.ask(code).boot_image for code in (UEFI_X86, UEFI_X64, UEFI_ARM64)} == {
        UEFI_X86: "PS100001",
        UEFI_X64: "PS100002",
        UEFI_ARM64: "PS100003",
    }


def test_of_several_boot_images_that_of_the_highest_deployment_id_is_used() -> None:
    world = World(
        (deployment("PS120009", "PS100001"), deployment("PS12000A", "PS100002")),
        images=(image("PS100001"), image("PS100002")),
    )
    assert world.ask().boot_image == "PS100002"


def test_an_old_deployment_of_site_zzz_beats_yesterdays_of_site_aaa() -> None:
    year_old = deployment("ZZZ20001", "PS100001", created_at=NOW - 365 * 86400)
    yesterday = deployment("AAA2FFFF", "PS100002", created_at=NOW - 86400)
    world = World((yesterday, year_old), images=(image("PS100001"), image("PS100002")))
    assert (world.ask().deployment, world.ask().boot_image) == ("ZZZ20001", "PS100001")


def test_a_compatible_boot_image_is_used_only_where_there_is_no_exact_one() -> None:
    older, newer = deployment("PS120001", "PS100001"), deployment("PS120002", "PS100002")
    exact = World((older, newer), images=(image("PS100001", "x64"), image("PS100002", "x86")))
    assert exact.ask(BIOS).boot_image == "PS100001"
    only = World((newer,), images=(image("PS100002", "x86"),))
    assert only.ask(BIOS).boot_image == "PS100002"
    current = Policy(compatible_architectures="current")
    assert World((newer,), images=(image("PS100002", "x86"),), policy=current).ask(BIOS).action == "ignore"


def test_a_64_bit_bios_machine_takes_a_64_bit_boot_image() -> None:
    assert World().ask(BIOS).boot_image == "PS100001"


@pytest.mark.parametrize("code", [UEFI_X86, UEFI_X64, UEFI_ARM64])
@pytest.mark.parametrize("architecture", ["x86", "x64", "arm64"])
def test_a_uefi_machine_takes_its_own_architecture_and_no_other(code: int, architecture: str) -> None:
    own = {UEFI_X86: "x86", UEFI_X64: "x64", UEFI_ARM64: "arm64"}[code]
    decision = World(images=(image("PS100001", architecture),)).ask(code)
    assert (decision.action == "boot") is (architecture == own)


def test_a_boot_image_is_used_only_if_it_is_for_pxe_and_on_this_point() -> None:
    assert World(images=(image("PS100001", pxe_enabled=False),)).code() == "boot_image_not_pxe_enabled"
    assert World(images=(image("PS100001", distributed=False),)).code() == "boot_image_not_distributed"


# Windows' own boot programs

WINDOWS = {role: f"x64/{name}" for role, name in ROLES.items()}


def windows_image(id_: str, architecture: str = "x64") -> BootImage:
    return replace(image(id_, architecture), kind="windows-pe", programs=WINDOWS)


def test_the_first_boot_program_detects_the_processor_which_counts_where_it_is_trusted() -> None:
    images = (windows_image("PS100001"), windows_image("PS100002", "x86"))
    both = (deployment("PS120001", "PS100001"), deployment("PS120002", "PS100002"))
    for trust, booted in (("ignore", "PS100001"), ("trust", "PS100002")):
        policy = Policy(windows_bios_chain="wdsnbp", option_250_architecture=trust)
        world = World(both, images, policy=policy)
        assert world.ask(BIOS).boot_program == WINDOWS["bios_loader"]
        # What it found comes with its own request, of which the processor has 32 bits.
        second = world.ask(BIOS, wds=True, loader_architecture=0)
        assert (second.boot_program, second.boot_image) == (WINDOWS["bios"], booted)


@pytest.mark.parametrize(
    ("architecture", "role"), [(BIOS, "bios_prompt"), (UEFI_X64, "uefi_loader")], ids=["bios", "uefi"]
)
def test_an_available_deployment_starts_the_program_that_asks_for_a_key(architecture: int, role: str) -> None:
    world = World((deployment(purpose="available"),), (windows_image("PS100001"),))
    decision = world.ask(architecture)
    assert (decision.action, decision.boot_program) == ("prompt", WINDOWS[role])
    required = World(images=(windows_image("PS100001"),)).ask(architecture)
    assert (required.action, required.boot_program) == ("boot", WINDOWS[role.partition("_")[0]])
