"""The whole text and the rule of every reason that a person reads, each in a situation that gives it."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from pxefast.decide import reasons

from .conftest import World
from .situations import (
    GUID,
    MAC,
    NEW,
    NOW,
    OTHER_MAC,
    OVER,
    Change,
    also_available,
    excluded,
    marked,
    only_available,
    protected,
    then,
    unknown,
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
UNSURE = f"SMBIOS GUID {GUID} alone does not tell which machine is device web01:"
TWO = f"if they are two machines: pxefast duplicate-id add --smbios-guid {GUID}"
CLONE, SECOND = "02:00:00:00:00:bb", "02:00:00:00:00:0c"


def cards(*macs: str) -> Change:
    """The record of web01 has these MAC addresses."""

    def change(world: World) -> None:
        world.devices = [world.device(macs=macs)]

    return change


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


BIOS: dict[str, Any] = {"architecture": 0}
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
    ("ambiguous_identity", then(unknown("required"), with_(
        hardware={f"mac:{NEW['mac']}": 77, f"guid:{NEW['guid']}": 78})), NEW, "R-56",
     (f"MAC {NEW['mac']} and SMBIOS GUID {NEW['guid']} were seen on two different machines; import this one as a "
     "device")),
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
    # A GUID that more than one machine may have.
    ("guid_alone", with_(policy={"guid_alone": "refuse"}), {"mac": OTHER_MAC}, "D29",
     (f"only SMBIOS GUID {GUID} says that this is device web01, and required deployments are not given by a GUID alone "
     "(setting guid_alone); record its network card: pxefast device set web01 --add-mac MAC")),
    ("guid_conflict", with_(seen={1: {MAC: NOW - 3600, CLONE: NOW - 60}}), {"mac": OTHER_MAC}, "D29",
     (f"{UNSURE} it belongs to MAC {MAC} (last seen 2023-11-14 21:13:20 UTC) and was seen with MAC {OTHER_MAC} (last "
     f"seen 2023-11-14 22:13:20 UTC); if both are network cards of web01: pxefast device set web01 --add-mac "
     f"{OTHER_MAC}; {TWO}")),
    ("guid_conflict", with_(seen={1: {CLONE: NOW - 60}}), {"mac": ""}, "D29",
     (f"{UNSURE} it belongs to MAC {MAC} (recorded, not seen since) and was seen with MAC {CLONE} (last seen "
     f"2023-11-14 22:12:20 UTC); if both are network cards of web01: "
      f"pxefast device set web01 --add-mac {CLONE}; {TWO}")),
    ("guid_conflict", then(with_(seen={1: {MAC: NOW - 60, SECOND: NOW - 3600}}), cards(MAC, SECOND)),
     {"mac": OTHER_MAC}, "D29",
     (f"{UNSURE} it belongs to MAC {MAC} (last seen 2023-11-14 22:12:20 UTC) and was seen with MAC {OTHER_MAC} (last "
     f"seen 2023-11-14 22:13:20 UTC); if both are network cards of web01: pxefast device set web01 --add-mac "
     f"{OTHER_MAC}; {TWO}")),
    ("guid_conflict", then(with_(seen={1: {MAC: NOW - 60}}), cards(MAC, SECOND)), {"mac": OTHER_MAC}, "D29",
     (f"{UNSURE} it belongs to MAC {MAC} (last seen 2023-11-14 22:12:20 UTC) and was seen with MAC {OTHER_MAC} (last "
      f"seen 2023-11-14 22:13:20 UTC); if both are network cards of web01: pxefast device set web01 --add-mac "
      f"{OTHER_MAC}; {TWO}")),
    ("guid_conflict", then(with_(seen={1: {MAC: NOW - 60, SECOND: NOW - 3600}}), cards()), {"mac": OTHER_MAC}, "D29",
     (f"{UNSURE} it belongs to MAC {MAC} (last seen 2023-11-14 22:12:20 UTC) and was seen with MAC {OTHER_MAC} (last "
     "seen 2023-11-14 22:13:20 UTC); if both are network cards of web01: pxefast device set web01 --add-mac "
     f"{MAC} --add-mac {OTHER_MAC}; {TWO}")),
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


def test_a_command_for_a_device_of_no_known_name_says_where_the_name_goes() -> None:
    text = "pxefast deployment clear --device NAME --deployment PS120001"
    assert reasons.clear_command("PS120001", "") == text
    assert reasons.held("PS120001", "", "").text.endswith(text)


def test_times_are_said_in_utc_wherever_the_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert reasons.time_text(NOW) == "2023-11-14 22:13:20 UTC"
    finally:
        monkeypatch.undo()
        time.tzset()
