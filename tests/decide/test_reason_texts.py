"""The whole text and the rule of every reason that a person reads, each in a situation that gives it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from .conftest import World
from .situations import (
    MAC,
    NEW,
    NOW,
    OTHER_MAC,
    OVER,
    Change,
    also_available,
    excluded,
    highest,
    marked,
    only_available,
    other_image,
    protected,
    then,
    unknown,
    windows,
    with_,
)

CLEAR = "pxefast deployment clear --device web01 --deployment PS120001"
GIVEN = (
    "already offered: required deployment PS120001 runs once on a device; it was {}; to run it again: "
    + CLEAR
)
HELD = "required deployment PS120001 is on hold: {}; look at the machine, then: " + CLEAR
CLAIMED_AT, LAUNCHED_AT = "2023-11-14 22:12:20 UTC", "2023-11-14 22:12:50 UTC"
APPROVE = "pxefast deployment approve PS120001"
ELSEWHERE = (
    "the boot with required deployment PS120001 is under way on this device, from {}; this request comes from {} and "
    "gets nothing until that boot has ended"
)


def deployed(*made: str, preferred: str | None = None, **more: Any) -> Change:
    """web01 gets one deployment for each of these audiences, PS120001 and on; `more` are fields of each."""

    def change(world: World) -> None:
        world.devices = [world.device(preferred=preferred)]
        world.deployments = {
            1: [
                world.deployment(f"PS12000{1 + place}", audience=audience, **more)
                for place, audience in enumerate(made)
            ]
        }

    return change


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
ENFORCED = {"schedules": "enforce"}

TEXTS: list[tuple[str, Change, dict[str, Any], str, str]] = [
    # code, what is changed, request, rule, text
    ("not_pxe_client", with_(), {"pxe_client": False}, "T24",
     "the vendor class (option 60) does not begin with PXEClient"),
    ("pxe_disabled", with_(dp={"enable_pxe": False}), {}, "CM-1",
     "PXE is not enabled on this distribution point; run: pxefast dp set --enable-pxe"),
    ("responses_not_allowed", with_(dp={"allow_pxe_response": False}), {}, "CM-2",
     "this distribution point does not respond to PXE requests; run: pxefast dp set --allow-pxe-response"),
    ("interface_not_bound", with_(dp={"interfaces": ("eth1", "eth2")}), {}, "CM-11",
     "interface eth0 is not one that answers (eth1, eth2)"),
    ("interface_not_bound", with_(dp={"interfaces": ()}), {"interface": ""}, "CM-11",
     "interface ? is not one that answers (none)"),
    ("excluded", excluded, {}, "CM-58", f"MAC {MAC} is on the exclusion list"),
    ("excluded", then(excluded, with_(policy={"guid_alone": "allow"})), {"mac": OTHER_MAC}, "D31",
     f"MAC {MAC} of device web01 is on the exclusion list, so that no network card of web01 is answered"),
    ("response_delay", with_(dp={"response_delay": 4}), {"door": "discover", "secs": 3}, "CM-16",
     "the response delay is 4 s and the client has waited 3 s"),
    ("unknown_computers_off", with_(), NEW, "CM-3", "unknown computer support is off"),
    ("unsupported_architecture", with_(), {"architecture": 2}, "W-32", "architecture 2 (option 93) is not served"),
    ("no_architecture", with_(), {"architecture": None}, "W-32",
     "the client does not say its architecture (option 93)"),
    ("architecture", with_(), {}, "CM-109", "the client is x64 UEFI"),
    ("architecture", with_(), BIOS, "CM-109", "the client is x64 BIOS"),
    ("no_deployment", with_(deployments={}), {}, "CM-100", "no deployment is made available to PXE on this device"),
    ("unusable_mac", with_(), {"mac": "01:00:5e:00:00:01"}, "D28",
     "MAC 01:00:5e:00:00:01 is not that of a network card; it is left out"),
    ("protected", protected, {}, "D7",
     "device web01 is protected and gets nothing; run: pxefast device set web01 --no-protected"),
    ("other_site", lambda world: with_(devices=[world.device(site="ABC")])(world), {}, "CM-104",
     ("device web01 is assigned to site ABC; this distribution point serves PS1, where the policies of ABC are not "
     "visible")),
    ("unknown_computer", unknown("available"), NEW, "CM-95", "it gets what is deployed to x64 Unknown Computer (PS1)"),
    ("required_not_for_unknown", unknown("required"), NEW, "R-51",
     "required deployments are not given to unknown computers (setting required_for_unknown)"),
    ("no_identity", unknown("required", required_for_unknown=True), {"mac": "", "guid": None}, "T17",
     ("neither its MAC nor its SMBIOS GUID tells this machine from others, so that nothing required can run once on "
     "it")),
    # Which deployments reach a device.
    ("preferred_deployment", deployed("media-pxe", preferred="PS120001"), {}, "CM-70",
     "SMSTSPreferredAdvertID forces deployment PS120001; no other counts"),
    ("preferred_not_found", deployed("media-pxe", preferred="PS120009"), {}, "CM-70",
     ("SMSTSPreferredAdvertID names PS120009, which does not reach this device by PXE; it goes on as if it were not "
     "set")),
    ("clients_only", deployed("clients", "clients"), {}, "CM-67",
     "made available to clients only: PS120001, PS120002"),
    ("no_image_named", deployed("media-pxe", "media-pxe", image=None), {}, "CM-71",
     "of a task sequence without a boot image: PS120001, PS120002"),
    ("hidden", deployed("media-pxe-hidden", "media-pxe-hidden", "clients"), {}, "CM-69",
     "hidden, so that only the variable SMSTSPreferredAdvertID starts it: PS120001, PS120002"),
    ("required_deployment", with_(), {}, "CM-72", "required deployment PS120001 of task sequence PS100009"),
    ("available_deployment", only_available, {}, "CM-74",
     "available deployment PS120001: its boot program asks first"),
    ("not_yet_available", then(with_(policy=ENFORCED), deployed("media-pxe", available_at=NOW + 60)), {}, "CM-75",
     "deployment PS120001 is available from 2023-11-14 22:14:20 UTC"),
    ("expired", then(with_(policy=ENFORCED), deployed("media-pxe", expires_at=NOW - 60)), {}, "CM-75",
     "deployment PS120001 expired 2023-11-14 22:12:20 UTC"),
    ("expired", then(with_(policy=ENFORCED), deployed("media-pxe", expires_at=-1e18)), {}, "CM-75",
     "deployment PS120001 expired at -1e+18 s"),
    ("deployment_disabled", deployed("media-pxe", enabled=False), {}, "D1",
     "deployment PS120001 is disabled; run: pxefast deployment enable PS120001"),
    # Once only.
    ("first_offer", with_(), {}, "CM-77", "it was not offered to this device before"),
    ("returned", marked("PS120001", "ARMED", returns=1), {}, "R-80",
     "its last boot never got to the launch file, so nothing has run: it is offered again"),
    ("offered_again", marked("PS120001", "ARMED", generation=2, history="done before, cleared by root"), {}, "CM-79",
     "it was cleared for this device, so it is offered again: done before, cleared by root"),
    ("offered_again", marked("PS120001", "ARMED", generation=2), {}, "CM-79",
     "it was cleared for this device, so it is offered again: its history is not known"),
    ("same_session", marked("PS120001", "CLAIMED", step=0), {}, "F-42",
     "a later stage, a repeat or a restart of the boot that got PS120001; nothing has run yet"),
    ("already_offered", marked("PS120001", "CLAIMED"), {}, "CM-77", GIVEN.format(f"handed out {CLAIMED_AT}")),
    ("already_offered", marked("PS120001", "LAUNCHED"), {}, "CM-77", GIVEN.format(f"launched {LAUNCHED_AT}")),
    ("already_offered", marked("PS120001", "LAUNCHED", launched_at=0.0, unreported=NOW), {}, "CM-77",
     GIVEN.format("launched")),
    ("already_offered", marked("PS120001", "STARTED"), {}, "CM-77",
     GIVEN.format(f"launched {LAUNCHED_AT} and reported its start")),
    ("already_offered", marked("PS120001", "DONE"), {}, "CM-77",
     GIVEN.format(f"launched {LAUNCHED_AT} and reported that it is done")),
    ("already_offered", marked("PS120001", "FAILED"), {}, "CM-77",
     GIVEN.format(f"launched {LAUNCHED_AT} and reported that it failed")),
    ("hold", marked("PS120001", "HOLD", why="no started report"), {}, "R-81b", HELD.format("no started report")),
    ("hold", marked("PS120001", "HOLD", launched_at=0.0), {}, "R-81b", HELD.format("nobody said why")),
    ("hold", marked("PS120001", "HOLD", why="by root", launched_at=0.0), {}, "R-81b", HELD.format("by root")),
    ("hold", marked("PS120001", "CLAIMED", claimed_at=NOW - 901, returnable=True, returns=5), {}, "R-81b",
     HELD.format("it was handed out 6 times and never launched")),
    ("withdrawn", marked("PS120001", "WITHDRAWN", unreported=0.0), {}, "D32",
     "required deployment PS120001 was removed; nothing of it is given to any device"),
    ("withdrawn", marked("PS120001", "CLEARED"), {}, "D32",
     "required deployment PS120001 was removed; nothing of it is given to any device"),
    ("pending_approval", with_(armed=False), {}, "R-58",
     "required deployment PS120001 was made before this device came to its collection, and waits for approval: "
     + APPROVE),
    ("arming_expired", marked("PS120001", "ARMED", armed_at=NOW - 86400), {}, "R-63",
     "required deployment PS120001 was armed 2023-11-13 22:13:20 UTC, for 24 h; to arm it again: " + APPROVE),
    ("clock_behind", marked("PS120001", "ARMED", armed_at=NOW + 61), {}, "T23",
     "PS120001 was armed 2023-11-14 22:14:21 UTC, which is in the future; set this server's clock"),
    # Other launches and other machines.
    ("waits_behind", marked("PS120009", "LAUNCHED", **OVER), {}, "D34",
     ("waits behind PS120009 until 2023-11-15 01:58:19 UTC: it was launched on this device and has not reported its "
     "end; to run PS120009 again: pxefast deployment clear --device web01 --deployment PS120009")),
    ("waits_behind", marked("PS120009", "WITHDRAWN"), {}, "D34",
     ("waits behind PS120009 until 2023-11-15 02:12:50 UTC: it was launched on this device and has not reported its "
     "end; to end the wait: pxefast deployment clear --device web01 --deployment PS120009")),
    ("waits_behind", marked("PS120009", "STARTED", **OVER, unreported=math.inf), {}, "D34",
     ("waits behind PS120009 until it reports its end: it was launched on this device and has not reported its end; "
     "to run PS120009 again: pxefast deployment clear --device web01 --deployment PS120009")),
    ("waits_behind", then(unknown("required", required_for_unknown=True), with_(hardware={f"mac:{NEW['mac']}": 77}),
                          marked("PS120009", "LAUNCHED", 77, **OVER)), NEW, "D34",
     ("waits behind PS120009 until 2023-11-15 01:58:19 UTC: it was launched on this device and has not reported its "
     f"end; to run PS120009 again: pxefast deployment clear --device mac:{NEW['mac']} --deployment PS120009")),
    ("waits_behind", then(unknown("required", required_for_unknown=True), with_(hardware={f"guid:{NEW['guid']}": 77}),
                          marked("PS120009", "LAUNCHED", 77, **OVER)), {**NEW, "mac": ""}, "D34",
     ("waits behind PS120009 until 2023-11-15 01:58:19 UTC: it was launched on this device and has not reported its "
     f"end; to run PS120009 again: pxefast deployment clear --device guid:{NEW['guid']} --deployment PS120009")),
    ("other_session", marked("PS120009", "CLAIMED"), {}, "I2",
     "a boot with required deployment PS120009 is under way on this device"),
    ("other_session", marked("PS120001", "CLAIMED", returnable=True, mac=OTHER_MAC, peer="10.0.0.2"),
     {"peer": "10.0.0.1"}, "D28", ELSEWHERE.format(f"MAC {OTHER_MAC} at 10.0.0.2", f"MAC {MAC} at 10.0.0.1")),
    ("other_session", marked("PS120001", "CLAIMED", returnable=True, mac="", peer="10.0.0.2"),
     {"xid": 8}, "D28", ELSEWHERE.format("a network card without a known MAC at 10.0.0.2", f"MAC {MAC}")),
    # Which boot image and boot program.
    ("no_boot_image", other_image, {}, "CM-106", "none of the deployed boot images (PS100001) runs on x64 UEFI"),
    ("no_boot_image", many_images, BIOS, "CM-106",
     "none of the deployed boot images (PS100001, PS100002) runs on x64 BIOS"),
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


def test_what_is_disabled_or_out_of_time_is_said_of_each_deployment(world: World) -> None:
    world.policy = {"schedules": "enforce"}
    world.deployments = {
        1: [
            world.deployment("PS120003", purpose="available", enabled=False),
            world.deployment("PS120002", purpose="available", expires_at=NOW),
            world.deployment("PS120001", purpose="available", available_at=NOW + 1),
        ]
    }
    decision = world.ask()
    assert [reason.code for reason in decision.reasons] == [
        "known_device",
        "architecture",
        "deployment_disabled",
        "expired",
        "not_yet_available",
    ]
    also_available(world)
    assert world.ask().deployment == "PS120000"
