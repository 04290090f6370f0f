"""What is sent to whom, and what is remembered of it, without ports or threads: each kind of answer whole."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from pxefast.config import Dhcp
from pxefast.decide import Decision, Mark, Reason
from pxefast.responder.barrier import Verdict
from pxefast.responder.cases import Case
from pxefast.responder.handed import Handed
from pxefast.site.device_rows import NewDevice

from ..site.ledger_case import DEPLOYMENT
from .desk import ADDRESS, IMAGE, MAC, OTHER_MAC, SECOND, Desk, codes, question, refused

NEW = NewDevice("web03", ("00:11:22:33:44:03",))
GUID = "5c9e4b1c-0f6e-4b44-9a55-0d6a3e1b7c01"
STEM = re.compile(r"SMSTemp\\[0-9.]+\.\d{4}\.\{[0-9A-F-]{36}\}")
# What wdsmgfw.efi says when it asks here again.
WDSMGFW = SimpleNamespace(
    architecture=None, prompt_done=None, action_done=None, version=0x0800, request_id=None
)
DIRECT = Dhcp.model_validate({"style": {"uefi_x64": "direct"}})
SIZES = "the RAM disk is loaded in blocks of 4096 bytes (distribution point), 1 a window (distribution point)"


def names(more: dict[str, Any]) -> list[str]:
    return [name for name, _ in more["files"]]


def test_an_available_deployment_names_its_program_and_needs_no_ledger(desk: Desk) -> None:
    deployment = desk.offer()
    (answer,) = desk.ask(question())
    assert (answer.decision.action, answer.decision.claim, answer.sent_to) == ("prompt", False, "10.0.0.1:68")
    ((_, file, more),) = desk.sent
    assert (file, more) == (f"SMSImages/{SECOND}/rescue.efi", {"image": SECOND, "window_size": 0})
    assert (desk.claims, desk.state(), answer.handout) == ([], "", None)
    known = desk.memory.find(None, ADDRESS)
    assert known is not None
    assert STEM.fullmatch(known.stem)
    assert ".0001." in known.stem, "the first of this service"
    assert known == Handed(
        True, known.session, SECOND, deployment, "web01", None, MAC, ADDRESS, known.stem,
        "00:11:22/x64-uefi/PXEClient", 0,
    )  # fmt: skip
    assert desk.memory.find(known.session, "") == known
    assert desk.memory.open == set()


def test_a_boot_of_an_available_deployment_has_one_session_whatever_asks_for_it_again(desk: Desk) -> None:
    desk.offer()

    def session(**more: Any) -> str:
        desk.ask(question(**{"mac": MAC, **more}))
        known = desk.memory.find(None, ADDRESS)
        assert known is not None
        return known.session

    first = session()
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert session(xid=8) == first
    others = {session(mac=OTHER_MAC), session(guid=GUID)}
    desk.memory.secret = bytes(16)
    assert len(others | {first, session()}) == 4


def test_a_prompted_boot_is_remembered_so_that_its_later_stages_are_told_from_its_begin(desk: Desk) -> None:
    deployment = desk.offer()
    (answer,) = desk.ask(question(xid=9))
    now = answer.request.now
    marks = desk.view.site.marks[deployment]
    assert marks == {1: Mark(deployment, 0, "CLAIMED", now, now, 1, 9, "", now)}
    desk.ask(question(OTHER_MAC, "10.0.0.2"))
    assert desk.view.site.marks[deployment] is marks
    assert sorted(marks) == [1, 2]


def test_a_required_boot_is_not_remembered_as_a_prompted_one(desk: Desk) -> None:
    (answer,) = desk.ask(question())
    mark = desk.view.site.marks[DEPLOYMENT][1]
    assert (mark.generation, mark.session) == (1, desk.view.site.live[1].session)
    assert (answer.decision.action, mark.mac) == ("boot", MAC)


def test_a_client_without_an_address_finds_its_session_in_the_name_of_its_file(desk: Desk) -> None:
    desk.dhcp = DIRECT
    (answer,) = desk.ask(question(door="discover", source="0.0.0.0:68", destination="255.255.255.255:68"))
    assert codes(answer)[-1] == "claimed"
    session = desk.view.site.live[1].session
    ((_, file, _),) = desk.sent
    assert file == f"SMSImages/{IMAGE}/{session}/grubx64.efi"
    (known,) = [Handed(**handed) for _, _, handed in desk.memory.leave()["known"]]
    assert (known.session, known.peer) == (session, None)
    (claim,) = desk.claims
    assert (claim.peer, claim.mac, claim.ask.address) == (None, MAC, None)


def test_a_claim_says_all_that_the_ledger_is_to_write_down(desk: Desk) -> None:
    relayed = question(guid=GUID, giaddr="10.9.0.1", ciaddr="10.9.0.5", source="10.9.0.1:67")
    (answer,) = desk.ask(relayed)
    (claim,) = desk.claims
    assert (claim.peer, claim.now, claim.mac) == ("10.9.0.5", answer.request.now, MAC)
    assert claim.ask == (1, DEPLOYMENT, None, "10.9.0.5", "10.9.0.1")


def test_machines_that_lose_blocks_of_large_windows_are_given_smaller_ones_and_told_why(desk: Desk) -> None:
    model = "00:11:22/x64-uefi/PXEClient"
    desk.view.site.windows[model] = 16
    (answer,) = desk.ask(question())
    ((_, _, more),) = desk.sent
    assert more["window_size"] == 16
    reason = answer.decision.reasons[-1]
    assert (reason.code, reason.rule) == ("learned_window", "W-105")
    assert reason.text.startswith(
        f"it is given TFTP windows of at most 16 blocks, for machines of model {model} "
    )
    known = desk.memory.find(None, ADDRESS)
    assert known is not None
    assert (known.model, known.window) == (model, 16)
    desk.offer()
    desk.view.site.windows[model] = 8
    desk.ask(question())
    assert desk.sent[-1][2]["window_size"] == 8, "an available deployment's too"


# Windows PE.


def test_windows_pe_gets_its_store_and_variables_beside_the_boot_manager(desk: Desk) -> None:
    deployment = desk.offer_windows("required")
    (answer,) = desk.ask(question())
    assert answer.decision.action == "boot"
    ((_, file, more),) = desk.sent
    assert (file, more["image"], more["block_size"]) == (
        f"SMSBoot\\{SECOND}\\x64\\bootmgfw.efi",
        SECOND,
        4096,
    )
    known = desk.memory.find(None, ADDRESS)
    assert known is not None
    assert (known.deployment, known.image) == (deployment, SECOND)
    assert names(more) == [
        f"{known.stem}.boot.bcd", "Boot/BCD", "EFI/Microsoft/Boot/BCD", f"{known.stem}.boot.var", "session.env",
    ]  # fmt: skip
    assert more["options"] == [
        (243, bytes([1, len(known.stem) + 10]) + f"\\{known.stem}.boot.var".encode()),
        (252, f"\\{known.stem}.boot.bcd\0".encode()),
    ]
    assert answer.handout is not None
    assert answer.handout.files == more["files"]
    assert (codes(answer)[-2], codes(answer)[-1]) == ("claimed", "ramdisk_sizes")


def test_available_windows_pe_is_read_from_the_site_without_a_claim(desk: Desk) -> None:
    desk.offer_windows()
    relayed = question(loader=WDSMGFW, giaddr="10.9.0.1", ciaddr="10.9.0.5", source="10.9.0.1:67")
    (answer,) = desk.ask(relayed)
    assert (answer.decision.action, answer.decision.claim, desk.claims) == ("prompt", False, [])
    ((_, _, more),) = desk.sent
    assert (250, bytes.fromhex("0b0101 ff")) in more["options"], "the loader is told to ask a person"
    assert codes(answer)[-1] == "ramdisk_sizes"
    (answer,) = desk.ask(question(loader=SimpleNamespace(**{**vars(WDSMGFW), "prompt_done": True})))
    assert (250, bytes.fromhex("0b0102 ff")) in desk.sent[-1][2]["options"], "and not to ask again"


def test_windows_pe_whose_facts_cannot_be_read_is_not_answered(desk: Desk) -> None:
    desk.offer_windows()
    unread = Reason("site_unreadable", "no disk", "T18")
    (answer,) = desk.ask(question(), during=lambda: Verdict(unread=unread))
    assert refused(desk, answer, "site_unreadable")
    assert answer.decision.reasons[-1] == unread


def test_each_of_two_machines_gets_the_facts_of_its_own(desk: Desk) -> None:
    desk.offer_windows()
    asked = desk.ask(question(), question("02:00:00:00:00:09", "10.0.0.9"), question(OTHER_MAC, "10.0.0.2"))
    assert [bool(answer.sent_to) for answer in asked] == [True, False, True]
    assert asked[0].handout.files[0][0] != asked[2].handout.files[0][0]


def test_a_verdict_that_lacks_an_answer_or_has_one_too_many_is_no_verdict(desk: Desk) -> None:
    with pytest.raises(ValueError, match="shorter"):
        desk.ask(question(), during=lambda: Verdict(facts=()))
    assert desk.sent == [], "a boot without its claim's result is not sent"
    desk.offer_windows()
    with pytest.raises(ValueError, match="shorter"):
        desk.ask(question(), during=lambda: Verdict(facts=()))
    assert desk.sent == []


def test_a_waiting_machine_is_sent_to_the_loader_and_then_told_to_ask_again(desk: Desk) -> None:
    desk.offer_windows("required", pending_machines="poll")
    desk.store.devices.add(NEW)
    desk.store.collections.add("rack", ["web03"])
    desk.load(pending_machines="poll")
    desk.view.site.windows["00:11:22/x64-uefi/PXEClient"] = 8
    mac = NEW.macs[0]
    (answer,) = desk.ask(question(mac))
    assert (answer.decision.action, desk.claims) == ("pending", [])
    ((asked, file, more),) = desk.sent
    assert asked is answer.question
    assert (file, more) == (f"SMSBoot\\{SECOND}\\x64\\wdsmgfw.efi", {"image": SECOND, "window_size": 8})
    (answer,) = desk.ask(question(mac, loader=WDSMGFW))
    asked, file, more = desk.sent[-1]
    assert asked is answer.question
    assert (file, list(more)) == ("", ["options"])
    ((code, value),) = more["options"]
    assert (code, value[:3]) == (250, bytes.fromhex("020101"))
    assert value[3:9] == bytes.fromhex("0504") + answer.decision.device_id.to_bytes(4, "big")
    desk.dhcp = DIRECT
    desk.ask(question(mac, door="discover", source="0.0.0.0:68"))
    assert re.fullmatch(rf"SMSBoot\\{SECOND}\\[0-9a-f]{{32}}\\x64\\wdsmgfw\.efi", desk.sent[-1][1])


def test_a_waiting_machine_without_a_record_has_a_number_of_its_own(desk: Desk) -> None:
    def number(mac: str) -> bytes:
        asked: Any = SimpleNamespace(mac=mac, ipxe=False, door="request", wds=True)
        case = Case(question(mac), asked, asked, Decision("pending", ()), ADDRESS)
        desk.answers().send(case)
        ((_, value),) = desk.sent[-1][2]["options"]
        return bytes(value[5:9])

    assert number(MAC) == number(MAC) != number(OTHER_MAC)


def test_a_machine_with_nothing_to_boot_is_sent_on_and_nothing_is_remembered_of_it(desk: Desk) -> None:
    desk.store.devices.add(NEW)
    desk.load()
    mac = NEW.macs[0]
    abort = "SMSBoot/abort/abortpxe.com"
    (answer,) = desk.ask(question(mac, architecture=0))
    assert (answer.decision.action, answer.decision.deployment) == ("abort", None)
    assert desk.sent == [(answer.question, abort, {})]
    desk.store.collections.add("rack", ["web03"])
    desk.load()
    (answer,) = desk.ask(question(mac, architecture=0))
    assert (answer.decision.action, answer.decision.deployment) == ("abort", DEPLOYMENT)
    assert desk.sent[1:] == [(answer.question, abort, {})]
    assert desk.memory.leave()["known"] == []
