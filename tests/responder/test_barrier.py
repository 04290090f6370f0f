"""The durable write without ports or threads: what it is given, what it says when it fails, and what is known then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pxefast.decide import Reason
from pxefast.errors import CannotOpen
from pxefast.responder.barrier import Verdict
from pxefast.site.launches import Launch
from pxefast.site.session_facts import Ask
from pxefast.site.store import Store

from ..site.ledger_case import DEPLOYMENT, NAME, NOW, claim, marked, one
from .turn import ADDRESS, IMAGE, Turn

UNKNOWN = "required deployments are off: no such disk"


def fails(*_: object) -> Any:
    raise OSError("no such disk")


def exclude(turn: Turn, listed: Path, mac: str) -> None:
    listed.write_text(f"{mac}\n")
    turn.store.dps.set(mac_ignore_list_file=str(listed))
    turn.view.refresh()


def test_what_the_ledger_is_asked_for_it_gets_in_order_with_the_exclusion_list(
    turn: Turn, tmp_path: Path
) -> None:
    exclude(turn, tmp_path / "first.txt", "00:11:22:33:44:02")
    verdict = turn.barrier.commit([claim(2), claim(1)], ())
    assert [result.ok for result in verdict.claims] == [False, True]
    assert verdict.claims[0].reason.code == "excluded"
    assert verdict[1:] == ([], None, (), None)
    exclude(turn, tmp_path / "second.txt", "00:11:22:33:44:01")
    verdict = turn.barrier.commit((), [Launch(None, ADDRESS, NAME, "t1", NOW)])
    assert verdict.launches[0].reason.code == "excluded"


@pytest.mark.parametrize("at", ["claims", "launches"])
def test_the_next_decision_knows_each_row_that_was_written(turn: Turn, at: str) -> None:
    for device in (1, 2):
        if at == "launches":
            one(turn.ledger, claim(device))
            assert device not in turn.view.site.live
    claims = [claim(1), claim(2)] if at == "claims" else []
    launches = [Launch(None, f"10.0.0.{number}", NAME, "t1", NOW) for number in (1, 2)]
    turn.barrier.commit(claims, [] if claims else launches)
    state = "CLAIMED" if claims else "LAUNCHED"
    assert {number: mark.state for number, mark in turn.view.site.live.items()} == {1: state, 2: state}


def test_a_machine_without_a_record_that_is_refused_leaves_no_mark(turn: Turn) -> None:
    verdict = turn.barrier.commit([claim(None)], [Launch(None, "10.0.0.9", NAME, "t1", NOW)])
    assert not verdict.claims[0].ok
    assert turn.view.site.live == {}
    assert all(set(marks) <= {1, 2} for marks in turn.view.site.marks.values())


def test_a_device_that_the_deployment_does_not_reach_any_more_is_refused_and_leaves_no_mark(
    turn: Turn,
) -> None:
    verdict = turn.barrier.commit([claim(1, "PS120099"), claim(2)], ())
    assert [(result.ok, result.device_id) for result in verdict.claims] == [(False, 1), (True, 2)]
    assert verdict.claims[0].mark is None
    assert set(turn.view.site.live) == {2}


@pytest.mark.parametrize(
    ("part", "method", "failed"),
    [
        (
            "ledger",
            "commit",
            Reason("ledger_unavailable", "the ledger could not be written: no such disk", "T18"),
        ),
        (
            "witnesses",
            "catch_up",
            Reason(
                "journal_broken",
                "required deployments are off: the audit journal cannot be written: no such disk",
                "D23",
            ),
        ),
    ],
)
def test_a_write_that_failed_says_whose_and_holds_every_required_deployment(
    turn: Turn, monkeypatch: pytest.MonkeyPatch, part: str, method: str, failed: Reason
) -> None:
    monkeypatch.setattr(getattr(turn, part), method, fails)
    verdict = turn.barrier.commit([claim(1)], ())
    assert verdict.failed == failed
    if part == "ledger":
        assert verdict == Verdict(failed=failed)
        assert turn.view.required_off() == Reason("database_unavailable", UNKNOWN, "D10")
    else:
        assert turn.view.journal == failed


def test_facts_that_cannot_be_read_are_said_to_be_unread_and_the_database_is_in_doubt(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn.store, "read", fails)
    unread = Reason("site_unreadable", "what the machine boots with cannot be read: no such disk", "T18")
    assert turn.barrier.commit((), (), [Ask(1, DEPLOYMENT, IMAGE)]) == Verdict(unread=unread)
    assert turn.view.database_gone() == Reason("database_unavailable", UNKNOWN, "D10")


def test_the_results_of_the_write_stay_where_the_facts_cannot_be_read(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn.witnesses, "catch_up", lambda store: turn.view.doubt(OSError("no such disk")))
    verdict = turn.barrier.commit([claim(1)], (), [Ask(1, DEPLOYMENT, IMAGE)])
    assert verdict.claims[0].ok
    assert verdict.unread == Reason("database_unavailable", UNKNOWN, "D10")
    assert verdict.facts == ()


def test_each_machine_gets_its_own_facts_with_the_sizes_of_this_distribution_point(turn: Turn) -> None:
    turn.store.dps.set("dp1", ramdisk_tftp_block_size=1456)
    turn.store.devices.variables.set("web02", "Role", "db")
    first, second = turn.barrier.commit((), (), [Ask(1, DEPLOYMENT, IMAGE), Ask(2, DEPLOYMENT, IMAGE)]).facts
    assert (first.block_size.value, second.block_size.value) == (1456, 1456)
    assert (sorted(first.variables), sorted(second.variables)) == ([], ["Role"])


# The journal.


def test_the_journal_is_brought_level_with_the_database_that_was_written(turn: Turn) -> None:
    turn.barrier.check()
    assert turn.view.journal is None
    marked(one(turn.ledger, claim(1)))
    assert turn.barrier.catch_up() is None
    assert turn.journal.file.read_text().count("ledger claim") == 1
    turn.view.journal = Reason("journal_broken", "an older one", "D23")
    turn.barrier.check()
    assert turn.view.journal is None, "both tell the same story"


def test_a_check_that_fails_says_why_and_so_does_one_that_finds_something(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Store] = []
    monkeypatch.setattr(turn.witnesses, "check", lambda store: seen.append(store) or "they differ")
    turn.barrier.check()
    assert turn.view.journal == Reason("journal_broken", "required deployments are off: they differ", "D23")
    assert seen == [turn.store]
    monkeypatch.setattr(turn.witnesses, "check", fails)
    turn.barrier.check()
    text = "required deployments are off: the audit journal cannot be checked: no such disk"
    assert turn.view.journal == Reason("journal_broken", text, "D23")


def test_claims_can_be_recorded_again_once_database_and_journal_take_a_write(
    turn: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    monkeypatch.setattr(turn.store, "probe", lambda: done.append("database"))
    monkeypatch.setattr(turn.witnesses, "catch_up", done.append)
    turn.barrier.prove()
    assert done == ["database", turn.store]

    def full(*_: object) -> None:
        raise CannotOpen("the disk is full")

    monkeypatch.setattr(turn.witnesses, "catch_up", full)
    with pytest.raises(CannotOpen, match="the disk is full"):
        turn.barrier.prove()
    monkeypatch.setattr(turn.store, "probe", full)
    monkeypatch.setattr(turn.witnesses, "catch_up", lambda store: pytest.fail("nothing is tried further"))
    with pytest.raises(CannotOpen, match="the disk is full"):
        turn.barrier.prove()
