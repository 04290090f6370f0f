"""What each event says in each state, and what it leaves in the row."""

from __future__ import annotations

from typing import Any

import pytest
from pxefast.decide.records import Mark, State
from pxefast.site.protocol import (
    Approving,
    Clearing,
    Event,
    Holding,
    Launching,
    Limits,
    Reporting,
    Row,
    TimePassing,
    Yielding,
    same_file,
    step,
    successor,
)

from .test_protocol import claiming

CLAIMED_AT, LAUNCHED_AT, REPORTED_AT, NOW = 1_700_000_000.0, 1_700_000_100.0, 1_700_000_200.0, 1_700_000_300.0
CLAIM_TIME, LAUNCH_TIME, REPORT_TIME = "22:13:20", "22:15:00", "22:16:40"
ID = "PS120001"
LIMITS = Limits(900, 1800, 86400, 24, 5)


def row(start: State, /, **more: Any) -> Row:
    """A row in state `start`, of generation 3 that was claimed, launched and reported at times that tell them apart."""
    before = Row(
        1, ID, 3, start, CLAIMED_AT - 100, 2, "old", "token", "dp1", "10.0.0.1", 1, 7, CLAIMED_AT,
        CLAIMED_AT, "file",
    )  # fmt: skip
    if start in ("ARMED", "CLEARED"):
        before = Row(1, ID, 3, start, CLAIMED_AT - 100, 2)
    elif start != "CLAIMED":
        before = before._replace(transfer="t0", launched_at=LAUNCHED_AT)
    if start in ("STARTED", "DONE", "FAILED"):
        before = before._replace(reported_at=REPORTED_AT)
    if start == "HOLD":
        before = before._replace(why="a person said so")
    return before._replace(**more)


SECOND = claiming()
LAUNCH = Launching("file", "t1", "10.0.0.1")

# Event, state, then the code and the rule of the reason, and words that it must hold.
REASONS: list[tuple[Event, State, str, str, tuple[str, ...]]] = [
    (SECOND, "ARMED", "claimed", "I1", ("claimed in the ledger",)),
    (SECOND, "CLAIMED", "same_session", "F-42", (ID,)),
    (SECOND, "LAUNCHED", "already_offered", "CM-77", (ID, LAUNCH_TIME)),
    (SECOND, "STARTED", "already_offered", "CM-77", (ID, LAUNCH_TIME, "start")),
    (SECOND, "DONE", "already_offered", "CM-77", (ID, LAUNCH_TIME, "done")),
    (SECOND, "FAILED", "already_offered", "CM-77", (ID, LAUNCH_TIME, "failed")),
    (SECOND, "HOLD", "hold", "R-81b", (ID, "a person said so")),
    (SECOND, "CLEARED", "unknown_session", "I2", ("there is no such session now",)),
    (LAUNCH, "ARMED", "unknown_session", "I2", ("there is no such session now",)),
    (LAUNCH, "CLAIMED", "launched", "I3", (f"{ID} launched by file",)),
    (LAUNCH, "LAUNCHED", "already_offered", "CM-77", (ID, LAUNCH_TIME)),
    (LAUNCH, "HOLD", "hold", "R-81b", (ID, "a person said so")),
    (Reporting("started", ""), "ARMED", "unknown_session", "I2", ("there is no such session now",)),
    (Reporting("started", ""), "CLAIMED", "reported", "G3", (f"{ID} is reported started",)),
    (Reporting("done", ""), "LAUNCHED", "reported", "G3", (f"{ID} is reported done",)),
    (Reporting("failed", ""), "STARTED", "reported", "G3", (f"{ID} is reported failed",)),
    (Reporting("failed", ""), "DONE", "contradicts", "G3", (f"{ID} was reported done before",)),
    (Reporting("done", ""), "FAILED", "contradicts", "G3", (f"{ID} was reported failed before",)),
    (Reporting("started", "", False), "HOLD", "reported", "G3", (f"{ID} is reported started",)),
    (Yielding(), "ARMED", "unchanged", "", ("nothing to do",)),
    (Yielding(), "CLAIMED", "unchanged", "", ("nothing to do",)),
    (Yielding(), "LAUNCHED", "waits_behind", "D34", (ID,)),
    (Yielding(), "STARTED", "waits_behind", "D34", (ID,)),
    (TimePassing(), "CLAIMED", "unchanged", "", ("nothing to do",)),
    (Holding("stop"), "CLAIMED", "hold", "G3", ("stop",)),
    (Holding("stop"), "DONE", "already_offered", "CM-77", (ID, LAUNCH_TIME)),
    (Approving(), "DONE", "unchanged", "R-58", ("it is DONE and needs no approval",)),
    (Approving(), "ARMED", "unchanged", "R-58", ("it is ARMED and needs no approval",)),
    (Clearing(False), "ARMED", "unchanged", "R-64", ("it waits for the device's next boot already",)),
    (Clearing(False), "CLEARED", "unchanged", "R-64", ("it waits for the device's next boot already",)),
    (Clearing(False), "STARTED", "started", "D11", (ID, REPORT_TIME, "--force")),
    (Clearing(False), "DONE", "cleared", "D11", ("cleared",)),
    (Clearing(True), "STARTED", "cleared", "D11", ("cleared",)),
]


@pytest.mark.parametrize(
    ("event", "state", "code", "rule", "words"),
    REASONS,
    ids=[f"{type(event).__name__}-{state}-{number}" for number, (event, state, *_) in enumerate(REASONS)],
)
def test_every_event_says_the_reason_of_the_state(
    event: Event, state: State, code: str, rule: str, words: tuple[str, ...]
) -> None:
    _, said = step(row(state), event, NOW, LIMITS)
    assert (said.reason.code, said.reason.rule) == (code, rule)
    assert said.ok is True or said.ok is False
    for word in words:
        assert word in said.reason.text
    assert "None" not in said.reason.text
    assert "XX" not in said.reason.text


def test_a_claim_whose_launch_file_is_not_known_says_when_it_was_claimed() -> None:
    unknown = row("CLAIMED", launch=None)
    _, said = step(unknown, claiming(), NOW, LIMITS)
    assert (said.ok, said.reason.code) == (False, "already_offered")
    assert CLAIM_TIME in said.reason.text
    _, other = step(unknown, Yielding(), NOW, LIMITS)
    assert (other.ok, other.reason.code) == (False, "other_session")
    assert ID in other.reason.text


def test_a_launch_that_is_refused_says_what_does_not_fit() -> None:
    _, said = step(row("CLAIMED"), Launching("file", "t1", "10.0.0.2"), NOW, LIMITS)
    assert (said.ok, said.reason.code, said.reason.rule) == (False, "other_peer", "I3")
    assert said.reason.text == f"the session of {ID} is at 10.0.0.1, not at 10.0.0.2"
    _, said = step(row("CLAIMED"), Launching("other", "t1", "10.0.0.1"), NOW, LIMITS)
    assert (said.ok, said.reason.code, said.reason.rule) == (False, "not_launch_file", "I3")
    assert said.reason.text == f"other is not the launch file of the session of {ID} (file)"
    _, said = step(row("CLAIMED", launch=None), LAUNCH, NOW, LIMITS)
    assert said.reason.text.endswith("(unknown)")


def test_a_hold_and_a_launch_without_words_still_say_something() -> None:
    _, said = step(row("HOLD", why=None), SECOND, NOW, LIMITS)
    assert "nobody said why" in said.reason.text
    _, said = step(row("LAUNCHED", launched_at=None), SECOND, NOW, Limits(900))
    assert said.reason.code == "already_offered"
    assert "1970" not in said.reason.text
    assert ID in said.reason.text


def test_a_report_to_an_armed_row_is_unknown_whatever_session_it_names() -> None:
    before = row("ARMED", session="old")
    after, said = step(before, Reporting("done", ""), NOW, LIMITS)
    assert (after, said.ok, said.reason.code) == (before, False, "unknown_session")


def test_a_start_without_its_time_is_said_to_be_of_the_first_second_that_is_counted() -> None:
    _, said = step(row("STARTED", reported_at=None), Clearing(False), NOW, LIMITS)
    assert "1970-01-01 00:00:00" in said.reason.text


def test_a_report_of_a_run_that_was_cleared_says_so() -> None:
    _, said = step(row("DONE", state="CLEARED"), Reporting("done", ""), NOW, LIMITS)
    assert (said.ok, said.reason.code, said.reason.rule) == (False, "cleared", "I5")
    assert ID in said.reason.text
    assert "XX" not in said.reason.text


def test_arming_that_ran_out_is_said_with_its_hours_and_given_anew() -> None:
    late = row("ARMED", armed_at=NOW - 25 * 3600)
    after, said = step(late, SECOND, NOW, LIMITS)
    assert (after, said.ok, said.reason.code) == (late, False, "arming_expired")
    assert "24" in said.reason.text
    assert ID in said.reason.text
    after, said = step(late, Approving(), NOW, LIMITS)
    assert (after, said.ok) == (late._replace(armed_at=NOW), True)
    assert (said.reason.code, said.reason.text, said.reason.rule) == ("armed", "armed again", "R-63")


def test_arming_lasts_to_the_second() -> None:
    assert step(row("ARMED", armed_at=NOW - 24 * 3600), SECOND, NOW, LIMITS)[1].ok
    assert not step(row("ARMED", armed_at=NOW - 24 * 3600 - 1), SECOND, NOW, LIMITS)[1].ok
    assert not step(row("ARMED", armed_at=NOW - 24 * 3600), Approving(), NOW, LIMITS)[1].ok
    assert row("ARMED").armed_until(0) == float("inf")
    assert row("ARMED", armed_at=0.0).armed_until(1) == 3600.0


def test_a_new_claim_fills_the_row_and_keeps_what_it_was_armed_with() -> None:
    after, _ = step(row("ARMED"), claiming(xid=8, stage=3), NOW, LIMITS)
    assert after == Row(
        1,
        ID,
        3,
        "CLAIMED",
        CLAIMED_AT - 100,
        2,
        "new",
        "new token",
        "dp2",
        "10.0.0.1",
        3,
        8,
        NOW,
        NOW,
        "file",
        mac="",
    )


def test_a_claim_that_comes_again_after_its_session_is_returned_and_counted() -> None:
    now = CLAIMED_AT + 901
    after, _ = step(row("CLAIMED"), claiming(xid=8, stage=3), now, LIMITS)
    assert after == Row(
        1,
        ID,
        3,
        "CLAIMED",
        CLAIMED_AT - 100,
        3,
        "new",
        "new token",
        "dp2",
        "10.0.0.1",
        3,
        8,
        now,
        now,
        "file",
        mac="",
    )


def test_a_claim_makes_way_for_another_deployment_without_being_counted() -> None:
    after, said = step(row("CLAIMED"), Yielding(), NOW, LIMITS)
    assert after == Row(1, ID, 3, "ARMED", CLAIMED_AT - 100, 2)
    assert said.ok


def test_a_later_stage_a_repeat_and_a_restart_note_what_is_newest_of_them() -> None:
    mac = "02:00:00:00:00:01"
    before = row("CLAIMED", stepped_at=CLAIMED_AT + 10, step=1, mac=mac)
    later, _ = step(before, claiming(xid=9, stage=3, peer="10.0.0.7")._replace(mac=mac), NOW, LIMITS)
    assert later == before._replace(owner="dp2", peer="10.0.0.7", step=3, xid=9, stepped_at=NOW)
    soon = CLAIMED_AT + 20
    repeat, _ = step(before, claiming(xid=7, stage=1), soon, LIMITS)
    assert repeat == before._replace(owner="dp2"), "a repeat does not begin anything"
    restart, _ = step(before, claiming(xid=9, stage=0), soon, LIMITS)
    assert restart == before._replace(owner="dp2", step=0, xid=9, stepped_at=soon)
    nowhere, _ = step(before, claiming(xid=7, stage=1)._replace(peer=None), soon, LIMITS)
    assert nowhere.peer == "10.0.0.1", "an address that is not known leaves the one that is"
    first, _ = step(before._replace(step=None), claiming(xid=9, stage=1), soon, LIMITS)
    assert (first.step, first.xid) == (1, 9)


def test_the_newest_word_on_the_launch_file_counts_and_none_changes_nothing() -> None:
    for before, word, after in (("file", "other", "other"), ("file", None, "file"), (None, "other", "other")):
        claimed = row("CLAIMED", launch=before)
        assert step(claimed, claiming(xid=9, stage=3, launch=word), NOW, LIMITS)[0].launch == after


def test_a_repeat_of_a_claim_of_unknown_end_is_known_by_its_transaction() -> None:
    unknown = row("CLAIMED", launch=None)
    assert step(unknown, claiming(xid=7, stage=1), CLAIMED_AT + 20, LIMITS)[1].ok
    assert not step(unknown, claiming(xid=8, stage=1), CLAIMED_AT + 20, LIMITS)[1].ok


def test_a_launch_notes_its_transfer_its_address_and_its_time() -> None:
    after, _ = step(row("CLAIMED", peer=None), LAUNCH, NOW, LIMITS)
    assert after == row("CLAIMED", peer="10.0.0.1", state="LAUNCHED", transfer="t1", launched_at=NOW)


def test_a_report_notes_its_time_and_its_words_and_keeps_the_launch() -> None:
    after, _ = step(row("LAUNCHED"), Reporting("failed", "no disk"), NOW, LIMITS)
    assert after == row("LAUNCHED", state="FAILED", reported_at=NOW, why="no disk")
    after, _ = step(row("CLAIMED"), Reporting("started", ""), NOW, LIMITS)
    assert (after.state, after.launched_at, after.why) == ("STARTED", NOW, None)
    for state in ("DONE", "FAILED", "STARTED"):
        again: Any = {"DONE": "done", "FAILED": "failed", "STARTED": "started"}[state]
        before = row(state)  # type: ignore[arg-type]
        assert step(before, Reporting(again, "once more"), NOW, LIMITS)[0] == before
        assert step(row("DONE"), Reporting("started", ""), NOW, LIMITS)[0] == row("DONE")


def test_a_late_start_is_noted_in_the_row_that_stays_held() -> None:
    after, _ = step(row("HOLD"), Reporting("started", "", False), NOW, LIMITS)
    assert after == row("HOLD", reported_at=NOW, why="a person said so; reported started late")


def test_a_person_holds_a_row_with_the_words_given() -> None:
    after, said = step(row("CLAIMED"), Holding("stop"), NOW, LIMITS)
    assert (after, said.reason.text) == (row("CLAIMED", state="HOLD", why="stop"), "stop")


def test_a_refused_event_leaves_the_row_as_it_is() -> None:
    for state in ("DONE", "FAILED", "CLEARED"):
        before = row(state)  # type: ignore[arg-type]
        assert step(before, Holding("stop"), NOW, LIMITS)[0] == before
    for event in (Clearing(False), Clearing(True)):
        for state in ("ARMED", "CLEARED"):
            assert step(row(state), event, NOW, LIMITS)[0] == row(state)  # type: ignore[arg-type]


def test_time_moves_a_row_on_one_second_after_its_limit_and_not_before() -> None:
    limits = [
        ("CLAIMED", {"launch": None}, CLAIMED_AT + 900),
        ("CLAIMED", {"returns": 5}, CLAIMED_AT + 900),
        ("LAUNCHED", {}, LAUNCHED_AT + 1800),
        ("STARTED", {}, REPORTED_AT + 86400),
    ]
    for state, more, at in limits:
        before = row(state, **more)  # type: ignore[arg-type]
        assert step(before, TimePassing(), at, LIMITS)[0] == before
        assert step(before, TimePassing(), at + 1, LIMITS)[0] != before


def test_what_time_makes_of_a_row_says_why() -> None:
    late = CLAIMED_AT + 1e6
    after, _ = step(row("CLAIMED", launch=None), TimePassing(), late, LIMITS)
    assert after == row("CLAIMED", launch=None, state="LAUNCHED", launched_at=CLAIMED_AT)
    after, _ = step(row("CLAIMED", returns=5), TimePassing(), late, LIMITS)
    assert after == row(
        "CLAIMED", returns=5, state="HOLD", why="it was handed out 6 times and never launched"
    )
    after, _ = step(row("LAUNCHED"), TimePassing(), late, LIMITS)
    assert after == row("LAUNCHED", state="HOLD", why="launched, and nothing reported its start")
    after, _ = step(row("STARTED"), TimePassing(), late, LIMITS)
    assert after == row("STARTED", state="HOLD", why="started, and nothing reported its end")
    for state in ("ARMED", "DONE", "FAILED", "HOLD", "CLEARED"):
        assert step(row(state), TimePassing(), late, LIMITS)[0] == row(state)  # type: ignore[arg-type]


def test_a_row_that_never_had_the_time_is_old() -> None:
    assert step(row("LAUNCHED", launched_at=None), TimePassing(), NOW, LIMITS)[0].state == "HOLD"
    barely = Limits(900, started_seconds=NOW - 0.5)
    assert step(row("LAUNCHED", launched_at=None), TimePassing(), NOW, barely)[0].state == "HOLD"


def test_the_next_generation_is_armed_now_and_knows_nothing_of_the_last() -> None:
    assert successor(row("DONE", state="CLEARED"), NOW) == Row(1, ID, 4, "ARMED", NOW)


def test_a_mark_says_of_a_row_what_decisions_need() -> None:
    full = row("HOLD", step=2, xid=9, stepped_at=CLAIMED_AT + 5)
    assert full.mark == Mark(
        ID, 3, "HOLD", CLAIMED_AT - 100, CLAIMED_AT, 2, 9, "old", CLAIMED_AT + 5, True, 2, LAUNCHED_AT,
        "a person said so", None, "10.0.0.1", LAUNCHED_AT,
    )  # fmt: skip
    assert row("ARMED").mark == Mark(ID, 3, "ARMED", CLAIMED_AT - 100, returns=2)
    assert row("CLAIMED", launch=None).mark.returnable is False


def test_two_spellings_of_a_name_are_one_file() -> None:
    assert same_file(r"SMSImages\PS1\Boot.EFI", "smsimages/ps1/boot.efi")
    assert same_file("smsimages/ps1/boot.efi", r"SMSImages\PS1\Boot.EFI")
    assert same_file("STRASSE", "straße")
    assert not same_file("a/b", "a/c")
    assert not same_file("a/b", "ab")
