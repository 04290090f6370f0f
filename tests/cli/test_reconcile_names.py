"""What an operator calls a launch file changes nothing that `reconcile` finds in the journal (D39)."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pxefast.site.journal import Journal
from pxefast.site.ledger import Claim, Launch, Ledger
from pxefast.site.store import Store

pytestmark = pytest.mark.usefixtures("site")


def launched(home: Path, file: str, backup: Path) -> None:
    """Boot web01 with a launch file of that name, as a service does; `backup` is the database before the launch."""
    peer, now = "192.0.2.7", time.time()
    with Store.open(home / "site.db") as store:
        journal, ledger, device = (
            Journal(home / "journal"),
            Ledger(store, store.point),
            store.devices.get("web01"),
        )
        identities = tuple(f"mac:{mac}" for mac in device.macs)
        claim = Claim(device.id, identities, "PS120001", 1, 7, now, 900, file, peer)
        assert ledger.claim([claim])[0].ok
        journal.catch_up(store)
        with closing(sqlite3.connect(home / "site.db")) as now_open, closing(sqlite3.connect(backup)) as copy:
            now_open.backup(copy)
        assert ledger.launch([Launch(None, peer, file, "t1", now)])[0].ok
        journal.catch_up(store)
        journal.close()


@pytest.mark.parametrize(
    "name",
    [
        "install.img",
        "os state=ARMED.img",
        "os state=DONE generation=9 device=2.img",
        'os", "state": "ARMED.img',
        "os\\state=CLEARED.img",
    ],
)
def test_reconcile_holds_a_launch_whatever_its_file_is_called(
    run: Any, home: Path, tmp_path: Path, name: str
) -> None:
    launched(home, f"SMSImages/PS100001/{name}", tmp_path / "backup.db")
    for file in home.glob("site.db*"):
        file.unlink()
    shutil.copy(tmp_path / "backup.db", home / "site.db")
    (lost,) = run("reconcile", "--json").json["lost"]
    assert (lost["device"], lost["deployment"], lost["state"]) == ("web01", "PS120001", "LAUNCHED")
    assert "held PS120001 on web01, which was LAUNCHED" in run("reconcile", "--yes").out
    (case,) = run("device", "sessions", "web01", "--json").json
    assert (case["state"], case["generation"]) == ("HOLD", 1)
