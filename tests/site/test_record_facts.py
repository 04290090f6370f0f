"""What a journal says again is read by its facts, and what cannot be read is never passed over (D39, R-77)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pxefast.site import schema
from pxefast.site.audit import AuditRow, read_records
from pxefast.site.cases import Cases
from pxefast.site.ledger import Ledger
from pxefast.site.reconcile import find_armed, find_lost, hold_armed, restore_lost
from pxefast.site.store import Store
from sqlalchemy import update

from .ledger_case import DEPLOYMENT, claim, launch, one, states

HOSTILE = [
    "os state=ARMED.img",
    "os state=ARMED",
    "a device=7 b",
    "device=7 deployment=PS120009 generation=9 state=DONE",
    "line\nstate=ARMED device=7",
    'quote" state=ARMED, \'x\' {"state": "ARMED"}',
    " state=ARMED",
    "identities=mac:02:00:00:00:00:07",
]


def name_of(file: str) -> str:
    return f"SMSImages/PS100002/{file}"


def launched(store: Store, file: str) -> list[AuditRow]:
    """The records of a launch of web01 that ends with this file."""
    ledger = Ledger(store, store.point)
    name = name_of(file)
    assert one(ledger, claim(1, launch=name, identities=("mac:00:11:22:33:44:01",))).ok
    assert launch(ledger, 1, name).ok
    with store.read() as connection:
        return read_records(connection)


def forget(store: Store) -> None:
    """As a restored database does."""
    with store.record() as connection:
        values = {"state": "ARMED", "session": None, "transfer": None, "peer": None, "launch": None}
        connection.execute(update(schema.ledger).where(schema.ledger.c.device_id == 1).values(**values))


@pytest.mark.parametrize("file", HOSTILE)
def test_the_name_of_a_launch_file_changes_nothing_that_is_read(ready: Store, file: str) -> None:
    records = launched(ready, file)
    assert records[-1].fields is not None
    assert records[-1].fields["file"] == name_of(file)
    forget(ready)
    with ready.write("reconcile", "test") as connection:
        lost, unreadable = find_lost(connection, records)
        assert [(item.device_id, item.deployment, item.state) for item in lost] == [
            (1, DEPLOYMENT, "LAUNCHED")
        ]
        assert lost[0].identities == ("mac:00:11:22:33:44:01",)
        assert unreadable == []
        restore_lost(connection, lost, 1.0)
    assert states(ready)[0] == (1, 1, "HOLD")


def sentence(file: str, **more: str) -> AuditRow:
    """A launch as records from before there were facts tell it."""
    text = (
        f"deployment={DEPLOYMENT} device=1 generation=1 state=LAUNCHED session=0011aabb peer=10.0.0.1 "
        f"point=dp1 returns=2 transfer=t1 file={name_of(file)}"
    )
    return AuditRow(9, 1.0, "root", "ledger launch", text, "", **more)


@pytest.mark.parametrize("file", HOSTILE)
def test_a_record_from_before_there_were_facts_is_read_from_its_beginning_alone(
    ready: Store, file: str
) -> None:
    with ready.read() as connection:
        lost, unreadable = find_lost(connection, [sentence(file)])
    assert [(item.device_id, item.deployment, item.state) for item in lost] == [(1, DEPLOYMENT, "LAUNCHED")]
    assert unreadable == []


def old(words: str, action: str = "ledger launch") -> AuditRow:
    return AuditRow(9, 1.0, "root", action, words, "")


@pytest.mark.parametrize(
    "record",
    [
        old("device=1 state=LAUNCHED"),
        old(f"x deployment={DEPLOYMENT} device=1 generation=1 state=LAUNCHED"),
        old(f"deployment={DEPLOYMENT} device=1 generation=1 state=CLAIMED identities=a b", "ledger claim"),
        old(f"deployment={DEPLOYMENT} device=1 generation=1 state=GONE"),
        sentence("os.img", details="[]"),
        sentence("os.img", details="no JSON"),
        sentence("os.img", details='{"device": true, "deployment": "PS120001", "generation": 1, "state": "DONE"}'),
        sentence("os.img", details='{"device": "1", "deployment": "PS120001", "generation": 1, "state": "DONE"}'),
        sentence("os.img", details='{"device": 1, "deployment": "PS120001", "generation": 1, "state": "ARMED ME"}'),
    ],
    ids=range(9),
)  # fmt: skip
def test_a_ledger_record_that_cannot_be_read_for_sure_is_given_back_as_such(
    ready: Store, record: AuditRow
) -> None:
    with ready.read() as connection:
        assert find_lost(connection, [record]) == ([], [record])
        assert find_lost(connection, [record._replace(action="collection create")]) == ([], [])


def test_facts_win_over_their_sentence(ready: Store) -> None:
    facts = {"device": 2, "deployment": DEPLOYMENT, "generation": 1, "state": "DONE"}
    with ready.read() as connection:
        lost, _ = find_lost(connection, [sentence("os.img", details=json.dumps(facts))])
    assert [(item.device_id, item.state) for item in lost] == [(2, "DONE")]


def test_where_nobody_knows_what_was_given_everything_that_is_armed_is_held(ready: Store) -> None:
    ledger = Ledger(ready, ready.point)
    one(ledger, claim(1))
    with ready.write("reconcile", "test") as connection:
        armed = find_armed(connection)
        assert [(row.device_id, row.state) for row in armed] == [(1, "CLAIMED"), (2, "ARMED")]
        hold_armed(connection, armed, "nobody knows")
    assert states(ready) == [(1, 1, "HOLD"), (2, 1, "HOLD")]
    assert not one(ledger, claim(2)).ok
    Cases(ready).clear_device("web02")
    assert one(ledger, claim(2, xid=9)).ok


def test_a_new_member_that_needs_no_approval_is_held_with_the_others(ready: Store, tmp_path: Path) -> None:
    from pxefast.site.devices import NewDevice

    ready.policy.set("approve_new_members", "no")
    late = ready.devices.add(NewDevice("late", ("02:00:00:00:00:99",)))
    ready.collections.add("rack", ["late"])
    with ready.write("reconcile", "test") as connection:
        armed = find_armed(connection)
        assert late.id in {row.device_id for row in armed}
        hold_armed(connection, armed, "nobody knows")
    assert one(Ledger(ready, ready.point), claim(late.id)).reason.code == "hold"
