"""From a question to its answer without ports or threads: what is claimed, what is sent, and what stops it (I1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pxefast.config import Dhcp
from pxefast.decide import Reason
from pxefast.responder import reply
from pxefast.responder.barrier import Verdict
from pxefast.responder.halt import Halt

from ..site.ledger_case import DEPLOYMENT, NAME, launch
from .desk import ADDRESS, IMAGE, MAC, OTHER_MAC, Desk, codes, question, refused


def test_a_required_boot_is_claimed_and_its_file_is_named_to_the_address_that_asked(desk: Desk) -> None:
    (answer,) = desk.ask(question())
    assert desk.state() == "CLAIMED"
    assert answer.sent_to == "10.0.0.1:68"
    assert (answer.decision.action, codes(answer)[-1]) == ("boot", "claimed")
    ((asked, file, more),) = desk.sent
    assert asked is answer.question
    assert (file, more["image"]) == (NAME, IMAGE)
    assert (more["options"], more["block_size"], more["window_size"]) == ([], 0, 0)
    assert [name for name, _ in more["files"]] == ["session.env"]
    (claim,) = desk.claims
    assert (claim.device_id, claim.deployment_id, claim.step, claim.xid) == (1, DEPLOYMENT, 1, 7)
    assert (claim.launch, claim.peer, claim.identities) == (NAME, ADDRESS, (f"mac:{MAC}",))
    assert claim.session_seconds == 900.0


def test_what_was_handed_out_is_remembered_by_address_and_session(desk: Desk) -> None:
    desk.ask(question())
    known = desk.memory.find(None, ADDRESS)
    assert known is not None
    assert (known.prompt, known.image, known.deployment, known.device) == (False, IMAGE, DEPLOYMENT, "web01")
    assert (known.device_id, known.mac, known.peer) == (1, MAC, ADDRESS)
    assert desk.memory.find(known.session, "") == known
    assert desk.memory.open == {known.session}
    assert known.session == desk.view.site.live[1].session
    desk.ask(question())
    again = desk.memory.find(None, ADDRESS)
    assert again is not None
    assert again.stem == known.stem, "a repeat gets files of the same names"


def test_the_sessions_file_says_where_and_with_what_to_report(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, str]] = []
    real = reply.handout

    def handout(
        decision: Any, request: Any, loader: Any, policy: Any, own: dict[str, str], *more: Any
    ) -> Any:
        told.append(own)
        return real(decision, request, loader, policy, own, *more)

    monkeypatch.setattr(reply, "handout", handout)
    desk.ask(question())
    session = desk.view.site.live[1].session
    (own,) = told
    assert own.pop("PXEFAST_TOKEN")
    assert own == {
        "PXEFAST_SESSION": session,
        "PXEFAST_DEPLOYMENT": DEPLOYMENT,
        "PXEFAST_DEVICE": "web01",
        "PXEFAST_REPORT_URL": f"http://10.0.0.250:8067/session/{session}",
    }


@pytest.mark.parametrize(("late", "sent"), [(1.0, True), (3.0, False)])
def test_a_question_that_waited_for_more_than_two_seconds_is_not_claimed(
    desk: Desk, late: float, sent: bool
) -> None:
    (answer,) = desk.ask(question(), late=late)
    assert bool(desk.sent) is sent
    assert desk.state() == ("CLAIMED" if sent else "")
    if not sent:
        assert refused(desk, answer, "too_late")
        assert answer.decision.reasons[-1].rule == "W-20"
        assert desk.claims == []


def test_an_answer_that_took_more_than_two_seconds_is_not_sent_though_it_was_claimed(desk: Desk) -> None:
    (answer,) = desk.ask(question(), later=3.0)
    assert refused(desk, answer, "too_late")
    assert desk.state() == "CLAIMED"


def test_a_stop_between_the_claim_and_the_answer_sends_nothing(desk: Desk, halt: Halt) -> None:
    (answer,) = desk.ask(question(), during=lambda: halt.on("wrong image"))
    assert refused(desk, answer, "halted")
    assert desk.state() == "CLAIMED"


def test_a_claim_that_is_not_known_to_be_durable_is_not_answered(desk: Desk) -> None:
    failed = Reason("ledger_unavailable", "nobody knows", "T18")
    (answer,) = desk.ask(question(), during=lambda: Verdict(failed=failed))
    assert refused(desk, answer, "ledger_unavailable")
    assert answer.decision.reasons[-1] == failed


def test_a_claim_that_the_ledger_refuses_is_not_answered(desk: Desk) -> None:
    desk.ask(question())
    launch(desk.ledger, 1)
    desk.sent.clear()
    # The snapshot does not know of the launch yet.
    (answer,) = desk.ask(question(xid=8))
    assert refused(desk, answer, "already_offered")


def test_nothing_is_decided_about_a_question_without_a_destination(desk: Desk) -> None:
    (answer,) = desk.ask(question(destination=None))
    assert refused(desk, answer, "no_destination")
    assert codes(answer) == ["no_destination"]
    assert answer.decision.reasons[-1].rule == "R-14"


def test_a_relay_that_is_not_listed_is_refused(desk: Desk) -> None:
    desk.dhcp = Dhcp.model_validate({"relays": ["10.0.9.0/24"]})
    (answer,) = desk.ask(question(giaddr="10.9.9.9"))
    assert refused(desk, answer, "relay_not_listed")
    assert codes(answer) == ["relay_not_listed"]
    (answer,) = desk.ask(question(giaddr="10.0.9.1", ciaddr=ADDRESS))
    assert codes(answer)[-1] == "claimed"


def test_while_nothing_may_be_handed_out_nobody_is_answered(desk: Desk) -> None:
    desk.view.unreadable = "damaged"
    (answer,) = desk.ask(question())
    assert refused(desk, answer, "site_unreadable")
    assert desk.claims == []


def test_a_dry_run_claims_nothing_sends_nothing_and_keeps_the_decision(desk: Desk) -> None:
    desk.dry_run = True
    (answer,) = desk.ask(question())
    assert (answer.decision.action, codes(answer)[-1], answer.sent_to) == ("boot", "dry_run", None)
    assert answer.decision.reasons[-1].rule == "R-61"
    assert (desk.claims, desk.sent, desk.state()) == ([], [], "")


def test_an_answer_that_the_kernel_does_not_take_is_said_not_to_be_sent(desk: Desk) -> None:
    desk.goes_to = None
    (answer,) = desk.ask(question())
    assert (answer.sent_to, codes(answer)[-1]) == (None, "not_sent")
    assert answer.decision.reasons[-1].rule == "W-13"


def test_an_answer_that_cannot_be_made_is_refused_with_the_reason(desk: Desk) -> None:
    desk.fails = ValueError("options too long")
    (answer,) = desk.ask(question())
    assert refused(desk, answer, "answer_not_possible")
    assert (answer.decision.reasons[-1].text, answer.decision.reasons[-1].rule) == ("options too long", "W-8")


def test_an_offer_names_no_file_and_claims_nothing(desk: Desk) -> None:
    (answer,) = desk.ask(question(door="discover", source="0.0.0.0:68"))
    assert desk.claims == []
    ((_, file, more),) = desk.sent
    assert (file, more) == ("", {})
    assert answer.decision.action == "boot"
    assert desk.memory.find(None, ADDRESS) is None


@pytest.mark.parametrize("together", [True, False])
def test_another_machine_at_the_address_of_a_boot_under_way_is_refused(desk: Desk, together: bool) -> None:
    own, other = question(), question(OTHER_MAC)
    if together:
        answer = desk.ask(own, other)[1]
    else:
        desk.ask(own)
        (answer,) = desk.ask(other)
    assert (codes(answer)[-1], answer.sent_to) == ("address_in_use", None)
    assert answer.decision.reasons[-1].rule == "T17"
    text = answer.decision.reasons[-1].text
    assert text.startswith(f"{ADDRESS} is the address of ")
    assert ("web01" in text) is not together
    assert len(desk.sent) == 1
    assert desk.state(2) == ""


def test_two_machines_at_addresses_of_their_own_are_both_claimed(desk: Desk) -> None:
    first, second = desk.ask(question(), question(OTHER_MAC, "10.0.0.2"))
    assert (first.decision.device, second.decision.device) == ("web01", "web02")
    assert (desk.state(1), desk.state(2)) == ("CLAIMED", "CLAIMED")
    assert len({desk.view.site.live[number].session for number in (1, 2)}) == 2


def test_an_address_is_free_again_once_its_machine_was_launched(desk: Desk) -> None:
    desk.ask(question())
    launched = launch(desk.ledger, 1)
    assert launched.mark is not None
    desk.view.mark(1, launched.mark)
    (answer,) = desk.ask(question(OTHER_MAC))
    assert codes(answer)[-1] == "claimed"


def test_an_address_is_free_again_once_the_session_of_its_machine_is_over(desk: Desk) -> None:
    desk.ask(question())
    before = desk.view.site.live[1]
    desk.view.site.live[1] = replace(before, claimed_at=before.claimed_at - 901)
    (answer,) = desk.ask(question(OTHER_MAC))
    assert codes(answer)[-1] == "claimed"


def test_a_machine_asks_again_at_its_own_address(desk: Desk) -> None:
    desk.ask(question())
    (answer,) = desk.ask(question(xid=8))
    assert codes(answer).count("same_session") == 1, "the decision and the ledger say it, and it is told once"
    assert [file for _, file, _ in desk.sent] == [NAME, NAME]


def test_an_unknown_machine_is_not_answered_and_nothing_is_remembered(desk: Desk) -> None:
    (answer,) = desk.ask(question("02:00:00:00:00:09"))
    assert refused(desk, answer, "unknown_computers_off")
    assert desk.memory.leave()["known"] == []
