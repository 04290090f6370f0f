"""The file of the exclusion list is a FIFO for a while, as a hung network mount is (D35): nothing else waits for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..loopback.point import Point
from ..loopback.service import PATIENCE, eventually

LISTED = "02:00:00:00:ff:01"


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    file = tmp_path / "listed.txt"
    file.write_text(f"{LISTED}\n")
    return file


def test_after_a_fifo_the_next_list_and_every_change_count(tmp_path: Path, listed: Path) -> None:
    """A longer list in its place was ignored for good, and an excluded machine was imaged."""
    with Point(tmp_path) as point:
        point.home.run("dp", "set", "--mac-ignore-list-file", str(listed))
        spared, stopped, other = point.machine(), point.machine(), point.machine()
        (deployment,) = {stopped.discover().event["deployment"]}
        listed.unlink()
        os.mkfifo(listed)
        eventually(lambda: other.discover().codes[-1] == "required_paused", PATIENCE, "the hold")
        assert any("regular file" in text for text in eventually(lambda: point.home.status()["problems"]))
        new = listed.with_suffix(".new")
        new.write_text(f"{LISTED}\n{spared.mac}\n")
        new.rename(listed)
        eventually(lambda: other.discover().reply, PATIENCE, "the end of the hold")
        assert spared.boot().codes[-1] == "excluded"
        point.home.run("deployment", "disable", deployment)
        eventually(lambda: stopped.discover().reply is None, PATIENCE, "that the change counts")
        eventually(lambda: point.home.status()["problems"] == [])


def test_while_it_is_a_fifo_an_available_deployment_that_is_disabled_is_not_offered(
    tmp_path: Path, listed: Path
) -> None:
    with Point(tmp_path) as point:
        point.home.run("dp", "set", "--mac-ignore-list-file", str(listed))
        machine, spared = point.machine("available"), point.machine("available")
        deployment = machine.discover().event["deployment"]
        listed.unlink()
        os.mkfifo(listed)
        eventually(lambda: point.home.status()["problems"], what="that it is noticed")
        assert machine.boot().reply is not None
        point.home.run("deployment", "disable", deployment)
        eventually(lambda: machine.discover().reply is None, PATIENCE, "that the change counts")
        listed.unlink()
        listed.write_text(f"{LISTED}\n{spared.mac}\n")
        eventually(lambda: spared.discover().codes[-1] == "excluded", PATIENCE, "the next list")
