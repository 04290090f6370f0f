"""A database that vanishes or is replaced under the service: everything stops, and says why (D37)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pxefast.config import Settings
from pxefast.content.library import Library
from pxefast.decide import Mark, Site
from pxefast.responder import view as view_module
from pxefast.responder.halt import Halt
from pxefast.responder.view import View
from pxefast.site.devices import NewDevice
from pxefast.site.store import Store

from ..loopback.point import Point
from ..loopback.service import PATIENCE, eventually


def delete(database: Path) -> None:
    for file in database.parent.glob("site.db*"):
        file.unlink()


def put_a_backup_in_its_place(database: Path) -> None:
    database.with_name("backup.db").rename(database)


def cut(database: Path) -> None:
    os.truncate(database, 4096)


def delete_its_log(database: Path) -> None:
    database.with_name("site.db-wal").unlink()


def back_up(database: Path) -> None:
    with (
        closing(sqlite3.connect(database)) as source,
        closing(sqlite3.connect(database.with_name("backup.db"))) as target,
    ):
        source.backup(target)
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("do", [delete, put_a_backup_in_its_place, cut, delete_its_log])
def test_a_database_that_is_replaced_under_the_service_stops_everything_until_a_restart(
    tmp_path: Path, do: Callable[[Path], None]
) -> None:
    with Point(tmp_path) as point:
        imaged, new, available = point.machine(), point.machine(), point.machine("available")
        back_up(point.home.database)
        assert imaged.boot().reply is not None
        do(point.home.database)
        point.service.event("service", lambda event: "replaced under the service" in event["text"])
        for machine in (imaged, new, available):
            assert machine.discover().codes[-1] == "database_replaced"
            assert machine.request().codes[-1] == "database_replaced"
        status = eventually(
            lambda: (found := point.home.status()).get("required_off") and found, what="the status"
        )
        assert status["required_off"]["code"] == "database_replaced"
        assert any("replaced under the service" in text for text in status["problems"])
        assert list(point.home.folder.glob("content/images/*.json")), "and what is published stays"
        told = [event for event in point.service.events if "replaced under" in event["text"]]
        assert len([event for event in told if event["event"] == "service"]) == 1, "once"
        if do is delete:
            assert not point.home.database.exists(), "and nothing makes another one"


def test_a_database_that_was_overwritten_in_place_boots_nobody_again(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        imaged = point.machine()
        database = point.home.database
        back_up(database)
        assert imaged.boot().reply is not None
        shutil.copyfile(database.with_name("backup.db"), database)
        for _ in range(5):
            assert imaged.boot().reply is None
        point.service.end()
        outcome = point.home.command("reconcile", "--yes")
        assert outcome.code in (0, 3), outcome
        try:
            point.again()
        except AssertionError as refused:
            assert "site.db" in str(refused)
            return
        assert point.stage(imaged).boot().reply is None


def test_a_damaged_database_stops_boots_until_all_of_it_is_good_again(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine()
        assert machine.discover().reply is not None
        database = point.home.database
        with closing(sqlite3.connect(database)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        good = database.read_bytes()
        with database.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (len(good) - 4096))
        point.home.database.with_name("site.db-wal").touch()
        assert eventually(lambda: (answer := machine.request()).reply is None and answer)
        eventually(
            lambda: any("damaged" in text for text in point.home.status().get("problems", ())),
            3 * PATIENCE,
            "that it is said",
        )
        with database.open("r+b") as file:
            file.write(good)
        eventually(lambda: machine.request().reply, 3 * PATIENCE, "the check of all of it")


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    """What a service of a site decides from whose pc001 has a required deployment."""
    with Store.create(tmp_path / "site.db", "PS1", point="dp1") as store:
        store.devices.add(NewDevice("pc001", ("02:00:00:00:00:01",)))
        store.collections.create("rack")
        store.collections.add("rack", ["pc001"])
        image = store.boot_images.add("linux", "x64", Path("/nowhere"), {"uefi": "grubx64.efi"})
        sequence = store.task_sequences.create("install", image.id)
        store.deployments.create(sequence.id, "rack", "required", "media-pxe")
        library = Library.create(tmp_path / "content")
        view = View(store, library, Settings(), Halt(tmp_path, ""), lambda _: None, lambda *_: None)
        yield view
        view.close()


def a_launch(view: View) -> tuple[int, Mark]:
    ((deployment, marks),) = view.site.marks.items()
    ((device, mark),) = marks.items()
    assert (deployment, mark.state) == (mark.deployment_id, "ARMED")
    return device, replace(mark, state="LAUNCHED")


def test_a_launch_while_the_site_is_read_anew_is_not_taken_for_a_forgotten_one(
    view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, launch = a_launch(view)
    real = view_module.load

    def load(*arguments: Any) -> Site:
        site = real(*arguments)
        view.mark(device, launch)
        return site

    monkeypatch.setattr(view_module, "load", load)
    with Store.open(tmp_path / "site.db") as other:
        other.touch("test", "")
    view.refresh()
    assert view.replaced is None
    assert view.lost is None
    assert view.site.marks[launch.deployment_id][device].state == "LAUNCHED"


def test_a_launch_that_the_database_has_forgotten_stops_everything_for_good(
    view: View, tmp_path: Path
) -> None:
    device, launch = a_launch(view)
    view.mark(device, launch)
    with Store.open(tmp_path / "site.db") as other:
        other.touch("test", "")
    for _ in range(2):
        view.refresh()
        problem = view.problem()
        assert problem is not None
        assert (problem.code, "forgotten that pc001" in problem.text) == ("database_replaced", True)
    assert view.site.marks[launch.deployment_id][device].state == "LAUNCHED", "and what is known stays"
