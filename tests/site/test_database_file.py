"""A SQLite file that vanishes, is replaced, cut or damaged under open connections (D37)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pxefast.errors import CannotOpen, DatabaseDamaged, DatabaseReplaced
from pxefast.site import database_file
from pxefast.site.store import Store
from pxefast.site.watch import Watcher


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "site.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with Store.create(file, "PS1", point="dp1") as store:
        store.collections.create("one")
        yield store


def delete(file: Path) -> None:
    file.unlink()


def rename(file: Path) -> None:
    file.rename(file.with_suffix(".old"))


def put_another_in_its_place(file: Path) -> None:
    shutil.copy(file, file.with_suffix(".new"))
    file.with_suffix(".new").rename(file)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


@pytest.mark.parametrize("do", [delete, rename, put_another_in_its_place, cut, empty])
def test_what_is_done_to_the_file_is_noticed_before_the_next_transaction_and_stays_noticed(
    store: Store, file: Path, do: Callable[[Path], None]
) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = file.read_bytes()
    store.revision()
    do(file)
    for _ in range(2):
        with pytest.raises(DatabaseReplaced, match="replaced under the service") as error:
            store.revision()
        assert "restart the service" in str(error.value)
        with pytest.raises(DatabaseReplaced):
            store.touch("test", "")
    # That the name leads to something good again tells nothing of what was written meanwhile.
    file.write_bytes(before)
    with pytest.raises(DatabaseReplaced):
        store.touch("test", "")
    with Store.open(file) as restarted:
        restarted.touch("test", "")


def test_a_change_whose_file_was_replaced_meanwhile_is_not_reported_as_made(store: Store, file: Path) -> None:
    with pytest.raises(DatabaseReplaced), store.write("test", ""):
        put_another_in_its_place(file)


@pytest.mark.parametrize("end", ["-wal", "-shm"])
@pytest.mark.parametrize("do", [delete, put_another_in_its_place])
def test_the_files_beside_it_are_watched_while_the_database_is_followed(
    store: Store, file: Path, end: str, do: Callable[[Path], None]
) -> None:
    watcher = Watcher(store)
    store.touch("test", "")
    assert watcher.changed()
    do(file.with_name(f"site.db{end}"))
    with pytest.raises(DatabaseReplaced, match=f"site.db{end} was deleted or replaced"):
        watcher.changed()
    with pytest.raises(DatabaseReplaced):
        store.touch("test", "")
    watcher.close()


def test_no_connection_makes_a_database(tmp_path: Path, store: Store, file: Path) -> None:
    nowhere = tmp_path / "nowhere.db"
    with pytest.raises(CannotOpen, match="no site database at"):
        Store.open(nowhere)
    assert not nowhere.exists()
    nowhere.touch()
    with pytest.raises(CannotOpen, match="is empty"):
        Store.open(nowhere)
    assert nowhere.read_bytes() == b""
    delete(file)
    with pytest.raises(CannotOpen):
        store.pulse()
    with pytest.raises(CannotOpen):
        store.touch("test", "")
    assert not file.exists()


def test_a_name_that_is_no_uri_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20d é"
    folder.mkdir()
    with Store.create(folder / "site.db", "PS1") as store:
        store.touch("test", "")
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def scribble(file: Path, byte: bytes) -> None:
    """Damage every page but the first, in place."""
    size = file.stat().st_size
    with file.open("r+b") as writer:
        writer.seek(4096)
        writer.write(byte * (size - 4096))


def test_a_damaged_file_stays_unused_until_all_of_it_is_good_again(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_file, "_RECHECK_SECONDS", 0.0)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = file.read_bytes()
    store.discard()
    scribble(file, b"\xff")
    with pytest.raises(DatabaseDamaged, match="is damaged"):
        store.collections.all()
    with pytest.raises(DatabaseDamaged):
        store.recover()
    # A read that happens to work is no proof.
    with file.open("r+b") as writer:
        writer.write(good[: len(good) - 4096])
    for _ in range(2):
        with pytest.raises(DatabaseDamaged):
            store.revision()
        with pytest.raises(DatabaseDamaged):
            store.recover()
    with file.open("r+b") as writer:
        writer.write(good)
    with pytest.raises(DatabaseDamaged):
        store.revision()
    store.recover()
    store.touch("test", "")


def test_a_check_that_failed_is_not_repeated_at_once(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_file, "_RECHECK_SECONDS", 3600.0)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = file.read_bytes()
    store.discard()
    scribble(file, b"\xff")
    for look in (store.collections.all, store.recover):
        with pytest.raises(DatabaseDamaged):
            look()
    with file.open("r+b") as writer:
        writer.write(good)
    with pytest.raises(DatabaseDamaged):
        store.recover()


def test_a_probe_writes_more_than_one_page_and_leaves_nothing(store: Store, file: Path) -> None:
    log = file.with_name("site.db-wal")
    before = log.stat().st_size
    store.probe()
    assert log.stat().st_size - before > 1 << 16
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT max(length(data)) FROM write_probe").scalar_one() == 0
