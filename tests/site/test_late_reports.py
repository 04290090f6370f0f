"""A report that comes late, beside another session of the same machine, and a launch file that changes (I2, I3)."""

from __future__ import annotations

from typing import Literal

import pytest
from pxefast.site.cases import Cases
from pxefast.site.ledger import ClaimResult, Ledger, ReportResult
from pxefast.site.protocol import Row
from pxefast.site.store import Store

from .ledger_case import DEPLOYMENT, NAME, NOW, claim, code, launch, marked, one

HOUR = 3600.0
OTHER_FILE = "SMSImages/PS100002/shimx64.efi"


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready, ready.point)


def second_deployment(store: Store) -> str:
    sequence = store.task_sequences.create("again", "PS100002")
    return store.deployments.create(sequence.id, "rack", "required", "media-pxe").id


def held_and_another(ledger: Ledger, store: Store) -> tuple[ClaimResult, ClaimResult]:
    """web01 launched one deployment and never reported; hours later another deployment of it is claimed."""
    other = second_deployment(store)
    silent = one(ledger, claim(1, DEPLOYMENT))
    assert launch(ledger, 1).launched
    (held,) = ledger.sweep(NOW + HOUR, 1800, 86400, 900)
    assert held.after == "HOLD"
    later = one(ledger, claim(1, other, xid=8, now=NOW + 6 * HOUR))
    assert later.ok
    return silent, later


def report(
    ledger: Ledger, claimed: ClaimResult, kind: Literal["started", "done", "failed"], hours: float = 7
) -> ReportResult:
    assert claimed.token is not None
    return ledger.report(marked(claimed).session, claimed.token, kind, "", NOW + hours * HOUR)


def rows(store: Store) -> dict[str, Row]:
    """The rows of web01 by deployment."""
    return {case.row.deployment_id: case.row for case in Cases(store).all("web01")}


def test_a_late_start_report_stays_held_while_another_session_of_the_machine_is_live(
    ready: Store, ledger: Ledger
) -> None:
    silent, later = held_and_another(ledger, ready)
    result = report(ledger, silent, "started")
    assert (result.ok, result.state, result.deployment_id) == (True, "HOLD", DEPLOYMENT)
    found = rows(ready)
    assert (found[DEPLOYMENT].state, found[DEPLOYMENT].reported_at) == ("HOLD", NOW + 7 * HOUR)
    assert "reported started late" in (found[DEPLOYMENT].why or "")
    live = found[marked(later).deployment_id]
    assert (live.state, live.session) == ("CLAIMED", marked(later).session)
    # The older work says that it runs: what would begin beside it waits (D34).
    assert launch(ledger, 1, transfer="t2", now=NOW + 7 * HOUR).reason.code == "waits_behind"
    assert launch(ledger, 1, transfer="t3", now=NOW + 11 * HOUR).launched, "the newer session goes on later"


@pytest.mark.parametrize(("kind", "state"), [("done", "DONE"), ("failed", "FAILED")])
def test_a_late_end_report_ends_its_own_session_and_no_other(
    ready: Store, ledger: Ledger, kind: Literal["done", "failed"], state: str
) -> None:
    silent, later = held_and_another(ledger, ready)
    assert report(ledger, silent, kind).state == state
    assert rows(ready)[marked(later).deployment_id].state == "CLAIMED"


def test_a_late_start_report_counts_once_the_other_session_has_ended(ready: Store, ledger: Ledger) -> None:
    silent, later = held_and_another(ledger, ready)
    assert report(ledger, later, "done").state == "DONE"
    assert report(ledger, silent, "started", 8).state == "STARTED"


def test_a_late_start_report_counts_while_another_machine_is_live(ready: Store, ledger: Ledger) -> None:
    silent = one(ledger, claim(1))
    launch(ledger, 1)
    ledger.sweep(NOW + HOUR, 1800, 86400, 900)
    assert one(ledger, claim(2, now=NOW + HOUR)).ok
    assert report(ledger, silent, "started").state == "STARTED"


def test_the_launch_file_of_the_newest_stage_counts(ready: Store, ledger: Ledger) -> None:
    """The image's launch file was changed between two stages of one boot."""
    first = one(ledger, claim(1, step=1, xid=7, launch=NAME))
    later = one(ledger, claim(1, step=3, xid=9, launch=OTHER_FILE, now=NOW + 20))
    assert (later.ok, marked(later).session) == (True, marked(first).session)
    assert code(launch(ledger, 1, name=NAME)) != "launched"
    assert rows(ready)[DEPLOYMENT].state == "CLAIMED"
    assert launch(ledger, 1, name=OTHER_FILE).launched
    assert rows(ready)[DEPLOYMENT].launch == OTHER_FILE


def test_a_stage_that_does_not_know_the_launch_file_leaves_the_known_one(
    ready: Store, ledger: Ledger
) -> None:
    one(ledger, claim(1, step=1, xid=7, launch=NAME))
    assert one(ledger, claim(1, step=3, xid=9, launch=None, now=NOW + 20)).ok
    assert launch(ledger, 1, name=NAME).launched


def test_a_stage_that_learns_the_launch_file_makes_the_claim_returnable(ready: Store, ledger: Ledger) -> None:
    one(ledger, claim(1, step=1, xid=7, launch=None))
    later = one(ledger, claim(1, step=3, xid=9, launch=NAME, now=NOW + 20))
    assert marked(later).returnable
    assert launch(ledger, 1, name=NAME).launched
