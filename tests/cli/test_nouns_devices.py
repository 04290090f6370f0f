"""`pxefast device` and `pxefast collection` as a person uses them."""

from pathlib import Path
from typing import Any

import pytest

GUID = "11223344-5566-7788-99aa-bbccddeeff00"


def devices(run: Any) -> dict[str, Any]:
    return {device["name"]: device for device in run("device", "list", "--json").json}


# import


@pytest.mark.parametrize("word", ["merge", "new"])
def test_a_conflict_is_settled_as_asked(run: Any, site: Path, word: str) -> None:
    again = ("device", "import", "--name", "new01", "--mac", "00:11:22:33:44:55", "--smbios-guid", GUID)
    refused = run(*again)
    assert refused.code == 1
    assert "--on-conflict" in refused.err
    assert run(*again, "--on-conflict", word, "--quiet").out == {"merge": "1\n", "new": "2\n"}[word]
    assert devices(run)["new01"]["smbios_guid"] == GUID
    assert ("web01" in devices(run)) == (word == "new")


def test_an_unknown_way_to_settle_a_conflict_is_a_wrong_command_line(run: Any, site: Path) -> None:
    result = run(
        "device", "import", "--name", "x", "--mac", "00:11:22:33:44:66", "--on-conflict", "overwrite"
    )
    assert result.code == 2
    assert "block, merge, new" in result.err


def test_an_import_into_a_targeted_collection_says_what_waits(run: Any, site: Path) -> None:
    result = run("device", "import", "--name", "n", "--mac", "00:11:22:33:44:66", "--collection", "rack 7")
    assert result.code == 0
    assert "pending approval for required deployment PS120001: n; to approve: " in result.err
    assert "pxefast deployment approve PS120001" in result.err


# import-csv

TABLES = {
    "titles of Configuration Manager": f"Computer Name,MAC Address,SMBIOS GUID\na,00:00:00:00:00:0a,{GUID}\n",
    "another order": f"uuid;x,hostname,mac_addresses\n{GUID},a,00-00-00-00-00-0A\n".replace(";x", ""),
    "no header": f"a,00:00:00:00:00:0a,{GUID}\n",
    "the order of its wizard": f"a,{GUID.upper()},0000.0000.000a\n",
    "quoted": f'"a","00:00:00:00:00:0a","{{{GUID}}}"\r\n',
    "empty fields": f"a,,{GUID},,00000000000a\n\n\n",
}


@pytest.mark.parametrize("text", TABLES.values(), ids=TABLES)
def test_a_table_is_understood_as_people_write_them(run: Any, site: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    assert run("device", "import-csv", str(file)).out == "imported 1 devices\n"
    device = devices(run)["a"]
    assert (device["macs"], device["smbios_guid"]) == (["00:00:00:00:00:0a"], GUID)


def test_a_table_names_sites_collections_and_variables(
    run: Any, done: Any, site: Path, tmp_path: Path
) -> None:
    done("site", "create", "--code", "AAA", "--parent", "PS1")
    done("collection", "create", "more")
    file = tmp_path / "t.csv"
    file.write_text(
        "name,mac,site,collection,variable:Role\n"
        "a,00:00:00:00:00:0a,aaa,rack 7; more,db\n"
        "b,00:00:00:00:00:0b,,,\n"
    )
    result = run("device", "import-csv", str(file), "--collection", "more", "--quiet")
    assert result.out == "2\n3\n"
    assert "PS120001: a" in result.err
    assert run("device", "show", "a", "--json").json["collections"] == ["All Systems", "more", "rack 7"]
    assert run("device", "show", "b", "--json").json["collections"] == ["All Systems", "more"]
    assert (devices(run)["a"]["site"], devices(run)["b"]["site"]) == ("AAA", "PS1")
    assert run("device", "variable", "list", "a", "--json").json == [
        {"name": "Role", "value": "db", "secret": False}
    ]
    assert run("device", "variable", "list", "b", "--json").json == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,mac,colour\na,00:00:00:00:00:0a,red\n", "line 1: unknown column 'colour'"),
        ("name,Computer Name\na,b\n", "line 1: column 'name' is there twice"),
        ("a,00:00:00:00:00:0a\nb,hello\n", "line 2: 'hello' is neither"),
        (f"a,{GUID},{GUID}\n", "line 1: "),
        ("name,mac,site\na,00:00:00:00:00:0a,PS1\nb,00:00:00:00:00:0b,ZZZ\n", "line 3: there is no site 'ZZZ'"),
        ("name,mac,collection\na,00:00:00:00:00:0a,nowhere\n", "line 2: there is no collection 'nowhere'"),
        ("name,mac,collection\na,00:00:00:00:00:0a,All Systems\n", "line 2: collection 'All Systems' is built in"),
        ("name,mac,variable:A=B\na,00:00:00:00:00:0a,x\n", "line 2: variable name"),
        ("name,mac\n", "holds no device"),
        ("", "holds no device"),
    ],
)  # fmt: skip
def test_a_table_with_a_mistake_imports_nothing_and_says_where(
    run: Any, site: Path, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "t.csv"
    file.write_text(text)
    result = run("device", "import-csv", str(file))
    assert (result.code, result.out) == (1, "")
    assert "t.csv" in result.err
    assert words in result.err
    assert list(devices(run)) == ["web01"]


def test_a_table_can_be_imported_again_to_bring_records_up_to_date(
    run: Any, site: Path, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    file.write_text(f"web01,00:11:22:33:44:55,{GUID}\nnew,00:00:00:00:00:0a\n")
    for _ in range(2):
        assert run("device", "import-csv", str(file), "--on-conflict", "merge", "-q").out == "1\n2\n"
    assert devices(run)["web01"]["smbios_guid"] == GUID


# set, variables


def test_a_protected_device_gets_nothing(run: Any, done: Any, site: Path) -> None:
    assert done("device", "set", "web01", "--protected") == "device web01 is of site PS1 and protected"
    assert run("explain", "--mac", "00:11:22:33:44:55", "--json").json["action"] != "boot"
    done("device", "set", "web01", "--no-protected")
    assert run("explain", "--mac", "00:11:22:33:44:55", "--json").json["action"] == "boot"
    assert run("device", "set", "web01").code == 2


@pytest.mark.parametrize(
    ("noun", "name"), [("device", "web01"), ("collection", "rack 7"), ("deployment", "PS120001")]
)
def test_variables_are_set_and_secrets_are_not_shown(
    run: Any, done: Any, site: Path, tmp_path: Path, noun: str, name: str
) -> None:
    done(noun, "variable", "set", name, "Role", "db")
    file = tmp_path / "secret.txt"
    file.write_text("hunter2\n")
    said = done(noun, "variable", "set", name, "Key", "--secret", "--value-file", str(file))
    assert said == "Key is (secret)"
    for form in ((), ("--json",)):
        shown = run(noun, "variable", "list", name, *form).out
        assert "hunter2" not in shown
        assert "db" in shown
    assert (
        run(noun, "variable", "remove", name, "role", "--dry-run").out
        == f"would remove variable role of {noun} {name!r}\n"
    )
    assert run(noun, "variable", "remove", name, "role").code == 2
    done(noun, "variable", "remove", name, "role", "--yes")
    assert [row["name"] for row in run(noun, "variable", "list", name, "--json").json] == ["Key"]
    assert run(noun, "variable", "remove", name, "role", "--yes").code == 1


# collections


def test_a_collection_finds_its_members_by_rules(run: Any, done: Any, site: Path) -> None:
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66")
    done("collection", "create", "web")
    assert (
        done("collection", "rule", "add", "web", "--query", "name=WEB*")
        == "collection 'web' has 2 members; it had 0"
    )
    done("collection", "rule", "add", "web", "--exclude", "rack 7")
    assert run("collection", "show", "web", "--json").json["members"] == ["web02"]
    assert run("collection", "rules", "web", "--json").json == [
        {"kind": "query", "value": "name=web*"},
        {"kind": "exclude", "value": "rack 7"},
    ]
    dry = run("collection", "rule", "remove", "web", "--exclude", "rack 7", "--dry-run")
    assert dry.out == "would remove the rule exclude 'rack 7' of 'web'\n"
    done("collection", "rule", "remove", "web", "--exclude", "rack 7", "--yes")
    assert run("collection", "show", "web", "--json").json["members"] == ["web01", "web02"]


def test_a_rule_is_one_thing(run: Any, site: Path) -> None:
    assert run("collection", "rule", "add", "rack 7").code == 2
    assert run("collection", "rule", "add", "rack 7", "--include", "a", "--exclude", "b").code == 2


def test_a_rule_on_a_targeted_collection_says_what_waits_also_through_another(
    run: Any, done: Any, site: Path
) -> None:
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66")
    done("collection", "create", "web")
    done("collection", "rule", "add", "rack 7", "--include", "web")
    result = run("collection", "rule", "add", "web", "--query", "name=web02")
    assert "pending approval for required deployment PS120001: web02" in result.err
    done("setting", "set", "approve_new_members", "no")
    assert "next network boot" in run("collection", "rule", "add", "web", "--query", "name=nobody").err


def test_a_device_that_a_rule_finds_stays_and_it_is_said(run: Any, done: Any, site: Path) -> None:
    done("collection", "rule", "add", "rack 7", "--query", "mac=00:11")
    result = run("collection", "remove", "rack 7", "web01", "--yes")
    assert result.out == "took 1 of 1 devices out of 'rack 7'\n"
    assert "a rule keeps web01" in result.err


def test_a_collection_that_another_is_made_of_stays(run: Any, done: Any, site: Path) -> None:
    done("collection", "create", "a")
    done("collection", "create", "b")
    done("collection", "rule", "add", "b", "--include", "a")
    assert (
        "be refused: collection 'a' is in use by a rule of collection 'b'"
        in run("collection", "remove", "a", "--dry-run").out
    )
    assert run("collection", "remove", "a", "--yes").code == 1
