"""One distribution point a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..loopback.point import Point


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    with Point(tmp_path_factory.mktemp("point")) as point_:
        yield point_
