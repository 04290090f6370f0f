"""The ledger's rows inside one change: what is loaded and found, what is written, and how it is audited."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pxefast.site import schema
from pxefast.site.audit import read_records
from pxefast.site.ledger import Ledger
from pxefast.site.ledger_rows import Rows, _newest, chunks
from pxefast.site.protocol import Row
from pxefast.site.store import Store
from sqlalchemy import event, select

from .ledger_case import DEPLOYMENT, NOW, claim, launch, one
from .test_ledger import second_deployment

# A full row, so that a column that is left out or mixed up shows.
FULL = Row(
    1, DEPLOYMENT, 2, "LAUNCHED", NOW, 3, "aabbccddeeff0011", "t" * 32, "dp1", "10.0.0.7", 5, 99, NOW + 1, NOW + 2,
    "SMSImages/a/b", "transfer", NOW + 3, NOW + 4, "a reason", "00:11:22:33:44:01", NOW + 5, "root", "CLAIMED",
)  # fmt: skip
# The same at an address, of no session: no two rows have one.
HERE = FULL._replace(generation=1, session=None, transfer=None)


def stored(store: Store) -> list[Row]:
    c = schema.ledger.c
    with store.read() as connection:
        query = select(schema.ledger).order_by(c.device_id, c.deployment_id, c.generation)
        return [Row(*row) for row in connection.execute(query)]


@contextmanager
def rows_of(store: Store) -> Iterator[Rows]:
    with store.record() as connection:
        yield Rows(connection)


def put(store: Store, *made: Row) -> None:
    with rows_of(store) as rows:
        rows.load_devices([row.device_id for row in made])
        for row in made:
            rows.put(row)
        rows.save()


def keys(found: list[Row]) -> list[tuple[int, str, str]]:
    return [(row.device_id, row.deployment_id, row.state) for row in found]


def test_every_column_of_a_new_and_of_a_changed_row_is_kept(ready: Store) -> None:
    put(ready, FULL)
    assert stored(ready)[1] == FULL
    other = FULL._replace(
        state="HOLD", armed_at=NOW + 10, returns=4, session="other", token="u" * 32, owner="dp2", peer=None,
        step=None, xid=None, claimed_at=None, stepped_at=NOW, launch=None, transfer=None, launched_at=NOW,
        reported_at=None, why=None, mac="", ended_at=None, ended_by=None, ended_from=None,
    )  # fmt: skip
    put(ready, other)
    assert stored(ready)[1] == other
    assert [row.generation for row in stored(ready)] == [1, 2, 1], "and no other row is"


def test_what_is_loaded_depends_on_the_key_and_cleared_generations_are_history(
    ready: Store, ledger: Ledger
) -> None:
    other = second_deployment(ready)
    one(ledger, claim(1, other))
    one(ledger, claim(2))
    launch(ledger, 2)
    session = next(row.session for row in stored(ready) if row.device_id == 2 and row.session)
    put(ready, Row(2, DEPLOYMENT, 2, "CLEARED", NOW))
    armed, claimed = (1, DEPLOYMENT, "ARMED"), (1, other, "CLAIMED")
    waits, launched = (2, other, "ARMED"), (2, DEPLOYMENT, "LAUNCHED")
    cases: list[tuple[str, list[Any], list[tuple[int, str, str]]]] = [
        ("load_devices", [1], [armed, claimed]),
        ("load_devices", [2, 2], [launched, waits]),
        ("load_devices", [], []),
        ("load_sessions", [session, "none"], [launched]),
        ("load_peers", ["10.0.0.1", "10.0.0.9"], [claimed]),
        ("load_deployments", [other], [claimed, waits]),
    ]
    for name, wanted, found in cases:
        with rows_of(ready) as rows:
            getattr(rows, name)(iter(wanted))
            assert keys(rows.all()) == found, name
    with rows_of(ready) as rows:
        rows.load_live()
        assert keys(rows.all()) == [claimed, launched]
    with rows_of(ready) as rows:
        rows.load_deployments([DEPLOYMENT], armed=False)
        assert keys(rows.all()) == [launched]
        assert rows.get(2, DEPLOYMENT) == rows.of_device(2)[0]
        assert rows.get(2, other) is rows.get(7, other) is None
        assert rows.of_device(7) == []


def test_a_query_by_key_leaves_out_history_and_what_more_it_is_told(ready: Store) -> None:
    """Built anew: the module builds each of its queries once."""
    put(ready, HERE._replace(device_id=2, state="CLEARED"), HERE._replace(device_id=2, generation=2))
    c = schema.ledger.c
    with ready.read() as connection:

        def found(wanted: list[int], *more: Any) -> list[tuple[int, int, str]]:
            rows = [Row(*row) for row in connection.execute(_newest(c.device_id, *more), {"keys": wanted})]
            return sorted((row.device_id, row.generation, row.state) for row in rows)

        first, second = (1, 1, "ARMED"), (2, 2, "LAUNCHED")
        assert found([1, 2, 3]) == [first, second]
        assert found([2]) == [second]
        assert found([1, 2], c.state != "ARMED") == [second]


def test_rows_at_an_address_are_those_that_are_there_now_in_order(ready: Store) -> None:
    other = second_deployment(ready)
    live = [
        HERE._replace(device_id=2, state="CLAIMED"),
        HERE._replace(device_id=1, deployment_id=other, state="CLAIMED"),
    ]
    ended = HERE._replace(state="DONE")
    put(ready, *live, ended)
    with rows_of(ready) as rows:
        rows.load_peers(["10.0.0.7"])
        assert keys(rows.at_address("10.0.0.7")) == [(1, other, "CLAIMED"), (2, DEPLOYMENT, "CLAIMED")]
        assert rows.at_address("10.0.0.8") == []
        rows.put(live[0]._replace(peer="10.0.0.8"))
        assert keys(rows.at_address("10.0.0.7")) == [(1, other, "CLAIMED")]
        assert keys(rows.at_address("10.0.0.8")) == [(2, DEPLOYMENT, "CLAIMED")]


@pytest.mark.parametrize(("state", "peer"), [("CLAIMED", None), ("LAUNCHED", "10.0.0.7")])
def test_an_address_that_is_taken_is_lost_to_the_claims_of_other_machines_alone(
    ready: Store, state: str, peer: str | None
) -> None:
    other = second_deployment(ready)
    there = HERE._replace(device_id=2, state=state)  # type: ignore[arg-type]
    own = HERE._replace(deployment_id=other, state="DONE")
    put(ready, there, own)
    with rows_of(ready) as rows:
        rows.load_devices([1, 2])
        taker = HERE._replace(state="CLAIMED")
        rows.put(taker)
        rows.take_address(taker)
        rows.take_address(taker._replace(peer=None))
        rows.save()
    found = {(row.device_id, row.deployment_id): row.peer for row in stored(ready)}
    assert found == {
        (1, DEPLOYMENT): "10.0.0.7",
        (1, other): "10.0.0.7",
        (2, DEPLOYMENT): peer,
        (2, other): None,
    }


def test_a_row_that_was_put_and_not_changed_is_not_written(ready: Store) -> None:
    statements: list[str] = []
    with ready.record() as connection:
        event.listen(connection, "before_cursor_execute", lambda *each: statements.append(each[2]))
        rows = Rows(connection)
        rows.load_devices([1])
        (row,) = rows.of_device(1)
        rows.put(row._replace(why="a while"))
        rows.put(row)
        rows.save()
    assert [text for text in statements if not text.startswith("SELECT")] == []


def test_what_ends_being_live_is_written_before_what_becomes_live(ready: Store) -> None:
    """A device has one live row (I2), at every moment of a change."""
    other = second_deployment(ready)
    put(ready, HERE._replace(deployment_id=other, state="CLAIMED"))
    with rows_of(ready) as rows:
        rows.load_devices([1])
        rows.put(HERE._replace(state="CLAIMED", session="new"))
        rows.put(Row(1, other, 1, "ARMED", NOW))
        rows.save()
    assert keys(stored(ready))[:2] == [(1, DEPLOYMENT, "CLAIMED"), (1, other, "ARMED")]


def test_a_change_is_audited_with_the_facts_that_it_has(ready: Store) -> None:
    with rows_of(ready) as rows:
        rows.load_devices([1, 2])
        rows.put(FULL, "ledger test", identities=["mac:a", "guid:b"], pair=("x", "y"), file="a=b", empty="")
        rows.put(Row(2, DEPLOYMENT, 1, "ARMED", NOW + 1), "ledger other")
        rows.put(Row(2, DEPLOYMENT, 1, "ARMED", NOW + 2))
        rows.note("budget trip", "50 required boots in 300 s")
        rows.save()
    with ready.read() as connection:
        full, armed, note = read_records(connection)[-3:]
    assert (full.action, full.subject) == (
        "ledger test",
        (
            f"deployment={DEPLOYMENT} device=1 generation=2 state=LAUNCHED session=aabbccdd peer=10.0.0.7 point=dp1 "
            "returns=3 identities=mac:a,guid:b pair=x,y file=a=b empty="
        ),
    )
    assert full.fields == {
        "deployment": DEPLOYMENT,
        "device": 1,
        "generation": 2,
        "state": "LAUNCHED",
        "session": "aabbccdd",
        "peer": "10.0.0.7",
        "point": "dp1",
        "returns": 3,
        "identities": ["mac:a", "guid:b"],
        "pair": ["x", "y"],
        "file": "a=b",
        "empty": "",
    }
    assert (armed.action, armed.subject) == (
        "ledger other",
        f"deployment={DEPLOYMENT} device=2 generation=1 state=ARMED",
    )
    assert (note.action, note.subject, note.fields) == ("budget trip", "50 required boots in 300 s", None)


def test_a_row_that_was_loaded_is_not_loaded_again_over_its_change(ready: Store) -> None:
    with rows_of(ready) as rows:
        rows.load_devices([1])
        rows.put(Row(1, DEPLOYMENT, 1, "HOLD", NOW, why="by a person"))
        rows.load_devices([1])
        rows.load_deployments([DEPLOYMENT])
        assert keys(rows.of_device(1)) == [(1, DEPLOYMENT, "HOLD")]


def test_items_come_in_parts_of_at_most_450_each_once() -> None:
    assert list(chunks([])) == []
    assert list(chunks([3, 1, 3, 2])) == [[3, 1, 2]]
    assert [len(part) for part in chunks([*range(450), *range(901)])] == [450, 450, 1]
    assert [item for part in chunks(range(901)) for item in part] == list(range(901))


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready, ready.point)
