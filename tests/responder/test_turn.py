"""One turn of the service without ports or threads: the durable write, and the gates before and after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pxefast.decide import Reason
from pxefast.responder.barrier import Verdict
from pxefast.responder.gates import Passage
from pxefast.responder.halt import Halt
from pxefast.responder.handed import Handed
from pxefast.site.launches import Launch
from pxefast.site.session_facts import Ask
from pxefast.site.store import Store

from ..site.ledger_case import DEPLOYMENT, NAME, claim, launch, marked, one
from .turn import ADDRESS, IMAGE, MAC, Turn, gate

# Gates.


def test_a_gate_opens_once_the_launch_is_recorded_and_says_whose_it_is(turn: Turn) -> None:
    session = turn.claimed()
    turn.remember(session=session)
    waiting = gate()
    (passage,) = turn.pass_gates(waiting)
    assert (turn.opened, turn.refused) == ([waiting], [])
    assert passage == Passage(waiting, "launched", passage.reason, "web01", DEPLOYMENT, session, MAC)
    assert passage.reason.code == "launched"
    assert turn.view.site.live[1].state == "LAUNCHED"


def test_a_gate_of_an_address_that_nothing_is_remembered_of_is_the_ledgers_alone(turn: Turn) -> None:
    session = turn.claimed()
    (passage,) = turn.pass_gates(gate())
    assert turn.asked[0].session is None
    assert passage == Passage(passage.gate, "launched", passage.reason, "web01", DEPLOYMENT, session, None)


def test_a_gate_is_asked_for_by_the_session_in_its_name_else_by_the_one_of_its_address(turn: Turn) -> None:
    session = turn.claimed()
    turn.remember(session=session)
    turn.pass_gates(gate(session="f" * 32))
    assert turn.asked[0][:4] == ("f" * 32, ADDRESS, NAME, "t1")
    turn.pass_gates(gate())
    assert turn.asked[0][:4] == (session, ADDRESS, NAME, "t1")


def test_a_gate_that_the_ledger_refuses_says_why_to_the_client_too(turn: Turn) -> None:
    waiting = gate()
    (passage,) = turn.pass_gates(waiting)
    assert (passage.result, passage.reason.code, passage.session) == ("refused", "no_session", None)
    assert (turn.opened, turn.refused) == ([], [(waiting, passage.reason.text)])


def test_a_second_transfer_of_a_launched_file_is_refused_with_its_device(turn: Turn) -> None:
    session = turn.claimed()
    turn.pass_gates(gate())
    (passage,) = turn.pass_gates(gate(transfer="t2"))
    assert (passage.result, passage.reason.code) == ("refused", "already_offered")
    assert (passage.device, passage.deployment, passage.session) == ("web01", DEPLOYMENT, session)
    assert len(turn.opened) == 1


def test_an_available_deployment_opens_its_own_image_at_once_without_the_ledger(turn: Turn) -> None:
    known = turn.remember(prompt=True)
    waiting = gate()
    desk = turn.gates()
    prepared = desk.prepare([waiting])
    assert turn.opened == [waiting]
    assert (prepared.gates, prepared.launches) == ([], [])
    (passage,) = desk.settle(prepared, Verdict())
    assert (passage.result, passage.reason.code, passage.reason.rule) == (
        "opened",
        "available_deployment",
        "CM-74",
    )
    assert passage.reason.text == "an available deployment was offered to this address"
    assert passage[3:] == (known.device, known.deployment, None, MAC)


def test_an_available_deployment_opens_no_other_image(turn: Turn) -> None:
    turn.remember(prompt=True, image="PS100009")
    (passage,) = turn.pass_gates(gate())
    assert turn.asked[0].session is None, "the session of a prompted boot is none of the ledger's"
    assert (passage.result, passage.reason.code) == ("refused", "no_session")
    assert (passage.device, passage.deployment) == ("a device", "PS120009")


@pytest.mark.parametrize("prompt", [True, False])
def test_a_dry_run_opens_nothing_and_asks_nobody(turn: Turn, prompt: bool) -> None:
    turn.remember(prompt=prompt, session=turn.claimed())
    (passage,) = turn.pass_gates(gate(), dry_run=True)
    assert (passage.result, passage.reason.code, passage.reason.rule) == ("refused", "dry_run", "R-61")
    assert passage.reason.text == "this is a dry run: no launch file is completed"
    assert (turn.asked, turn.opened) == ([], [])


@pytest.mark.parametrize("prompt", [True, False])
def test_while_nothing_may_be_handed_out_no_gate_opens(turn: Turn, prompt: bool) -> None:
    turn.remember(prompt=prompt, session=turn.claimed())
    turn.view.unreadable = "the library is damaged"
    (passage,) = turn.pass_gates(gate())
    assert (passage.result, passage.reason.code, passage.reason.text) == (
        "refused", "site_unreadable", "the library is damaged",
    )  # fmt: skip
    assert (turn.asked, turn.opened) == ([], [])


def test_a_halt_shuts_the_gates_of_required_deployments_alone(turn: Turn, halt: Halt) -> None:
    turn.claimed()
    halt.on("wrong image")
    (passage,) = turn.pass_gates(gate())
    assert (passage.result, passage.reason.code) == ("refused", "halted")
    assert (turn.asked, turn.opened) == ([], [])
    turn.remember(prompt=True)
    (passage,) = turn.pass_gates(gate())
    assert passage.result == "opened"


def test_a_halt_during_the_write_shuts_the_gate_that_the_ledger_let_through(turn: Turn, halt: Halt) -> None:
    session = turn.claimed()
    waiting = gate()
    (passage,) = turn.pass_gates(waiting, during=lambda: halt.on("wrong image"))
    assert turn.opened == []
    assert turn.refused == [(waiting, passage.reason.text)]
    assert passage == Passage(waiting, "refused", passage.reason, "web01", DEPLOYMENT, session, None)
    assert passage.reason.code == "halted"
    assert turn.view.site.live[1].state == "LAUNCHED", "what was written is known"


def test_what_the_ledger_refuses_keeps_its_own_reason_also_while_halted(turn: Turn, halt: Halt) -> None:
    (passage,) = turn.pass_gates(gate(), during=lambda: halt.on("wrong image"))
    assert passage.reason.code == "no_session"


def test_an_excluded_machine_gets_no_launch_file_even_if_it_was_offered_one(
    turn: Turn, tmp_path: Path
) -> None:
    turn.remember(session=turn.claimed())
    listed = tmp_path / "excluded.txt"
    listed.write_text(f"{MAC}\n")
    turn.store.dps.set(mac_ignore_list_file=str(listed))
    turn.view.refresh()
    (passage,) = turn.pass_gates(gate())
    assert (passage.result, passage.reason.code, passage.reason.rule) == ("refused", "excluded", "CM-58")
    assert MAC in passage.reason.text
    assert (turn.asked, turn.opened) == ([], [])


def test_the_list_excludes_no_other_machine(turn: Turn, tmp_path: Path) -> None:
    turn.remember(session=turn.claimed())
    listed = tmp_path / "excluded.txt"
    listed.write_text("00:11:22:33:44:02\n")
    turn.store.dps.set(mac_ignore_list_file=str(listed))
    turn.view.refresh()
    (passage,) = turn.pass_gates(gate())
    assert passage.result == "launched"


def test_after_a_write_that_failed_every_gate_that_waited_for_it_is_refused(turn: Turn) -> None:
    turn.remember(session=turn.claimed())
    desk = turn.gates()
    failed = Reason("ledger_unavailable", "the ledger could not be written", "T18")
    waiting = desk.prepare([gate(transfer="t1"), gate(transfer="t2", address="10.0.0.9")])
    passages = desk.settle(waiting, Verdict(failed=failed))
    assert [passage.result for passage in passages] == ["refused", "refused"]
    assert [passage.reason for passage in passages] == [failed, failed]
    assert [passage.mac for passage in passages] == [MAC, None]
    assert [text for _, text in turn.refused] == [failed.text] * 2
    assert turn.opened == []


def test_each_gate_of_a_turn_gets_its_own_answer(turn: Turn) -> None:
    first, second = turn.claimed(1), turn.claimed(2)
    turn.memory.note(("10.0.0.8",), Handed(True, "p", IMAGE, "PS120009", "prompted", 8, "02:00:00:00:00:08"))
    gates = [
        gate(transfer="t1", address="10.0.0.1"),
        gate(transfer="t2", address="10.0.0.7"),
        gate(transfer="t3", address="10.0.0.8"),
        gate(transfer="t4", address="10.0.0.2"),
    ]
    found = {passage.gate.transfer: passage for passage in turn.pass_gates(*gates)}
    assert {name: passage.result for name, passage in found.items()} == {
        "t1": "launched", "t2": "refused", "t3": "opened", "t4": "launched",
    }  # fmt: skip
    assert (found["t1"].session, found["t4"].session) == (first, second)
    assert (found["t1"].device, found["t4"].device) == ("web01", "web02")


def test_the_program_of_an_earlier_stage_is_opened_and_nothing_is_launched(turn: Turn) -> None:
    image = turn.store.boot_images.add("two", "x64", Path("/x"), {"uefi": "ipxe.efi", "ipxe": "boot.ipxe"})
    sequence = turn.store.task_sequences.create("two", image.id)
    other = turn.store.deployments.create(sequence.id, "rack", "required", "media-pxe").id
    last = f"SMSImages/{image.id}/boot.ipxe"
    session = marked(one(turn.ledger, claim(1, other, launch=last))).session
    (passage,) = turn.pass_gates(gate(name=f"SMSImages/{image.id}/ipxe.efi"))
    assert (passage.result, passage.reason.code, passage.session) == ("opened", "earlier_stage", session)
    assert len(turn.opened) == 1
    assert turn.ledger.counts()["CLAIMED"] == 1


# The durable write.


def test_a_turn_without_work_writes_nothing_and_knows_everything(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn.ledger, "commit", lambda *_: 1 / 0)
    assert turn.barrier.commit((), ()) == Verdict()


def test_what_was_written_is_known_to_the_next_decision(turn: Turn) -> None:
    verdict = turn.barrier.commit([claim(1), claim(2)], ())
    assert [result.ok for result in verdict.claims] == [True, True]
    assert {number: mark.state for number, mark in turn.view.site.live.items()} == {
        1: "CLAIMED",
        2: "CLAIMED",
    }
    verdict = turn.barrier.commit((), [Launch(None, ADDRESS, NAME, "t1", claim(1).now)])
    assert verdict.launches[0].launched
    assert verdict.failed is None
    assert turn.view.site.live[1].state == "LAUNCHED"


def test_a_claim_is_in_the_journal_before_the_turn_goes_on(turn: Turn) -> None:
    turn.barrier.check()
    before = turn.journal.file.read_text()
    turn.barrier.commit([claim(1)], ())
    written = turn.journal.file.read_text().removeprefix(before)
    assert "ledger claim" in written


def test_a_ledger_that_cannot_be_written_fails_the_turn_and_everything_required(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no such disk")

    monkeypatch.setattr(turn.ledger, "commit", broken)
    verdict = turn.barrier.commit([claim(1)], ())
    assert verdict.failed is not None
    assert (verdict.failed.code, verdict.failed.rule) == ("ledger_unavailable", "T18")
    assert verdict.failed.text == "the ledger could not be written: no such disk"
    assert verdict.claims == ()
    off = turn.view.required_off()
    assert off is not None
    assert off.code == "database_unavailable"
    assert "no such disk" in off.text


def test_a_journal_that_cannot_be_written_fails_the_turn_though_the_ledger_knows(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(store: Store) -> None:
        raise OSError("no room")

    monkeypatch.setattr(turn.witnesses, "catch_up", broken)
    verdict = turn.barrier.commit([claim(1)], ())
    assert verdict.failed is not None
    assert (verdict.failed.code, verdict.failed.rule) == ("journal_broken", "D23")
    assert "the audit journal cannot be written: no room" in verdict.failed.text
    assert turn.view.required_off() == verdict.failed
    assert turn.view.launches_off() == verdict.failed
    assert turn.view.site.live[1].state == "CLAIMED"
    monkeypatch.undo()
    turn.barrier.check()
    assert turn.view.required_off() is None


def test_a_journal_that_disagrees_turns_required_deployments_off_with_its_reason(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn.witnesses, "check", lambda store: "they differ")
    turn.barrier.check()
    off = turn.view.required_off()
    assert off is not None
    assert off.code == "journal_broken"
    assert "they differ" in off.text

    def broken(store: Store) -> None:
        raise OSError("no disk")

    monkeypatch.setattr(turn.witnesses, "check", broken)
    turn.barrier.check()
    off = turn.view.required_off()
    assert off is not None
    assert "the audit journal cannot be checked: no disk" in off.text


def test_what_the_journal_mended_is_told_once(turn: Turn) -> None:
    turn.journal.told = ["a line was cut"]
    assert turn.barrier.mended() == ["a line was cut"]
    assert turn.barrier.mended() == []


ASK = Ask(1, DEPLOYMENT, IMAGE)


def test_what_a_boot_without_a_claim_needs_is_read_beside_the_claims(turn: Turn) -> None:
    verdict = turn.barrier.commit([claim(1)], (), [ASK, ASK])
    assert len(verdict.facts) == 2
    assert verdict.unread is None
    assert verdict.claims[0].ok
    assert turn.barrier.commit((), (), [ASK]).facts == verdict.facts[:1]


def test_nothing_is_read_from_a_database_that_is_gone(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    turn.view.doubt(OSError("gone"))
    monkeypatch.setattr(turn.store, "read", lambda: 1 / 0)
    verdict = turn.barrier.commit((), (), [ASK])
    assert (verdict.facts, verdict.failed) == ((), None)
    assert verdict.unread is not None
    assert verdict.unread.code == "database_unavailable"


def test_what_cannot_be_read_is_said_and_puts_the_database_in_doubt(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("no disk")

    monkeypatch.setattr(turn.store, "read", broken)
    verdict = turn.barrier.commit((), (), [ASK])
    assert verdict.unread is not None
    assert (verdict.unread.code, verdict.unread.rule) == ("site_unreadable", "T18")
    assert verdict.unread.text == "what the machine boots with cannot be read: no disk"
    assert turn.view.database_gone() is not None


def test_a_claim_that_was_refused_marks_what_stands(turn: Turn) -> None:
    one(turn.ledger, claim(1))
    launched = launch(turn.ledger, 1)
    verdict = turn.barrier.commit([claim(1, xid=99)], ())
    assert not verdict.claims[0].ok
    assert turn.view.site.live[1] == launched.mark
