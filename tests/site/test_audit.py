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


def test_a_name_that_is_no_text_is_audited_all_the_same(store: Store) -> None:
    store.touch("test", "\udcff\0")
    assert problem(store) is None


def test_what_was_not_changed_is_not_audited(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), store.write("test", "x"):
        raise RuntimeError
    with store.read() as connection:
        assert newest(connection) == 1
