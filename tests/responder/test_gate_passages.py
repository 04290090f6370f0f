"""What comes of each gate, whole: what is said to the client and in the event, and whose launch it was (I3)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pxefast.decide import Reason
from pxefast.responder.barrier import Verdict
from pxefast.responder.gates import Passage
from pxefast.site.device_rows import NewDevice
from pxefast.site.launches import LaunchResult

from ..site.ledger_case import DEPLOYMENT, NAME
from .turn import ADDRESS, MAC, Turn, gate

CARD, OTHER = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
STOP = Reason("no_space", "the disk is full", "D40")
OPENED = Reason("available_deployment", "an available deployment was offered to this address", "CM-74")


def exclude(turn: Turn, tmp_path: Path, *macs: str) -> None:
    listed = tmp_path / "excluded.txt"
    listed.write_text("".join(f"{mac}\n" for mac in macs))
    turn.store.dps.set(mac_ignore_list_file=str(listed))
    turn.view.refresh()


def test_a_gate_is_asked_for_with_all_that_the_ledger_writes_down_of_it(turn: Turn) -> None:
    before = time.time()
    turn.pass_gates(gate())
    (asked,) = turn.asked
    assert asked[:4] == (None, ADDRESS, NAME, "t1")
    assert before <= asked.now <= time.time()


ONE = Reason("excluded", f"MAC {MAC} is on the exclusion list", "CM-58")
CARDS = f"MAC {CARD} of device web01 is on the exclusion list, so that no network card of web01 is answered"


@pytest.mark.parametrize(
    ("listed", "reason"),
    [((MAC,), ONE), ((CARD,), Reason("excluded", CARDS, "D31")), ((MAC, CARD), ONE), ((OTHER,), None)],
)
def test_an_address_of_the_machine_in_the_list_is_named_to_the_client(
    turn: Turn, tmp_path: Path, listed: tuple[str, ...], reason: Reason | None
) -> None:
    turn.store.devices.set("web01", add_macs=(CARD,))
    turn.view.refresh()
    turn.remember(session=turn.claimed())
    exclude(turn, tmp_path, *listed)
    waiting = gate()
    (passage,) = turn.pass_gates(waiting)
    if reason is None:
        assert passage.result == "launched"
        return
    assert passage == Passage(waiting, "refused", reason, "a device", "PS120009", None, MAC)
    assert turn.refused == [(waiting, reason.text)]


def test_the_list_is_the_ledgers_where_nothing_is_remembered_of_the_address(
    turn: Turn, tmp_path: Path
) -> None:
    turn.claimed(1)
    turn.claimed(2)
    exclude(turn, tmp_path, MAC)
    first, second = turn.pass_gates(gate(), gate(transfer="t2", address="10.0.0.2"))
    assert len(turn.asked) == 2
    assert (first.reason.code, second.result) == ("excluded", "launched")


def test_a_machine_without_a_record_passes_unless_its_own_address_is_listed(
    turn: Turn, tmp_path: Path
) -> None:
    turn.claimed()
    exclude(turn, tmp_path, OTHER)
    known = turn.remember(prompt=True, mac=CARD)
    turn.memory.note((ADDRESS,), known._replace(device_id=None))
    assert turn.pass_gates(gate())[0].result == "opened"
    turn.memory.note((ADDRESS,), known._replace(device_id=None, mac=OTHER))
    assert turn.pass_gates(gate())[0].reason.code == "excluded"


def test_the_gates_after_one_that_is_decided_at_once_are_decided_too(turn: Turn) -> None:
    """Each way that a gate is decided at once, and then one that the ledger decides."""
    turn.claimed(1)
    turn.remember(prompt=True, session="p" * 32, image="PS100002")
    offered = gate(session="p" * 32)
    desk = turn.gates()
    waiting = desk.prepare([offered, gate(address="10.0.0.1", transfer="t2", session="f" * 32), offered])
    assert [passage.result for passage in waiting.decided] == ["opened", "opened"]
    assert [launch.transfer for launch in waiting.launches] == ["t2"]
    turn.view.full = STOP
    waiting = desk.prepare([gate(session="f" * 32), offered, gate(session="f" * 32, transfer="t3")])
    assert [(passage.result, passage.reason) for passage in waiting.decided] == [
        ("refused", STOP), ("opened", OPENED), ("refused", STOP),
    ]  # fmt: skip
    assert (waiting.gates, waiting.launches) == ([], [])


def test_a_passage_has_what_the_ledger_knows_before_what_is_remembered(turn: Turn) -> None:
    """The ledger's device, deployment and session; where it names none, those that were handed out."""
    known = turn.remember()
    waiting = turn.gates().prepare([gate(), gate(transfer="t2"), gate(transfer="t3", address="10.0.0.9")])
    assert len(waiting.gates) == 3
    done = Reason("launched", "recorded", "I3")
    results = [
        LaunchResult(False, done, session="s" * 32, device_id=2, deployment_id="PS120007"),
        LaunchResult(False, done),
        LaunchResult(False, done),
    ]
    passages = turn.gates().settle(waiting, Verdict(launches=results))
    assert [passage[3:] for passage in passages] == [
        ("web02", "PS120007", "s" * 32, MAC),
        (known.device, known.deployment, None, MAC),
        (None, None, None, None),
    ]
    assert [passage.result for passage in passages] == ["refused"] * 3
    assert [text for _, text in turn.refused] == ["recorded"] * 3


def test_a_session_says_whose_a_gate_is_from_whatever_address_it_is_asked_for(turn: Turn) -> None:
    turn.remember(session="s" * 32)
    failed = Verdict(failed=STOP)
    for address in ("10.0.0.9", ADDRESS):
        waiting = turn.gates().prepare([gate(session="s" * 32, address=address)])
        (passage,) = turn.gates().settle(waiting, failed)
        assert (passage.reason, passage.mac) == (STOP, MAC)
        assert turn.refused[-1] == (passage.gate, STOP.text) == (waiting.gates[0], STOP.text)
    waiting = turn.gates().prepare([gate(session="f" * 32)])
    assert turn.gates().settle(waiting, failed)[0].mac is None


def test_a_stop_during_the_write_is_said_of_what_was_let_through_alone(turn: Turn) -> None:
    session = turn.claimed()
    first, second = gate(), gate(transfer="t2", address="10.0.0.9")

    def stop() -> None:
        turn.view.full = STOP

    passages = turn.pass_gates(first, second, during=stop)
    assert passages[0] == Passage(first, "refused", STOP, "web01", DEPLOYMENT, session, None)
    assert passages[1].reason.code == "no_session"
    assert turn.opened == []


def test_the_spent_budget_does_not_stop_what_it_has_let_begin(turn: Turn) -> None:
    turn.claimed()
    turn.view.budget = Reason("budget_exhausted", "spent", "D6")
    (passage,) = turn.pass_gates(gate())
    assert passage.result == "launched"


def test_a_device_that_is_gone_from_the_site_is_not_in_the_list(turn: Turn, tmp_path: Path) -> None:
    turn.store.devices.add(NewDevice("web03", (OTHER,)))
    exclude(turn, tmp_path, OTHER)
    known = turn.remember(prompt=True)
    turn.memory.note((ADDRESS,), known._replace(device_id=77))
    assert turn.pass_gates(gate())[0].result == "opened"
