"""A clear that names a deployment alone reaches every machine that it blocks, and no finished one (D33)."""

from __future__ import annotations

import pytest
from pxefast.errors import Invalid, NotFound, Unconfirmed
from pxefast.site.cases import Cases, Cleared, Kept
from pxefast.site.devices import NewDevice
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store

from .ledger_case import DEPLOYMENT, NOW, claim, launch, one, states


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready, ready.point)


@pytest.fixture
def cases(ready: Store) -> Cases:
    return Cases(ready)


def test_a_deployment_alone_clears_each_machine_that_it_blocks(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    ledger.claim([claim(1), claim(2)])
    launch(ledger, 1)
    # A device that left the collection is still blocked.
    ready.collections.discard("rack", ["web02"])
    both = [Cleared("web01", DEPLOYMENT, "LAUNCHED", 2), Cleared("web02", DEPLOYMENT, "CLAIMED", 2)]
    before = states(ready)
    assert cases.clear_deployment(DEPLOYMENT.lower(), dry_run=True) == both
    assert states(ready) == before
    assert cases.clear_deployment(DEPLOYMENT) == both
    assert cases.clear_deployment(DEPLOYMENT) == []
    assert [state[:3] for state in states(ready)] == [
        (1, 1, "CLEARED"), (1, 2, "ARMED"), (2, 1, "CLEARED"), (2, 2, "ARMED"),
    ]  # fmt: skip


def test_a_deployment_alone_leaves_its_finished_cases_and_other_deployments(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    other = ready.deployments.create("PS100003", "rack", "required", "media-pxe").id
    claimed = one(ledger, claim(1))
    assert claimed.mark is not None
    assert claimed.token is not None
    launch(ledger, 1)
    ledger.report(claimed.mark.session, claimed.token, "done", "", NOW + 60)
    cases.hold("web02", DEPLOYMENT, "a disk is copied")
    cases.hold("web02", other, "a disk is copied")
    assert cases.kept(deployment_id=DEPLOYMENT) == [
        Kept("web01", DEPLOYMENT, "DONE", "finished; it blocks nothing")
    ]
    assert cases.clear_deployment(DEPLOYMENT) == [Cleared("web02", DEPLOYMENT, "HOLD", 2)]
    held = [case.row.deployment_id for case in cases.all("web02") if case.row.state == "HOLD"]
    assert held == [other]
    assert [case.row.state for case in cases.all("web01", DEPLOYMENT)] == ["DONE"]


def test_a_removed_deployment_is_cleared_where_its_launch_makes_others_wait(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    """D34: an id that only the ledger knows. Nothing is armed."""
    ledger.claim([claim(1), claim(2)])
    launch(ledger, 1)
    ready.deployments.remove(DEPLOYMENT)
    assert cases.clear_deployment(DEPLOYMENT) == [Cleared("web01", DEPLOYMENT, "WITHDRAWN", None)]
    assert cases.clear_deployment(DEPLOYMENT) == []
    assert "ARMED" not in [case.row.state for case in cases.all()]


def test_a_machine_without_a_record_is_cleared_by_the_deployment_that_blocks_it(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    ledger.claim([claim(1), claim(2)])
    launch(ledger, 1)
    ready.devices.remove("web01")
    cleared = cases.clear_deployment(DEPLOYMENT)
    assert [(item.device, item.state) for item in cleared] == [
        ("mac:00:11:22:33:44:01", "LAUNCHED"),
        ("web02", "CLAIMED"),
    ]


def test_a_work_that_has_started_stops_the_whole_clear_unless_it_is_forced(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    claimed, _ = ledger.claim([claim(1), claim(2)])
    assert claimed.mark is not None
    assert claimed.token is not None
    launch(ledger, 1)
    ledger.report(claimed.mark.session, claimed.token, "started", "", NOW + 60)
    before = states(ready)
    with pytest.raises(Invalid, match="web01"):
        cases.clear_deployment(DEPLOYMENT)
    assert states(ready) == before
    assert [item.state for item in cases.clear_deployment(DEPLOYMENT, force=True)] == ["STARTED", "CLAIMED"]


def test_an_id_that_nobody_knows_and_an_available_deployment_are_errors(ready: Store, cases: Cases) -> None:
    with pytest.raises(NotFound, match="PS199999"):
        cases.clear_deployment("PS199999")
    available = ready.deployments.create("PS100003", "rack", "available", "media-pxe").id
    with pytest.raises(Invalid, match="only required"):
        cases.clear_deployment(available)
    with pytest.raises(Invalid, match="only required"):
        cases.kept(deployment_id=available)


def test_many_machines_are_cleared_only_by_the_hash_of_their_list(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    """D11."""
    names = [f"pc{number:02}" for number in range(1, 23)]
    new = [NewDevice(name, (f"00:11:22:33:55:{number:02}",)) for number, name in enumerate(names, 1)]
    ready.devices.add_many(new)
    for name in names:
        cases.hold(name, DEPLOYMENT, "a disk is copied")
    assert len(cases.clear_deployment(DEPLOYMENT, dry_run=True)) == 22
    with pytest.raises(Unconfirmed, match=f"clear deployment {DEPLOYMENT}") as refused:
        cases.clear_deployment(DEPLOYMENT)
    assert all(case.row.state == "HOLD" for case in cases.all("pc01"))
    with pytest.raises(Unconfirmed):
        cases.clear_deployment(DEPLOYMENT, confirm="0" * 12)
    assert len(cases.clear_deployment(DEPLOYMENT, confirm=refused.value.list_hash)) == 22
