"""`pxefast deployment clear --deployment ID` alone: the machines that this deployment blocks, after a confirmation."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("site")

CLEAR = ("deployment", "clear", "--deployment", "ps120001")


def test_a_deployment_alone_is_cleared_on_each_device_after_a_confirmation(
    started: Callable[[], None], run: Any, done: Callable[..., str]
) -> None:
    started()
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66")
    done("deployment", "hold", "PS120001", "--device", "web02")
    assert done(*CLEAR, "--dry-run").splitlines() == [
        "would let PS120001 on web01 (LAUNCHED) run again",
        "would let PS120001 on web02 (HOLD) run again",
    ]
    refused = run(*CLEAR)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    states = [case["state"] for case in run("ledger", "show", "--json").json]
    assert states == ["LAUNCHED", "HOLD"], "nothing is cleared without a confirmation"
    assert done(*CLEAR, "--yes").splitlines() == [
        "cleared PS120001 on web01 (LAUNCHED)",
        "cleared PS120001 on web02 (HOLD)",
    ]
    assert run(*CLEAR, "--yes").out == "nothing to clear: PS120001 blocks no device\n"


def test_an_id_that_only_the_ledger_knows_is_cleared(started: Callable[[], None], run: Any) -> None:
    started()
    run("deployment", "remove", "PS120001", "--yes")
    assert run(*CLEAR, "--yes").out == (
        "cleared PS120001 on web01 (WITHDRAWN), whose deployment was removed: nothing is armed\n"
    )
    unknown = run("deployment", "clear", "--deployment", "PS129999", "--yes")
    assert (unknown.code, "there is no deployment 'PS129999'" in unknown.err) == (1, True)


@pytest.mark.parametrize("name", ["web01", "web 01; reboot"])
def test_what_is_finished_is_listed_with_a_command_that_clears_it(
    started: Callable[[], None], run: Any, home: Path, name: str
) -> None:
    started()
    with closing(sqlite3.connect(home / "site.db")) as connection:
        connection.execute("UPDATE ledger SET state = 'DONE'")
        connection.execute("UPDATE device SET name = ?, key = ? WHERE key = 'web01'", (name, name))
        connection.commit()
    first, second = run(*CLEAR, "--yes").out.splitlines()
    assert first == "nothing to clear: PS120001 blocks no device"
    assert second.startswith(f"not cleared: PS120001 on {name} (DONE): finished; it blocks nothing; ")
    command = shlex.split(second.partition("to clear it: ")[2])
    assert command[0] == "pxefast"
    assert run(*command[1:], "--yes").out == f"cleared PS120001 on {name} (DONE)\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --device N, --collection N or --deployment ID"),
        (("--all",), "give --device N, --collection N or --deployment ID"),
        (("--deployment", "PS120001", "--all"), "exclude each other"),
        (("--device", "web01", "--collection", "rack 7"), "exclude each other"),
    ],
)
def test_a_clear_that_names_nothing_or_too_much_is_refused(
    run: Any, arguments: tuple[str, ...], said: str
) -> None:
    refused = run("deployment", "clear", *arguments, "--yes")
    assert (refused.code, said in refused.err) == (2, True)


def test_a_machine_without_a_record_is_listed_with_a_command_that_finds_it(
    started: Callable[[], None], run: Any, home: Path
) -> None:
    started()
    with closing(sqlite3.connect(home / "site.db")) as connection:
        connection.execute("UPDATE ledger SET state = 'DONE'")
        connection.execute(
            "INSERT INTO hardware (identity, device_id) SELECT 'guid:5c9e4b1c-0f6e-4b44-9a55-0d6a3e1b7c01', device_id "
            "FROM ledger"
        )
        connection.commit()
    run("device", "remove", "web01", "--yes")
    text = run(*CLEAR, "--yes").out.splitlines()[-1]
    command = shlex.split(text.partition("to clear it: ")[2])
    assert command[4].startswith("mac:")
    assert run(*command[1:], "--yes").out.startswith("cleared PS120001 on mac:")
