"""What was learned of a model's TFTP window is only ever lowered by a service, and forgotten by a person (W-105)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from pxefast.errors import AlreadyExists, Invalid, NotFound
from pxefast.site import audit, learned_windows
from pxefast.site.learned_windows import Lesson
from pxefast.site.snapshot import load
from pxefast.site.store import Store

MODEL = "00:11:22/x64-uefi/PXEClient"


def lesson(blocks: int, model: str = MODEL, granted: int = 64) -> Lesson:
    return Lesson(model, blocks, granted, blocks + 1, 40, 50, "pc001")


def test_a_lesson_is_there_for_people_and_for_every_snapshot_and_is_audited(store: Store) -> None:
    before = store.revision()
    store.learned_windows.learn(lesson(8))
    (known,) = store.learned_windows.all()
    assert (known.lesson, known.distribution_point) == (lesson(8), store.point)
    assert store.revision() == before + 1
    assert load(store, store.point, {}, 900).windows == {MODEL: 8}
    with store.read() as connection:
        last = audit.read_records(connection)[-1]
    assert (last.action, last.subject) == ("tune learn", f"{MODEL} 64 to 8 by pc001")


def test_no_lesson_raises_a_window(store: Store) -> None:
    store.learned_windows.learn(lesson(8))
    revision = store.revision()
    for blocks in (8, 16):
        with pytest.raises(AlreadyExists, match="a window of 8 blocks"):
            store.learned_windows.learn(lesson(blocks))
    assert store.revision() == revision
    store.learned_windows.learn(lesson(4))
    assert [item.lesson.blocks for item in store.learned_windows.all()] == [4]


def test_of_points_that_learn_at_once_the_lowest_window_stays(store: Store) -> None:
    def learn(blocks: int) -> None:
        with Store.open(store.address) as own, suppress(AlreadyExists):
            own.learned_windows.learn(lesson(blocks))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(learn, (16, 4, 32, 8)))
    assert [item.lesson.blocks for item in store.learned_windows.all()] == [4]


def test_what_a_person_clears_is_forgotten_and_an_unknown_model_clears_nothing(store: Store) -> None:
    other = "00:11:33/x64-bios/iPXE"
    store.learned_windows.learn(lesson(8))
    store.learned_windows.learn(lesson(16, other))
    with pytest.raises(NotFound, match="pxefast tune show"):
        store.learned_windows.clear([MODEL, "00:00:00/x64-bios/iPXE"])
    assert len(store.learned_windows.all()) == 2
    store.learned_windows.clear([MODEL])
    assert [item.lesson.model for item in store.learned_windows.all()] == [other]
    # What was cleared is learned anew.
    store.learned_windows.learn(lesson(16))
    assert load(store, store.point, {}, 900).windows == {MODEL: 16, other: 16}


def test_machines_of_ever_new_models_do_not_fill_the_database(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learned_windows, "_MOST", 2)
    store.learned_windows.learn(lesson(8, "a"))
    store.learned_windows.learn(lesson(8, "b"))
    with pytest.raises(Invalid, match="pxefast tune show"):
        store.learned_windows.learn(lesson(8, "c"))
    # What is known can still be lowered.
    store.learned_windows.learn(lesson(4, "b"))
