"""Secrets: who may read the files that hold them, and how a person hands one over."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pxefast.responder.parts import Parts
from pxefast.site import private_files, tables
from pxefast.site.store import Store

INIT = ("init", "--site-code", "PS1")


@pytest.fixture(autouse=True)
def _careless() -> Any:
    """An operator whose new files everybody may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def variable(done: Any, *more: str) -> str:
    said: str = done("collection", "variable", "set", "all", "KEY", *more)
    return said


def stored(home: Path) -> str:
    with Store.open(home / "site.db") as store:
        return store.collections.variables.all("all")[0].value


@pytest.fixture
def made(done: Any, home: Path) -> Path:
    done(*INIT)
    done("collection", "create", "all")
    return home


def test_the_database_and_all_that_lies_beside_it_are_its_owners_alone(made: Path) -> None:
    with Store.open(made / "site.db") as store, store.write("test", "test"):
        files = {file.name: mode(file) for file in made.glob("site.db*")}
        assert files == {"site.db": 0o600, "site.db-wal": 0o600, "site.db-shm": 0o600}
    assert mode(made) == 0o750


def test_a_database_of_before_is_made_private_by_the_next_command_which_says_so(made: Path, run: Any) -> None:
    kept = made / "site.db.0012"
    for file in (made / "site.db", kept):
        file.touch()
        file.chmod(0o644)
    said = run("collection", "list")
    assert said.code == 0
    assert f"only its owner may read {made}/site.db now" in said.err
    assert f"only its owner may read {kept} now" in said.err
    assert (mode(made / "site.db"), mode(kept)) == (0o600, 0o600)
    assert run("collection", "list").err == ""


def test_a_service_makes_it_private_as_well_and_logs_it(made: Path) -> None:
    (made / "site.db").chmod(0o640)
    told: list[tuple[str, str]] = []
    with Store.open(made / "site.db") as store:
        parts: Any = SimpleNamespace(
            _store=store, dry_run=True, audit=SimpleNamespace(tell=lambda *text: told.append(text))
        )
        Parts.prepare(parts)
    assert {level for level, _ in told} == {"warning"}
    assert any(f"{made}/site.db now" in text and "its mode was -rw-r-----" in text for _, text in told)
    assert mode(made / "site.db") == 0o600


def test_what_is_kept_before_an_upgrade_is_private(made: Path) -> None:
    tables._keep(made / "site.db", "0001")
    assert mode(made / "site.db.0001") == 0o600


def test_a_link_beside_a_database_is_not_followed(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(0o644)
    (made / "site.db-link").symlink_to(other)
    assert private_files.tighten(made / "site.db") == []
    assert mode(other) == 0o644


# homes


@pytest.mark.parametrize("before", [0o755, 0o777, 0o751])
def test_a_home_that_everybody_may_look_into_is_made_private_and_it_is_said(
    run: Any, home: Path, before: int
) -> None:
    home.mkdir()
    home.chmod(before)
    (home / "pxefast.toml").touch()
    said = run(*INIT)
    assert said.code == 0
    assert f"only owner and group may look into {home} now" in said.err
    assert mode(home) == before & ~0o007


@pytest.mark.parametrize("what", ["other things", "a sticky folder"])
def test_a_folder_that_is_not_pxefasts_alone_is_refused_and_left_as_it_was(
    run: Any, home: Path, what: str
) -> None:
    home.mkdir()
    home.chmod(0o1777 if what == "a sticky folder" else 0o755)
    if what == "other things":
        (home / "letters").mkdir()
    before = mode(home)
    said = run(*INIT)
    assert said.code == 3
    assert f"everybody may look into {home}" in said.err
    assert f"chmod o-rwx {home}" in said.err
    assert mode(home) == before
    assert not (home / "site.db").exists()
    home.chmod(0o750)
    assert run(*INIT).code == 0


# values


@pytest.mark.parametrize("written", ["hunter2", "hunter2\n", "hunter2\r\n"])
def test_a_secret_is_read_from_a_file(made: Path, done: Any, tmp_path: Path, written: str) -> None:
    file = tmp_path / "value"
    file.write_bytes(written.encode())
    assert variable(done, "--secret", "--value-file", str(file)) == "KEY is (secret)"
    assert stored(made) == "hunter2"


def test_a_secret_is_read_from_standard_input(made: Path, done: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(" it's\u00e9 $(x)\n".encode())))
    variable(done, "--secret", "--value-file", "-")
    assert stored(made) == " it's\u00e9 $(x)"


def test_a_secret_on_the_command_line_is_refused_with_what_to_do(made: Path, run: Any) -> None:
    said = run("collection", "variable", "set", "all", "KEY", "hunter2", "--secret")
    assert said.code == 2
    assert "hunter2" not in said.err
    assert "pxefast collection variable set all KEY --secret --value-file FILE" in said.err
    assert run("collection", "variable", "list", "all", "--json").json == []


def test_a_value_is_given_once(made: Path, run: Any, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text("x")
    command = ("collection", "variable", "set", "all", "KEY")
    assert run(*command).code == 2
    assert run(*command, "x", "--value-file", str(file)).code == 2
    assert run(*command, "--value-file", str(file)).code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff", "is not UTF-8 text"), (b"x" * 70_000, "larger than 64 KiB"), (b"one\ntwo", "one line")],
)
def test_what_cannot_be_a_value_is_refused(
    made: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    file = tmp_path / "value"
    file.write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    for source in (str(file), "-"):
        result = run("collection", "variable", "set", "all", "KEY", "--secret", "--value-file", source)
        assert result.code in (1, 3)
        assert said in result.err


def test_an_export_is_its_owners_alone_and_says_what_it_holds(made: Path, run: Any, tmp_path: Path) -> None:
    file = tmp_path / "site.jsonl"
    for form in ((), ("--json",)):
        said = run("db", "export", str(file), *form)
        assert said.code == 0
        assert f"{file} holds every secret variable in plain text" in said.err
        assert mode(file) == 0o600
        file.unlink()
