"""`pxefast tune`: what was learned of machines' windows, and how a person forgets it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pxefast.site.learned_windows import Lesson
from pxefast.site.store import Store

MODEL = "00:11:22/x64-uefi/PXEClient"
OTHER = "00:11:33/x64-bios/iPXE"


@pytest.fixture
def learned(site: Path, home: Path) -> None:
    """Windows of two models were lowered; web01 is of the first."""
    with Store.open(home / "site.db") as store:
        store.learned_windows.learn(Lesson(MODEL, 8, 64, 9, 40, 50, "web01"))
        store.learned_windows.learn(Lesson(OTHER, 16, 64, 20, 40, 50, "00:11:33:00:00:01"))


def test_it_says_that_nothing_is_learned(run: Any, site: Path) -> None:
    assert "nothing is learned" in run("tune", "show").out
    assert run("tune", "show", "--json").json == []
    assert run("tune", "clear", "--yes").out == "nothing is learned\n"


def test_it_shows_the_window_and_the_transfer_that_taught_it(run: Any, learned: None) -> None:
    line = next(line for line in run("tune", "show").out.splitlines() if MODEL in line)
    assert line.split()[:7] == [MODEL, "8", "64", "40", "of", "50", "9"]
    first = run("tune", "show", "--json").json[0]
    assert (first["model"], first["blocks"], first["machine"]) == (MODEL, 8, "web01")
    assert first["learned_at"].endswith("+00:00")


def test_a_person_is_asked_before_it_is_forgotten(run: Any, learned: None) -> None:
    assert run("tune", "clear", MODEL).code == 2
    result = run("tune", "clear", MODEL, "--dry-run")
    assert result.out == f"would forget the window of 8 blocks of {MODEL}\n"
    assert len(run("tune", "show", "--json").json) == 2
    assert run("tune", "clear", MODEL, "--yes").code == 0
    assert [item["model"] for item in run("tune", "show", "--json").json] == [OTHER]


def test_without_a_model_everything_is_forgotten(run: Any, done: Callable[..., str], learned: None) -> None:
    assert done("tune", "clear", "--yes") == f"forgotten: {MODEL}, {OTHER}"
    assert run("tune", "show", "--json").json == []


def test_a_model_of_which_nothing_is_known_clears_nothing(run: Any, learned: None) -> None:
    result = run("tune", "clear", MODEL, "00:00:00/x64-uefi/iPXE", "--yes")
    assert result.code == 1
    assert "pxefast tune show" in result.err
    assert len(run("tune", "show", "--json").json) == 2


def test_explain_says_which_window_a_machine_would_get_and_why(run: Any, learned: None) -> None:
    told = run("explain", "--device", "web01", "--json").json
    assert told["tftp"] == {"model": MODEL, "largest_window": 8}
    assert told["reasons"][-1]["code"] == "learned_window"
    assert "at most 8 blocks" in run("explain", "--device", "web01").out
    told = run("explain", "--device", "web01", "--ipxe", "--json").json
    assert told["tftp"]["largest_window"] is None
