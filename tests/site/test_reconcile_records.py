"""Which record of a journal is a lost case, record by record, and all that a lost case brings back (R-77, D39)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pxefast.site import schema
from pxefast.site.audit import AuditRow, read_records
from pxefast.site.devices import NewDevice
from pxefast.site.ledger_row import Row
from pxefast.site.ledger_rows import Rows
from pxefast.site.reconcile import Lost, case_of, find_armed, find_lost, hold_armed, restore_lost
from pxefast.site.store import Store
from sqlalchemy import insert, select

from .ledger_case import DEPLOYMENT, NOW

GIVEN = ("ARMED", "CLAIMED", "LAUNCHED", "STARTED", "FAILED", "DONE", "HOLD", "WITHDRAWN")
CARD, GUID = "mac:02:00:00:00:00:99", "guid:11223344-5566-7788-99aa-bbccddeeff00"


def record(
    device: Any = 1,
    generation: Any = 1,
    state: Any = "LAUNCHED",
    deployment: Any = DEPLOYMENT,
    at: float = NOW,
    action: str = "ledger launch",
    **more: Any,
) -> AuditRow:
    """A record with facts; a value None leaves its fact out."""
    facts = {"device": device, "generation": generation, "state": state, "deployment": deployment, **more}
    known = {name: value for name, value in facts.items() if value is not None}
    return AuditRow(1, at, "dp1", action, "for people", "", json.dumps(known))


def old(text: str, action: str = "ledger launch") -> AuditRow:
    """A record from before there were facts."""
    return AuditRow(1, NOW, "dp1", action, text, "")


def put(store: Store, *made: Row) -> None:
    with store.record() as connection:
        rows = Rows(connection)
        rows.load_devices([row.device_id for row in made])
        for row in made:
            rows.put(row)
        rows.save()


def lost(store: Store, *records: AuditRow) -> list[Lost]:
    with store.read() as connection:
        found = find_lost(connection, records)
    assert found.unreadable == []
    return found.lost


def restored(store: Store, *items: Lost, now: float = NOW + 900) -> None:
    with store.write("reconcile", "test") as connection:
        restore_lost(connection, iter(items), now)


def ledger_rows(store: Store) -> list[Row]:
    c = schema.ledger.c
    with store.read() as connection:
        query = select(schema.ledger).order_by(c.device_id, c.deployment_id, c.generation)
        return [Row(*row) for row in connection.execute(query)]


def holds(store: Store) -> list[dict[str, Any]]:
    with store.read() as connection:
        return [row.fields or {} for row in read_records(connection) if row.action == "ledger hold"]


def hardware(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return {row.identity: row.device_id for row in connection.execute(select(schema.hardware))}


def next_device(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(schema.hierarchy.c.next_device)).scalar_one())


@pytest.mark.parametrize("journal", [*GIVEN, "CLEARED"])
def test_a_case_is_lost_where_the_database_says_less_of_it_than_the_journal(
    ready: Store, journal: str
) -> None:
    """More was given from state to state; what is done or held already needs no further hold for a removal."""
    known = record(state=journal, generation=2)
    ended = ("DONE", "FAILED", "HOLD")
    for state in (*GIVEN, "CLEARED"):
        for generation in (1, 2, 3):
            row = Row(1, DEPLOYMENT, generation, state, NOW)  # type: ignore[arg-type]
            with ready.record() as connection:
                connection.execute(schema.ledger.delete().where(schema.ledger.c.device_id == 1))
            put(ready, row)
            if journal in ("ARMED", "CLEARED"):
                expected = False
            elif state == "CLEARED":
                expected = True  # A cleared generation is history: no row says anything of the case.
            elif journal == "WITHDRAWN" and state in ended:
                expected = False
            elif generation != 2:
                expected = generation < 2
            else:
                expected = GIVEN.index(state) < GIVEN.index(journal)
            found = lost(ready, known)
            assert bool(found) == expected, (journal, state, generation)
            if found:
                assert found == [Lost(1, DEPLOYMENT, 2, journal, NOW, ())]


def test_the_newest_record_of_a_case_counts_with_the_identities_of_its_claim(ready: Store) -> None:
    other = "PS120009"
    found = lost(
        ready,
        record(2, state="CLAIMED", action="ledger claim", identities=[CARD, GUID]),
        record(1, state="CLAIMED", deployment=other, identities=["mac:02:00:00:00:00:01"]),
        record(2, state="LAUNCHED", at=NOW + 1),
        record(1, state="CLAIMED", identities=["mac:02:00:00:00:00:02"], at=NOW + 2),
        record(1, state="LAUNCHED", identities=["mac:02:00:00:00:00:03"], at=NOW + 3),
        record(3, state="LAUNCHED", action="device add"),
    )
    assert found == [
        Lost(1, DEPLOYMENT, 1, "LAUNCHED", NOW + 3, ("mac:02:00:00:00:00:03",)),
        Lost(1, other, 1, "CLAIMED", NOW, ("mac:02:00:00:00:00:01",)),
        Lost(2, DEPLOYMENT, 1, "LAUNCHED", NOW + 1, (CARD, GUID)),
    ]


def test_a_record_that_cannot_be_read_hides_none_after_it(ready: Store) -> None:
    broken, good = record(device=None), record(state="DONE")
    with ready.read() as connection:
        found = find_lost(connection, [broken, good])
    assert found == ([Lost(1, DEPLOYMENT, 1, "DONE", NOW, ())], [broken])


@pytest.mark.parametrize(
    "unreadable",
    [
        {"device": None},
        {"device": "1"},
        {"device": True},
        {"device": 1.0},
        {"generation": None},
        {"generation": "1"},
        {"generation": False},
        {"deployment": None},
        {"deployment": 7},
        {"state": None},
        {"state": "armed"},
        {"identities": CARD},
        {"identities": {"mac": CARD}},
    ],
    ids=str,
)
def test_facts_of_another_kind_are_no_case(unreadable: dict[str, Any]) -> None:
    assert case_of(record(**unreadable)) is None


@pytest.mark.parametrize("state", [*GIVEN, "CLEARED"])
def test_facts_and_sentences_of_every_state_are_read(state: str) -> None:
    expected = Lost(7, DEPLOYMENT, 3, state, NOW, ())
    assert case_of(record(7, 3, state)) == expected
    assert case_of(old(f"deployment={DEPLOYMENT} device=7 generation=3 state={state}")) == expected


def test_facts_with_identities_are_read_as_text() -> None:
    assert case_of(record(identities=[CARD, 7])) == Lost(1, DEPLOYMENT, 1, "LAUNCHED", NOW, (CARD, "7"))


START = f"deployment={DEPLOYMENT} device=7 generation=3 state=CLAIMED"


@pytest.mark.parametrize(
    ("text", "identities"),
    [
        (f"{START} identities={CARD}", (CARD,)),
        (f"{START} session=00aabbcc peer=10.0.0.1 point=dp1 returns=2 identities={CARD},{GUID}", (CARD, GUID)),
        (f"{START} identities=", ()),
        (f"{START}", None),
        (f"{START} identities={CARD} more", None),
        (f"{START} transfer=x identities={CARD}", None),
        (f"{START} identities={CARD},", None),
        (START.replace("CLAIMED", "OTHER") + " identities=", None),
        (START.replace("device=7", "device=x") + " identities=", None),
    ],
)  # fmt: skip
def test_a_sentence_of_a_claim_is_read_with_its_identities_alone(
    text: str, identities: tuple[str, ...] | None
) -> None:
    found = case_of(old(text, "ledger claim"))
    assert found == (None if identities is None else Lost(7, DEPLOYMENT, 3, "CLAIMED", NOW, identities))


def test_a_sentence_of_another_action_may_end_with_anything() -> None:
    found = case_of(old(f"{START} identities={CARD} file=identities=\nx"))
    assert found == Lost(7, DEPLOYMENT, 3, "CLAIMED", NOW, ())


@pytest.mark.parametrize("state", ["CLAIMED", "LAUNCHED", "STARTED", "DONE", "FAILED", "HOLD", "WITHDRAWN"])
def test_a_lost_case_is_entered_as_held_with_the_time_of_its_launch_and_audited(
    ready: Store, state: str
) -> None:
    why = f"the journal knew it as {state} and the database had lost it"
    launched = NOW + 5 if state in ("LAUNCHED", "STARTED", "HOLD", "WITHDRAWN") else None
    restored(
        ready,
        Lost(1, DEPLOYMENT, 1, state, NOW + 5, ()),
        Lost(2, DEPLOYMENT, 2, state, NOW + 5, ()),
        Lost(9, "PS120009", 4, state, NOW + 5, ()),
    )
    first, history, second, third = ledger_rows(ready)
    assert first == Row(1, DEPLOYMENT, 1, "HOLD", first.armed_at, why=why, launched_at=launched)
    assert first.armed_at != NOW + 900, "the row that was there is kept"
    assert history == Row(2, DEPLOYMENT, 1, "CLEARED", history.armed_at)
    assert second == Row(2, DEPLOYMENT, 2, "HOLD", NOW + 900, why=why, launched_at=launched)
    assert third == Row(9, "PS120009", 4, "HOLD", NOW + 900, why=why, launched_at=launched)
    assert [(each["device"], each["state"], each["before"]) for each in holds(ready)] == [
        (1, "HOLD", state),
        (2, "HOLD", state),
        (9, "HOLD", state),
    ]


def test_what_the_database_knows_of_a_launch_is_kept(ready: Store) -> None:
    put(ready, Row(1, DEPLOYMENT, 1, "LAUNCHED", NOW, launched_at=NOW - 9, session="s", returns=2))
    restored(ready, Lost(1, DEPLOYMENT, 1, "STARTED", NOW + 5, ()))
    why = "the journal knew it as STARTED and the database had lost it"
    assert ledger_rows(ready)[0] == Row(
        1, DEPLOYMENT, 1, "HOLD", NOW, returns=2, session="s", launched_at=NOW - 9, why=why
    )


def test_numbers_and_identities_of_lost_cases_are_never_given_to_other_machines(ready: Store) -> None:
    guid = "99999999-0000-0000-0000-000000000009"
    ready.devices.add(NewDevice("other", ("02:00:00:00:00:77",), guid))
    with ready.record() as connection:
        connection.execute(insert(schema.hardware).values(identity="mac:02:00:00:00:00:55", device_id=3))
    before = next_device(ready)
    restored(ready)
    assert next_device(ready) == before
    identities = ("mac:02:00:00:00:00:55", "mac:02:00:00:00:00:77", f"guid:{guid}", CARD, GUID)
    restored(
        ready,
        Lost(before + 7, DEPLOYMENT, 1, "DONE", NOW, identities),
        Lost(1, DEPLOYMENT, 1, "DONE", NOW, ()),
    )
    assert next_device(ready) == before + 8
    assert hardware(ready) == {"mac:02:00:00:00:00:55": 3, CARD: before + 7, GUID: before + 7}
    restored(ready, Lost(before + 7, DEPLOYMENT, 1, "DONE", NOW, (CARD,)))
    assert next_device(ready) == before + 8
    restored(ready, Lost(before + 8, DEPLOYMENT, 1, "DONE", NOW, ()))
    assert next_device(ready) == before + 9


def armed(store: Store) -> list[tuple[int, str, str]]:
    with store.read() as connection:
        return [(row.device_id, row.deployment_id, row.state) for row in find_armed(connection)]


def test_armed_is_what_a_machine_may_still_be_given(ready: Store) -> None:
    sequence = ready.task_sequences.create("again", "PS100002")
    other = ready.deployments.create(sequence.id, "rack", "required", "media-pxe").id
    ready.deployments.create(sequence.id, "rack", "available", "media-pxe")
    put(ready, Row(1, DEPLOYMENT, 1, "CLAIMED", NOW), Row(2, DEPLOYMENT, 1, "LAUNCHED", NOW))
    expected = [(1, DEPLOYMENT, "CLAIMED"), (1, other, "ARMED"), (2, other, "ARMED")]
    assert armed(ready) == expected
    late = ready.devices.add(NewDevice("late", ("02:00:00:00:00:99",)))
    ready.collections.add("rack", ["late"])
    assert armed(ready) == expected
    ready.policy.set("approve_new_members", "no")
    assert armed(ready) == [*expected, (late.id, DEPLOYMENT, "ARMED"), (late.id, other, "ARMED")]
    with ready.read() as connection:
        created = {row.id: row.created_at for row in connection.execute(select(schema.deployment))}
        found = [row for row in find_armed(connection) if row.device_id == late.id]
    assert found == [Row(late.id, name, 1, "ARMED", created[name]) for name in (DEPLOYMENT, other)]


def test_what_is_armed_is_found_in_order_whatever_was_entered_first(ready: Store) -> None:
    put(ready, *(Row(n, f"PS12000{k}", 1, "ARMED", NOW) for n, k in ((9, 7), (8, 9), (8, 8))))
    d = schema.deployment
    with ready.record() as connection:
        first = connection.execute(select(d)).one()._asdict()
        connection.execute(insert(d).values({**first, "id": "AAA20001"}))
    given = [(1, DEPLOYMENT), (2, DEPLOYMENT), (8, "PS120008"), (8, "PS120009"), (9, "PS120007")]
    assert [(number, name) for number, name, _ in armed(ready)] == given
    ready.policy.set("approve_new_members", "no")
    late = ready.devices.add(NewDevice("late", ("02:00:00:00:00:99",))).id
    ready.collections.add("rack", ["late"])
    added = [(1, "AAA20001"), (2, "AAA20001"), (late, "AAA20001"), (late, DEPLOYMENT)]
    assert [(number, name) for number, name, _ in armed(ready)] == [*given, *added]


def test_a_hold_of_everything_armed_leaves_what_was_given_meanwhile(ready: Store) -> None:
    with ready.read() as connection:
        found = find_armed(connection)
    put(ready, Row(1, DEPLOYMENT, 1, "LAUNCHED", NOW, launched_at=NOW))
    with ready.write("reconcile", "test") as connection:
        hold_armed(connection, iter([*found, Row(9, DEPLOYMENT, 1, "ARMED", NOW)]), "nobody knows")
    first, second, third = ledger_rows(ready)
    assert (first.state, first.why) == ("LAUNCHED", None)
    assert (second.state, second.why) == ("HOLD", "nobody knows")
    assert third == Row(9, DEPLOYMENT, 1, "HOLD", NOW, why="nobody knows")
    assert [(each["device"], each["state"], each["before"]) for each in holds(ready)] == [
        (2, "HOLD", "ARMED"),
        (9, "HOLD", "ARMED"),
    ]
