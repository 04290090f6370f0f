"""What the ledger gives, refuses and remembers, on every database that it may lie in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pxefast.site.cases import Cases
from pxefast.site.ledger import Launch, Ledger
from pxefast.site.store import Store

from .ledger_case import NAME, NOW, claim, code, launch, marked, one, states


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready, ready.point)


@pytest.fixture
def cases(ready: Store) -> Cases:
    return Cases(ready)


def test_the_first_claim_is_given_with_a_secret_session(ledger: Ledger) -> None:
    first, other = ledger.claim([claim(1), claim(2)])
    assert first.ok
    assert other.ok
    mark = marked(first)
    assert (mark.generation, mark.state, mark.claimed_at, mark.step, mark.xid) == (1, "CLAIMED", NOW, 1, 7)
    assert mark.returnable
    assert len(bytes.fromhex(mark.session)) == 16
    assert first.token is not None
    assert len({mark.session, marked(other).session, first.token, other.token}) == 4


def test_later_stages_and_repeats_get_the_same_answer_from_the_row(ledger: Ledger) -> None:
    first = one(ledger, claim(step=1, xid=7))
    again = one(ledger, claim(step=1, xid=7))
    assert again == first._replace(reason=again.reason)
    later = one(ledger, claim(step=2, xid=9, now=NOW + 20))
    assert code(again) == code(later) == "same_session"
    assert later.mark == replace(marked(first), step=2, xid=9, stepped_at=NOW + 20)
    assert later.token == first.token


def test_claims_of_one_batch_see_each_other(ledger: Ledger) -> None:
    results = ledger.claim([claim(xid=1, launch=None), claim(xid=2), claim(xid=1), claim(step=2, xid=3)])
    assert [(result.ok, code(result)) for result in results] == [
        (True, "claimed"),
        (False, "already_offered"),
        (True, "same_session"),
        (True, "same_session"),
    ]


def test_a_machine_that_restarts_before_its_launch_boots_again_in_the_same_session(ledger: Ledger) -> None:
    first = one(ledger, claim(step=3, xid=7))
    again = one(ledger, claim(step=0, xid=8, now=NOW + 300))
    assert (again.ok, code(again)) == (True, "same_session")
    assert marked(again).session == marked(first).session
    assert (marked(again).step, marked(again).xid) == (0, 8)


def test_a_machine_that_comes_back_later_without_a_launch_gets_a_new_session(
    ledger: Ledger, ready: Store
) -> None:
    sessions = set()
    for number in range(6):
        result = one(ledger, claim(xid=number + 1, now=NOW + number * 1000))
        assert result.ok
        assert marked(result).returns == number
        sessions.add(marked(result).session)
    assert len(sessions) == 6
    held = one(ledger, claim(xid=99, now=NOW + 6000))
    assert (held.ok, code(held)) == (False, "hold")
    assert "handed out 6 times" in held.reason.text
    assert states(ready)[0] == (1, 1, "HOLD")


def test_a_boot_whose_launch_file_is_not_known_is_offered_once(ledger: Ledger) -> None:
    assert one(ledger, claim(xid=7, launch=None)).ok
    refused = one(ledger, claim(xid=8, launch=None, now=NOW + 40))
    assert (refused.ok, code(refused)) == (False, "already_offered")
    assert refused.reason.text.startswith(
        "already offered: required deployment PS120001 runs once on a device"
    )
    assert one(ledger, claim(step=2, xid=9, now=NOW + 50)).ok, "iPXE's own stage tells the launch file"
    assert one(ledger, claim(step=0, xid=10, now=NOW + 60)).ok, "and from then on nothing can have run"


def test_a_launch_happens_once_and_to_one_transfer(ledger: Ledger, ready: Store) -> None:
    session = marked(one(ledger, claim())).session
    first = launch(ledger, transfer="t1")
    assert (first.ok, first.launched, first.session, first.device_id) == (True, True, session, 1)
    assert marked(first).state == "LAUNCHED"
    for transfer in ("t1", "t2"):
        for hint in (None, session):
            again = launch(ledger, transfer=transfer, session=hint)
            assert (again.ok, again.launched, code(again)) == (False, False, "already_offered")
    assert states(ready)[0] == (1, 1, "LAUNCHED")


def test_after_the_launch_every_request_of_the_machine_is_refused(ledger: Ledger) -> None:
    one(ledger, claim(step=1, xid=7))
    launch(ledger)
    for wish in (claim(step=1, xid=7), claim(step=3, xid=8), claim(xid=9, now=NOW + 86400)):
        refused = one(ledger, wish)
        assert (refused.ok, code(refused)) == (False, "already_offered")
        assert "launched 2023-11-14 22:13:21 UTC" in refused.reason.text


def test_a_batch_may_launch_and_claim_at_once(ledger: Ledger) -> None:
    one(ledger, claim(1))
    claims, launches = ledger.commit(
        [claim(1, xid=8), claim(2)], [Launch(None, "10.0.0.1", NAME, "t1", NOW + 1)]
    )
    assert launches[0].launched
    assert [result.ok for result in claims] == [False, True]
