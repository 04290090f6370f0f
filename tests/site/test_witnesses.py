"""What notices a home that was rolled back, copied or lost its journal, and what a person is told (D38)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pxefast.errors import CannotOpen
from pxefast.site import host_identity as host
from pxefast.site import schema
from pxefast.site.audit import AuditRow, append
from pxefast.site.ledger import Ledger
from pxefast.site.reconcile import find_lost
from pxefast.site.segment import JournalError, line_of
from pxefast.site.store import Store
from pxefast.site.witnesses import Witnesses, alarms
from sqlalchemy import update

from .ledger_case import DEPLOYMENT, claim, launch, one


class Kept:
    """A home on SQLite, with a copy of its journal and a mark, each of which a test may leave out."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.copy = folder / "elsewhere" / "copy"
        self.marks = folder / "run"
        self.copy.parent.mkdir()
        self.home.mkdir()

    @contextmanager
    def opened(self, copy: bool = False, marks: bool = False) -> Iterator[tuple[Store, Witnesses]]:
        """As a service has them that was started now."""
        nowhere = self.home.parent / "no marks"
        with Store.open(self.home / "site.db") as store:
            witnesses = Witnesses(self.home, self.copy if copy else None, self.marks if marks else nowhere)
            if not marks:
                shutil.rmtree(nowhere, ignore_errors=True)
            yield store, witnesses
            witnesses.close()

    def snapshot(self) -> Callable[[], None]:
        """The whole home as it is now; called, it is put back in its place."""
        with closing(sqlite3.connect(self.home / "site.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        saved = self.home.with_name("saved")
        shutil.copytree(self.home, saved)

        def restore() -> None:
            shutil.rmtree(self.home)
            shutil.copytree(saved, self.home)

        return restore


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    kept = Kept(tmp_path)
    with Store.create(kept.home / "site.db", "PS1", point="dp1") as store:
        from pxefast.site.devices import NewDevice

        for number in (1, 2):
            store.devices.add(NewDevice(f"web0{number}", (f"00:11:22:33:44:0{number}",)))
        store.collections.create("rack")
        store.collections.add("rack", ["web01", "web02"])
        image = store.boot_images.add("linux", "x64", Path("/nowhere"), {"uefi": "grubx64.efi"})
        sequence = store.task_sequences.create("install", image.id)
        store.deployments.create(sequence.id, "rack", "required", "media-pxe")
        store.dps.set(enable_pxe=True, allow_pxe_response=True)
    return kept


def boot(store: Store, witnesses: Witnesses, device: int = 1) -> None:
    """A required boot to its end, as the service records it."""
    ledger = Ledger(store, store.point)
    witnesses.catch_up(store)
    assert one(ledger, claim(device, identities=(f"mac:00:11:22:33:44:0{device}",))).ok
    witnesses.catch_up(store)
    assert launch(ledger, device).ok
    witnesses.catch_up(store)


@pytest.mark.parametrize("how", [{"copy": True}, {"marks": True}, {"copy": True, "marks": True}])
def test_a_home_that_was_put_back_whole_is_noticed_by_what_is_outside_of_it(
    kept: Kept, how: dict[str, bool]
) -> None:
    with kept.opened(**how) as (store, witnesses):
        assert witnesses.check(store) is None
    restore = kept.snapshot()
    with kept.opened(**how) as (store, witnesses):
        boot(store, witnesses)
    restore()
    with kept.opened(**how) as (store, witnesses):
        for look in (witnesses.check, witnesses.examine):
            problem = look(store)
            assert problem is not None
            assert "put back whole from an older copy" in problem or "restored backup" in problem
            assert problem.endswith("pxefast reconcile")
        remembered = witnesses.remembered(store)
        with store.read() as connection:
            lost = find_lost(connection, remembered.records).lost
        if "copy" in how:
            assert (remembered.gaps, [item.state for item in lost]) == ([], ["LAUNCHED"])
        else:
            assert lost == []
            assert "put back whole" in remembered.gaps[0]
        witnesses.begin(store, new_home=False)
        assert witnesses.check(store) is None
    with kept.opened(**how) as (store, witnesses):
        assert witnesses.check(store) is None, "also after a restart"


def test_without_anything_outside_a_home_that_was_put_back_whole_agrees_with_itself(kept: Kept) -> None:
    """What docs/backup.md says of it."""
    with kept.opened() as (store, witnesses):
        witnesses.catch_up(store)
    restore = kept.snapshot()
    with kept.opened() as (store, witnesses):
        boot(store, witnesses)
    restore()
    with kept.opened() as (store, witnesses):
        assert witnesses.check(store) is None


@pytest.mark.parametrize("which", ["journal", "copy"])
def test_a_journal_that_is_missing_beside_a_history_stops_boots(kept: Kept, which: str) -> None:
    with kept.opened(copy=True) as (store, witnesses):
        assert witnesses.check(store) is None
        boot(store, witnesses)
        folder = kept.home / "journal" if which == "journal" else kept.copy
        shutil.rmtree(folder)
        problem = witnesses.check(store)
        assert problem is not None, "also under the running service"
    with kept.opened(copy=True) as (store, witnesses):
        for look in (witnesses.check, witnesses.examine):
            problem = look(store)
            assert problem is not None
            assert f"{folder / 'audit.log'} is missing" in problem
        assert witnesses.remembered(store).gaps == [], "the other one is whole"
        witnesses.begin(store, new_home=False)
        assert witnesses.check(store) is None


def test_where_no_journal_is_left_nobody_knows_what_was_given(kept: Kept) -> None:
    with kept.opened() as (store, witnesses):
        boot(store, witnesses)
    shutil.rmtree(kept.home / "journal")
    with kept.opened() as (store, witnesses):
        assert "is missing" in (witnesses.check(store) or "")
        assert "nobody knows" in witnesses.remembered(store).gaps[0]


def test_a_journal_of_before_the_database_knew_of_it_is_missed_by_the_claims_of_its_point(kept: Kept) -> None:
    with Store.open(kept.home / "site.db") as store:
        text = "deployment=PS120001 device=1 generation=1 state=CLAIMED point=dp1 identities="
        with store.record() as connection:
            append(connection, [("ledger claim", text.replace("dp1", "dp2"))])
    with kept.opened() as (store, witnesses):
        assert witnesses.check(store) is None, "that was another point's"
    shutil.rmtree(kept.home / "journal")
    with Store.open(kept.home / "site.db") as store, store.record() as connection:
        connection.execute(update(schema.audit).values(action="test"))
        append(connection, [("ledger claim", text)])
    with kept.opened() as (store, witnesses):
        assert "is missing" in (witnesses.check(store) or "")


def test_a_copy_whose_disk_is_not_mounted_is_not_begun_on_another_one(kept: Kept) -> None:
    shutil.rmtree(kept.copy.parent)
    with kept.opened(copy=True) as (store, witnesses):
        assert "No such file or directory" in (witnesses.check(store) or "")
        assert not kept.copy.parent.exists()
        kept.copy.parent.mkdir()
        assert witnesses.check(store) is None


def test_a_link_in_the_place_of_the_mark_is_not_written_through(kept: Kept, tmp_path: Path) -> None:
    """Root reconciles, and the folder of the marks is the service's: a link would choose what root writes."""
    with kept.opened(marks=True) as (store, witnesses):
        boot(store, witnesses)
    (mark,) = kept.marks.glob("*.json")
    other = tmp_path / "somebody's file"
    other.write_bytes(mark.read_bytes())
    before = other.read_bytes()
    mark.unlink()
    mark.symlink_to(other)
    with kept.opened(marks=True) as (store, witnesses):
        store.touch("test", "more")
        witnesses.catch_up(store)
        assert any("mark" in text for text in witnesses.take_told())
    assert other.read_bytes() == before


def test_a_mark_that_blocks_is_not_waited_for(kept: Kept) -> None:
    with kept.opened(marks=True) as (store, witnesses):
        boot(store, witnesses)
    (mark,) = kept.marks.glob("*.json")
    site = mark.name.split("-")[0]
    os.mkfifo(kept.marks / f"{site}-{'0' * 32}.json")
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is None


def test_a_copy_in_the_home_is_refused(kept: Kept) -> None:
    for folder in (kept.home, kept.home / "copy", kept.home / "x" / ".." / "copy"):
        with pytest.raises(CannotOpen, match="name a folder outside of it"):
            Witnesses(kept.home, folder)


def test_the_copy_of_another_home_is_refused(kept: Kept) -> None:
    with kept.opened(copy=True) as (store, witnesses):
        assert witnesses.check(store) is None
        witnesses.journal.begin_segment(store, "0" * 32)
    with kept.opened(copy=True) as (store, witnesses):
        assert "belongs to another home" in (witnesses.check(store) or "")


def test_a_home_that_was_copied_to_another_host_boots_nobody_there(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(host, "_MACHINE_ID", machine)
    machine.write_text("a" * 32 + "\n")
    with kept.opened() as (store, witnesses):
        assert witnesses.check(store) is None
    machine.write_text("b" * 32 + "\n")
    with kept.opened() as (store, witnesses):
        for look in (witnesses.check, witnesses.examine):
            assert "was written on another host" in (look(store) or "")
        assert "was written on another host" in witnesses.remembered(store).gaps[0]
        before = witnesses.journal.home
        witnesses.begin(store, new_home=witnesses.journal.foreign() is not None)
        assert witnesses.journal.home != before
        assert witnesses.check(store) is None
    machine.write_text("a" * 32 + "\n")
    with kept.opened() as (store, witnesses):
        assert "was written on another host" in (witnesses.check(store) or ""), (
            "and it does not go back unseen"
        )
    for unknown in ("", "uninitialized\n", "\xff"):
        machine.write_text(unknown, encoding="latin-1")
        with kept.opened() as (store, witnesses):
            assert witnesses.check(store) is None, "a host that does not say which it is says nothing"


def test_a_copy_of_a_home_boots_nobody_while_the_home_itself_serves(kept: Kept) -> None:
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is None
    original = kept.home
    kept.home = original.with_name("twin")
    shutil.copytree(original, kept.home)
    (original / "run").mkdir()
    with (original / "run" / "serve.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with kept.opened(marks=True) as (store, witnesses):
            assert "is a copy of it" in (witnesses.check(store) or "")
            assert "is a copy of it" in witnesses.remembered(store).gaps[0]
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is None
    kept.home.rename(kept.home.with_name("moved"))
    kept.home = kept.home.with_name("moved")
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is None


def test_a_mark_that_cannot_be_written_is_told_and_stops_nobody(kept: Kept) -> None:
    kept.marks.write_text("a file in its place")
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is None
        (told,) = witnesses.take_told()
        assert "[journal] copy" in told
        assert witnesses.check(store) is None
        assert witnesses.take_told() == []


def test_a_journal_from_before_it_knew_where_it_was_begun_goes_on_as_a_new_segment(kept: Kept) -> None:
    with kept.opened() as (store, witnesses):
        boot(store, witnesses)
    file = kept.home / "journal" / "audit.log"
    first, *rest = file.read_text().splitlines(keepends=True)
    header = json.loads(first)
    del header["home"], header["host"]
    file.write_text(json.dumps(header) + "\n" + "".join(rest))
    with kept.opened() as (store, witnesses):
        assert witnesses.check(store) is None
        assert witnesses.journal.home
        assert file.with_name("audit-1.log").read_text().endswith(rest[-1])
        assert witnesses.check(store) is None


def test_what_former_segments_know_is_not_forgotten(kept: Kept) -> None:
    with kept.opened() as (store, witnesses):
        assert witnesses.check(store) is None
    restore = kept.snapshot()
    with kept.opened() as (store, witnesses):
        boot(store, witnesses)
        witnesses.begin(store, new_home=False)
        store.touch("test", "later")
        assert witnesses.check(store) is None
    journal = kept.home.with_name("journal")
    shutil.copytree(kept.home / "journal", journal)
    restore()
    shutil.rmtree(kept.home / "journal")
    journal.rename(kept.home / "journal")
    with kept.opened() as (store, witnesses):
        assert "restored backup" in (witnesses.check(store) or "")
        with store.read() as connection:
            lost = find_lost(connection, witnesses.remembered(store).records).lost
        assert [(item.device_id, item.state) for item in lost] == [(1, "LAUNCHED")]


def test_a_ledger_that_lost_a_launch_which_the_audit_still_has_stops_boots(kept: Kept) -> None:
    """As a database file does that was overwritten in part."""
    with kept.opened() as (store, witnesses):
        boot(store, witnesses)
        c = schema.ledger.c
        with store.record() as connection:
            connection.execute(
                update(schema.ledger).where(c.device_id == 1).values(state="ARMED", session=None, peer=None)
            )
    with kept.opened() as (store, witnesses):
        for look in (witnesses.check, witnesses.examine):
            assert "the ledger has lost 1 of the boots" in (look(store) or "")
        with store.read() as connection:
            lost = find_lost(connection, witnesses.remembered(store).records).lost
        assert [(item.device_id, item.state) for item in lost] == [(1, "LAUNCHED")]


def test_a_damaged_line_behind_what_the_database_has_is_a_gap_and_before_it_none(kept: Kept) -> None:
    with kept.opened() as (store, witnesses):
        boot(store, witnesses)
        file = witnesses.journal.file
        whole = file.read_text().splitlines(keepends=True)
        file.write_text("".join([*whole[:2], "{}\n", *whole[3:]]))
        assert witnesses.remembered(store).gaps == []
        file.write_text("".join([*whole, "{}\n"]))
        assert "damaged line" in witnesses.remembered(store).gaps[0]
        unknown = AuditRow(1000, 1.0, "root", "test", "", "f" * 64)
        file.write_text("".join([*whole, line_of(unknown)]))
        assert "are missing" in witnesses.remembered(store).gaps[0]


def test_a_point_whose_journal_knows_more_stops_every_point_of_the_hierarchy(kept: Kept) -> None:
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is None
    restore = kept.snapshot()
    with kept.opened(marks=True) as (store, witnesses):
        boot(store, witnesses)
    restore()
    with kept.opened(marks=True) as (store, witnesses):
        assert witnesses.check(store) is not None
        with store.read() as connection:
            assert "run there: pxefast reconcile" in alarms(connection, "dp2")[0]
            assert alarms(connection, "dp1") == []
        witnesses.begin(store, new_home=False)
        with store.read() as connection:
            assert alarms(connection, "dp2") == []


def test_the_facts_of_a_launch_survive_the_journal(kept: Kept) -> None:
    with kept.opened() as (store, witnesses):
        boot(store, witnesses)
        with store.record() as connection:
            append(connection, [("test", 'é\n"', {"name": "os state=ARMED.img\n\"'\udcff"})])
        assert witnesses.check(store) is None
        rows = [row for row in witnesses.journal.lines() if row is not None]
        assert rows[-1].fields == {"name": "os state=ARMED.img\n\"'\udcff"}
        assert [row.fields["deployment"] for row in rows if row.action == "ledger launch" and row.fields] == [
            DEPLOYMENT
        ]
        assert witnesses.journal.verify().seq == rows[-1].seq


def test_a_copy_that_cannot_be_written_stops_boots_as_the_journal_does(kept: Kept) -> None:
    with kept.opened(copy=True) as (store, witnesses):
        assert witnesses.check(store) is None
        kept.copy.rename(kept.copy.with_name("away"))
        store.touch("test", "")
        with pytest.raises((CannotOpen, JournalError)):
            witnesses.catch_up(store)
