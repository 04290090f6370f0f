"""What docs/backup.md tells to type, typed: what was given since a backup is not given again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .loopback.point import Point
from .loopback.service import eventually

PAGE = Path(__file__).parent.parent / "docs" / "backup.md"


def commands(heading: str, number: int = 0) -> str:
    """A block of code below a heading."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert section, heading
    return re.findall(r"\n\n((?:    [^\n]+\n)+)", section[1])[number]


class Operator:
    """Who types the page's commands for the home of a point; the service is stopped and started by the test."""

    def __init__(self, point: Point, folder: Path) -> None:
        self.point, self.folder = point, folder
        for name in ("srv", "srv/backup"):
            (folder / name).mkdir()

    def types(self, script: str) -> str:
        script = script.replace("/var/lib/pxefast", str(self.point.home.folder))
        script = script.replace("/srv/", f"{self.folder}/srv/").replace("PS100001", self.point.image)
        done = subprocess.run(
            ["bash", "-euc", "systemctl() { :; }\n" + script],
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PXEFAST_HOME": str(self.point.home.folder),
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done
        return done.stdout


@contextmanager
def operated(folder: Path) -> Iterator[tuple[Point, Operator]]:
    (folder / "home").mkdir()
    with Point(folder / "home") as point:
        yield point, Operator(point, folder)


@pytest.mark.parametrize("lost", ["Restore the database", "Restore the whole home"])
def test_what_was_given_since_the_backup_is_not_given_again_after_the_page_was_followed(
    tmp_path: Path, lost: str
) -> None:
    with operated(tmp_path) as (point, operator):
        before, since, never = (point.machine() for _ in range(3))
        assert before.boot().reply is not None
        operator.types(commands("Save"))
        assert since.boot().reply is not None
        point.service.end()
        if lost == "Restore the whole home":
            shutil.rmtree(point.home.folder)
        told = operator.types(commands(lost))
        assert "held" in told
        point.again()
        for machine in (before, since):
            assert point.stage(machine).boot().reply is None
        again = point.stage(never)
        if lost == "Restore the whole home":
            assert again.boot().codes[-1] == "hold", "nobody knows"
            operator.types(commands(lost, 1))
            point.home.run("deployment", "clear", "--device", again.discover().event["device"], "--yes")
        eventually(lambda: again.boot().reply, what="the clearing")


def test_with_a_second_copy_a_home_that_was_put_back_whole_boots_nobody_until_it_is_reconciled(
    tmp_path: Path,
) -> None:
    with operated(tmp_path) as (point, operator):
        given, never = point.machine(), point.machine()
        point.service.end()
        operator.types(commands("Keep a second copy of the journal"))
        point.again()
        point.service.end()
        saved = tmp_path / "saved"
        shutil.copytree(point.home.folder, saved)
        point.again()
        assert point.stage(given).boot().reply is not None
        point.service.end()
        shutil.rmtree(point.home.folder)
        shutil.copytree(saved, point.home.folder)
        point.again()
        for machine in (given, never):
            answer = point.stage(machine).boot()
            assert answer.codes[-1] == "journal_broken"
            assert "pxefast reconcile" in answer.event["reasons"][-1]["text"]
        assert "pxefast reconcile" in "".join(point.home.status()["problems"])
        held = operator.types(commands("Move a home to another host"))
        assert held.count("held") == 1, "the copy says what was given, and what was not"
        point.service.end()
        point.again()
        assert point.stage(given).boot().codes[-1] == "hold"
        assert point.stage(never).boot().reply is not None
