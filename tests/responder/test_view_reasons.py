"""Why nothing, or nothing required, is handed out now: each reason whole, and which of several is said (D6 to D40)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pxefast.decide import Exclusions, Reason
from pxefast.errors import CannotOpen, DatabaseReplaced, ExclusionError

from ..site.ledger_case import DEPLOYMENT
from .views import STALE_SECONDS, Viewer

REPLACED = Reason("database_replaced", "everything is off: it is another file", "D37")
FULL = Reason("no_space", "the disk is full", "D40")
JOURNAL = Reason("journal_broken", "they differ", "D23")
ALARM = Reason("journal_broken", "they differ at dp2", "D23")
UNSAFE = Reason("unsafe_settings", "not durable", "R-76")
BUDGET = Reason("budget_exhausted", "spent", "D6")
GONE = Reason("database_unavailable", "required deployments are off: no such disk", "D10")


def silent(what: str, seconds: int) -> Reason:
    return Reason("database_unavailable", f"{what}: the database has been silent for {seconds} s", "D10")


def lose(viewer: Viewer, monkeypatch: pytest.MonkeyPatch, why: str = "no such disk") -> None:
    def recover() -> None:
        raise CannotOpen(why)

    monkeypatch.setattr(viewer.store, "recover", recover)


def test_a_service_that_is_well_holds_nothing(viewer: Viewer) -> None:
    view = viewer.view
    assert (view.required_off(), view.launches_off(), view.held(), view.problem()) == (None,) * 4
    assert (view.database_gone(), view.problems()) == (None, [])
    sight = view.sight()
    assert sight.site is view.site
    assert (sight.exclusions.macs, sight.exclusions.paused, sight.problem) == (frozenset(), None, None)


def test_of_several_reasons_that_hold_required_deployments_the_gravest_is_said(viewer: Viewer) -> None:
    view = viewer.view
    viewer.halt.on("wrong image")
    view.replaced, view.full, view.journal, view.alarm = REPLACED, FULL, JOURNAL, ALARM
    view.unsafe, view.lost, view.budget = UNSAFE, GONE, BUDGET
    halted = view.required_off()
    assert halted is not None
    assert halted.code == "halted"
    assert "wrong image" in halted.text
    assert view.launches_off() == halted
    assert view.held() == REPLACED, "the halt file is looked at by those who can"
    viewer.halt.off()
    for name, reason in {
        "replaced": REPLACED, "full": FULL, "journal": JOURNAL, "alarm": ALARM, "unsafe": UNSAFE, "lost": GONE,
    }.items():  # fmt: skip
        assert (view.required_off(), view.launches_off(), view.held()) == (reason,) * 3
        assert view.sight().exclusions.paused == reason
        setattr(view, name, None)
    assert (view.required_off(), view.held(), view.launches_off()) == (BUDGET, BUDGET, None)


def test_a_list_that_cannot_be_read_any_more_holds_what_the_budget_does_not(
    viewer: Viewer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, listed = viewer.view, tmp_path / "excluded.txt"
    listed.write_text("02:00:00:00:00:09\n")
    viewer.store.dps.set(mac_ignore_list_file=str(listed))
    viewer.refresh()
    assert view.sight().exclusions.macs == {"02:00:00:00:00:09"}
    assert viewer.told[0][1] == f"exclusion list {listed} read: 1 excluded"
    reason = Reason("required_paused", "required deployments are held: exclusion list is gone", "R-53")
    held = Exclusions(view.exclusion_file.exclusions.macs, reason)
    monkeypatch.setattr(view.exclusion_file, "_exclusions", held)
    assert (view.required_off(), view.launches_off(), view.held()) == (reason,) * 3
    view.budget = BUDGET
    assert (view.required_off(), view.launches_off(), view.held()) == (BUDGET, reason, BUDGET)


def test_a_view_that_has_no_first_list_does_not_begin(viewer: Viewer, tmp_path: Path) -> None:
    viewer.store.dps.set(mac_ignore_list_file=str(tmp_path / "missing"))
    with pytest.raises(ExclusionError, match="missing"):
        viewer.begin()


# Nothing at all.


def test_what_ends_everything_is_said_in_its_order(viewer: Viewer) -> None:
    view = viewer.view
    view.unreadable = "the library is damaged"
    assert view.problem() == Reason("site_unreadable", "the library is damaged", "T18")
    assert view.sight().problem == view.problem()
    assert view.required_off() is None
    view.replaced = REPLACED
    assert view.problem() == REPLACED
    assert view.database_gone() == REPLACED


@pytest.mark.parametrize("job", ["content library", "database: load the site"])
def test_a_keeper_that_is_stuck_ends_everything_except_in_the_database_for_a_while(
    viewer: Viewer, job: str
) -> None:
    view = viewer.view
    view.heart.enter(job)
    viewer.clock.now += 6
    if not job.startswith("database"):
        text = f"changes have not been followed for 6 s: thread pxefast-keeper is stuck in '{job}' since "
        problem, off = view.problem(), view.required_off()
        assert problem is not None
        assert off is not None
        assert (problem.code, off.code) == ("changes_not_followed", "changes_not_followed")
        assert problem.text.startswith(f"nothing is handed out: {text}")
        assert off.text.startswith(f"required deployments are off: {text}")
        assert view.problems() == [off.text]
        return
    assert view.required_off() == silent("required deployments are off", 6)
    assert view.problem() is None
    assert view.problems() == [
        "required deployments are off: the database has been silent for 6 s",
        "available deployments go on from a snapshot, for 54 s more",
    ]
    viewer.clock.now += STALE_SECONDS - 6
    assert view.problem() is None
    viewer.clock.now += 1
    assert view.problem() == silent("nothing is handed out", STALE_SECONDS + 1)
    assert len(view.problems()) == 1


def test_a_database_that_is_lost_lets_available_deployments_go_on_for_a_while(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = viewer.view
    lose(viewer, monkeypatch)
    viewer.refresh()
    assert (view.lost, view.database_gone(), view.required_off()) == (GONE,) * 3
    assert view.problem() is None
    assert view.problems() == [GONE.text, "available deployments go on from a snapshot, for 59 s more"]
    viewer.refresh(STALE_SECONDS - 1)
    assert view.problem() is None
    viewer.refresh(0.5)
    assert view.problem() == GONE
    assert view.problems() == [GONE.text]


def test_everything_that_is_wrong_is_listed_the_gravest_first(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = viewer.view
    viewer.halt.on("")
    view.full, view.journal, view.alarm, view.unsafe = FULL, JOURNAL, ALARM, UNSAFE
    view.lost, view.budget, view.unreadable = GONE, BUDGET, "the library is damaged"
    monkeypatch.setattr(view.exclusion_file, "_problem", "the list is gone")
    problems = view.problems()
    assert problems[0].startswith("required deployments are stopped: ")
    assert problems[1:] == [
        FULL.text, JOURNAL.text, ALARM.text, UNSAFE.text, GONE.text, BUDGET.text, "the library is damaged",
        "the list is gone",
    ]  # fmt: skip


# A write that failed.


@pytest.mark.parametrize(
    ("error", "why"), [(OSError("no such disk"), "no such disk"), (ZeroDivisionError(), "ZeroDivisionError")]
)
def test_a_write_that_failed_puts_the_database_in_doubt(viewer: Viewer, error: Exception, why: str) -> None:
    viewer.view.doubt(error)
    reason = Reason("database_unavailable", f"required deployments are off: {why}", "D10")
    assert (viewer.view.database_gone(), viewer.view.required_off()) == (reason, reason)
    assert (viewer.view.lost, viewer.view.problem(), viewer.view.replaced) == (None, None, None)
    assert viewer.view.problems() == [reason.text]


def test_a_write_to_another_database_ends_everything_for_good(viewer: Viewer) -> None:
    viewer.view.doubt(DatabaseReplaced("it is another file"))
    assert viewer.view.replaced == REPLACED
    viewer.view.doubt(DatabaseReplaced("and yet another"))
    viewer.refresh()
    assert (viewer.view.problem(), viewer.view.required_off()) == (REPLACED, REPLACED)


def test_a_device_is_found_by_its_number(viewer: Viewer) -> None:
    view = viewer.view
    assert (view.device(None), view.device(99)) == (None, None)
    assert (view.device_name(None), view.device_name(99)) == (None, None)
    device = view.device(2)
    assert device is not None
    assert (device.id, device.macs, view.device_name(2)) == (2, ("00:11:22:33:44:02",), "web02")
    assert view.site.marks[DEPLOYMENT][2].state == "ARMED"
