"""One distribution point a module; or the parts of a service without ports or threads, for a test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pxefast.config import Settings
from pxefast.content.library import Library
from pxefast.responder.halt import Halt
from pxefast.responder.view import View
from pxefast.site.store import Store

from ..loopback.home import CROWDED
from ..loopback.point import Point
from ..site.conftest import fill


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    with Point(tmp_path_factory.mktemp("point"), CROWDED) as point_:
        yield point_


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the devices web01 and web02 and a required deployment, to be copied."""
    file = tmp_path_factory.mktemp("filled") / "site.db"
    with Store.create(file, "PS1", point="dp1") as store:
        fill(store)
    return file


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of that database."""
    with Store.open(shutil.copy(filled, tmp_path / "site.db"), point="dp1") as store:
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
