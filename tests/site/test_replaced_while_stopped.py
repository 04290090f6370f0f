"""A database file that was put in the place of another one, and then opened by a new process (D37, D38)."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from pxefast.site.devices import NewDevice

from .test_witnesses import Kept, boot, kept

__all__ = ["kept"]

REPLACED = "the database file is another one than this host last saw in this home"


def backup(home: Path) -> Path:
    """Copy the database as it is now, without what its write-ahead log has later."""
    saved = home.parent / "saved.db"
    with closing(sqlite3.connect(home / "site.db")) as connection, closing(sqlite3.connect(saved)) as copy:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.backup(copy)
    return saved


def kill_with_log(home: Path, change: Callable[[], None]) -> None:
    """Make changes and leave the write-ahead log as a process does that is killed."""
    with closing(sqlite3.connect(home / "site.db")) as holder:
        holder.execute("SELECT count(*) FROM device").fetchone()
        change()
        left = {end: (home / f"site.db{end}").read_bytes() for end in ("-wal", "-shm")}
    for end, content in left.items():
        (home / f"site.db{end}").write_bytes(content)


def test_an_older_file_under_the_newer_log_has_required_off_until_it_is_reconciled(kept: Kept) -> None:
    """SQLite mixes both: devices are lost, and the newest record of the audit is not, so the journal agrees."""
    saved = backup(kept.home)
    with kept.opened(marks=True) as (store, witnesses):
        boot(store, witnesses, 1)
        store.devices.add_many(
            [NewDevice(f"web{number}", (f"00:11:22:33:45:{number:02x}",)) for number in range(10, 90)]
        )
        witnesses.catch_up(store)
    with closing(sqlite3.connect(kept.home / "site.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def change() -> None:
        with kept.opened(marks=True) as (store, witnesses):
            boot(store, witnesses, 2)

    kill_with_log(kept.home, change)
    saved.rename(kept.home / "site.db")
    with kept.opened(marks=True) as (store, witnesses):
        problem = witnesses.check(store)
        assert problem is not None
        assert problem.startswith(REPLACED)
        assert problem.endswith("pxefast reconcile")
        assert witnesses.examine(store) == problem
        witnesses.begin(store, new_home=False)
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is None


def test_the_same_file_is_accepted_at_each_start(kept: Kept) -> None:
    for number in (1, 2):
        with kept.opened(marks=True) as (store, witnesses):
            boot(store, witnesses, number)
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.examine(store) is None
        assert witnesses.check(store) is None


@pytest.mark.parametrize("marks", [True, False])
def test_a_copy_in_its_place_is_noticed_by_the_mark_alone(kept: Kept, marks: bool) -> None:
    with kept.opened(marks=marks) as (store, witnesses):
        boot(store, witnesses)
    file = kept.home / "site.db"
    shutil.copy(file, file.with_suffix(".new"))
    file.with_suffix(".new").rename(file)
    with kept.opened(marks=marks) as (store, witnesses):
        problem = witnesses.check(store)
    assert (problem or "").startswith(REPLACED) == marks


def test_a_mark_of_an_earlier_build_says_nothing_of_the_file(kept: Kept) -> None:
    with kept.opened(marks=True) as (store, witnesses):
        boot(store, witnesses)
    (mark,) = kept.marks.rglob("*.json")
    text = mark.read_text()
    assert '"database": ' in text
    mark.write_text(text[: text.index(', "database"')] + "}")
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is None
        assert '"database": ' in mark.read_text(), "it is written anew"
