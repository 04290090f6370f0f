"""What each event makes of a row in each state. No database."""

from __future__ import annotations

import random
from typing import get_args

import pytest
from pxefast.decide.records import State
from pxefast.site.protocol import (
    Approving,
    Claiming,
    Clearing,
    Event,
    Holding,
    Launching,
    Limits,
    Reporting,
    Row,
    TimePassing,
    Withdrawing,
    Yielding,
    step,
    successor,
)
from pxefast.site.schema import LIVE

STATES: tuple[State, ...] = get_args(State)
NOW = 1_700_000_000.0
LIMITS = Limits(
    session_seconds=900,
    started_seconds=1800,
    finished_seconds=86400,
    armed_hours=24,
    max_returns=5,
    settles_hours=4,
)
# A claim looks at other rows with these: only the sweep holds what says nothing.
CLAIMING = LIMITS._replace(started_seconds=None, finished_seconds=None)


def row(state: State, launch: str | None = "file", age: float = 100, returns: int = 0) -> Row:
    """A row whose newest time lies `age` seconds back."""
    then = NOW - age
    if state == "ARMED":
        return Row(1, "PS120001", 1, "ARMED", then, returns)
    return Row(
        1, "PS120001", 1, state, then, returns, "old", "token", "dp1", "10.0.0.1", 1, 7, then, then, launch,
        None if state == "CLAIMED" else "t0",
        None if state == "CLAIMED" else then,
        then if state in ("STARTED", "DONE", "FAILED") else None,
        "a person said so" if state == "HOLD" else None,
    )  # fmt: skip


def claiming(xid: int = 8, stage: int = 1, launch: str | None = "file", peer: str = "10.0.0.1") -> Claiming:
    return Claiming(stage, xid, launch, peer, "dp2", "new", "new token")


CLAIM = claiming()
LAUNCH = Launching("file", "t1", "10.0.0.1")
EVENTS: dict[str, Event] = {
    "a new boot": CLAIM,
    "a repeat": claiming(xid=7),
    "launch": LAUNCH,
    "started": Reporting("started", ""),
    "done": Reporting("done", ""),
    "failed": Reporting("failed", "disk"),
    "time": TimePassing(),
    "another deployment": Yielding(),
    "hold": Holding("why"),
    "approve": Approving(),
    "clear": Clearing(False),
    "forced clear": Clearing(True),
    "removal": Withdrawing(),
}

# The state after each event, and whether it was accepted, for a session of 100 s.
TABLE = """
                   ARMED      CLAIMED    LAUNCHED    STARTED     DONE       FAILED     HOLD       CLEARED    WITHDRAWN
a new boot         CLAIMED+   CLAIMED+   LAUNCHED-   STARTED-    DONE-      FAILED-    HOLD-      CLEARED-   WITHDRAWN-
a repeat           CLAIMED+   CLAIMED+   LAUNCHED-   STARTED-    DONE-      FAILED-    HOLD-      CLEARED-   WITHDRAWN-
launch             ARMED-     LAUNCHED+  LAUNCHED-   STARTED-    DONE-      FAILED-    HOLD-      CLEARED-   WITHDRAWN-
started            ARMED-     STARTED+   STARTED+    STARTED+    DONE+      FAILED+    STARTED+   CLEARED-   WITHDRAWN+
done               ARMED-     DONE+      DONE+       DONE+       DONE+      FAILED-    DONE+      CLEARED-   DONE+
failed             ARMED-     FAILED+    FAILED+     FAILED+     DONE-      FAILED+    FAILED+    CLEARED-   FAILED+
time               ARMED+     CLAIMED+   LAUNCHED+   STARTED+    DONE+      FAILED+    HOLD+      CLEARED+   WITHDRAWN+
another deployment ARMED+     ARMED+     LAUNCHED-   STARTED-    DONE+      FAILED+    HOLD-      CLEARED+   WITHDRAWN-
hold               HOLD+      HOLD+      HOLD+       HOLD+       DONE-      FAILED-    HOLD+      CLEARED-   WITHDRAWN-
approve            ARMED-     CLAIMED-   LAUNCHED-   STARTED-    DONE-      FAILED-    HOLD-      CLEARED-   WITHDRAWN-
clear              ARMED-     CLEARED+   CLEARED+    STARTED-    CLEARED+   CLEARED+   CLEARED+   CLEARED-   CLEARED+
forced clear       ARMED-     CLEARED+   CLEARED+    CLEARED+    CLEARED+   CLEARED+   CLEARED+   CLEARED-   CLEARED+
removal            WITHDRAWN+ WITHDRAWN+ WITHDRAWN+  WITHDRAWN+  DONE-      FAILED-    WITHDRAWN+ CLEARED-   WITHDRAWN-
"""


def cells() -> list[tuple[str, State, str]]:
    header, *lines = TABLE.strip("\n").splitlines()
    assert header.split() == list(STATES)
    found = []
    for line in lines:
        name, outcomes = line[:19].strip(), line[19:].split()
        assert len(outcomes) == len(STATES)
        found += [(name, state, outcome) for state, outcome in zip(STATES, outcomes, strict=True)]
    assert {name for name, _, _ in found} == set(EVENTS)
    return found


@pytest.mark.parametrize(("name", "state", "outcome"), cells())
def test_every_event_in_every_state(name: str, state: State, outcome: str) -> None:
    after, said = step(row(state), EVENTS[name], NOW, LIMITS)
    assert f"{after.state}{'+' if said.ok else '-'}" == outcome
    assert said.reason.text


def aged(
    state: State, event: Event, age: float, launch: str | None = "file", returns: int = 0
) -> tuple[Row, bool]:
    after, said = step(row(state, launch, age, returns), event, NOW, LIMITS)
    return after, said.ok


def test_an_old_claim_without_a_launch_is_returned_and_claimed_anew_at_once() -> None:
    after, ok = aged("CLAIMED", CLAIM, 901)
    assert (after.state, ok, after.returns, after.session, after.claimed_at) == (
        "CLAIMED",
        True,
        1,
        "new",
        NOW,
    )


def test_a_young_one_keeps_its_session_and_its_age() -> None:
    after, ok = aged("CLAIMED", CLAIM, 899)
    assert (after.state, ok, after.returns, after.session) == ("CLAIMED", True, 0, "old")
    assert (after.claimed_at, after.xid, after.owner) == (NOW - 899, 8, "dp2")


def test_after_five_returns_it_is_held_by_the_next_boot_or_by_time() -> None:
    for event in (CLAIM, TimePassing()):
        after, _ = aged("CLAIMED", event, 901, returns=5)
        assert (after.state, after.why) == ("HOLD", "it was handed out 6 times and never launched")
    assert aged("CLAIMED", TimePassing(), 901, returns=4)[0].state == "CLAIMED"


def test_a_claim_of_unknown_end_may_have_run_and_is_never_returned() -> None:
    assert aged("CLAIMED", CLAIM, 100, None) == (row("CLAIMED", None), False)
    assert not aged("CLAIMED", Yielding(), 100, None)[1]
    for event in (CLAIM, TimePassing(), Yielding()):
        after, _ = aged("CLAIMED", event, 901, None)
        assert (after.state, after.launched_at) == ("LAUNCHED", NOW - 901)


def test_what_was_launched_or_started_and_says_nothing_is_held() -> None:
    assert aged("LAUNCHED", TimePassing(), 1801)[0].why == "launched, and nothing reported its start"
    assert aged("STARTED", TimePassing(), 86401)[0].why == "started, and nothing reported its end"
    patient = LIMITS._replace(started_seconds=None, finished_seconds=None)
    for state in ("LAUNCHED", "STARTED"):
        assert step(row(state, age=1e9), TimePassing(), NOW, patient)[0].state == state


def test_arming_runs_out_and_is_given_anew_by_a_person() -> None:
    late = 24 * 3600 + 1
    after, ok = aged("ARMED", CLAIM, late)
    assert (after.state, ok) == ("ARMED", False)
    approved, ok = aged("ARMED", Approving(), late)
    assert (approved.armed_at, ok) == (NOW, True)
    assert step(approved, CLAIM, NOW, LIMITS)[1].ok
    assert step(row("ARMED", age=late), CLAIM, NOW, LIMITS._replace(armed_hours=0))[1].ok


def test_a_returned_claim_is_no_longer_good_when_its_arming_ran_out() -> None:
    after, ok = aged("CLAIMED", CLAIM, 24 * 3600 + 1)
    assert (after.state, ok, after.session) == ("ARMED", False, None)


def test_a_launch_is_of_the_right_file_by_the_right_machine() -> None:
    for event in (Launching("other", "t1", "10.0.0.1"), Launching("file", "t1", "10.0.0.2")):
        assert not step(row("CLAIMED"), event, NOW, LIMITS)[1].ok
    assert step(row("CLAIMED"), Launching("FILE", "t1", "10.0.0.1"), NOW, LIMITS)[1].ok
    assert not step(row("CLAIMED", None), LAUNCH, NOW, LIMITS)[1].ok
    unknown = row("CLAIMED")._replace(peer=None)
    after, said = step(unknown, LAUNCH, NOW, LIMITS)
    assert (after.peer, after.transfer, after.launched_at, said.ok) == ("10.0.0.1", "t1", NOW, True)


def test_a_late_start_report_does_not_make_two_live_sessions() -> None:
    after, said = step(row("HOLD"), Reporting("started", "", alone=False), NOW, LIMITS)
    assert (after.state, after.why, said.ok) == ("HOLD", "a person said so; reported started late", True)


def test_a_launch_settles_by_hours_and_its_row_is_then_held() -> None:
    """D34."""
    for age, settles in ((4 * 3600 - 1, False), (4 * 3600, True)):
        after, said = step(row("LAUNCHED", age=age), Yielding("PS120002"), NOW, CLAIMING, "web01")
        assert (after.state, said.ok) == ("HOLD" if settles else "LAUNCHED", settles)
        for state in ("HOLD", "WITHDRAWN"):
            before = row(state, age=age)
            after_other, said_other = step(before, Yielding(), NOW, CLAIMING)
            assert (after_other, said_other.ok) == (before, settles)
    assert after.why == "launched, and nothing was reported before PS120002 was given"
    assert (
        "waits behind PS120001 until 2023-11-15 02:13:19 UTC"
        in step(row("LAUNCHED", age=1), Yielding(), NOW, CLAIMING, "web01")[1].reason.text
    )
    never = CLAIMING._replace(settles_hours=0)
    assert not step(row("LAUNCHED", age=1e9), Yielding(), NOW, never)[1].ok


def test_a_launch_does_not_settle_before_its_session_is_over() -> None:
    """D34: with `session.seconds` above `launch_settles_hours`."""
    patient = CLAIMING._replace(session_seconds=5 * 3600)
    for age, settles in ((5 * 3600 - 1, False), (5 * 3600, True)):
        assert step(row("LAUNCHED", age=age), Yielding(), NOW, patient)[1].ok == settles


def test_work_that_reported_its_start_is_not_settled_by_hours() -> None:
    assert not step(row("STARTED", age=1e9), Yielding(), NOW, CLAIMING)[1].ok
    begun = row("HOLD", age=5 * 3600)._replace(reported_at=NOW - 3600)
    assert not step(begun, Yielding(), NOW, CLAIMING)[1].ok, "the newest sign of it counts"
    assert step(begun, Yielding(), NOW + 3 * 3600, CLAIMING)[1].ok


def test_what_never_launched_bars_nothing() -> None:
    held = row("HOLD", age=10)._replace(launched_at=None)
    assert step(held, Yielding(), NOW, LIMITS)[1].ok
    unknown, _ = step(row("CLAIMED", None, 10), Withdrawing(), NOW, LIMITS)
    assert unknown.launched_at == NOW - 10, "its launch file was never known: it may have run"
    assert not step(unknown, Yielding(), NOW, LIMITS)[1].ok


def test_a_withdrawn_case_hears_its_machine_and_never_lives_again() -> None:
    """D32."""
    gone, said = step(row("LAUNCHED"), Withdrawing(), NOW, LIMITS)
    assert (gone.state, gone.session, gone.launched_at, said.ok) == ("WITHDRAWN", "old", NOW - 100, True)
    begun, said = step(gone, Reporting("started", ""), NOW + 5, LIMITS)
    assert (begun.state, begun.reported_at, said.ok) == ("WITHDRAWN", NOW + 5, True)
    assert step(begun, Reporting("done", ""), NOW + 9, LIMITS)[0].state == "DONE"


def test_a_clear_says_who_did_it_when_and_what_the_case_was() -> None:
    old, _ = step(row("DONE"), Clearing(False, "root"), NOW, LIMITS)
    assert (old.state, old.ended_at, old.ended_by, old.ended_from) == ("CLEARED", NOW, "root", "DONE")


def test_every_refusal_that_names_a_clear_names_the_device_and_the_deployment() -> None:
    for state in STATES:
        for event in (CLAIM, LAUNCH, Yielding(), Holding("why")):
            after, said = step(row(state), event, NOW, LIMITS, "web01")
            if "pxefast deployment clear" in said.reason.text:
                assert said.reason.text.endswith(
                    "pxefast deployment clear --device web01 --deployment PS120001"
                ), after.state


def test_clocks_that_jump_end_no_more_than_what_may_begin_again() -> None:
    for jump in (-86400.0 * 365, -3600.0, 3600.0, 86400.0 * 3650):
        for state in STATES:
            before = row(state)
            for event in EVENTS.values():
                after, _ = step(before, event, NOW + jump, LIMITS)
                given = before.state not in ("ARMED", "CLAIMED")
                assert not (given and after.state == "ARMED"), (state, event, jump)
        assert step(row("CLAIMED"), CLAIM, NOW + jump, LIMITS._replace(armed_hours=0))[1].ok


def test_no_sequence_of_events_launches_twice_or_arms_what_was_launched(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(2000):
        now, current = NOW, row("ARMED")
        launched = 0
        for number in range(30):
            now += chance.choice((0.0, 1.0, 40.0, 1000.0, 2000.0, 90000.0, -500.0))
            event = chance.choice(
                (
                    claiming(number + 1, chance.randrange(4), chance.choice(("file", None)))._replace(
                        session=f"s{number}"
                    ),
                    LAUNCH,
                    *EVENTS.values(),
                )
            )
            after, said = step(current, event, now, LIMITS._replace(armed_hours=0))
            launched += isinstance(event, Launching) and said.ok
            assert launched <= 1
            assert after[:3] == current[:3]
            assert not (launched and after.state in ("ARMED", "CLAIMED"))
            assert (after.state == "CLAIMED") <= (after.session is not None)
            if after.state == "CLEARED" and current.state != "CLEARED":
                after, launched = successor(after, now), 0
            current = after
            assert current.state in STATES
            assert (current.state in LIVE) <= (current.claimed_at is not None)
