"""Who gets no answer, and what is said of it, without ports or threads; and whose address an address is (T17)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pxefast.config import Dhcp
from pxefast.decide import Decision, Reason
from pxefast.errors import ContentError
from pxefast.responder import reply
from pxefast.responder.cases import Case
from pxefast.site.device_rows import NewDevice

from .desk import ADDRESS, MAC, OTHER_MAC, Desk, codes, question, refused

GUID = "5c9e4b1c-0f6e-4b44-9a55-0d6a3e1b7c01"
STRANGER = "02:00:00:00:00:09"
IN_USE = f"{ADDRESS} is the address of web01, whose required boot is on its way"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"destination": None},
            Reason("no_destination", "no honest client or relay could be where the answer would go", "R-14"),
        ),
        ({"late": 3.0}, Reason("too_late", "it took too long to get here; the client asks again", "W-20")),
        ({"later": 3.0}, Reason("too_late", "it took too long to get here; the client asks again", "W-20")),
        ({"fails": ContentError("no store")}, Reason("answer_not_possible", "no store", "W-8")),
        ({"fails": ValueError("too long")}, Reason("answer_not_possible", "too long", "W-8")),
    ],
)
def test_a_machine_that_gets_no_answer_has_the_reason_in_its_event(
    desk: Desk, given: dict[str, Any], reason: Reason
) -> None:
    desk.fails = given.get("fails")
    times = {name: given[name] for name in ("late", "later") if name in given}
    asked = question(destination=None) if "destination" in given else question()
    (answer,) = desk.ask(asked, **times)
    assert refused(desk, answer, reason.code)
    assert answer.decision.reasons[-1] == reason
    assert answer.decision.because in (reason, None)


def test_an_answer_that_is_not_sent_keeps_its_decision_and_says_why(desk: Desk) -> None:
    desk.goes_to = None
    (answer,) = desk.ask(question())
    not_sent = Reason(
        "not_sent", "the kernel did not take the answer; see the counter dhcp.send_failed", "W-13"
    )
    assert (answer.decision.action, answer.decision.reasons[-1]) == ("boot", not_sent)
    assert codes(answer)[-2] == "claimed"
    desk.dry_run = True
    (answer,) = desk.ask(question())
    dry_run = Reason("dry_run", "this is a dry run: nobody is answered", "R-61")
    assert (answer.decision.action, answer.decision.reasons[-1]) == ("boot", dry_run)
    assert len(answer.decision.reasons) > 1


def test_two_seconds_is_not_yet_too_late(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "clock", lambda: 50.0)
    for when in ({"late": 2.0}, {"later": 2.0}):
        (answer,) = desk.ask(question(), **when)
        assert answer.sent_to is not None


def test_an_offer_and_an_available_deployment_are_never_too_late(desk: Desk) -> None:
    (answer,) = desk.ask(question(door="discover", source="0.0.0.0:68"), late=9.0, later=9.0)
    assert answer.sent_to is not None
    desk.offer()
    (answer,) = desk.ask(question(), late=9.0, later=9.0)
    assert (answer.decision.action, answer.sent_to) == ("prompt", "10.0.0.1:68")


def test_a_stop_does_not_end_what_a_person_chose(desk: Desk) -> None:
    desk.offer()
    desk.view.full = Reason("no_space", "the disk is full", "D40")
    (answer,) = desk.ask(question())
    assert answer.sent_to is not None


def test_what_is_not_to_be_answered_is_not_answered_in_a_dry_run_either(desk: Desk) -> None:
    desk.dry_run = True
    (answer,) = desk.ask(question(STRANGER))
    assert codes(answer) == ["unknown_device", "unknown_computers_off"]
    assert answer.sent_to is None


# What the machines are asked about each other.


def test_every_pair_of_guid_and_mac_is_noted_unless_nobody_believes_its_relay(desk: Desk) -> None:
    noted: list[Any] = []
    desk.witness = SimpleNamespace(note=lambda request, site: noted.append((request.mac, site)))
    desk.dhcp = Dhcp.model_validate({"relays": ["10.0.9.0/24"]})
    site = desk.view.site
    desk.ask(question(), question(OTHER_MAC, giaddr="10.9.9.9"), question(STRANGER, destination=None))
    assert noted == [(MAC, site)]


def test_a_machine_is_known_by_any_record_of_it(desk: Desk, tmp_path: Path) -> None:
    listed = "02:00:00:00:00:0a"
    desk.store.devices.add(NewDevice("web03", (), GUID))
    (tmp_path / "excluded.txt").write_text(f"{listed}\n")
    desk.store.dps.set(mac_ignore_list_file=str(tmp_path / "excluded.txt"))
    desk.view.refresh()
    ignored = Decision("ignore", ())

    def asked(mac: str, guid: str | None, number: int | None = None, **decided: Any) -> Case:
        request: Any = SimpleNamespace(mac=mac, guid=guid)
        nothing: Any = None
        return Case(nothing, nothing, request, replace(ignored, **decided), None, device_id=number)

    def knows(
        mac: str = STRANGER, guid: str | None = None, number: int | None = None, **decided: Any
    ) -> bool:
        return desk.answers().knows(asked(mac, guid, number, **decided))

    assert not knows()
    assert knows(device="web01")
    assert knows(device_id=7)
    assert knows(number=9)
    assert knows(mac=OTHER_MAC)
    assert knows(guid=GUID)
    assert knows(mac=listed)
    alone = [desk.answers().guid_alone(asked(mac, GUID)) for mac in (STRANGER, OTHER_MAC, listed)]
    assert alone == [GUID, None, None], "its events are sampled by its GUID where its card is on no list"


# Whose address it is.


def in_use(desk: Desk, mac: str = OTHER_MAC, **more: Any) -> Reason | None:
    """Why another machine is refused at the address of web01, whose boot has begun; None if it is answered."""
    (answer,) = desk.ask(question(mac, **more))
    if answer.sent_to is not None:
        return None
    assert (answer.decision.action, desk.claims) == ("ignore", [])
    reason = answer.decision.reasons[-1]
    assert isinstance(reason, Reason)
    return reason


def remember(desk: Desk, **changed: Any) -> None:
    """Change what is remembered of the answer to web01's address."""
    known = desk.memory.find(None, ADDRESS)
    assert known is not None
    desk.memory.note((ADDRESS,), known._replace(**changed))


def test_the_machine_whose_boot_is_on_its_way_is_named_to_another_at_its_address(desk: Desk) -> None:
    desk.ask(question())
    assert in_use(desk) == Reason("address_in_use", IN_USE, "T17")
    remember(desk, device=None)
    assert in_use(desk) == Reason("address_in_use", IN_USE.replace("web01", MAC), "T17")


def test_of_two_machines_at_one_address_at_once_the_second_is_refused(desk: Desk) -> None:
    first, second, third = desk.ask(question(), question(OTHER_MAC), question(xid=8))
    assert codes(first)[-1] == "claimed"
    text = f"{ADDRESS} is the address of another machine of this moment, whose required boot is on its way"
    assert second.decision.reasons[-1] == Reason("address_in_use", text, "T17")
    assert third.sent_to is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"prompt": True},
        {"device_id": None},
        {"mac": OTHER_MAC},
        {"device_id": 2},
        {"device_id": 77},
        {"session": "f" * 32},
    ],
)
def test_an_address_is_not_in_use_by_a_boot_that_is_none_of_the_ledgers(
    desk: Desk, changed: dict[str, Any]
) -> None:
    desk.ask(question())
    remember(desk, **changed)
    assert in_use(desk) is None


def test_an_address_is_in_use_for_the_time_of_a_session_and_no_longer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ask(question())
    claimed = desk.view.site.live[1].claimed_at
    monkeypatch.setattr(reply, "time", SimpleNamespace(time=lambda: claimed + 900.0))
    monkeypatch.setattr(reply, "clock", lambda: 1.0)
    reason = in_use(desk)
    assert reason is not None
    assert reason.code == "address_in_use"
    monkeypatch.setattr(reply, "time", SimpleNamespace(time=lambda: claimed + 900.5))
    assert in_use(desk) is None


def test_an_available_deployment_may_not_take_the_address_of_a_required_boot(desk: Desk) -> None:
    desk.ask(question())
    desk.store.devices.add(NewDevice("web03", (STRANGER,)))
    desk.store.collections.create("shelf")
    desk.store.collections.add("shelf", ["web03"])
    sequence = desk.store.task_sequences.all()[0]
    desk.store.deployments.create(sequence.id, "shelf", "available", "media-pxe")
    desk.load()
    reason = in_use(desk, STRANGER)
    assert reason is not None
    assert reason.text == IN_USE


def test_an_available_deployment_takes_its_address_from_nobody(desk: Desk) -> None:
    desk.offer()
    first, second = desk.ask(question(), question(OTHER_MAC))
    assert (first.decision.action, second.decision.action) == ("prompt", "prompt")


def test_a_refused_machine_keeps_the_reason_that_it_had(desk: Desk) -> None:
    desk.ask(question())
    (answer,) = desk.ask(question(STRANGER))
    assert codes(answer) == ["unknown_device", "unknown_computers_off"]


def test_an_address_that_a_question_does_not_show_is_nobodys(desk: Desk) -> None:
    desk.ask(question())
    assert in_use(desk, door="discover", source="0.0.0.0:68") is None


def test_another_card_of_the_machine_goes_on_at_its_address(desk: Desk) -> None:
    desk.store.devices.set("web01", add_macs=(STRANGER,))
    desk.load()
    desk.ask(question())
    (answer,) = desk.ask(question(STRANGER, ipxe=True))
    assert codes(answer)[-1] != "address_in_use"


# What the boot environment is told.


def own_variables(desk: Desk, monkeypatch: pytest.MonkeyPatch, mac: str = MAC) -> dict[str, str]:
    told: list[dict[str, str]] = []
    real = reply.handout

    def handout(
        decision: Any, request: Any, loader: Any, policy: Any, own: dict[str, str], *more: Any
    ) -> Any:
        told.append(own)
        return real(decision, request, loader, policy, own, *more)

    monkeypatch.setattr(reply, "handout", handout)
    desk.ask(question(mac))
    return told[-1]


def test_without_a_report_port_nothing_says_where_to_report(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.report_port = None
    assert sorted(own_variables(desk, monkeypatch)) == [
        "PXEFAST_DEPLOYMENT", "PXEFAST_DEVICE", "PXEFAST_SESSION",
    ]  # fmt: skip


def test_an_available_deployment_reports_nothing_and_a_machine_without_a_record_has_its_mac_as_a_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = desk.offer_windows()
    unknown = desk.view.site.unknown["x64"]
    deployments = desk.view.site.devices_by_mac[MAC].deployments
    desk.view.site.unknown["x64"] = replace(unknown, deployments=deployments)
    desk.view.site = replace(desk.view.site, dp=replace(desk.view.site.dp, unknown_computers=True))
    own = own_variables(desk, monkeypatch, STRANGER)
    known = desk.memory.find(None, ADDRESS)
    assert known is not None
    assert own == {
        "PXEFAST_SESSION": known.session, "PXEFAST_DEPLOYMENT": deployment, "PXEFAST_DEVICE": STRANGER,
    }  # fmt: skip
    assert desk.view.site.marks.get(deployment) is None, "a machine without a number leaves no mark"
