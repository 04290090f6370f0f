"""A database as a file, into another database, and on trial."""

from pathlib import Path

import pytest
from pxefast.errors import AlreadyExists, Invalid
from pxefast.site import audit, schema
from pxefast.site.migrations import REVISIONS
from pxefast.site.rows import TABLES
from pxefast.site.store import Store
from pxefast.site.transfer import check_export, export, import_
from sqlalchemy import insert, select


def everything(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.read() as connection:
        return {table.name: sorted(map(tuple, connection.execute(select(table)))) for table in TABLES}


def distributed(store: Store) -> None:
    """Content and sizes of every kind, as a service that is at work has them."""
    image = store.boot_images.all()[0].id
    store.groups.create("North")
    store.boundaries.create("Cellar")
    s = schema
    with store.record() as connection:
        for table, row in (
            (s.content_version, (image, 2, 3, "ab" * 32, 2**40, 7, 1.5)),
            (s.content_assignment, (store.point, image, 2, 4, "pulling", 1, 2**33, 2**40, "slow", 2.5, None)),
            (s.group_content, ("north", image)),
            (s.deployment_variable, ("PS120001", "role", "Role", "db", True)),
        ):
            connection.execute(insert(table).values(row))
        sizes = {"tftp_block_size": 1456, "tftp_window_size": 4, "tftp_variable_window": True}
        for table in (s.boot_image, s.boundary_group):
            connection.execute(table.update().values(sizes))


@pytest.fixture
def file(ready: Store, tmp_path: Path) -> Path:
    """An export of `ready`, with a hierarchy of three sites whose codes are in no order."""
    ready.sites.create("ZZZ", "PS1")
    ready.sites.create("AAA", "ZZZ")
    distributed(ready)
    file = tmp_path / "site.jsonl"
    export(ready, file)
    return file


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_database_comes_back_whole_also_as_another_kind(
    ready: Store, file: Path, tmp_path: Path, request: pytest.FixtureRequest, target: str
) -> None:
    where = tmp_path / "other.db" if target == "sqlite" else request.getfixturevalue("pg")
    steps: list[tuple[int, int]] = []
    contents = import_(where, file, progress=lambda done, total: steps.append((done, total)))
    with Store.open(where) as other:
        assert everything(other) == everything(ready)
        # Numbers go on where they were.
        assert other.collections.create("new").id == ready.collections.create("new").id
        other.collections.add("new", ["web01"])
        with other.read() as connection:
            assert audit.verify(connection) is None
    assert steps[-1] == (sum(contents.rows.values()),) * 2
    with pytest.raises(AlreadyExists):
        import_(where, file)


def test_an_export_is_for_its_owners_eyes_and_replaces_nothing(file: Path, ready: Store) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    with pytest.raises(Exception, match="File exists"):
        export(ready, file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_file_that_was_changed_or_cut_makes_nothing(file: Path, tmp_path: Path, place: float) -> None:
    whole = file.read_bytes()
    at = int(len(whole) * place)
    for damaged in (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[:at], whole + b"[]\n"):
        file.write_bytes(damaged)
        with pytest.raises(Invalid, match=str(file)):
            import_(tmp_path / "other.db", file)
    assert sorted(path.name for path in tmp_path.glob("*other*")) == []


def test_a_file_whose_audit_does_not_hold_makes_nothing(ready: Store, tmp_path: Path) -> None:
    with ready.record() as connection:
        connection.execute(schema.audit.update().where(schema.audit.c.seq == 2).values(subject="nothing"))
    export(ready, tmp_path / "site.jsonl")
    with pytest.raises(Invalid, match="audit record 2"):
        import_(tmp_path / "other.db", tmp_path / "site.jsonl")
    assert not (tmp_path / "other.db").exists()


def test_a_file_of_the_tables_before_is_refused_with_what_to_do(file: Path, tmp_path: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    before, now = REVISIONS[-2:]
    head = lines[0].replace(f'"tables":"{now}"'.encode(), f'"tables":"{before}"'.encode())
    file.write_bytes(head + b"".join(lines[1:]))
    with pytest.raises(Invalid, match=f"is of tables {before}, and this pxefast has {now}; export it again"):
        import_(tmp_path / "other.db", file)


def test_another_file_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not one")
    with pytest.raises(Invalid, match="no export"):
        check_export(tmp_path / "file")


def test_what_is_tried_is_seen_inside_the_trial_and_nowhere_else(ready: Store) -> None:
    before, address = everything(ready), ready.address
    with ready.trial():
        ready.collections.create("tried")
        ready.deployments.remove("PS120001")
        with Store.open(address) as other:
            assert everything(other) == before
            # Nobody waits for a trial.
            with other.record() as connection:
                connection.execute(insert(schema.duplicate_identity).values(identity="mac:00:00:00:00:00:01"))
        assert ready.deployments.all() == []
        assert ready.collections.get("tried").name == "tried"
    after = everything(ready)
    assert after.pop("duplicate_identity") == [("mac:00:00:00:00:00:01",)]
    before.pop("duplicate_identity")
    assert after == before


def test_a_trial_that_fails_is_over(ready: Store) -> None:
    before = everything(ready)
    with pytest.raises(Invalid), ready.trial():
        ready.collections.create("tried", "nonsense")
    assert everything(ready) == before
