"""The journal on this host: what the database may not forget."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pxefast.errors import CannotOpen
from pxefast.site import schema
from pxefast.site.audit import AuditRow
from pxefast.site.cases import Cases
from pxefast.site.devices import NewDevice
from pxefast.site.journal import Journal, JournalError
from pxefast.site.ledger import Ledger
from pxefast.site.reconcile import find_lost, restore_lost
from pxefast.site.store import Store
from pxefast.site.witnesses import Witnesses

from ..postgres import Postgres
from .ledger_case import DEPLOYMENT, claim, code, launch, one
from .test_ledger import second_deployment

# The lines of a journal that has just begun: where it was begun, and that it was.
FIRST = 2


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


def lines(journal: Journal) -> list[bytes]:
    return journal.file.read_bytes().splitlines(keepends=True)


def again(journal: Journal) -> Journal:
    """As after a restart of the service."""
    journal.close()
    return Journal(journal.folder)


def fill(store: Store, journal: Journal, count: int = 5) -> None:
    journal.catch_up(store)
    for number in range(count):
        store.touch("test", f"change {number}")
    journal.catch_up(store)


def test_every_change_is_in_the_journal_once_and_in_order(ready: Store, journal: Journal) -> None:
    fill(ready, journal)
    journal = again(journal)
    assert journal.check(ready) is None
    ready.touch("test", "one more")
    journal.catch_up(ready)
    assert len(lines(journal)) == FIRST + 6
    with ready.read() as connection:
        head = connection.exec_driver_sql("SELECT audit_seq, audit_hash FROM hierarchy").one()
    assert tuple(journal.verify()) == tuple(head)
    assert journal.told == []


def test_a_record_torn_by_a_crash_is_told_and_copied_again(ready: Store, journal: Journal) -> None:
    fill(ready, journal)
    whole = journal.file.read_bytes()
    for cut in (1, 7, 60):
        journal = again(journal)
        journal.file.write_bytes(whole[:-cut])
        assert journal.check(ready) is None
        assert journal.file.read_bytes() == whole
        assert len(journal.told) == 1


def test_a_torn_record_of_any_length_is_cut_off_and_copied_again(ready: Store, journal: Journal) -> None:
    journal.catch_up(ready)
    ready.touch("test", "x" * 300_000)
    journal.catch_up(ready)
    whole = journal.file.read_bytes()
    for cut in (1, 1 << 16, (1 << 17) + 1, 299_000):
        journal = again(journal)
        journal.file.write_bytes(whole[:-cut])
        assert journal.check(ready) is None
        assert journal.file.read_bytes() == whole


def test_the_journal_cut_anywhere_is_whole_again_or_required_is_off(ready: Store, journal: Journal) -> None:
    fill(ready, journal)
    whole = journal.file.read_bytes()
    for cut in range(1, min(512, len(whole)) + 1):
        journal = again(journal)
        journal.file.write_bytes(whole[:-cut])
        assert journal.check(ready) is not None or journal.file.read_bytes() == whole


def test_a_flipped_bit_anywhere_turns_required_off_and_is_named(ready: Store, journal: Journal) -> None:
    fill(ready, journal, 2)
    whole = journal.file.read_bytes()
    first = len(lines(journal)[0])
    for place in range(len(whole) - 1):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        journal = again(journal)
        journal.file.write_bytes(flipped)
        problem = journal.check(ready)
        # The number of the segment in the first line is for people alone.
        assert problem is not None or place < first, (place, bytes(flipped))
        if problem is not None:
            assert "reconcile" in problem


def test_a_deleted_record_turns_required_off_and_is_named(ready: Store, journal: Journal) -> None:
    fill(ready, journal)
    every = lines(journal)
    journal = again(journal)
    journal.file.write_bytes(b"".join(every[:3] + every[4:]))
    problem = journal.check(ready)
    assert problem is not None
    assert "is missing" in problem


@pytest.fixture
def restore(ready: Store, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Takes a backup now; called, it opens that backup, as somebody does who lost the database."""
    opened: list[Store] = []
    if ready.dialect == "sqlite":
        copy = tmp_path / "backup.db"
        with closing(sqlite3.connect(copy)) as backup, closing(sqlite3.connect(tmp_path / "site.db")) as live:
            live.backup(backup)
        where: Path | str = copy
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with ready.read() as connection:
            name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        ready.close()
        where = postgres.fresh(str(name))

    def restore() -> Store:
        opened.append(Store.open(where))
        return opened[0]

    yield restore
    for store in opened:
        store.close()
    if isinstance(where, str):
        postgres.drop(where)


def live_on(ready: Store, journal: Journal) -> None:
    """web01 is launched, web02 claimed, and a new machine claimed; the journal has it all."""
    journal.catch_up(ready)
    ledger = Ledger(ready, ready.point)
    one(ledger, claim(1, identities=("mac:00:11:22:33:44:01",)))
    launch(ledger, 1)
    one(ledger, claim(2, identities=("mac:00:11:22:33:44:02",)))
    new = ready.devices.add(NewDevice("late", ("02:00:00:00:00:99",)))
    ready.collections.add("rack", ["late"])
    Cases(ready).approve("PS120001")
    one(ledger, claim(new.id, identities=("mac:02:00:00:00:00:99",)))
    journal.catch_up(ready)


def test_a_restored_backup_turns_required_off_until_it_is_reconciled(
    ready: Store, journal: Journal, restore: Callable[[], Store], tmp_path: Path
) -> None:
    live_on(ready, journal)
    with restore() as store:
        journal = again(journal)
        problem = journal.check(store)
        assert problem is not None
        assert "restored backup" in problem
        with pytest.raises(JournalError):
            journal.catch_up(store)

        store.touch("test", "changes of the restored database do not hide it")
        for number in range(30):
            store.touch("test", str(number))
        assert journal.check(store) is not None

        remembered = Witnesses(tmp_path, marks=tmp_path / "marks").remembered(store)
        assert remembered.gaps == []
        with store.write("reconcile", "test") as connection:
            lost = find_lost(connection, remembered.records).lost
            restore_lost(connection, lost, 1_700_000_100.0)
        assert [(item.device_id, item.state) for item in lost][:2] == [(1, "LAUNCHED"), (2, "CLAIMED")]
        aside = journal.begin_segment(store)
        assert aside is not None
        assert aside.exists()
        assert journal.check(store) is None

        ledger = Ledger(store, store.point)
        for device in (1, 2):
            refused = one(ledger, claim(device, xid=99))
            assert (refused.ok, code(refused)) == (False, "hold")
            assert "the journal knew it" in refused.reason.text
        # The machine whose record was lost keeps its number, and with it what it was given.
        late = store.devices.add(NewDevice("late", ("02:00:00:00:00:99",)))
        other = store.devices.add(NewDevice("other", ("02:00:00:00:00:98",)))
        store.collections.add("rack", ["late", "other"])
        assert late.id == lost[2].device_id != other.id
        assert code(one(ledger, claim(late.id, xid=99))) == "hold"


def test_what_was_withdrawn_is_held_where_the_database_forgot_it(ready: Store) -> None:
    """A backup from before the removal brings the deployment back: it must not boot the machine (D32)."""
    subject = "deployment=PS120001 device=1 generation=1 state=WITHDRAWN before=LAUNCHED"
    record = AuditRow(99, 1_700_000_050.0, "root", "ledger withdraw", subject, "")
    with ready.record() as connection:
        lost, _ = find_lost(connection, [record])
        assert [(item.device_id, item.state) for item in lost] == [(1, "WITHDRAWN")]
        restore_lost(connection, lost, 1_700_000_100.0)
        assert find_lost(connection, [record]) == ([], [])
        c = schema.ledger.c
        row = connection.execute(schema.ledger.select().where(c.device_id == 1)).one()
    # It may be imaged at this moment: other required deployments wait for it (D34).
    assert (row.state, row.launched_at) == ("HOLD", 1_700_000_050.0)


def test_a_removed_deployment_that_was_cleared_is_not_lost_to_a_journal_that_lags(
    ready: Store, journal: Journal
) -> None:
    """A clear of a removed deployment makes no newer generation; the journal of a service that is off lags (D32)."""
    journal.catch_up(ready)
    ledger = Ledger(ready, ready.point)
    assert one(ledger, claim(1)).ok
    assert launch(ledger, 1).launched
    journal.catch_up(ready)
    ready.deployments.remove(DEPLOYMENT)
    Cases(ready).clear_device("web01", DEPLOYMENT)
    journal.close()
    assert Journal(journal.folder).check(ready) is None


def test_a_claim_that_made_way_is_not_lost_to_a_journal_that_lags(ready: Store, journal: Journal) -> None:
    """The row is ARMED again, and the journal still says CLAIMED."""
    journal.catch_up(ready)
    other = second_deployment(ready)
    ledger = Ledger(ready, ready.point)
    assert one(ledger, claim(1)).ok
    journal.catch_up(ready)
    assert one(ledger, claim(1, other, xid=8)).ok
    journal.close()
    assert Journal(journal.folder).check(ready) is None


def test_a_running_service_notices_that_a_person_began_a_new_segment(ready: Store, journal: Journal) -> None:
    fill(ready, journal)
    person = Journal(journal.folder)
    person.begin_segment(ready)
    person.close()
    ready.touch("test", "later")
    journal.catch_up(ready)
    assert len(lines(journal)) == 2
    assert b"later" in lines(journal)[1]


def test_two_services_one_of_which_ends_write_one_chain_in_turns(ready: Store, journal: Journal) -> None:
    fill(ready, journal)
    successor = Journal(journal.folder)
    successor.catch_up(ready)
    for number in range(6):
        ready.touch("test", f"change {number} of both")
        for writer in (journal, successor)[:: 1 if number % 2 else -1]:
            writer.catch_up(ready)
    assert len(lines(journal)) == FIRST + 5 + 6
    assert journal.verify() == successor.verify()
    # One of them dies in the middle of a record: the other cuts it off and goes on.
    whole = journal.file.read_bytes()
    with journal.file.open("ab") as file:
        file.write(b'{"seq": 99, "at"')
    ready.touch("test", "after that")
    successor.catch_up(ready)
    assert journal.file.read_bytes().startswith(whole)
    journal.catch_up(ready)
    assert journal.verify() == successor.verify()
    assert (journal.told, len(successor.told)) == ([], 1)
    successor.close()


def test_what_one_service_cut_off_after_a_failed_flush_the_other_writes_again(
    ready: Store, journal: Journal
) -> None:
    fill(ready, journal)
    successor = Journal(journal.folder)
    successor.catch_up(ready)
    before = journal.file.stat().st_size
    ready.touch("test", "lost by the one")
    journal.catch_up(ready)
    os.truncate(journal.file, before)
    ready.touch("test", "and one more")
    successor.catch_up(ready)
    journal.catch_up(ready)
    assert len(lines(journal)) == FIRST + 5 + 2
    assert journal.verify() == successor.verify()
    successor.close()


def test_a_service_that_hangs_in_its_turn_does_not_hang_the_other(
    ready: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ready, journal)
    monkeypatch.setattr("pxefast.site.journal._TURN_SECONDS", 0.01)
    ready.touch("test", "not yet")
    folder = os.open(journal.folder, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    assert "another process" in (journal.check(ready) or "")
    os.close(folder)
    assert journal.check(ready) is None
    assert len(lines(journal)) == FIRST + 5 + 1


def test_after_a_failed_flush_the_descriptor_is_discarded_and_the_record_written_again(
    ready: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(ready, journal)
    real, failed, flushed = os.fsync, [], []

    def fsync(descriptor: int) -> None:
        if not failed:
            failed.append(os.fstat(descriptor))
            raise OSError(5, "Input/output error")
        flushed.append(descriptor)
        real(descriptor)

    before = journal.file.read_bytes()
    ready.touch("test", "lost?")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CannotOpen, match="cannot be written"):
        journal.catch_up(ready)
    # What was written and not flushed is no longer trusted: it is cut off and written anew, through a new descriptor.
    truncated: list[int] = []
    monkeypatch.setattr(os, "truncate", lambda file, size: _truncate(truncated, file, size))
    journal.catch_up(ready)
    assert truncated == [len(before)]
    assert journal.check(ready) is None
    assert len(lines(journal)) == FIRST + 6
    assert flushed


def _truncate(sizes: list[int], file: Path, size: int) -> None:
    sizes.append(size)
    with file.open("r+b") as opened:
        opened.truncate(size)
