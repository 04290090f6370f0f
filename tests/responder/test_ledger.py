"""What was handed out is known for sure, or nothing is handed out (safety I1, I5, T18)."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ..loopback.home import LOOPBACK
from ..loopback.machine import Machine
from ..loopback.point import Point
from ..loopback.service import PATIENCE, Service, eventually

IMPATIENT = {**LOOPBACK, "database": {"busy_seconds": 0}}


def ledger(point: Point) -> list[tuple[str, str]]:
    """Device and state of each row, as another program reads them."""
    with closing(sqlite3.connect(point.home.database)) as connection:
        rows = "SELECT name, state FROM ledger JOIN device ON device.id = device_id ORDER BY name, generation"
        return list(connection.execute(rows))


def is_level(point: Point) -> bool:
    """True if the journal has the newest record of the audit."""
    with closing(sqlite3.connect(point.home.database)) as connection:
        (newest,) = connection.execute("SELECT audit_seq FROM hierarchy").fetchone()
    last = (point.home.folder / "journal" / "audit.log").read_text().splitlines()[-1]
    return bool(json.loads(last)["seq"] == newest)


@contextmanager
def no_room(service: Service) -> Iterator[None]:
    """The process cannot make any file longer, as on a full disk."""
    before = resource.prlimit(service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(service.pid, resource.RLIMIT_FSIZE, before)


def refused_for_the_ledger(machine: Machine, xid: int) -> str:
    """The reason's text, once nothing was sent."""
    answer = machine.request(xid)
    assert answer.reply is None
    assert answer.event["action"] == "ignore"
    assert answer.event["boot_program"] is None
    assert answer.codes[-1] == "ledger_unavailable"
    return str(answer.event["reasons"][-1]["text"])


def test_a_claim_is_in_the_database_before_the_boot_file_is_named(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine()
        assert machine.discover().reply is not None
        assert ledger(point) == [("pc001", "ARMED")], "an offer without a file is no claim"
        name = machine.request().event["device"]
        assert ledger(point) == [(name, "CLAIMED")]


def test_while_another_program_holds_the_database_nothing_is_sent_and_afterwards_the_same_boot_goes_on(
    tmp_path: Path,
) -> None:
    with Point(tmp_path, IMPATIENT) as point:
        machine, available = point.machine(), point.machine("available")
        with closing(sqlite3.connect(point.home.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert "busy" in refused_for_the_ledger(machine, 1)
            assert machine.request(1).codes[-1] == "database_unavailable", "nobody else waits for it"
            assert available.boot().reply is not None, "what needs no claim goes on"
            other.execute("ROLLBACK")
        assert ("pc001", "ARMED") in ledger(point)
        assert eventually(lambda: machine.request(1).file) == point.name("boot.efi")
        assert machine.request(2).codes[-1] == "already_offered"


def test_on_a_full_disk_nothing_is_sent_and_the_service_lives(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine, available = point.machine(), point.machine("available")
        # The journal has nothing to write meanwhile, which would be told first.
        eventually(lambda: is_level(point), what="the journal of all that was typed")
        with no_room(point.service):
            assert str(point.home.database) in refused_for_the_ledger(machine, 1)
            assert machine.request(1).codes[-1] == "database_unavailable"
            assert available.boot().reply is not None
        assert ("pc001", "ARMED") in ledger(point)
        assert eventually(lambda: machine.request(1).file) == point.name("boot.efi")
        assert machine.request(2).codes[-1] == "already_offered"
        eventually(lambda: point.home.status().get("actions", {}).get("boot"), what="a status again")


def test_a_database_that_lost_its_tables_stops_everything(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine, available = point.machine(), point.machine("available")
        with closing(sqlite3.connect(point.home.database)) as other:
            other.execute("ALTER TABLE ledger RENAME TO elsewhere")
            other.commit()
            assert "ledger" in refused_for_the_ledger(machine, 1)
            eventually(
                lambda: available.discover().codes[-1] == "database_unavailable", PATIENCE, "the silence"
            )
            assert machine.request(1).codes[-1] == "database_unavailable"
            assert "no such table" in eventually(lambda: point.home.status()["problems"])[0]
            other.execute("ALTER TABLE elsewhere RENAME TO ledger")
            other.commit()
        eventually(lambda: available.discover().reply, PATIENCE, "an answer")
        assert eventually(lambda: machine.request(1).file) == point.name("boot.efi")


def test_a_killed_service_does_not_forget_what_it_handed_out(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine()
        first = machine.request(7)
        assert first.reply is not None
        point.service.end(signal.SIGKILL)
        point.again()
        after = point.stage(machine)
        assert after.request(8).codes[-1] == "already_offered"
        same = after.request(7)
        assert same.reply is not None
        assert same.file == first.file, "the boot under way may still go on"
        assert point.stage(machine, ipxe=True).boot().file == point.name("boot.ipxe")


def test_a_journal_that_a_crash_left_unfinished_is_mended_and_that_is_told(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine()
        assert machine.request(7).reply is not None
        point.service.end(signal.SIGKILL)
        journal = point.home.folder / "journal" / "audit.log"
        whole = journal.read_bytes()
        journal.write_bytes(whole[:-20])
        point.again()
        point.service.event("service", lambda event: "was unfinished" in event["text"])
        assert journal.read_bytes() == whole
        assert point.stage(machine).request(7).reply is not None


def test_a_database_put_back_from_a_backup_boots_nobody_until_a_person_has_reconciled_it(
    tmp_path: Path,
) -> None:
    with Point(tmp_path) as point:
        machine, other, available = point.machine(), point.machine(), point.machine("available")
        backup = tmp_path / "backup.db"
        with (
            closing(sqlite3.connect(point.home.database)) as source,
            closing(sqlite3.connect(backup)) as target,
        ):
            source.backup(target)
        assert machine.boot().reply is not None
        point.service.end()
        for file in point.home.folder.glob("site.db*"):
            file.unlink()
        backup.rename(point.home.database)
        point.again()
        for client in (machine, other, available):
            client.service = point.service
        for client in (machine, other):
            assert client.boot().codes[-1] == "journal_broken"
        assert available.boot().reply is not None
        assert "pxefast reconcile" in eventually(lambda: point.home.status()["problems"])[0]
        point.home.run("reconcile", "--yes")
        assert eventually(lambda: other.boot().reply, what="the end of it") is not None
        assert machine.boot().codes[-1] == "hold"


def test_on_a_full_disk_required_deployments_stay_off_until_a_durable_write_and_it_says_so(
    tmp_path: Path,
) -> None:
    """D40: what can be read, or written into a file that is there, is no sign of room."""
    with Point(tmp_path) as point:
        machine, available = point.machine(), point.machine("available")
        with no_room(point.service):
            refused_for_the_ledger(machine, 1)
            after = len(point.service.events)
            # The keeper looks at the database again and again meanwhile.
            assert available.request().reply is not None
            for number in range(30):
                off = machine.request(number + 2).codes[-1]
                assert off in ("database_unavailable", "journal_broken"), off
                threading.Event().wait(0.1)
            told = [event["text"] for event in point.service.events[after:] if event["event"] == "service"]
            assert not any("handed out again" in text for text in told), told
            # For the database, and for the journal.
            assert len([text for text in told if "required deployments are off" in text]) <= 2, "no flapping"
        assert eventually(lambda: machine.request(99).file) == point.name("boot.efi")
        assert machine.request(100).codes[-1] == "already_offered"


def test_little_room_stops_required_deployments_before_it_runs_out(tmp_path: Path) -> None:
    """As root, on a small file system of this test's own."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode()}")
    try:
        with Point(small) as point:
            first, second, available = point.machine(), point.machine(), point.machine("available")
            assert first.boot().reply is not None
            filler = small / "fill"
            fill(filler)
            answer = eventually(
                lambda: (found := second.request(1)).reply is None and found, what="a refusal"
            )
            assert answer.codes[-1] in (
                "no_space",
                "database_unavailable",
                "ledger_unavailable",
                "journal_broken",
            )
            eventually(lambda: second.request(2).codes[-1] == "no_space", 3 * PATIENCE, "that it is said")
            assert "no space left on device" in second.request(2).event["reasons"][-1]["text"]
            status = eventually(
                lambda: (
                    ((found := point.home.status())["required_off"] or {}).get("code") == "no_space" and found
                ),
                what="the status of a full disk",
            )
            assert any("no space left on device" in text for text in status["problems"])
            assert available.boot().reply is not None
            after = len(point.service.events)
            threading.Event().wait(3)
            told = [event["text"] for event in point.service.events[after:] if event["event"] == "service"]
            assert not any("again" in text for text in told), "while it lasts it is off"
            filler.unlink()
            eventually(lambda: second.request(3).reply, 3 * PATIENCE, "that it goes on by itself")
            assert first.request(9).codes[-1] == "already_offered"
            eventually(lambda: point.home.status()["problems"] == [])
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def fill(file: Path) -> None:
    """Take all the room that there is on a file system."""
    with file.open("wb", buffering=0) as writer:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    writer.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC
