"""Each way in which a decision ends, with everything that it says: all reasons, and every field that an event shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .conftest import World
from .situations import (
    ABORT,
    GUID,
    MAC,
    NEW,
    NOW,
    OTHER_GUID,
    OTHER_MAC,
    OVER,
    Change,
    also_available,
    excluded,
    halted,
    halted_with_another,
    highest,
    marked,
    only_available,
    other_image,
    protected,
    then,
    two_devices,
    unknown,
    windows,
    with_,
)

BY_GUID = {"mac": OTHER_MAC}
KNOWN = {"device": "web01", "device_id": 1}
X64 = {"architecture": "x64", "firmware": "uefi"}
WEB01 = {**KNOWN, **X64}
IDENTITIES = (f"mac:{MAC}", f"guid:{GUID}")
BOOT = {
    **WEB01,
    "deployment": "PS120001",
    "boot_image": "PS100001",
    "boot_program": "grubx64.efi",
    "claim": True,
    "launch_file": "grubx64.efi",
    "identities": IDENTITIES,
    "kind": "files",
}
PROMPT = {**BOOT, "claim": False, "identities": ()}
# The reasons of an ordinary boot, in parts.
WHO = ("known_device", "architecture")
GIVES = ("required_deployment", "first_offer")
NAMED = ("boot_image_exact", "boot_program")

DEFAULTS = {
    "device": None,
    "device_id": None,
    "deployment": None,
    "boot_image": None,
    "boot_program": None,
    "claim": False,
    "architecture": None,
    "firmware": None,
    "launch_file": None,
    "identities": (),
    "kind": None,
    "because": None,
    "behind": None,
}


def said(decision: Any) -> tuple[str, ...]:
    return tuple(reason.code for reason in decision.reasons)


def told(decision: Any) -> dict[str, Any]:
    """Every field but the action and the reasons; of the reason that decided its code."""
    found = {name: getattr(decision, name) for name in DEFAULTS}
    because = found["because"]
    if because is not None:
        assert because in decision.reasons
        found["because"] = because.code
    return found


REQUIRED = {"required_for_unknown": True}
LENIENT = {"identity_conflict": "lenient"}
SEEN = with_(hardware={f"mac:{NEW['mac']}": 77})
SEEN_AS_TWO = with_(hardware={f"mac:{NEW['mac']}": 77, f"guid:{NEW['guid']}": 78})
THERE = {"returnable": True, "mac": OTHER_MAC, "peer": "10.0.0.2"}
CLAIMED_THERE = marked("PS120002", "CLAIMED", 77, **THERE)


def as_both(state: str, **fields: Any) -> Change:
    """Each of the two numbers has a mark of its own in this state."""

    def change(world: World) -> None:
        world.marks = {
            (77, "PS120009"): world.mark("PS120009", state, **fields),
            (78, "PS120008"): world.mark("PS120008", state, **fields),
        }

    return change


LAUNCHED_AS_BOTH, CLAIMED_AS_BOTH = as_both("LAUNCHED"), as_both("CLAIMED", **THERE)
FOR_UNKNOWN = ("unknown_device", "unknown_computer", "architecture")
LAUNCHED = marked("PS120009", "LAUNCHED", **OVER)

ENDINGS: list[tuple[str, Change, dict[str, Any], str, tuple[str, ...], dict[str, Any]]] = [
    # name, what is changed, request, action, reasons, fields
    ("a boot", with_(), {}, "boot", (*WHO, *GIVES, *NAMED), {**BOOT, "because": "first_offer"}),
    ("no PXE", with_(), {"pxe_client": False}, "ignore", ("not_pxe_client",), {}),
    ("not bound", with_(dp={"interfaces": ("eth1",)}), {}, "ignore", ("interface_not_bound",), {}),
    ("excluded", excluded, {}, "ignore", ("excluded",), {}),
    ("too early", with_(dp={"response_delay": 4}), {"door": "discover"}, "ignore", ("response_delay",), {}),
    ("our own", with_(own=frozenset({MAC})), {}, "ignore", ("own_machine",), {}),
    ("PXE off", with_(dp={"enable_pxe": False}), {}, "ignore", (*WHO, *GIVES, *NAMED, "pxe_disabled"),
     {**WEB01, "deployment": "PS120001", "boot_image": "PS100001", "kind": "files"}),
    ("protected", protected, {}, "ignore", ("known_device", "protected"), {**WEB01, "because": "protected"}),
    ("protected, of no architecture", protected, {"architecture": None}, "ignore",
     ("known_device", "protected"), {**KNOWN, "because": "protected"}),
    ("two devices", two_devices, {"guid": OTHER_GUID}, "ignore", ("ambiguous_identity",), {}),
    ("unknown", with_(), NEW, "ignore", ("unknown_device", "unknown_computers_off"), {}),
    ("unknown, of no architecture", unknown("available"), {**NEW, "architecture": 2}, "ignore",
     ("unknown_device", "unsupported_architecture"), {}),
    ("unknown, of another architecture", unknown("available"), {**NEW, "architecture": 11}, "ignore",
     ("unknown_device", "no_deployment"), {"architecture": "arm64", "firmware": "uefi"}),
    ("unknown, asked", unknown("available"), NEW, "prompt",
     (*FOR_UNKNOWN, "available_deployment", *NAMED),
     {**PROMPT, "device": None, "device_id": None, "deployment": "PS120002", "because": "available_deployment"}),
    ("unknown, given", unknown("required", **REQUIRED), NEW, "boot", (*FOR_UNKNOWN, *GIVES, *NAMED),
     {**BOOT, "device": None, "device_id": None, "deployment": "PS120002", "because": "first_offer",
      "identities": (f"mac:{NEW['mac']}", f"guid:{NEW['guid']}")}),
    ("unknown, nothing left", unknown("required"), NEW, "ignore",
     (*FOR_UNKNOWN, "required_not_for_unknown", "no_deployment"),
     {**X64, "because": "required_not_for_unknown"}),
    ("unknown, nothing deployed", unknown(), NEW, "ignore", ("unknown_device", "unknown_computer", "no_deployment"),
     {**X64, "because": "no_deployment"}),
    ("unknown to all", unknown("required", **REQUIRED), {"mac": "", "guid": None}, "ignore",
     (*FOR_UNKNOWN, "no_identity", "no_deployment"), {**X64, "because": "no_identity"}),
    ("two machines", then(unknown("required", **REQUIRED), SEEN_AS_TWO),
     NEW, "ignore", ("unknown_device", "unknown_computer", "ambiguous_identity"), {}),
    ("unknown, under way elsewhere", then(unknown("required", **REQUIRED), SEEN, CLAIMED_THERE),
     {**NEW, "peer": "10.0.0.1"}, "ignore", ("unknown_device", "unknown_computer", "other_session"),
     {**X64, "device_id": 77, "deployment": "PS120002", "because": "other_session"}),
    ("two machines, under way elsewhere", then(unknown("required", **REQUIRED, **LENIENT), SEEN_AS_TWO, CLAIMED_THERE),
     {**NEW, "peer": "10.0.0.1"}, "ignore", ("unknown_device", "unknown_computer", "other_session"),
     {**X64, "device_id": 78, "deployment": "PS120002", "because": "other_session"}),
    ("two machines, launched", then(unknown("required", **REQUIRED, **LENIENT), SEEN_AS_TWO, LAUNCHED_AS_BOTH),
     NEW, "ignore", ("unknown_device", "unknown_computer", "already_offered"),
     {**X64, "device_id": 78, "deployment": "PS120008", "because": "already_offered"}),
    ("two machines, one launched", then(unknown("required", **REQUIRED, **LENIENT), SEEN_AS_TWO,
                                        marked("PS120009", "LAUNCHED", 77)),
     NEW, "ignore", ("unknown_device", "unknown_computer", "already_offered"),
     {**X64, "device_id": 78, "deployment": "PS120009", "because": "already_offered"}),
    ("two machines, both under way", then(unknown("required", **REQUIRED, **LENIENT), SEEN_AS_TWO, CLAIMED_AS_BOTH),
     {**NEW, "peer": "10.0.0.1"}, "ignore", ("unknown_device", "unknown_computer", "other_session"),
     {**X64, "device_id": 78, "deployment": "PS120008", "because": "other_session"}),
    ("launched", marked("PS120001", "LAUNCHED"), {}, "abort", ("known_device", "already_offered"),
     {**WEB01, "deployment": "PS120001", "because": "already_offered"}),
    ("under way elsewhere", marked("PS120001", "CLAIMED", returnable=True, mac=OTHER_MAC, peer="10.0.0.2"),
     {"peer": "10.0.0.1"}, "ignore", ("known_device", "other_session"),
     {**WEB01, "deployment": "PS120001", "because": "other_session"}),
    ("nothing deployed", with_(deployments={}, policy=ABORT), {}, "abort", ("known_device", "no_deployment"),
     {**WEB01, "because": "no_deployment"}),
    ("no architecture", with_(policy=ABORT), {"architecture": None}, "ignore",
     ("known_device", "no_architecture"), {**KNOWN, "because": "no_architecture"}),
    ("by GUID alone", with_(policy={"guid_alone": "refuse", **ABORT}), BY_GUID, "abort",
     (*WHO, *GIVES, "guid_alone"), {**WEB01, "deployment": "PS120001", "because": "guid_alone"}),
    ("by GUID alone, from another card", with_(policy=ABORT), BY_GUID, "abort",
     (*WHO, *GIVES, "guid_conflict"), {**WEB01, "deployment": "PS120001", "because": "guid_conflict"}),
    ("by GUID alone, asked", then(with_(policy={"guid_alone": "refuse"}), also_available), BY_GUID, "prompt",
     (*WHO, *GIVES, "guid_alone", "available_deployment", *NAMED),
     {**PROMPT, "deployment": "PS120000", "because": "available_deployment"}),
    ("claimed for good", marked("PS120001", "CLAIMED", step=1), {"xid": 8}, "abort", (*WHO, "already_offered"),
     {**WEB01, "deployment": "PS120001", "because": "already_offered"}),
    ("claimed in the future", marked("PS120001", "CLAIMED", returnable=True, claimed_at=NOW + 61), {"ipxe": True},
     "boot", (*WHO, "required_deployment", "same_session", *NAMED), {**BOOT, "because": "same_session"}),
    ("claimed by iPXE in a ROM", marked("PS120001", "CLAIMED", step=2), {"ipxe": True}, "boot",
     (*WHO, "required_deployment", "same_session", *NAMED), {**BOOT, "because": "same_session"}),
    ("another is claimed", marked("PS120009", "CLAIMED"), {}, "ignore", (*WHO, *GIVES, "other_session"),
     {**WEB01, "deployment": "PS120009", "because": "other_session"}),
    ("another is claimed, and may give way", marked("PS120009", "CLAIMED", returnable=True), {}, "boot",
     (*WHO, *GIVES, *NAMED), {**BOOT, "because": "first_offer"}),
    ("another is claimed, long ago",
     marked("PS120009", "CLAIMED", claimed_at=NOW - 901, launched_at=0.0, unreported=0.0), {}, "boot",
     (*WHO, *GIVES, *NAMED), {**BOOT, "because": "first_offer"}),
    ("waits", LAUNCHED, {}, "abort", (*WHO, *GIVES, "waits_behind"),
     {**WEB01, "deployment": "PS120001", "behind": "PS120009", "because": "waits_behind"}),
    ("waits, asked", then(LAUNCHED, also_available), {}, "prompt",
     (*WHO, *GIVES, "waits_behind", "available_deployment", *NAMED),
     {**PROMPT, "deployment": "PS120000", "behind": "PS120009", "because": "available_deployment"}),
    ("halted", halted, {}, "ignore", (*WHO, *GIVES, "halted"),
     {**WEB01, "deployment": "PS120001", "because": "halted"}),
    ("halted, with another", halted_with_another, {}, "ignore", (*WHO, *GIVES, "halted"),
     {**WEB01, "deployment": "PS120001", "because": "halted"}),
    ("no image", then(other_image, with_(policy=ABORT)), {}, "ignore", (*WHO, "no_boot_image"),
     {**WEB01, "because": "no_boot_image"}),
    ("no image to ask for", then(other_image, only_available, with_(policy=ABORT)), {}, "ignore",
     (*WHO, "no_boot_image"), {**WEB01, "because": "no_boot_image"}),
    ("done, and no image to ask for", then(other_image, also_available, marked("PS120001", "DONE")), {}, "ignore",
     (*WHO, "already_offered", "no_boot_image"),
     {**WEB01, "deployment": "PS120001", "because": "no_boot_image"}),
    ("no image at all", with_(images=[], policy=ABORT), {}, "ignore", (*WHO, "no_boot_image"),
     {**WEB01, "because": "no_boot_image"}),
    ("waits for approval", with_(armed=False, policy=ABORT), {}, "abort", (*WHO, "pending_approval"),
     {**WEB01, "deployment": "PS120001", "because": "pending_approval"}),
    ("waits for approval, files", with_(armed=False, policy={**ABORT, "pending_machines": "poll"}), {}, "abort",
     (*WHO, "pending_approval"), {**WEB01, "deployment": "PS120001", "because": "pending_approval"}),
    ("polls", then(windows, with_(armed=False, policy={"pending_machines": "poll"})), {}, "pending",
     (*WHO, "pending_approval", "polls"),
     {**WEB01, "deployment": "PS120001", "boot_image": "PS100001", "boot_program": "x64/wdsmgfw.efi",
      "kind": "windows-pe"}),
    ("unknown, polls", then(unknown("required", **REQUIRED, pending_machines="poll"), windows, with_(armed=False)),
     NEW, "pending", (*FOR_UNKNOWN, "pending_approval", "polls"),
     {**X64, "deployment": "PS120002", "boot_image": "PS100001", "boot_program": "x64/wdsmgfw.efi",
      "kind": "windows-pe"}),
    ("polls no more", then(windows, with_(armed=False)), {}, "ignore", (*WHO, "pending_approval"),
     {**WEB01, "deployment": "PS120001", "because": "pending_approval"}),
    ("asked", only_available, {}, "prompt", (*WHO, "available_deployment", *NAMED),
     {**PROMPT, "because": "available_deployment"}),
    ("of Windows", windows, {}, "boot", (*WHO, *GIVES, *NAMED, "windows_chain"),
     {**BOOT, "boot_program": "x64/bootmgfw.efi", "launch_file": "boot.wim", "kind": "windows-pe",
      "because": "first_offer"}),
    ("of Windows, asked by nobody", then(windows, only_available, with_(policy={"windows_uefi_prompt": "refuse"})),
     {}, "ignore", (*WHO, "available_deployment", "boot_image_exact", "no_prompt"),
     {**WEB01, "deployment": "PS120001", "boot_image": "PS100001", "because": "no_prompt"}),
    ("of the highest id", highest(), {}, "boot",
     (*WHO, *GIVES, "boot_image_of_highest_id", *NAMED),
     {**BOOT, "boot_image": "PS100002", "boot_program": "other.efi", "launch_file": "other.efi",
      "because": "first_offer"}),
    ("of the highest id, not yet", highest(available_at=NOW + 1), {}, "ignore",
     (*WHO, *GIVES, "boot_image_of_highest_id", "boot_image_exact", "not_yet_available"),
     {**WEB01, "deployment": "PS120001", "boot_image": "PS100002", "because": "not_yet_available"}),
    ("of the highest id, asked", then(highest(), marked("PS120001", "DONE")), {}, "prompt",
     (*WHO, "already_offered", "available_deployment", *NAMED),
     {**PROMPT, "deployment": "PS120009", "boot_image": "PS100002", "boot_program": "other.efi",
      "launch_file": "other.efi", "because": "available_deployment"}),
    ("of the highest id, for others", highest(architecture="arm64"), {}, "boot", (*WHO, *GIVES, *NAMED),
     {**BOOT, "because": "first_offer"}),
    ("of the highest id, compatible", highest(architecture="x86", bios="x86.0"), {"architecture": 0}, "boot",
     (*WHO, *GIVES, "boot_image_exact", "boot_program"),
     {**BOOT, "firmware": "bios", "boot_program": "pxelinux.0", "launch_file": "pxelinux.0",
      "because": "first_offer"}),
    ("not distributed", with_(), {"image": {"here": False}}, "ignore",
     (*WHO, *GIVES, "boot_image_exact", "boot_image_not_distributed"),
     {**WEB01, "deployment": "PS120001", "boot_image": "PS100001", "because": "boot_image_not_distributed"}),
    ("not for PXE", with_(), {"image": {"pxe": False}}, "ignore",
     (*WHO, *GIVES, "boot_image_exact", "boot_image_not_pxe_enabled"),
     {**WEB01, "deployment": "PS120001", "boot_image": "PS100001", "because": "boot_image_not_pxe_enabled"}),
    ("no program", with_(), {"image": {"bios": "a.0"}}, "ignore",
     (*WHO, *GIVES, "boot_image_exact", "no_boot_program"),
     {**WEB01, "deployment": "PS120001", "boot_image": "PS100001", "because": "no_boot_program"}),
    ("compatible", with_(), {"image": {"architecture": "x86"}, "architecture": 0}, "boot",
     (*WHO, *GIVES, "boot_image_compatible", "boot_program"),
     {**BOOT, "firmware": "bios", "boot_program": "pxelinux.0", "launch_file": "pxelinux.0",
      "because": "first_offer"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "request_", "action", "reasons", "fields"),
    [case[1:] for case in ENDINGS],
    ids=[case[0] for case in ENDINGS],
)
def test_a_decision_says_everything_of_its_ending(
    world: World,
    change: Change,
    request_: dict[str, Any],
    action: str,
    reasons: tuple[str, ...],
    fields: dict[str, Any],
) -> None:
    change(world)
    asked = dict(request_)
    if "image" in asked:
        world.images = [world.image("PS100001", **asked.pop("image"))]
    decision = world.ask(**asked)
    found = tuple(code for code in said(decision) if code != "no_x86_boot_image")
    assert (decision.action, found) == (action, reasons)
    assert told(decision) == {**DEFAULTS, **fields}


@pytest.mark.parametrize(
    ("number", "deployment", "mark", "action"),
    [
        (1, "PS120001", {}, "ignore"),
        (1, "PS120001", {"claimed_at": NOW - 900}, "ignore"),
        (1, "PS120001", {"claimed_at": NOW - 900.5}, "prompt"),
        (1, "PS120001", {"step": 2}, "prompt"),
        (2, "PS120001", {}, "prompt"),
        (1, "PS120009", {}, "prompt"),
    ],
)
def test_an_available_boot_is_known_by_its_own_stage_alone(
    world: World, number: int, deployment: str, mark: dict[str, Any], action: str
) -> None:
    """The iPXE that the firmware's program is does not load itself again (F-42, W-49)."""
    only_available(world)
    # What the service remembers of a boot that asks is no claim: no session is live.
    kept = world.mark(deployment, generation=0, **mark)
    site = replace(world.site(), marks={deployment: {number: kept}})
    request = world.request(ipxe=True, door="discover")
    decision = world.decide.decide(request, site, world.exclusions)
    assert decision.action == action
    assert (said(decision)[-1] == "no_ipxe_program") == (action == "ignore")
