"""A service with little address space serves, or says at its start that it has too little (R-96)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ..loopback.point import Point
from ..loopback.service import Service

MEBIBYTE = 1 << 20


def limited(mebibytes: int) -> str:
    """A program that is pxefast with so much address space at most."""
    size = mebibytes * MEBIBYTE
    return (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({size}, {size})); "
        "from pxefast.cli import main; raise SystemExit(main())"
    )


@pytest.mark.parametrize("mebibytes", [100, 200, 300, 500])
def test_with_little_memory_a_service_serves_or_says_what_it_lacks(tmp_path: Path, mebibytes: int) -> None:
    """How much is needed depends on the C library: each thread reserves address space."""
    try:
        point = Point(tmp_path, serve=partial(Service, program=("-c", limited(mebibytes))))
    except AssertionError as ended:
        said = str(ended)
        assert "raise the limit" in said, said
        assert "defect" not in said
        assert "Traceback" not in said
        return
    with point:
        machine = point.machine("required")
        assert machine.boot().file == point.name("boot.efi")
        assert machine.boot().codes[-1] == "already_offered"
