"""Two services with one journal: each flushes what the other wrote before it relies on it (D23)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pxefast.errors import CannotOpen
from pxefast.site.journal import Journal
from pxefast.site.store import Store


@pytest.fixture
def pair(ready: Store, tmp_path: Path) -> Iterator[tuple[Journal, Journal]]:
    """Two journals in one folder, as a service and its successor have them, both up to date."""
    first, second = Journal(tmp_path / "journal"), Journal(tmp_path / "journal")
    for journal in (first, second):
        journal.catch_up(ready)
    yield first, second
    first.close()
    second.close()


class Flushes:
    """Counts the flushes of the journal's file; `fail` makes the next one fail."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.fail = False
        self._file = file
        self._real = os.fsync
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, descriptor: int) -> None:
        if os.path.samestat(os.fstat(descriptor), self._file.stat()):
            self.count += 1
            if self.fail:
                self.fail = False
                raise OSError(5, "Input/output error")
        self._real(descriptor)


def test_what_another_service_wrote_is_flushed_before_it_counts(
    ready: Store, pair: tuple[Journal, Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    ready.touch("test", "by the other")
    second.catch_up(ready)
    flushes = Flushes(first.file, monkeypatch)
    first.catch_up(ready)
    assert flushes.count == 1, "the flush of the other may have failed"
    first.catch_up(ready)
    assert flushes.count == 1, "nothing is flushed twice"


def test_a_failed_flush_of_what_another_service_wrote_is_an_error_and_is_repeated(
    ready: Store, pair: tuple[Journal, Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    ready.touch("test", "by the other")
    second.catch_up(ready)
    flushes = Flushes(first.file, monkeypatch)
    flushes.fail = True
    with pytest.raises(CannotOpen, match="cannot be written"):
        first.catch_up(ready)
    first.catch_up(ready)
    assert flushes.count >= 2
    assert first.check(ready) is None
    assert first.verify() == second.verify()
