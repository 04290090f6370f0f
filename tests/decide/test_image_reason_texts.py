"""The whole text and the rule of every reason about boot images and boot programs (CM-86 to CM-111, W-49 to W-71)."""

from __future__ import annotations

from typing import Any

import pytest
from pxefast.decide import bootimage

from .conftest import World
from .situations import Change, highest, marked, only_available, other_image, then, windows, with_


def windows_without(role: str) -> Change:
    def change(world: World) -> None:
        windows(world)
        world.images[0].programs.pop(role)

    return change


def windows_bios(world: World) -> None:
    files = {"bios": "x64/pxeboot.n12", "bios_prompt": "x64/pxeboot.com", "bios_loader": "x64/wdsnbp.com"}
    windows(world)
    world.images[0].programs.update(files)


def images(**image: Any) -> Change:
    def change(world: World) -> None:
        world.images = [world.image("PS100001", **image)]

    return change


def many_images(world: World) -> None:
    world.images = [world.image(f"PS10000{number}", "arm64") for number in (1, 2)]
    world.deployments[1] += [world.deployment("PS120002", "PS100002"), world.deployment("PS120003")]


BIOS: dict[str, Any] = {"architecture": 0}
POLL = {"pending_machines": "poll", "pending_poll_seconds": 7, "pending_poll_count": 20}

TEXTS: list[tuple[str, Change, dict[str, Any], str, str]] = [
    # code, what is changed, request, rule, text
    # Which boot image and boot program.
    ("no_boot_image", other_image, {}, "CM-106", "none of the deployed boot images (PS100001) runs on x64 UEFI"),
    ("no_boot_image", many_images, BIOS, "CM-106",
     "none of the deployed boot images (PS100001, PS100002) runs on x64 BIOS"),
    ("no_boot_image", then(other_image, only_available), {}, "CM-106",
     "none of the deployed boot images (PS100001) runs on x64 UEFI"),
    ("boot_image_exact", with_(), {}, "CM-101", "boot image PS100001 (x64) matches x64 UEFI exactly"),
    ("boot_image_compatible", images(architecture="x86"), BIOS, "CM-102",
     "boot image PS100001 (x86) is compatible with x64 BIOS"),
    ("boot_image_of_highest_id", highest(), {}, "CM-101",
     "the boot image is that of PS120009, the highest id of all (setting boot_image_of)"),
    ("boot_image_not_pxe_enabled", images(pxe=False), {}, "CM-111",
     ("boot image PS100001 is not deployed from the PXE-enabled distribution point; run: pxefast boot-image set "
     "PS100001 --pxe")),
    ("boot_image_not_distributed", images(here=False), {}, "CM-111",
     ("boot image PS100001 is not served by this distribution point: never distributed here, or withdrawn as damaged; "
     "run: pxefast content distribute PS100001")),
    ("no_x86_boot_image", with_(), BIOS, "CM-107",
     ("warning: Configuration Manager also wants an x86 boot image, PXE-enabled and on this distribution point, for "
     "x64 BIOS computers; there is none")),
    ("boot_program", with_(), {}, "CM-90", "boot program grubx64.efi for x64 UEFI"),
    ("boot_program", with_(), {"ipxe": True}, "CM-90", "boot program grubx64.efi for iPXE"),
    ("no_boot_program", images(bios="a.0"), {}, "CM-90",
     "boot image PS100001 has no boot program for uefi; add the image again with --boot-program uefi=FILE"),
    ("no_ipxe_program", marked("PS120001", "CLAIMED"), {"ipxe": True}, "W-49",
     ("boot image PS100001 has no boot program for iPXE, and its uefi one has already run; add the image again with "
     "--boot-program ipxe=FILE")),
    ("no_loader_program", with_(), {"wds": True}, "W-67",
     "wdsnbp.com or wdsmgfw.efi asks, and boot image PS100001 is not of kind windows-pe"),
    # Windows PE.
    ("windows_chain", windows, {}, "CM-88", "bootmgfw.efi starts Windows PE without asking"),
    ("windows_chain", windows_bios, BIOS, "CM-87", "pxeboot.n12 starts Windows PE without asking"),
    ("windows_chain", then(windows_bios, only_available), BIOS, "CM-87",
     "pxeboot.com starts Windows PE if a person presses F12"),
    ("windows_chain", then(windows_bios, with_(policy={"windows_bios_chain": "wdsnbp"})), BIOS, "CM-86",
     "wdsnbp.com comes first and asks here again (setting windows_bios_chain)"),
    ("windows_chain", then(windows, with_(policy={"windows_uefi_chain": "wdsmgfw"})), {}, "CM-88",
     "wdsmgfw.efi comes first and asks here again (setting windows_uefi_chain)"),
    ("windows_chain", then(windows, only_available), {}, "CM-88",
     "wdsmgfw.efi comes first, asks here again, and then asks a person to press a key"),
    ("windows_chain", then(windows, only_available), {"wds": True}, "CM-88",
     "wdsmgfw.efi asks a person to press a key, and then starts bootmgfw.efi"),
    ("windows_chain", then(windows, only_available, with_(policy={"windows_uefi_prompt": "none"})), {}, "CM-74",
     "bootmgfw.efi starts Windows PE and nobody is asked (setting windows_uefi_prompt)"),
    ("windows_chain", then(windows, only_available, with_(
        policy={"windows_uefi_prompt": "none", "windows_uefi_chain": "wdsmgfw"})), {}, "CM-88",
     "wdsmgfw.efi comes first and asks here again (setting windows_uefi_chain)"),
    ("no_prompt", then(windows, only_available, with_(policy={"windows_uefi_prompt": "refuse"})), {}, "CM-74",
     ("available deployments do not boot UEFI machines, for nothing would ask a person first (setting "
     "windows_uefi_prompt)")),
    ("no_windows_program", windows_without("uefi"), {}, "CM-88",
     "the boot files of image PS100001 lack bootmgfw.efi; see: pxefast boot-image show PS100001"),
    ("no_windows_program", then(windows_without("uefi_loader"), with_(policy={"windows_uefi_chain": "wdsmgfw"})), {},
     "CM-88", "the boot files of image PS100001 lack wdsmgfw.efi; see: pxefast boot-image show PS100001"),
    ("no_windows_program", then(windows_without("uefi_loader"), only_available), {}, "CM-88",
     ("the boot files of image PS100001 lack wdsmgfw.efi; see: pxefast boot-image show PS100001; or let nobody be "
     "asked: pxefast setting set windows_uefi_prompt none")),
    ("no_windows_program", then(windows_without("uefi_loader"), with_(armed=False, policy=POLL)), {}, "CM-88",
     "the boot files of image PS100001 lack wdsmgfw.efi; see: pxefast boot-image show PS100001"),
    ("polls", then(windows, with_(armed=False, policy=POLL)), {}, "W-69",
     "it asks again every 7 s until a person approves it, 20 times (setting pending_machines)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "change", "request_", "rule", "text"),
    TEXTS,
    ids=[f"{each[0]}: {each[4][:40]}" for each in TEXTS],
)
def test_a_reason_says_its_whole_text_and_its_rule(
    world: World, code: str, change: Change, request_: dict[str, Any], rule: str, text: str
) -> None:
    change(world)
    reason = next(each for each in world.ask(**request_).reasons if each.code == code)
    assert (reason.text, reason.rule) == (text, rule)


@pytest.mark.parametrize(
    ("image", "architecture", "warned"),
    [
        ({"architecture": "x86"}, 0, False),
        ({"architecture": "x86"}, 7, False),
        ({"architecture": "x86", "pxe": False}, 0, True),
        ({"architecture": "x86", "here": False}, 0, True),
        ({"architecture": "arm64"}, 0, True),
        ({"architecture": "arm64"}, 7, False),
    ],
)
def test_a_bios_client_is_told_that_no_x86_image_could_be_given(
    world: World, image: dict[str, Any], architecture: int, warned: bool
) -> None:
    world.images.append(world.image("PS100002", **image))
    decision = world.ask(architecture=architecture)
    assert decision.action == "boot"
    assert ("no_x86_boot_image" in [reason.code for reason in decision.reasons]) == warned


def test_a_platform_says_what_it_is() -> None:
    """Made anew: the module makes each of its platforms once."""
    made = bootimage._platform("x64", "bios", ("x86",))
    assert (made.architecture, made.firmware, made.compatible) == ("x64", "bios", ("x86",))
    assert made.label == "x64 BIOS"
    reason = made.reason
    assert (reason.code, reason.text, reason.rule) == ("architecture", "the client is x64 BIOS", "CM-109")
