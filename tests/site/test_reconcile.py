"""What comes back into a restored database, generation by generation (R-77)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pxefast.site import schema
from pxefast.site.audit import AuditRow, read_records
from pxefast.site.cases import Cases
from pxefast.site.ledger import ClaimResult, Ledger
from pxefast.site.reconcile import Lost, find_lost, restore_lost
from pxefast.site.store import Store
from sqlalchemy import delete, update

from .ledger_case import DEPLOYMENT, NOW, claim, code, launch, marked, one, states

L = schema.ledger.c


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready, ready.point)


def records(store: Store) -> list[AuditRow]:
    """What the journal has: every record of the audit so far."""
    with store.read() as connection:
        return list(read_records(connection))


def imaged_again(ledger: Ledger, store: Store) -> None:
    """web01 is imaged and reports it; a person clears that, and it launches once more (generation 2)."""
    first = one(ledger, claim(1))
    launch(ledger, 1)
    ended(ledger, first)
    Cases(store).clear_device("web01", DEPLOYMENT)
    assert one(ledger, claim(1, xid=8, now=NOW + 300)).ok
    assert launch(ledger, 1, transfer="t2", now=NOW + 301).launched
    assert states(store)[:2] == [(1, 1, "CLEARED"), (1, 2, "LAUNCHED")]


def ended(ledger: Ledger, claimed: ClaimResult) -> None:
    assert claimed.token is not None
    assert ledger.report(marked(claimed).session, claimed.token, "done", "", NOW + 200).ok


def forget(store: Store, change: Callable[[], object]) -> None:
    """Put the ledger into a state of before, as a restored backup does."""
    with store.write("test", "restored") as connection:
        connection.execute(change())  # type: ignore[call-overload]


def back_to_generation_1(store: Store, state: str) -> None:
    forget(store, lambda: delete(schema.ledger).where(L.device_id == 1, L.generation == 2))
    forget(
        store,
        lambda: (
            update(schema.ledger)
            .where(L.device_id == 1)
            .values(state=state, launched_at=NOW, reported_at=NOW)
        ),
    )


def reconciled(store: Store, journal: list[AuditRow]) -> list[Lost]:
    with store.write("reconcile", "test") as connection:
        lost, _ = find_lost(connection, journal)
        restore_lost(connection, lost, NOW + 900)
    return lost


@pytest.mark.parametrize("state", ["ARMED", "DONE", "LAUNCHED", "HOLD"])
def test_a_generation_that_the_database_lost_comes_back_held_and_the_one_before_is_history(
    ready: Store, ledger: Ledger, state: str
) -> None:
    imaged_again(ledger, ready)
    journal = records(ready)
    back_to_generation_1(ready, state)
    (lost,) = reconciled(ready, journal)
    assert (lost.device_id, lost.deployment, lost.generation, lost.state) == (1, DEPLOYMENT, 2, "LAUNCHED")
    assert states(ready)[:2] == [(1, 1, "CLEARED"), (1, 2, "HOLD")]
    assert code(one(ledger, claim(1, xid=99, now=NOW + 901))) == "hold"
    Cases(ready).clear_device("web01", DEPLOYMENT)
    assert states(ready)[:3] == [(1, 1, "CLEARED"), (1, 2, "CLEARED"), (1, 3, "ARMED")]


def test_a_lost_launch_of_a_generation_that_the_database_has_is_held(ready: Store, ledger: Ledger) -> None:
    imaged_again(ledger, ready)
    journal = records(ready)
    forget(ready, lambda: update(schema.ledger).where(L.generation == 2).values(state="CLAIMED"))
    (lost,) = reconciled(ready, journal)
    assert (lost.generation, lost.state) == (2, "LAUNCHED")
    assert states(ready)[:2] == [(1, 1, "CLEARED"), (1, 2, "HOLD")]


def test_what_the_database_knows_as_well_is_not_lost(ready: Store, ledger: Ledger) -> None:
    imaged_again(ledger, ready)
    assert reconciled(ready, records(ready)) == []
    assert states(ready)[:2] == [(1, 1, "CLEARED"), (1, 2, "LAUNCHED")]


def test_a_database_that_is_a_generation_ahead_of_the_journal_has_lost_nothing(
    ready: Store, ledger: Ledger
) -> None:
    first = one(ledger, claim(1))
    launch(ledger, 1)
    journal = records(ready)
    ended(ledger, first)
    Cases(ready).clear_device("web01", DEPLOYMENT)
    assert reconciled(ready, journal) == []
    assert states(ready)[:2] == [(1, 1, "CLEARED"), (1, 2, "ARMED")]


def test_a_claim_that_made_way_for_another_deployment_is_not_lost(ready: Store, ledger: Ledger) -> None:
    sequence = ready.task_sequences.create("again", "PS100002")
    other = ready.deployments.create(sequence.id, "rack", "required", "media-pxe").id
    one(ledger, claim(1))
    one(ledger, claim(1, other, xid=8))
    journal = records(ready)
    forget(ready, lambda: delete(schema.ledger).where(L.device_id == 1))
    (lost,) = reconciled(ready, journal)
    assert (lost.deployment, lost.state) == (other, "CLAIMED"), "the other was returned, and ran nothing"


def test_a_generation_that_was_only_armed_is_not_lost(ready: Store, ledger: Ledger) -> None:
    first = one(ledger, claim(1))
    launch(ledger, 1)
    ended(ledger, first)
    Cases(ready).clear_device("web01", DEPLOYMENT)
    journal = records(ready)
    back_to_generation_1(ready, "DONE")
    assert reconciled(ready, journal) == []


def test_a_device_that_the_database_does_not_know_keeps_its_number_and_its_identities(
    ready: Store, ledger: Ledger
) -> None:
    one(ledger, claim(1, identities=("mac:02:00:00:00:00:99",)))
    launch(ledger, 1)
    journal = [record for record in records(ready) if record.action.startswith("ledger ")]
    forget(ready, lambda: delete(schema.ledger).where(L.device_id == 1))
    (lost,) = reconciled(ready, journal)
    assert lost.identities == ("mac:02:00:00:00:00:99",), "the claim named them, the launch after it does not"
    assert states(ready)[0] == (1, 1, "HOLD")


def test_records_that_are_not_of_the_ledger_change_nothing(ready: Store) -> None:
    subject = f"device=1 deployment={DEPLOYMENT} generation=1 state=LAUNCHED"
    foreign = AuditRow(1, 0.0, "x", "device add", subject, "")
    broken = AuditRow(2, 0.0, "x", "ledger launch", "device=one", "")
    assert reconciled(ready, [foreign, broken]) == []
