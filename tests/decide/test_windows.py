"""Windows PE: which boot program each situation gets, and what is said of it (CM-86 to CM-90, W-63 to W-71)."""

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

BIOS, X64, ARM64 = 0, 7, 11
FILES = {
    "bios": "x64/pxeboot.n12",
    "bios_prompt": "x64/pxeboot.com",
    "bios_loader": "x64/wdsnbp.com",
    "uefi": "x64/bootmgfw.efi",
    "uefi_loader": "x64/wdsmgfw.efi",
}


@pytest.fixture
def windows(world: Any) -> Any:
    image = replace(world.image("PS100001", launch="boot.PS100001.wim", **FILES), kind="windows-pe")
    world.images = [image]
    return world


def lacking(world: Any, role: str) -> None:
    programs = {key: file for key, file in FILES.items() if key != role}
    world.images = [replace(world.images[0], programs=programs)]


def offer(world: Any, purpose: str) -> None:
    world.deployments = {1: [world.deployment("PS120001", purpose=purpose)]}


def test_every_role_has_microsofts_name(decide: ModuleType) -> None:
    assert {role: f"x64/{name}" for role, name in decide.ROLES.items()} == FILES


@pytest.mark.parametrize(
    ("purpose", "architecture", "settings", "first", "then"),
    [
        ("required", BIOS, {}, "bios", "bios"),
        ("available", BIOS, {}, "bios_prompt", "bios_prompt"),
        ("required", BIOS, {"windows_bios_chain": "wdsnbp"}, "bios_loader", "bios"),
        ("available", BIOS, {"windows_bios_chain": "wdsnbp"}, "bios_loader", "bios_prompt"),
        ("required", X64, {}, "uefi", "uefi"),
        ("available", X64, {}, "uefi_loader", "uefi"),
        ("required", X64, {"windows_uefi_chain": "wdsmgfw"}, "uefi_loader", "uefi"),
        ("available", X64, {"windows_uefi_prompt": "none"}, "uefi", "uefi"),
        ("available", X64, {"windows_uefi_prompt": "none", "windows_uefi_chain": "wdsmgfw"}, "uefi_loader", "uefi"),
    ],
)  # fmt: skip
def test_a_situation_gets_its_program_and_the_loader_the_last_one(
    windows: Any, purpose: str, architecture: int, settings: dict[str, str], first: str, then: str
) -> None:
    offer(windows, purpose)
    windows.policy = settings
    for ipxe in (False, True):
        decision = windows.ask(architecture=architecture, ipxe=ipxe)
        assert decision.boot_program == FILES[first], "iPXE gets what its firmware gets"
        assert decision.claim == (purpose == "required"), "claimed before a mere loader is named"
        assert decision.launch_file == "boot.PS100001.wim"
        assert decision.reasons[-1].code == "windows_chain"
    assert windows.ask(architecture=architecture, wds=True).boot_program == FILES[then]


def test_a_program_that_the_image_lacks_is_named_with_what_helps(windows: Any) -> None:
    offer(windows, "available")
    lacking(windows, "uefi_loader")
    reason = windows.ask().reasons[-1]
    assert reason.code == "no_windows_program"
    assert "wdsmgfw.efi" in reason.text
    assert "windows_uefi_prompt none" in reason.text
    offer(windows, "required")
    assert windows.ask().boot_program == FILES["uefi"]


def test_nobody_boots_unasked_where_that_is_refused(windows: Any) -> None:
    offer(windows, "available")
    windows.policy = {"windows_uefi_prompt": "refuse"}
    assert windows.ask().reasons[-1].code == "no_prompt"
    assert windows.ask(architecture=BIOS).boot_program == FILES["bios_prompt"]


def test_a_machine_that_waits_for_approval_polls_only_where_that_is_set(windows: Any) -> None:
    windows.armed = False
    assert windows.ask().action == "ignore"
    windows.policy = {"pending_machines": "poll"}
    waits = windows.ask()
    assert (waits.action, waits.boot_program, waits.claim) == ("pending", FILES["uefi_loader"], False)
    polls = windows.ask(wds=True)
    assert (polls.action, polls.boot_program) == ("pending", None)
    assert "10 s" in polls.reasons[-1].text
    lacking(windows, "bios_loader")
    assert windows.ask(architecture=BIOS).action == "abort"
    assert windows.ask(architecture=BIOS).reasons[-1].code == "no_windows_program"


def test_a_loader_never_gets_what_it_may_be_itself(world: Any) -> None:
    assert world.ask().boot_program == "grubx64.efi"
    assert world.ask(wds=True).reasons[-1].code == "no_loader_program"


def test_what_wdsnbp_says_of_the_processor_counts_only_where_it_is_trusted(windows: Any) -> None:
    asked = {"architecture": BIOS, "wds": True, "loader_architecture": 6}
    assert windows.ask(**asked).architecture == "x64"
    windows.policy = {"option_250_architecture": "trust"}
    assert windows.ask(**asked).reasons[-1].code == "no_boot_image"
    assert windows.ask(**{**asked, "loader_architecture": 9}).boot_program == FILES["bios"]


def test_a_loaders_question_is_a_later_stage_of_the_same_boot(windows: Any) -> None:
    assert [windows.request(wds=True, door=door).step for door in ("discover", "request")] == [4, 5]
    windows.marks = {(1, "PS120001"): windows.mark(returnable=True)}
    assert "same_session" in [reason.code for reason in windows.ask(wds=True).reasons]
