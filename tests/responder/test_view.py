"""What the service decides from, while the ledger moves on faster than the snapshots are read (I4, I5)."""

from __future__ import annotations

from typing import Any

import pytest
from pxefast.decide import Mark, Request, decide
from pxefast.decide.records import State
from pxefast.responder import view as module
from pxefast.responder.view import View
from pxefast.site.cases import Cases
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store

from ..site.ledger_case import DEPLOYMENT, claim, launch, marked, one

GIVEN: list[State] = ["LAUNCHED", "STARTED", "DONE", "FAILED", "HOLD"]


def mark(state: State, generation: int = 1, deployment: str = DEPLOYMENT) -> Mark:
    return Mark(deployment, generation, state, 1.0, 2.0, 1, 7, "session", 2.0, True, 0, 3.0)


def codes(view: View) -> list[str]:
    """What web01 is told when it starts anew."""
    sight = view.sight()
    request = Request("00:11:22:33:44:01", None, 7, True, False, "request", 0, 99, "eth0", None, 1e9)
    return [reason.code for reason in decide(request, sight.site, sight.exclusions).reasons]


def known(view: View, deployment: str = DEPLOYMENT) -> tuple[int, str]:
    found = view.site.marks[deployment][1]
    return found.generation, found.state


@pytest.mark.parametrize("late", ["ARMED", "CLAIMED"])
@pytest.mark.parametrize("given", GIVEN)
def test_a_row_that_was_read_before_the_launch_does_not_hide_it(
    view: View, given: State, late: State
) -> None:
    view.mark(1, mark(given))
    view.mark(1, mark(late))
    assert known(view) == (1, given)
    assert codes(view)[-1] in ("already_offered", "held", "hold")


def test_a_row_of_a_former_generation_changes_nothing(view: View) -> None:
    view.mark(1, mark("LAUNCHED", 2))
    for state in ("DONE", "HOLD", "ARMED", "CLAIMED"):
        view.mark(1, mark(state, 1))  # type: ignore[arg-type]
        assert known(view) == (2, "LAUNCHED")


def test_a_new_generation_is_known_at_once_whatever_became_of_the_one_before(view: View) -> None:
    for generation, state in enumerate(GIVEN, start=2):
        view.mark(1, mark(state, generation - 1))
        view.mark(1, mark("ARMED", generation))
        assert known(view) == (generation, "ARMED")
        assert 1 not in view.site.live


def test_a_claim_that_was_returned_is_known_as_armed(view: View) -> None:
    view.mark(1, mark("CLAIMED"))
    assert view.site.live[1].state == "CLAIMED"
    view.mark(1, mark("ARMED"))
    assert known(view) == (1, "ARMED")
    assert 1 not in view.site.live


def test_the_end_of_one_deployment_does_not_end_the_live_session_of_another(view: View) -> None:
    view.mark(1, mark("CLAIMED"))
    view.mark(1, mark("DONE", deployment="PS120009"))
    assert view.site.live[1].deployment_id == DEPLOYMENT
    view.mark(1, mark("DONE"))
    assert 1 not in view.site.live


def test_a_launch_that_happens_while_a_snapshot_is_read_is_known_after_it(
    view: View, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(store, "dp1")
    claimed = one(ledger, claim(1))
    view.mark(1, marked(claimed))
    real = module.load

    def load(*given: Any) -> Any:
        site = real(*given)
        view.mark(1, marked(launch(ledger, 1)))
        return site

    monkeypatch.setattr(module, "load", load)
    store.touch("test", "a change")
    before = view.site
    view.refresh()
    assert view.site is not before
    assert known(view) == (1, "LAUNCHED")
    assert view.site.live[1].state == "LAUNCHED"
    assert codes(view)[-1] == "already_offered"


def test_a_clear_is_known_after_the_next_snapshot(view: View, store: Store) -> None:
    ledger = Ledger(store, "dp1")
    view.mark(1, marked(one(ledger, claim(1))))
    view.mark(1, marked(launch(ledger, 1)))
    Cases(store).clear_device("web01")
    view.refresh()
    assert known(view) == (2, "ARMED")
    assert 1 not in view.site.live
