"""The chain of what was done (D23)."""

from pathlib import Path

import pytest
from pxefast.site import audit, schema
from pxefast.site.store import Store
from sqlalchemy import Connection, delete, select, update


@pytest.fixture
def written(store: Store) -> Store:
    for name in ("one", "two", "three"):
        store.collections.create(name)
    return store


def problem(store: Store) -> str | None:
    with store.read() as connection:
        return audit.verify(connection)


def test_each_record_seals_the_one_before_it(written: Store) -> None:
    assert problem(written) is None
    with written.read() as connection:
        rows = connection.execute(select(schema.audit).order_by(schema.audit.c.seq)).all()
    assert [row.seq for row in rows] == [1, 2, 3, 4]
    assert len({row.hash for row in rows}) == 4


def newest(connection: Connection) -> int:
    return int(connection.execute(select(schema.hierarchy.c.audit_seq)).scalar_one())


@pytest.mark.parametrize("column", ["at", "actor", "action", "subject"])
def test_a_record_that_was_changed_is_named(written: Store, column: str) -> None:
    with written.record() as connection:
        value = 1.0 if column == "at" else "x"
        connection.execute(update(schema.audit).where(schema.audit.c.seq == 2).values({column: value}))
    assert problem(written) == "audit record 2 was changed after it was written"


def test_a_record_that_was_taken_out_is_named(written: Store) -> None:
    with written.record() as connection:
        connection.execute(delete(schema.audit).where(schema.audit.c.seq == 2))
    assert problem(written) == "audit record 2 is missing"


def test_records_that_were_cut_off_are_missed(written: Store) -> None:
    with written.record() as connection:
        connection.execute(delete(schema.audit).where(schema.audit.c.seq == newest(connection)))
    assert problem(written) == "the audit ends with record 3, but 4 were written"


def test_a_record_with_details_that_were_changed_added_or_taken_away_is_named(written: Store) -> None:
    with written.record() as connection:
        audit.append(connection, [("test", "a sentence", {"device": 7})])
    assert problem(written) is None
    for seq, details in ((5, '{"device":8}'), (5, None), (2, "{}")):
        with written.record() as connection:
            here = schema.audit.c.seq == seq
            before = connection.execute(select(schema.audit.c.details).where(here)).scalar_one()
            connection.execute(update(schema.audit).where(here).values(details=details))
        assert problem(written) == f"audit record {seq} was changed after it was written"
        with written.record() as connection:
            connection.execute(update(schema.audit).where(here).values(details=before))
    assert problem(written) is None


def test_a_record_without_details_has_the_hash_of_before_there_were_any() -> None:
    row = audit.AuditRow(1, 0.5, "root", "init", "PS1 dp1", "")
    assert audit.sealed(audit.FIRST_HASH, row).hash == (
        "f569a5aad359d2c208708c176a8adf251e451c7a5e591f191e6afa75becf788b"
    )


def test_a_name_that_is_no_text_is_audited_all_the_same(store: Store) -> None:
    store.touch("test", "\udcff\0")
    assert problem(store) is None


def test_what_was_not_changed_is_not_audited(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), store.write("test", "x"):
        raise RuntimeError
    with store.read() as connection:
        assert newest(connection) == 1
