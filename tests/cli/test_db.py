"""`pxefast db` and `pxefast setting`."""

from pathlib import Path
from typing import Any


def test_check_names_what_is_looked_at_and_that_it_is_safe(run: Any, site: Path) -> None:
    found = run("db", "check", "--json").json
    assert found["safe"]
    assert {item["name"] for item in found["checks"]} >= {
        "schema",
        "journal_mode",
        "synchronous",
        "integrity",
    }
    assert "synchronous" in run("db", "check").out


def test_upgrade_says_that_nothing_was_to_be_done(run: Any, site: Path) -> None:
    assert "up to date" in run("db", "upgrade").out


def test_a_home_moves_to_a_database_that_is_shared(run: Any, site: Path, home: Path, pg: str) -> None:
    file = str(home.parent / "site.jsonl")
    exported = run("db", "export", file, "--json").json
    shared = home.parent / "shared"
    shared.mkdir()
    (shared / "pxefast.toml").write_text(f'[database]\nurl = "{pg}"\n')
    tried = run("--home", str(shared), "db", "import", file, "--dry-run")
    assert (tried.code, "make a database of" in tried.out + tried.err) == (0, True)
    moved = run("--home", str(shared), "db", "import", file, "--yes", "--json")
    assert moved.json == exported
    assert run("--home", str(shared), "device", "show", "web01", "--json").json["name"] == "web01"
    again = run("--home", str(shared), "db", "import", file, "--yes")
    assert (again.code, "already" in again.err) == (1, True)


def test_a_setting_is_listed_beside_its_default_and_what_configuration_manager_does(
    run: Any, site: Path
) -> None:
    assert "schedules is enforce" in run("setting", "set", "schedules", "enforce").out
    (row,) = [item for item in run("setting", "list", "--json").json if item["name"] == "schedules"]
    assert (row["value"], row["default"], row["configuration_manager"]) == ("enforce", "ignore", "ignore")
    assert "schedules is ignore" in run("setting", "reset", "schedules").out
    assert run("setting", "set", "schedules", "maybe").code == 1
