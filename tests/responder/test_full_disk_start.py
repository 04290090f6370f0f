"""A service that begins on a disk without room says so (D40)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..loopback.home import Home
from .test_ledger import fill


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A small file system of this test's own."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_service_that_begins_on_a_full_disk_says_that_there_is_no_room(small: Path) -> None:
    home = Home(small / "home")
    fill(small / "fill")
    serve = [sys.executable, "-m", "pxefast", "--home", str(home.folder), "serve"]
    done = subprocess.run(serve, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no space left on device: 0 bytes are free for " in done.stderr
    assert "Traceback" not in done.stderr
