"""One distribution point a module; or the parts of a service without ports or threads, for a test."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from pxefast.config import Settings
from pxefast.content.library import Library
from pxefast.responder import view as view_module
from pxefast.responder.halt import Halt
from pxefast.responder.view import View
from pxefast.site.store import Store
from pxefast.site.witnesses import Witnesses

from ..loopback.home import CROWDED
from ..loopback.point import Point
from ..site.conftest import fill
from .desk import Desk
from .turn import Turn
from .views import Clock, Viewer


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    with Point(tmp_path_factory.mktemp("point"), CROWDED) as point_:
        yield point_


@cache
def filled() -> bytes:
    """A database with the devices web01 and web02 and a required deployment; made once a process."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "site.db"
        with Store.create(file, "PS1", point="dp1") as store:
            fill(store)
        return file.read_bytes()


_DIALECTS: list[Any] = []
_STATEMENTS: dict[Any, Any] = {}


def _share_statements(engine: Any) -> None:
    """Have one dialect and its compiled statements serve all of these databases: to compile takes half of a test."""
    if not _DIALECTS:
        _DIALECTS.append(engine.dialect)
    engine.dialect = _DIALECTS[0]
    engine.update_execution_options(compiled_cache=_STATEMENTS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A copy of that database."""
    file = tmp_path / "site.db"
    file.write_bytes(filled())
    with Store.open(file, point="dp1") as store:
        _share_statements(store._place.engine)
        yield store


@pytest.fixture
def halt(tmp_path: Path) -> Halt:
    return Halt(tmp_path)


@pytest.fixture
def view(store: Store, halt: Halt, tmp_path: Path) -> Iterator[View]:
    """What a service of that site decides from; nothing is published."""
    library = Library.create(tmp_path / "library")
    view = View(store, library, Settings(), halt, lambda files: None, lambda level, text: None)
    yield view
    view.close()


@pytest.fixture
def desk(store: Store, view: View, tmp_path: Path) -> Iterator[Desk]:
    """What answers the machines of that site."""
    witnesses = Witnesses(tmp_path, marks=tmp_path / "marks")
    yield Desk(store, view, witnesses)
    witnesses.close()


@pytest.fixture
def turn(store: Store, view: View, tmp_path: Path) -> Iterator[Turn]:
    witnesses = Witnesses(tmp_path, marks=tmp_path / "marks")
    yield Turn(store, view, witnesses)
    witnesses.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def viewer(store: Store, halt: Halt, clock: Clock) -> Iterator[Viewer]:
    viewer = Viewer(store, halt, clock)
    yield viewer
    viewer.view.close()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The arguments of each time that the site is read."""
    found = []
    real = view_module.load

    def load(*given: Any) -> Any:
        found.append(given)
        return real(*given)

    monkeypatch.setattr(view_module, "load", load)
    return found
