"""What the view does when something cannot be read, or nobody knows what was written (D10, D36, D37, D40, R-73)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pxefast.decide import Reason
from pxefast.errors import CannotOpen, DatabaseReplaced
from pxefast.responder import view as module

from ..site.ledger_case import DEPLOYMENT
from .views import STALE_SECONDS, Viewer

GONE = Reason("database_unavailable", "required deployments are off: no such disk", "D10")
CHANGED = ("info", "the site changed")


def fail(*_: object, **__: object) -> Any:
    raise CannotOpen("no such disk")


# What cannot be read.


def test_a_library_that_cannot_be_read_ends_everything_and_is_tried_again_each_second(
    viewer: Viewer, loads: list[Any]
) -> None:
    for error, why in ((CannotOpen("no such folder"), "no such folder"), (KeyError(), "KeyError")):
        viewer.shelf.fails = error
        viewer.refresh()
        assert viewer.view.problem() == Reason("site_unreadable", why, "T18")
        assert (viewer.view.lost, viewer.view.required_off()) == (None, None)
    viewer.shelf.fails = None
    viewer.refresh(0.5)
    assert viewer.view.unreadable == "KeyError", "it is left alone for a second"
    viewer.refresh(0.5)
    assert (viewer.view.unreadable, len(loads)) == (None, 1)
    assert viewer.told == [], "what was mended is not news of the site"


def test_of_a_library_and_a_list_that_cannot_be_read_the_library_is_said(
    viewer: Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.shelf.fails = CannotOpen("no such folder")
    monkeypatch.setattr(viewer.view.exclusion_file, "refresh", fail)
    viewer.refresh()
    assert viewer.view.unreadable == "no such folder"
    viewer.shelf.fails = None
    viewer.refresh()
    assert viewer.view.unreadable == "no such disk"


def test_a_list_that_cannot_be_read_is_known_before_the_site_that_came_with_it(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = viewer.view.site, []

    def refresh(*_: object, **__: object) -> None:
        seen.append((viewer.view.site is before, viewer.view.unreadable))
        fail()

    monkeypatch.setattr(viewer.view.exclusion_file, "refresh", refresh)
    viewer.touch()
    viewer.refresh()
    assert seen == [(True, None), (False, "no such disk")]


PLACES: dict[str, Callable[[Viewer, pytest.MonkeyPatch], None]] = {
    "recovery": lambda viewer, patch: patch.setattr(viewer.store, "recover", fail),
    "watcher": lambda viewer, patch: patch.setattr(viewer.view._watcher, "changed", fail),
    "site": lambda viewer, patch: patch.setattr(module, "load", fail),
    "gates": lambda viewer, patch: patch.setattr(module, "gated_files", fail),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_database_that_cannot_be_read_is_lost_and_read_anew_once_it_can(
    viewer: Viewer, loads: list[Any], place: str
) -> None:
    watcher = viewer.view._watcher
    assert watcher is not None
    closed = []
    viewer.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watcher, "close", lambda: closed.append(True))
        PLACES[place](viewer, patch)
        viewer.refresh()
        assert (viewer.view.lost, viewer.view.unreadable, viewer.view.replaced) == (GONE, None, None)
        assert closed == [True]
    before = len(loads)
    viewer.refresh(0.5)
    assert viewer.view.lost == GONE, "it is left alone for a second"
    viewer.refresh(0.5)
    assert (viewer.view.lost, viewer.view.required_off()) == (None, None)
    assert len(loads) == before + 1
    assert viewer.told == [], "what was mended is not news of the site"
    viewer.touch()
    viewer.refresh()
    viewer.refresh()
    assert viewer.told == [CHANGED], "it is watched again"


def test_an_error_without_a_text_is_said_by_its_name(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer.store, "recover", lambda: {}["x"])
    viewer.refresh()
    assert viewer.view.lost is not None
    assert viewer.view.lost.text == "required deployments are off: 'x'"

    def fails() -> None:
        raise KeyError

    monkeypatch.setattr(viewer.store, "recover", fails)
    viewer.refresh()
    assert viewer.view.lost.text == "required deployments are off: KeyError"


def test_a_database_that_is_another_one_ends_everything_for_good(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced() -> None:
        raise DatabaseReplaced("it is another file")

    monkeypatch.setattr(viewer.store, "recover", replaced)
    viewer.refresh()
    reason = Reason("database_replaced", "everything is off: it is another file", "D37")
    assert (viewer.view.replaced, viewer.view.problem()) == (reason, reason)
    monkeypatch.undo()


def launched(viewer: Viewer) -> None:
    """Have web01 launched here, as its database forgets at once."""
    mark = replace(viewer.view.site.marks[DEPLOYMENT][1], state="LAUNCHED")
    viewer.view.mark(1, mark)
    viewer.touch()
    viewer.refresh()


def test_a_database_that_forgot_a_launch_is_another_one_and_what_is_known_stays(viewer: Viewer) -> None:
    launched(viewer)
    assert viewer.view.replaced is not None
    assert viewer.view.replaced.text == (
        "everything is off: the database has forgotten that web01 was given PS120001: it was overwritten "
        "under the service; stop the service, put the newest backup in its place, then run: pxefast reconcile"
    )
    assert viewer.view.site.marks[DEPLOYMENT][1].state == "LAUNCHED"
    assert viewer.view._marks_meanwhile is None


def test_what_a_server_forgot_the_journal_says(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(viewer.store), "dialect", "postgresql")
    launched(viewer)
    assert (viewer.view.replaced, viewer.told) == (None, [CHANGED])


def test_each_mark_of_the_time_of_a_load_is_known_after_it_and_later_ones_too(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, real = viewer.view, module.load
    marks = {number: replace(view.site.marks[DEPLOYMENT][number], state="CLAIMED") for number in (1, 2)}

    def load(*given: Any) -> Any:
        site = real(*given)
        for number, mark in marks.items():
            view.mark(number, mark)
        return site

    monkeypatch.setattr(module, "load", load)
    viewer.touch()
    viewer.refresh()
    assert view.site.live == marks
    view.mark(1, replace(marks[1], state="LAUNCHED"))
    assert view.site.live[1].state == "LAUNCHED"


# How old the snapshot is.


def test_a_snapshot_is_as_old_as_the_begin_of_the_last_look_at_the_database(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, real = viewer.view, module.load

    def load(*given: Any) -> Any:
        viewer.clock.now += 3
        return real(*given)

    monkeypatch.setattr(module, "load", load)
    viewer.touch()
    viewer.refresh()
    monkeypatch.setattr(viewer.store, "recover", fail)
    viewer.refresh()
    assert view.problems()[-1] == "available deployments go on from a snapshot, for 56 s more"
    viewer.refresh(STALE_SECONDS - 4)
    assert view.problem() is None
    viewer.refresh(0.5)
    assert view.problem() == GONE


def test_the_keeper_lives_since_the_begin_of_its_last_round(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.load

    def load(*given: Any) -> Any:
        viewer.clock.now += 3
        return real(*given)

    monkeypatch.setattr(module, "load", load)
    viewer.touch()
    viewer.refresh()
    viewer.clock.now += 2
    assert viewer.view.heart.look() is None
    viewer.clock.now += 0.5
    stuck = viewer.view.heart.look()
    assert stuck is not None
    assert stuck.seconds == 5.5


def test_what_the_keeper_waits_for_is_said_where_it_is_stuck(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, jobs = viewer.view, []

    def note(place: Any, name: str) -> None:
        real = getattr(place, name)

        def call(*given: Any, **more: Any) -> Any:
            jobs.append((name, view.heart._job[0]))
            return real(*given, **more)

        monkeypatch.setattr(place, name, call)

    note(viewer.store, "recover")
    note(viewer.shelf, "stamp")
    note(view._watcher, "changed")
    note(viewer.shelf, "published")
    for name in ("load", "find_forgotten", "gated_files"):
        note(module, name)
    note(view, "_publish")
    note(view.exclusion_file, "refresh")
    viewer.touch()
    viewer.refresh()
    assert jobs == [
        ("recover", "database: recover"),
        ("stamp", "content library"),
        ("changed", "database: look for changes"),
        ("published", "content library"),
        ("load", "database: load the site"),
        ("find_forgotten", "database: load the site"),
        ("gated_files", "boot files"),
        ("published", "boot files"),
        ("_publish", "boot files"),
        ("refresh", "exclusion list"),
        ("refresh", "exclusion list"),
    ]


# A database in doubt.


def test_a_database_in_doubt_is_read_anew_after_a_second_and_believed_then(
    viewer: Viewer, loads: list[Any]
) -> None:
    viewer.view.doubt(OSError("no such disk"))
    viewer.refresh(0.5)
    assert (viewer.view.required_off(), loads) == (GONE, [])
    viewer.refresh(0.5)
    assert (viewer.view.required_off(), len(loads), viewer.told) == (None, 1, [])


def test_a_database_in_doubt_is_believed_once_a_write_is_proved(viewer: Viewer) -> None:
    view, proved = viewer.view, []

    def prove() -> None:
        proved.append(viewer.clock.now)
        if len(proved) == 1:
            raise OSError("still no room")

    view.prove = prove
    viewer.refresh()
    assert proved == [], "nothing is proved that is not in doubt"
    view.doubt(OSError("no such disk"))
    viewer.refresh()
    assert view.required_off() == Reason(
        "database_unavailable", "required deployments are off: still no room", "D10"
    )
    viewer.refresh(0.5)
    assert len(proved) == 1, "it is left alone for a second"
    viewer.refresh(0.5)
    assert (view.required_off(), len(proved)) == (None, 2)


def test_a_doubt_that_comes_while_the_site_is_read_stays(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.load

    def load(*given: Any) -> Any:
        viewer.view.doubt(OSError("no such disk"))
        return real(*given)

    monkeypatch.setattr(module, "load", load)
    viewer.touch()
    viewer.refresh()
    assert viewer.view.required_off() == GONE
    monkeypatch.setattr(module, "load", real)
    viewer.refresh()
    assert viewer.view.required_off() is None


# The end.


@pytest.mark.parametrize("lost", [False, True])
def test_a_view_that_ends_gives_its_connection_and_its_thread_back(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    view, closed = viewer.view, []
    monkeypatch.setattr(view.exclusion_file, "close", lambda: closed.append("list"))
    if lost:
        monkeypatch.setattr(viewer.store, "recover", fail)
        viewer.refresh()
    else:
        monkeypatch.setattr(view._watcher, "close", lambda: closed.append("watcher"))
    view.close()
    assert closed == (["list"] if lost else ["list", "watcher"])
