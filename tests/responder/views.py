"""A view without ports or threads: its clock is the test's, its content library a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
from pxefast.config import Settings
from pxefast.content.library import BuiltIn, Published, PublishedFile
from pxefast.content.namespace import File
from pxefast.responder import heartbeat
from pxefast.responder import view as module
from pxefast.responder.halt import Halt
from pxefast.responder.view import View
from pxefast.site.store import Store

from .desk import IMAGE

SESSION_SECONDS, STALE_SECONDS = 700, 60


class Clock:
    """One time for every clock that the view reads, in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "time", self)
        for place in (module, heartbeat):
            monkeypatch.setattr(place, "clock", lambda: self.now)

    def time(self) -> float:
        return self.now + 1_700_000_000

    def monotonic(self) -> float:
        return self.now - 1000


class Shelf:
    """In place of the content library."""

    def __init__(self) -> None:
        self.images: dict[str, Published] = {}
        self.stamped = 0
        self.fails: Exception | None = None

    def put(self, *images: str, version: int = 1) -> None:
        """Have these images, and no others."""
        file = PublishedFile("grubx64.efi", "0" * 64, 7)
        self.images = {name: Published(name, "x64", "2026", (file,), version) for name in images}
        self.stamped += 1

    def stamp(self) -> tuple[int, int]:
        if self.fails is not None:
            raise self.fails
        return self.stamped, 0

    def published(self) -> dict[str, Published]:
        return dict(self.images)

    def bring(self, files: Mapping[str, bytes]) -> list[BuiltIn]:
        return []


class Viewer:
    """A view, and what it published and said."""

    def __init__(self, store: Store, halt: Halt, clock: Clock) -> None:
        self.store, self.halt, self.clock = store, halt, clock
        self.shelf = Shelf()
        self.shelf.put(IMAGE)
        self.published: list[list[File]] = []
        self.told: list[tuple[str, str]] = []
        self.view = self.begin()

    def begin(self) -> View:
        settings = Settings.model_validate(
            {
                "session": {"seconds": SESSION_SECONDS},
                "database": {"serve_stale_available_seconds": STALE_SECONDS},
            }
        )
        tell = self._tell
        return View(self.store, cast(Any, self.shelf), settings, self.halt, self.published.append, tell)

    def _tell(self, level: str, text: str) -> None:
        self.told.append((level, text))

    def refresh(self, seconds: float = 1.0) -> None:
        """Follow changes once more after so many seconds."""
        self.clock.now += seconds
        self.view.refresh()

    def touch(self) -> None:
        """Change the site."""
        self.store.touch("test", "a change")
