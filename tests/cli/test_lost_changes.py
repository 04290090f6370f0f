"""What operators changed after the backup is lost with the database: nobody boots by what was taken back (R-77)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .test_ledger_commands import follow

pytestmark = pytest.mark.usefixtures("site")


@contextmanager
def restored(home: Path, backup: Path) -> Iterator[None]:
    """Save the database, let the caller change the site, and put the saved database back."""
    follow(home)
    shutil.copy(home / "site.db", backup)
    yield
    follow(home)
    for file in home.glob("site.db*"):
        file.unlink()
    shutil.copy(backup, home / "site.db")


@pytest.mark.parametrize("change", [("remove", "PS120001", "--yes"), ("disable", "PS120001")])
def test_a_required_deployment_that_was_removed_or_disabled_after_the_backup_is_held(
    run: Any, home: Path, done: Callable[..., str], tmp_path: Path, change: tuple[str, ...]
) -> None:
    with restored(home, tmp_path / "backup.db"):
        done("deployment", *change)
    found = run("reconcile", "--json").json
    assert [lost["action"] for lost in found["changes"]] == [f"deployment {change[0]}"]
    assert found["changes"][0]["subject"].startswith("PS120001")
    assert [(row["device"], row["deployment"]) for row in found["armed"]] == [("web01", "PS120001")]
    shown = run("reconcile", "--dry-run")
    assert "make again what still counts" in shown.err
    assert f": deployment {change[0]} PS120001" in shown.err
    assert "would hold PS120001 on web01, which is ARMED and may have been taken back" in shown.out
    done("reconcile", "--yes")
    (case,) = run("device", "sessions", "web01", "--json").json
    assert case["state"] == "HOLD"
    assert done("reconcile") == "the journal and the database agree"


def test_whoever_has_made_the_changes_again_keeps_what_is_armed(
    run: Any, home: Path, done: Callable[..., str], tmp_path: Path
) -> None:
    with restored(home, tmp_path / "backup.db"):
        done("setting", "set", "budget_claims", "7")
    assert run("reconcile", "--keep-armed", "--json").json["armed"] == []
    done("setting", "set", "budget_claims", "7")
    done("reconcile", "--keep-armed", "--yes")
    assert run("device", "sessions", "web01", "--json").json[-1]["state"] == "ARMED"
    with restored(home, tmp_path / "second.db"):
        done("setting", "set", "budget_claims", "8")
    changes = run("reconcile", "--json").json["changes"]
    assert len(changes) == 1, "what an earlier reconcile has listed is not listed again"
    assert "8" in changes[0]["subject"]


def test_of_many_lost_changes_the_newest_are_printed_and_all_are_counted(
    run: Any, home: Path, done: Callable[..., str], tmp_path: Path
) -> None:
    with restored(home, tmp_path / "backup.db"):
        for number in range(23):
            done("setting", "set", "budget_claims", str(100 + number))
    assert len(run("reconcile", "--json").json["changes"]) == 23
    shown = run("reconcile", "--dry-run").err
    assert "3 earlier changes" in shown
    assert "102" not in shown
    assert "103" in shown
    assert "122" in shown
