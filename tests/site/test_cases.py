"""What people do to required deployments on devices."""

from __future__ import annotations

import time
from typing import Literal

import pytest
from pxefast.errors import Invalid, NotFound, Unconfirmed
from pxefast.site.audit import person
from pxefast.site.cases import Cases, Cleared, Kept
from pxefast.site.devices import NewDevice
from pxefast.site.ledger import ClaimResult, Ledger, ReportResult
from pxefast.site.snapshot import load
from pxefast.site.store import Store

from .ledger_case import DEPLOYMENT, NOW, claim, code, launch, marked, one, states


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready, ready.point)


@pytest.fixture
def cases(ready: Store) -> Cases:
    return Cases(ready)


def test_after_a_clear_the_device_boots_once_more(ledger: Ledger, cases: Cases) -> None:
    first = one(ledger, claim(xid=1))
    launch(ledger)
    assert cases.clear_device("WEB01") == [Cleared("web01", DEPLOYMENT, "LAUNCHED", 2)]
    second = one(ledger, claim(xid=2))
    assert (second.ok, marked(second).generation) == (True, 2)
    assert marked(second).session != marked(first).session
    assert code(launch(ledger, session=marked(first).session, transfer="t2")) == "no_session"
    assert launch(ledger, transfer="t3").launched
    assert code(one(ledger, claim(xid=3))) == "already_offered"


def test_clearing_twice_makes_one_generation(ledger: Ledger, cases: Cases, ready: Store) -> None:
    """R-64."""
    one(ledger, claim())
    assert cases.clear_device("web01")
    assert cases.clear_device("web01") == []
    assert states(ready)[:2] == [(1, 1, "CLEARED"), (1, 2, "ARMED")]


def test_a_dry_run_clears_nothing(ledger: Ledger, cases: Cases, ready: Store) -> None:
    one(ledger, claim())
    before = states(ready)
    assert cases.clear_device("web01", dry_run=True) == [Cleared("web01", DEPLOYMENT, "CLAIMED", 2)]
    assert states(ready) == before


def test_work_that_has_started_is_cleared_by_force_alone(ledger: Ledger, cases: Cases) -> None:
    claimed, other = ledger.claim([claim(1), claim(2)])
    assert claimed.token is not None
    launch(ledger, 1)
    ledger.report(marked(claimed).session, claimed.token, "started", "", NOW + 10)
    with pytest.raises(Invalid, match="may be at work"):
        cases.clear_device("web01")
    with pytest.raises(Invalid, match="web01"):
        cases.clear_collection("rack")
    assert one(ledger, claim(2)).mark == other.mark, "all or nothing"
    assert [item.state for item in cases.clear_collection("rack", force=True)] == ["STARTED", "CLAIMED"]


def test_a_collection_clears_its_members_of_now(ready: Store, ledger: Ledger, cases: Cases) -> None:
    ledger.claim([claim(1), claim(2)])
    ready.collections.create("half")
    ready.collections.add("half", ["web02"])
    assert [item.device for item in cases.clear_collection("half")] == ["web02"]


def test_one_deployment_may_be_cleared_alone(ready: Store, ledger: Ledger, cases: Cases) -> None:
    sequence = ready.task_sequences.create("again", "PS100002")
    other = ready.deployments.create(sequence.id, "rack", "required", "media-pxe").id
    one(ledger, claim(1, DEPLOYMENT))
    cases.hold("web01", other, "test")
    assert [item.deployment for item in cases.clear_device("web01", other)] == [other]
    assert code(one(ledger, claim(1, DEPLOYMENT, xid=8))) == "same_session"


def test_clearing_something_unknown_is_an_error(cases: Cases) -> None:
    for clear in (
        lambda: cases.clear_device("web03"),
        lambda: cases.clear_collection("nothing"),
        lambda: cases.clear_device("web01", "PS199999"),
        lambda: cases.approve("PS199999"),
        lambda: cases.hold("web03", DEPLOYMENT, "why"),
    ):
        with pytest.raises(NotFound):
            clear()


def test_many_devices_are_cleared_or_approved_only_by_the_hash_of_their_list(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    """R-57."""
    new = [NewDevice(f"n{i}", (f"02:00:00:00:00:{i:02x}",)) for i in range(22)]
    devices = ready.devices.add_many(new)
    ready.collections.add("rack", [device.name for device in devices[:21]])
    with pytest.raises(Unconfirmed) as refused:
        cases.approve(DEPLOYMENT)
    assert refused.value.count == 21
    assert refused.value.list_hash in str(refused.value)

    ready.collections.add("rack", [devices[21].name])
    with pytest.raises(Unconfirmed, match="not the one that was confirmed"):
        cases.approve(DEPLOYMENT, confirm=refused.value.list_hash)
    with pytest.raises(Unconfirmed) as refused:
        cases.approve(DEPLOYMENT)
    assert len(cases.approve(DEPLOYMENT, confirm=refused.value.list_hash)) == 22

    ledger.claim([claim(device.id) for device in devices])
    assert len(cases.clear_collection("rack", dry_run=True)) == 22
    with pytest.raises(Unconfirmed) as refused:
        cases.clear_collection("rack")
    with pytest.raises(Unconfirmed):
        cases.clear_collection("rack", confirm="0" * 12)
    assert len(cases.clear_collection("rack", confirm=refused.value.list_hash)) == 22


def test_what_is_not_pending_is_not_approved(cases: Cases) -> None:
    with pytest.raises(Invalid, match="not pending"):
        cases.approve(DEPLOYMENT, ["web01"])


def test_a_held_device_gets_nothing_until_it_is_cleared(ledger: Ledger, cases: Cases, ready: Store) -> None:
    claimed = one(ledger, claim(1))
    cases.hold("web01", DEPLOYMENT, "its disk is being copied")
    assert code(launch(ledger, session=marked(claimed).session)) == "hold"
    refused = one(ledger, claim(1, xid=8))
    assert code(refused) == "hold"
    assert "its disk is being copied" in refused.reason.text
    new = ready.devices.add(NewDevice("web03", ("00:11:22:33:44:03",)))
    ready.collections.add("rack", ["web03"])
    cases.hold("web03", DEPLOYMENT, "not yet")
    assert cases.pending(DEPLOYMENT) == []
    cases.clear_device("web03")
    assert one(ledger, claim(new.id)).ok


def reported(
    ledger: Ledger, claimed: ClaimResult, kind: Literal["started", "done", "failed"]
) -> ReportResult:
    assert claimed.token is not None
    return ledger.report(marked(claimed).session, claimed.token, kind, "", NOW + 10)


def second(ready: Store) -> str:
    sequence = ready.task_sequences.create("again", "PS100002")
    return ready.deployments.create(sequence.id, "rack", "required", "media-pxe").id


def test_a_clear_of_a_device_leaves_what_is_finished(ready: Store, ledger: Ledger, cases: Cases) -> None:
    """D33: the printed hint cleared a finished deployment too, and the machine was imaged with it again."""
    first = one(ledger, claim(1))
    launch(ledger)
    reported(ledger, first, "done")
    other = second(ready)
    assert one(ledger, claim(1, other, xid=8)).ok
    assert launch(ledger).launched
    assert cases.clear_device("web01", dry_run=True) == [Cleared("web01", other, "LAUNCHED", 2)]
    assert cases.kept("web01", None) == [Kept("web01", DEPLOYMENT, "DONE", "finished; it blocks nothing")]
    assert cases.clear_device("web01") == [Cleared("web01", other, "LAUNCHED", 2)]
    assert cases.clear_device("web01") == []
    assert code(one(ledger, claim(1, xid=9))) == "already_offered"
    assert cases.clear_device("web01", every=True) == [Cleared("web01", DEPLOYMENT, "DONE", 2)]


def test_a_finished_case_is_cleared_by_its_deployments_name(ledger: Ledger, cases: Cases) -> None:
    first = one(ledger, claim(1))
    launch(ledger)
    reported(ledger, first, "failed")
    assert cases.clear_device("web01") == []
    assert cases.clear_collection("rack") == []
    assert cases.clear_device("web01", DEPLOYMENT.lower()) == [Cleared("web01", DEPLOYMENT, "FAILED", 2)]


def test_a_removal_ends_its_own_cases_and_leaves_nothing_to_clear(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    """D32: PS120006 done, PS120007 launched and removed; a clear then ran PS120006 again."""
    first = one(ledger, claim(1))
    launch(ledger)
    reported(ledger, first, "done")
    other = second(ready)
    second_claim = one(ledger, claim(1, other, xid=8))
    launch(ledger)
    cases.hold("web02", other, "its disk is being copied")
    planned = ready.deployments.removal(other)
    assert (planned.armed, planned.held, planned.finished) == (0, 1, 0)
    assert [item.device for item in planned.launched] == ["web01"]
    assert ready.deployments.remove(other)._replace(launched=[]) == planned._replace(launched=[])
    assert cases.clear_device("web01") == []
    assert cases.clear_collection("rack") == []
    assert cases.clear_collection("rack", every=True, dry_run=True) == [
        Cleared("web01", DEPLOYMENT, "DONE", 2)
    ], "the removed one is not armed again"
    assert {(case.row.state, case.row.ended_from) for case in cases.all(deployment_id=other)} == {
        ("WITHDRAWN", "LAUNCHED"),
        ("WITHDRAWN", "HOLD"),
    }
    assert ledger.counts() == {"ARMED": 1, "DONE": 1, "WITHDRAWN (held)": 1, "WITHDRAWN (launched)": 1}
    assert code(one(ledger, claim(1, other, xid=9))) == "withdrawn"
    # Its machine is heard, and told, and nothing of it lives again.
    for kind, state in (("started", "WITHDRAWN"), ("done", "DONE")):
        told = reported(ledger, second_claim, kind)  # type: ignore[arg-type]
        assert (told.ok, told.state) == (True, state)


def test_a_withdrawn_session_is_not_launched(ready: Store, ledger: Ledger) -> None:
    """I3: a transfer stands before its last byte when the deployment is removed."""
    claimed = one(ledger, claim(1))
    removal = ready.deployments.remove(DEPLOYMENT)
    assert (removal.armed, removal.launched) == (2, [])
    for session in (marked(claimed).session, None):
        refused = launch(ledger, session=session)
        assert (refused.ok, refused.launched) == (False, False)


def test_a_removed_launch_keeps_other_required_deployments_waiting(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    """D32, D34: the machine may be imaged at this moment."""
    now = time.time()
    one(ledger, claim(1, now=now))
    assert launch(ledger, now=now).launched
    other = second(ready)
    (device,) = ready.deployments.remove(DEPLOYMENT).launched
    assert device == ("web01", now + 4 * 3600)
    refused = one(ledger, claim(1, other, xid=8, now=now + 4 * 3600 - 1))
    assert (refused.ok, code(refused)) == (False, "waits_behind")
    assert refused.reason.text.endswith(f"pxefast deployment clear --device web01 --deployment {DEPLOYMENT}")
    assert ready.deployments.status(other).blocked == [("web01", DEPLOYMENT, now + 4 * 3600)]
    assert (ready.deployments.counts()[other].blocked, ledger.blocked()) == (1, 1)
    assert cases.clear_device("web01") == []
    assert [item.why for item in cases.kept("web01", None)] == ["its deployment was removed"]
    # An operator who has looked at the machine ends the wait; nothing is armed by it.
    assert cases.clear_device("web01", DEPLOYMENT) == [Cleared("web01", DEPLOYMENT, "WITHDRAWN", None)]
    assert [case.row.state for case in cases.all("web01", DEPLOYMENT)] == ["CLEARED"]
    assert ledger.blocked() == 0
    assert one(ledger, claim(1, other, xid=9, now=now + 60)).ok


def test_a_clear_keeps_who_did_it_and_the_next_offer_says_so(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    first = one(ledger, claim(1))
    launch(ledger)
    reported(ledger, first, "done")
    cases.clear_device("web01", DEPLOYMENT)
    old, new = (case.row for case in cases.all("web01"))
    assert (old.state, old.ended_from, old.ended_by) == ("CLEARED", "DONE", person())
    assert (new.state, new.generation) == ("ARMED", 2)
    history = load(ready, ready.point, {}, 900).marks[DEPLOYMENT][1].history
    assert history.startswith("launched 2023-11-14 22:13:21 UTC, reported done 2023-11-14 22:13:30 UTC")
    assert f"cleared by {person()} " in history


def test_a_machine_without_a_record_is_cleared_by_its_address(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    with pytest.raises(NotFound):
        cases.clear_device("mac:02:00:00:00:00:09")
    ready.policy.set("required_for_unknown", "yes")
    ready.policy.set("approve_new_members", "no")
    ready.devices.remove("web01")
    assert cases.clear_device("MAC:00:11:22:33:44:01") == []


def test_no_row_is_ever_deleted(ready: Store, ledger: Ledger, cases: Cases) -> None:
    """I6."""
    ledger.claim([claim(1), claim(2)])
    cases.clear_collection("rack")
    before = cases.all()
    ready.deployments.remove(DEPLOYMENT)
    ready.devices.remove("web01")
    after = [case.row for case in cases.all()]
    assert [row[:3] for row in after] == [case.row[:3] for case in before]
    assert [row.session for row in after] == [case.row.session for case in before]
    assert [row.state for row in after] == ["CLEARED", "WITHDRAWN", "CLEARED", "WITHDRAWN"]
    assert len(before) == 4
    assert cases.all()[0].device == "mac:00:11:22:33:44:01"
    assert [case.row.generation for case in cases.all("web02", DEPLOYMENT)] == [1, 2]
