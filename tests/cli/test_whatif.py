"""`pxefast whatif`: what a change would do to every machine, without making it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

DEPLOY = (
    "deployment", "create", "--task-sequence", "PS100003", "--collection", "rack 7",
    "--make-available-to", "media-pxe", "--purpose",
)  # fmt: skip


def rows(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the database holds, the audit chain included."""
    with sqlite3.connect(home / "site.db") as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: sorted(connection.execute(f'SELECT * FROM "{table}"'), key=repr) for table in tables}


def files(home: Path) -> dict[Path, bytes]:
    """Everything else in the home."""
    found = (file for file in home.rglob("*") if file.is_file() and not file.name.startswith("site.db"))
    return {file: file.read_bytes() for file in found}


@pytest.fixture
def asked(run: Run, home: Path) -> Callable[..., Any]:
    """Runs `pxefast whatif` with --json, and sees that nothing was written; each machine with its change."""

    def asked(*arguments: str, options: tuple[str, ...] = ()) -> Any:
        before = rows(home), files(home)
        result = run("whatif", *options, "--json", *arguments)
        assert result.code == 0, result.err
        assert (rows(home), files(home)) == before
        return {change["machine"]: change for change in result.json}

    return asked


def test_a_deployment_shows_what_would_boot_and_with_what(asked: Any, done: Run, site: Path) -> None:
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66")
    done("collection", "create", "rack 8")
    done("collection", "add", "rack 8", "web02")
    arguments = [*DEPLOY, "required"]
    arguments[5] = "rack 8"
    change = asked(*arguments)["web02"]
    assert change["change"] == "boots"
    assert change["before"]["reasons"][-1]["code"] == "no_deployment"
    assert (change["after"]["action"], change["after"]["boot_image"]) == ("boot", "PS100001")
    assert change["after"]["deployment"] == "PS120002"


def test_a_deployment_that_goes_before_another_differs(asked: Any, site: Path) -> None:
    changes = asked(*DEPLOY, "required")
    assert {name: change["change"] for name, change in changes.items()} == {"web01": "differs"}
    assert changes["web01"]["before"]["deployment"] == "PS120001"
    assert changes["web01"]["after"]["deployment"] == "PS120002"


def test_what_is_withdrawn_no_longer_boots_and_nobody_is_asked(asked: Any, site: Path) -> None:
    changes = asked("deployment", "remove", "PS120001")
    assert {name: change["change"] for name, change in changes.items()} == {"web01": "no_longer"}
    assert asked("device", "set", "web01", "--protected")["web01"]["change"] == "no_longer"
    assert asked("collection", "remove", "rack 7", "web01")["web01"]["change"] == "no_longer"


def test_a_new_member_waits_for_approval_so_that_nothing_boots(asked: Any, done: Run, site: Path) -> None:
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66")
    assert asked("collection", "add", "rack 7", "web02") == {}
    done("setting", "set", "approve_new_members", "no")
    assert asked("collection", "add", "rack 7", "web02")["web02"]["change"] == "boots"


def test_a_setting_reaches_every_machine_that_it_concerns(asked: Any, done: Run, site: Path) -> None:
    done("deployment", "remove", "PS120001", "--yes")
    change = asked("setting", "set", "no_deployment_bios", "ignore", options=("--firmware", "bios"))["web01"]
    assert (change["before"]["action"], change["after"]["action"]) == ("abort", "ignore")
    assert change["change"] == "differs"


def test_a_machine_without_a_record_is_asked_about_too(asked: Any, done: Run, site: Path) -> None:
    arguments = [*DEPLOY, "available"]
    arguments[5] = "All Unknown Computers"
    done(*arguments)
    assert set(asked("dp", "set", "--unknown-computers")) == {"a machine without a record"}


def test_the_platform_of_the_machines_can_be_chosen(asked: Any, site: Path) -> None:
    remove = ("deployment", "remove", "PS120001")
    assert asked(*remove, options=("--arch", "arm64")) == {}
    bios = asked(*remove, options=("--firmware", "bios"))["web01"]
    assert (bios["before"]["boot_program"], bios["after"]["action"]) == ("pxelinux.0", "abort")


def test_a_clear_shows_who_would_be_imaged_again(asked: Any, site: Path, started: Any) -> None:
    started()
    assert asked("deployment", "clear", "--device", "web01")["web01"]["change"] == "boots"


def test_a_list_that_would_need_a_confirmation_is_tried_without(
    asked: Any, done: Run, site: Path, tmp_path: Path
) -> None:
    lines = [f"many{number},00:11:22:33:{number // 256:02x}:{number % 256:02x}" for number in range(25)]
    listed = tmp_path / "many.csv"
    listed.write_text("name,mac\n" + "\n".join(lines) + "\n")
    done("device", "import-csv", str(listed))
    done("collection", "create", "many")
    done("collection", "add", "many", *(f"many{number}" for number in range(25)))
    arguments = [*DEPLOY, "required"]
    arguments[5] = "many"
    assert len(asked(*arguments)) == 25


def test_people_read_each_kind_with_its_count(run: Run, site: Path) -> None:
    result = run("whatif", "deployment", "remove", "PS120001")
    assert result.out.splitlines()[0] == "would no longer boot: 1"
    assert "web01: no answer: " in result.out
    assert "; now: boots PS120001 with PS100001 (grubx64.efi)" in result.out
    assert "removed deployment" in result.err, "what the command says is not the result"
    nothing = run("whatif", "collection", "create", "empty")
    assert nothing.out == "no machine would boot otherwise\n"


def test_a_point_that_answers_nobody_says_so_and_decides_as_if_it_did(
    run: Run, done: Run, site: Path
) -> None:
    answering = run("whatif", *DEPLOY, "required").out
    done("dp", "set", "--no-allow-pxe-response")
    silent = run("whatif", *DEPLOY, "required")
    assert "answers nobody" in silent.err
    assert silent.out == answering
    allowed = run("whatif", "dp", "set", "--allow-pxe-response")
    assert "answers nobody" not in allowed.err
    assert "would boot and would not now: 1" in allowed.out


@pytest.mark.parametrize(
    "command",
    [
        ("content", "distribute", "PS100001"),
        ("boot-image", "remove", "PS100001"),
        ("init", "--site-code", "AAA"),
        ("whatif", "dp", "set"),
        ("serve",),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_what_does_more_than_change_the_database_is_refused(
    run: Run, site: Path, home: Path, command: tuple[str, ...]
) -> None:
    before = rows(home)
    result = run("whatif", *command)
    assert (result.code, result.out) == (2, "")
    assert f"whatif cannot try {command[0]}" in result.err
    assert rows(home) == before


def test_what_can_be_tried_are_commands_that_there_are(run: Run, site: Path) -> None:
    said = run("whatif", "serve").err
    nouns = said[said.index("it can try ") + len("it can try ") :].split(" and ")[0].split(", ")
    assert len(nouns) > 5
    for noun in nouns:
        assert run(noun, "--help").code == 0, noun


def test_a_command_that_fails_says_why_and_leaves_nothing_behind(run: Run, site: Path, home: Path) -> None:
    before = rows(home)
    failed = run("whatif", "deployment", "remove", "PS1FFFFF")
    assert (failed.code, failed.out) == (1, "")
    assert "PS1FFFFF" in failed.err
    assert run("whatif", "deployment", "create").code == 2
    assert rows(home) == before
    assert run("whatif", "deployment", "remove", "PS120001").code == 0, "the site can be changed as before"
