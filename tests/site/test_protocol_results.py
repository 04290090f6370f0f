"""The result of each event, which callers act on, and what a removed deployment leaves in its rows (D32, D42)."""

from __future__ import annotations

import pytest
from pxefast.decide.reasons import other_machine
from pxefast.decide.records import Reason
from pxefast.site.protocol import (
    Approving,
    Clearing,
    Event,
    Holding,
    Launching,
    Reporting,
    Row,
    TimePassing,
    Withdrawing,
    Yielding,
    offered,
    step,
)

from .test_protocol import claiming
from .test_protocol_reasons import ID, LAUNCH, LAUNCHED_AT, LIMITS, NOW, SECOND, row

DONE, STARTED = Reporting("done", ""), Reporting("started", "")
REMOVAL = Withdrawing("alice")

RESULTS: list[tuple[Event, Row, bool, str]] = [
    (SECOND, row("ARMED"), True, "accepted"),
    (SECOND, row("ARMED", armed_at=NOW - 25 * 3600), False, "refused"),
    (SECOND, row("CLAIMED"), True, "accepted"),
    (SECOND, row("LAUNCHED"), False, "refused"),
    (LAUNCH, row("CLAIMED"), True, "accepted"),
    (LAUNCH, row("ARMED"), False, "refused"),
    (LAUNCH._replace(peer="10.0.0.9"), row("CLAIMED"), False, "refused"),
    (Launching("other", "t1", "10.0.0.1"), row("CLAIMED"), False, "other_file"),
    (DONE, row("LAUNCHED"), True, "accepted"),
    (DONE, row("ARMED"), False, "no_session"),
    (DONE, row("ARMED", session="old"), False, "no_session"),
    (DONE, row("FAILED"), False, "refused"),
    (DONE, row("CLEARED", session="old"), False, "cleared"),
    (TimePassing(), row("LAUNCHED"), True, "accepted"),
    (Yielding(), row("CLAIMED", launch=None), False, "refused"),
    (Yielding(), row("CLAIMED"), True, "accepted"),
    (Holding("wait"), row("LAUNCHED"), True, "accepted"),
    (Holding("wait"), row("DONE"), False, "unchanged"),
    (Approving(), row("ARMED", armed_at=NOW - 25 * 3600), True, "accepted"),
    (Approving(), row("ARMED"), False, "unchanged"),
    (Clearing(False, "alice"), row("DONE"), True, "accepted"),
    (Clearing(False, "alice"), row("ARMED"), False, "unchanged"),
    (Clearing(False, "alice"), row("STARTED"), False, "refused"),
    (REMOVAL, row("LAUNCHED"), True, "accepted"),
    (REMOVAL, row("DONE"), False, "unchanged"),
    (REMOVAL, row("CLEARED"), False, "unchanged"),
]


@pytest.mark.parametrize(("event", "before", "ok", "result"), RESULTS)
def test_an_event_has_its_result(event: Event, before: Row, ok: bool, result: str) -> None:
    outcome = step(before, event, NOW, LIMITS)[1]
    assert (outcome.ok, outcome.result) == (ok, result)
    assert isinstance(outcome.ok, bool)


def test_a_removal_ends_a_case_and_says_who_did_it_and_what_was_ended() -> None:
    before = row("LAUNCHED")
    after, outcome = step(before, REMOVAL, NOW, LIMITS, "web01")
    assert after == before._replace(state="WITHDRAWN", ended_at=NOW, ended_by="alice", ended_from="LAUNCHED")
    assert outcome.reason == Reason("withdrawn", f"{ID} was removed", "D32")


def test_a_removal_leaves_what_is_done_and_names_the_command_for_its_device() -> None:
    before = row("DONE")
    after, outcome = step(before, REMOVAL, NOW, LIMITS, "web01")
    assert after == before
    assert f"--device web01 --deployment {ID}" in outcome.reason.text


@pytest.mark.parametrize(("launched_at", "first"), [(LAUNCHED_AT, LAUNCHED_AT), (None, NOW)])
def test_the_start_of_a_removed_deployment_is_heard_of_and_never_live_again(
    launched_at: float | None, first: float
) -> None:
    before = row("WITHDRAWN", launched_at=launched_at)
    after, outcome = step(before, STARTED, NOW, LIMITS)
    assert after == before._replace(reported_at=NOW, launched_at=first, why="removed, and reported started")
    assert outcome.ok


def test_who_waits_for_a_launch_is_told_whether_its_deployment_was_removed() -> None:
    limits = LIMITS._replace(settles_hours=4)
    texts = {
        state: step(row(state), Yielding("PS120002"), NOW, limits, "web01")[1].reason.text
        for state in ("LAUNCHED", "WITHDRAWN")
    }
    assert "to run PS120001 again: " in texts["LAUNCHED"]
    assert "to end the wait: " in texts["WITHDRAWN"]


def test_a_launch_that_settled_is_held_by_whatever_is_given_then() -> None:
    later = NOW + 5 * 3600
    limits = LIMITS._replace(settles_hours=4, started_seconds=None)
    after, outcome = step(row("LAUNCHED"), Yielding(), later, limits)
    assert (after.state, outcome.ok) == ("HOLD", True)
    assert after.why == "launched, and nothing was reported before another deployment was given"


MAC, OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


def test_a_claim_never_goes_to_another_card_at_another_address() -> None:
    """D28: the row stays as it is, and the reason names both machines."""
    before = row("CLAIMED", mac=MAC)
    event = claiming(xid=7, peer="10.0.0.2")._replace(mac=OTHER_MAC)
    after, outcome = step(before, event, NOW, LIMITS)
    assert (after, outcome.ok, outcome.result) == (before, False, "refused")
    assert outcome.reason == other_machine(before.mark, OTHER_MAC, "10.0.0.2")
    assert f"MAC {MAC} at 10.0.0.1" in outcome.reason.text
    assert f"MAC {OTHER_MAC} at 10.0.0.2" in outcome.reason.text


@pytest.mark.parametrize(
    ("known", "peer", "now_known"),
    [(None, "10.0.0.1", OTHER_MAC), (MAC, None, OTHER_MAC), (MAC, "10.0.0.1", MAC), (None, None, OTHER_MAC)],
)
def test_a_claim_takes_the_card_of_a_repeat_only_where_one_of_its_addresses_is_unknown(
    known: str | None, peer: str | None, now_known: str
) -> None:
    """D28: a repeat with the same transaction id, from another card of the machine at the same address."""
    before = row("CLAIMED", mac=known, peer=peer)
    after, outcome = step(before, claiming(xid=7)._replace(mac=OTHER_MAC), NOW, LIMITS)
    assert outcome.result == "accepted"
    assert (after.mac, after.peer) == (now_known, "10.0.0.1")


def test_another_transaction_of_another_card_does_not_go_on_with_a_claim_without_an_address() -> None:
    before = row("CLAIMED", mac=MAC, peer=None)
    after, outcome = step(before, claiming(xid=8)._replace(mac=OTHER_MAC), NOW, LIMITS)
    assert (after, outcome.ok) == (before, False)


def test_what_was_offered_names_its_deployment_and_a_device_that_is_not_known() -> None:
    assert (
        offered(row("WITHDRAWN")).text
        == f"required deployment {ID} was removed; nothing of it is given to any device"
    )
    assert f"--device NAME --deployment {ID}" in offered(row("DONE")).text
