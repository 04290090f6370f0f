"""Where the learning of windows begins: its constants at their edges, and what one transfer teaches (W-105, W-107)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pxefast.config import Tftp
from pxefast.decide import DistributionPoint, Site
from pxefast.responder.handed import Handed
from pxefast.responder.tuning import Gaps, Tuner, lowered
from pxefast.site.learned_windows import Lesson
from pxefast.site.store import Store

MODEL = "52:54:00/x64-uefi/PXEClient"
LEAST = Tftp().learned_window_min


@pytest.mark.parametrize(
    ("gaps", "blocks"),
    [
        (Gaps(64, 32, 32, 20, 640), 16),
        (Gaps(64, 31, 31, 20, 620), None),
        (Gaps(64, 400, 100, 20, 2000), 16),
        (Gaps(64, 401, 100, 20, 2000), None),
        (Gaps(64, 100, 100, 20, 4000), 16),
        (Gaps(64, 100, 100, 20, 4001), None),
        (Gaps(64, 100, 100, 2, 200), 4),
        (Gaps(64, 100, 100, 1, 100), None),
        (Gaps(64, 100, 100, 16, 1600), 16),
        (Gaps(64, 100, 100, 15, 1500), 8),
        (Gaps(64, 100, 100, 40, 4000), 32),
        (Gaps(16, 100, 100, 16, 1600), None),
        (Gaps(4, 100, 100, 3, 300), None),
        (Gaps(5, 100, 100, 3, 300), 4),
    ],
    ids=lambda value: str(value) if isinstance(value, Gaps) else None,
)
def test_a_window_is_lowered_from_exactly_so_many_gaps_on(gaps: Gaps, blocks: int | None) -> None:
    assert lowered(gaps, 4) == blocks


class Teacher:
    """A tuner over a real table of learned windows, and transfers that end as the test says."""

    def __init__(self, store: Store) -> None:
        self.windows = store.learned_windows
        self.site = Site(DistributionPoint("PS1"), windows={})
        self.told: list[str] = []
        self.tuner = Tuner(Tftp(), self.windows, cast(Any, self), self._tell)

    def _tell(self, level: str, text: str, **fields: object) -> None:
        self.told.append(text)

    def ended(self, model: str | None = MODEL, arrived: int = 20, granted: int = 64, **more: Any) -> None:
        """A transfer of 100 windows ends, in each of which a block after the first `arrived` was lost."""
        values = {
            "window_granted": granted, "windows": 100, "gap_windows": 100, "gap_at": arrived,
            "gap_blocks": 100 * arrived, "variable_window": False, **more,
        }  # fmt: skip
        known = Handed(False, "s", "PS100001", "PS120001", "web01", 1, "52:54:00:00:00:01", model=model)
        self.tuner.note(cast(Any, SimpleNamespace(**values)), known)

    def learned(self) -> dict[str, int]:
        for _ in range(200):
            self.tuner.write()
        return {each.lesson.model: each.lesson.blocks for each in self.windows.all()}


@pytest.fixture
def teacher(tmp_path: Path) -> Iterator[Teacher]:
    with Store.create(tmp_path / "site.db", "PS1", point="dp1") as store:
        yield Teacher(store)


def test_a_transfer_with_gaps_lowers_the_window_of_its_model_and_that_is_told(teacher: Teacher) -> None:
    teacher.ended()
    assert teacher.learned() == {MODEL: 16}
    (text,) = teacher.told
    assert MODEL in text
    assert "at most 16 blocks" in text
    (each,) = teacher.windows.all()
    assert each.lesson == Lesson(MODEL, 16, 64, 20, 100, 100, "web01")


def test_the_smallest_window_of_several_transfers_counts(teacher: Teacher) -> None:
    for arrived in (20, 9, 40):
        teacher.ended(arrived=arrived)
    assert teacher.learned() == {MODEL: 8}
    teacher.ended(arrived=9)
    teacher.ended(arrived=20)
    assert teacher.learned() == {MODEL: 8}
    assert len(teacher.told) == 1
    teacher.ended(arrived=5)
    assert teacher.learned() == {MODEL: 4}


def test_no_window_is_ever_smaller_than_the_least_of_the_settings(teacher: Teacher) -> None:
    teacher.ended(arrived=2)
    assert teacher.learned() == {MODEL: LEAST}


def test_a_machine_that_varies_its_window_or_that_is_not_known_teaches_nothing(teacher: Teacher) -> None:
    teacher.ended(variable_window=True)
    teacher.ended(model=None)
    teacher.tuner.note(cast(Any, SimpleNamespace()), None)
    assert teacher.learned() == {}


def test_what_the_snapshot_knows_already_is_not_learned_again(teacher: Teacher) -> None:
    teacher.site.windows[MODEL] = 16
    teacher.ended(arrived=20)
    assert teacher.learned() == {}
    teacher.ended(arrived=9)
    assert teacher.learned() == {MODEL: 8}


def test_so_many_lessons_wait_and_no_more(teacher: Teacher) -> None:
    for number in range(70):
        teacher.ended(model=f"model {number:02}")
    teacher.ended(model="model 63", arrived=9)
    found = teacher.learned()
    assert sorted(found) == [f"model {number:02}" for number in range(64)]
    assert found["model 63"] == 8, "a lesson that waits is still made better"


def test_a_lesson_that_cannot_be_written_is_kept_and_a_wrong_one_is_not(
    teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher.ended()
    with monkeypatch.context() as patch:
        patch.setattr(teacher.windows, "learn", lambda lesson: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            teacher.tuner.write()
    assert teacher.learned() == {MODEL: 16}
