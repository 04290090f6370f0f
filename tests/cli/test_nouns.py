from pathlib import Path
from typing import Any

import pytest
from pxefast import config
from pxefast.site.ledger import Claim, Ledger
from pxefast.site.store import Store

GUID = "11223344-5566-7788-99aa-bbccddeeff00"


def claimed(home: Path, device: int = 1) -> None:
    """As if the device had been given PS120001."""
    with Store.open(home / "site.db") as store:
        (result,) = Ledger(store, store.point).claim(
            [Claim(device, (), "PS120001", 1, 7, 1_700_000_000.0, 900, None, None)]
        )
    assert result.ok


# init


def test_init_makes_a_home_that_answers_nobody_yet(run: Any, home: Path) -> None:
    result = run("init", "--site-code", "PS1")
    assert result.code == 0
    assert sorted(path.name for path in home.iterdir()) == ["content", "pxefast.toml", "site.db"]
    assert config.load(home / "pxefast.toml") == config.Settings()
    settings = run("dp", "show", "--json").json
    assert (settings["site"], settings["enable_pxe"], settings["allow_pxe_response"]) == ("PS1", False, False)


def test_init_a_second_time_changes_nothing(run: Any, site: Path, home: Path) -> None:
    (home / "pxefast.toml").write_text("# mine\n")
    result = run("init", "--site-code", "ABC")
    assert result.code == 1
    assert "already initialised" in result.err
    assert (home / "pxefast.toml").read_text() == "# mine\n"
    assert run("dp", "show", "--json").json["site"] == "PS1"


def test_init_keeps_a_settings_file_that_was_there_before(run: Any, home: Path) -> None:
    home.mkdir()
    (home / "pxefast.toml").write_text("# mine\n")
    assert run("init", "--site-code", "PS1").code == 0
    assert (home / "pxefast.toml").read_text() == "# mine\n"


def test_init_with_a_bad_site_code_makes_nothing(run: Any, home: Path) -> None:
    result = run("init", "--site-code", "toolong")
    assert result.code == 1
    assert not home.exists()


def test_init_with_a_database_shared_by_many_makes_it_and_the_next_one_joins(
    run: Any, home: Path, pg: str
) -> None:
    first = run("init", "--site-code", "PS1", "--dp", "one", "--database", pg)
    assert (first.code, first.err) == (0, "")
    assert sorted(path.name for path in home.iterdir()) == ["content", "pxefast.toml"]
    other = str(home / "other")
    assert "joined" in run("--home", other, "init", "--site-code", "PS1", "--dp", "two", "--database", pg).out
    assert run("--home", other, "device", "import", "--name", "web01", "--mac", "00:11:22:33:44:55").code == 0
    assert run("device", "show", "web01", "--json").json["name"] == "web01"
    assert run("dp", "show", "--json").json["name"] == "one"
    assert run("--home", other, "dp", "show", "--json").json["name"] == "two"
    again = run("init", "--site-code", "PS1", "--dp", "one", "--database", pg)
    assert (again.code, "already exists" in again.err) == (1, True)


def test_a_distribution_point_joins_a_site_that_is_there_only(run: Any, home: Path, pg: str) -> None:
    assert run("init", "--site-code", "PS1", "--dp", "one", "--database", pg).code == 0
    joined = run("--home", str(home / "other"), "init", "--site-code", "ABC", "--dp", "two", "--database", pg)
    assert (joined.code, "pxefast site create --code ABC" in joined.err) == (1, True)
    assert "correct-horse" not in joined.err


def test_init_does_not_go_by_another_database_than_the_settings_name(run: Any, home: Path) -> None:
    home.mkdir()
    (home / "pxefast.toml").write_text("# mine\n")
    result = run("init", "--site-code", "PS1", "--database", "postgresql://nowhere/x")
    assert (result.code, "database.url" in result.err) == (1, True)


# boot-image and content


def test_a_boot_image_is_shown_with_everything_that_decides_about_it(run: Any, site: Path) -> None:
    shown = run("boot-image", "show", "ps100001", "--json").json
    assert shown.pop("published_at")
    of_wims = (
        "boot_ca",
        "boot_sdi",
        "tftp_block_size",
        "tftp_window_size",
        "tftp_variable_window",
        "windows_pe",
    )
    assert {shown.pop(name) for name in of_wims} == {None}
    assert shown == {
        "id": "PS100001",
        "name": "linux",
        "site": "PS1",
        "kind": "files",
        "architecture": "x64",
        "source": str(site),
        "boot_programs": {"bios": "pxelinux.0", "uefi": "grubx64.efi"},
        "launch_file": None,
        "pxe_enabled": True,
        "revision": 1,
        "distributed": True,
        "bytes": 21,
        "needs_redistribution": None,
    }
    assert run("boot-image", "list", "--json").json[0]["id"] == "PS100001"
    assert "grubx64.efi" in run("boot-image", "list").out


def test_a_boot_image_may_start_without_pxe_and_be_switched(run: Any, site: Path) -> None:
    add = (
        "boot-image",
        "add",
        str(site),
        "--name",
        "other",
        "--arch",
        "x64",
        "--boot-program",
        "uefi=grubx64.efi",
    )
    assert run(*add, "--no-pxe", "--id", "PS1ABCDE", "--quiet").out == "PS1ABCDE\n"
    assert run("boot-image", "show", "PS1ABCDE", "--json").json["pxe_enabled"] is False
    assert run("boot-image", "set", "PS1ABCDE", "--pxe").code == 0
    assert run("boot-image", "show", "PS1ABCDE", "--json").json["pxe_enabled"] is True
    assert run("boot-image", "set", "PS1ABCDE", "--no-pxe").code == 0
    assert run("boot-image", "show", "PS1ABCDE", "--json").json["pxe_enabled"] is False


@pytest.mark.parametrize(
    ("folder", "program", "word"),
    [("nowhere", "uefi=grubx64.efi", "nowhere"), ("image", "uefi=absent.efi", "absent.efi")],
)
def test_an_image_whose_files_are_missing_is_not_added(
    run: Any, site: Path, tmp_path: Path, folder: str, program: str, word: str
) -> None:
    result = run(
        *(
            "boot-image",
            "add",
            str(tmp_path / folder),
            "--name",
            "n",
            "--arch",
            "x64",
            "--boot-program",
            program,
        )
    )
    assert (result.code, result.out) == (1, "")
    assert word in result.err
    assert len(run("boot-image", "list", "--json").json) == 1


def test_an_image_in_use_is_not_removed_and_the_dry_run_says_so(run: Any, site: Path) -> None:
    assert "in use by task sequence PS100003" in run("boot-image", "remove", "PS100001", "--dry-run").out
    result = run("boot-image", "remove", "PS100001", "--yes")
    assert result.code == 1
    assert "in use by task sequence PS100003" in result.err
    assert run("boot-image", "show", "PS100001", "--json").json["distributed"] is True


def test_removing_an_image_withdraws_its_files(run: Any, done: Any, site: Path, home: Path) -> None:
    done("deployment", "remove", "PS120001", "--yes")
    done("task-sequence", "remove", "PS100003", "--yes")
    done("boot-image", "remove", "PS100001", "--yes")
    assert run("content", "list", "--json").json == []
    assert not [path for path in (home / "content" / "blobs").rglob("*") if path.is_file()]
    assert (site / "grubx64.efi").exists()


def test_distributed_content_is_listed_with_its_hashes(run: Any, site: Path) -> None:
    (listed,) = run("content", "list", "--json").json
    assert listed["id"] == "PS100001"
    assert [file["name"] for file in listed["files"]] == ["grubx64.efi", "pxelinux.0"]
    assert listed["bytes"] == 21
    assert "PS100001" in run("content", "list").out


def test_distributing_again_publishes_what_changed(run: Any, site: Path) -> None:
    (site / "more").write_bytes(b"more")
    assert "3 files, 25 bytes" in run("content", "distribute", "PS100001").out
    assert run("content", "distribute", "PS100001", "--quiet").out == "PS100001\n"


# device


def test_a_device_is_imported_listed_and_shown(run: Any, site: Path) -> None:
    imported = run(
        *("device", "import", "--name", "db01", "--mac", "00-11-22-33-44-66", "--mac", "001122334477"),
        *("--smbios-guid", GUID.upper(), "--quiet"),
    )
    assert imported.out == "2\n"
    shown = run("device", "show", "DB01", "--json").json
    assert shown == {
        "id": 2,
        "name": "db01",
        "macs": ["00:11:22:33:44:66", "00:11:22:33:44:77"],
        "smbios_guid": GUID,
        "site": "PS1",
        "protected": False,
        "collections": ["All Systems"],
        "deployments": {},
        "offered": [],
    }
    assert [device["name"] for device in run("device", "list", "--json").json] == ["db01", "web01"]
    assert run("device", "import", "--name", "x", "--smbios-guid", GUID).code == 1


def test_a_device_shows_what_it_was_given(run: Any, site: Path, home: Path) -> None:
    claimed(home)
    assert run("device", "show", "web01", "--json").json["offered"] == ["PS120001"]
    assert run("deployment", "show", "PS120001", "--json").json["offered"] == ["web01"]


@pytest.mark.parametrize(
    "text",
    [
        f"name,mac,smbios-guid\na,00:00:00:00:00:0a,{GUID}\nb,00:00:00:00:00:0b;00:00:00:00:00:1b,\n",
        f"a,00:00:00:00:00:0a,{GUID}\nb,00:00:00:00:00:0b 00:00:00:00:00:1b\n",
        f"\ufeffSMBIOS GUID,Name,MAC\r\n{GUID},a,0000.0000.000a\r\n\r\n,b,00-00-00-00-00-0B 00000000001b\r\n",
    ],
)
def test_devices_come_from_a_csv_file_with_or_without_a_header(
    run: Any, site: Path, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "machines.csv"
    file.write_bytes(text.encode())
    assert run("device", "import-csv", str(file)).out == "imported 2 devices\n"
    devices = {device["name"]: device for device in run("device", "list", "--json").json}
    assert (devices["a"]["macs"], devices["a"]["smbios_guid"]) == (["00:00:00:00:00:0a"], GUID)
    assert devices["b"]["macs"] == ["00:00:00:00:00:0b", "00:00:00:00:00:1b"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name,mac\na,00:00:00:00:00:0a\nb,00:11:22:33:44:55\n", 3),
        ("name,mac\na,00:00:00:00:00:0a\n\nb,zz\n", 4),
        ("name,mac\na,00:00:00:00:00:0a\na,00:00:00:00:00:0b\n", 3),
        ("name,mac\na\n", 2),
        ("name,mac\na,00:00:00:00:00:0a,extra\n", 2),
        ("name,nic\na,00:00:00:00:00:0a\n", 1),
    ],
)
def test_a_wrong_line_imports_nothing_and_is_named(
    run: Any, site: Path, tmp_path: Path, text: str, line: int
) -> None:
    file = tmp_path / "machines.csv"
    file.write_text(text)
    result = run("device", "import-csv", str(file))
    assert (result.code, result.out) == (1, "")
    assert f"machines.csv: line {line}: " in result.err
    assert len(run("device", "list", "--json").json) == 1


# collection, task-sequence, deployment


def test_creates_print_the_id_alone_when_quiet_and_take_one(run: Any, site: Path) -> None:
    assert run("collection", "create", "other", "--quiet").out == "PS100004\n"
    assert run("collection", "create", "third", "--id", "ABC00001", "-q").out == "ABC00001\n"
    create = ("task-sequence", "create", "--name", "again", "--boot-image", "PS100001")
    assert run(*create, "--id", "PS10FFFF", "--quiet").out == "PS10FFFF\n"
    deploy = (
        "deployment",
        "create",
        "--task-sequence",
        "PS10FFFF",
        "--collection",
        "other",
        "--purpose",
        "available",
    )
    assert run(*deploy, "--make-available-to", "clients", "--id", "PS1F0000", "--quiet").out == "PS1F0000\n"
    assert run("collection", "create", "bad", "--id", "x").code == 1
    assert [row["id"] for row in run("task-sequence", "list", "--json").json] == ["PS100003", "PS10FFFF"]


def test_a_collection_is_shown_with_its_members_and_deployments(run: Any, site: Path) -> None:
    shown = run("collection", "show", "RACK 7", "--json").json
    assert shown == {
        "id": "PS100002",
        "name": "rack 7",
        "site": "PS1",
        "members": ["web01"],
        "rules": ["direct web01"],
        "deployments": ["PS120001"],
    }
    assert run("collection", "list", "--json").json == [
        {"id": "SMS00001", "name": "All Systems", "members": 1, "site": "PS1"},
        {"id": "SMS000US", "name": "All Unknown Computers", "members": 3, "site": "PS1"},
        {"id": "PS100002", "name": "rack 7", "members": 1, "site": "PS1"},
    ]


def test_arming_machines_is_said_on_standard_error(run: Any, site: Path) -> None:
    run("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66")
    result = run("collection", "add", "rack 7", "web02")
    assert "PS120001" in result.err
    assert "added 1 of 1" in result.out


def test_a_collection_in_use_is_not_removed(run: Any, done: Any, site: Path) -> None:
    result = run("collection", "remove", "rack 7", "--yes")
    assert result.code == 1
    assert "PS120001" in result.err
    done("deployment", "remove", "PS120001", "--yes")
    done("collection", "remove", "rack 7", "--yes")
    assert [row["id"] for row in run("collection", "list", "--json").json] == ["SMS00001", "SMS000US"]
    assert len(run("device", "list", "--json").json) == 1


def test_a_deployment_is_shown_with_its_names(run: Any, site: Path) -> None:
    shown = run("deployment", "show", "PS120001", "--json").json
    assert shown.pop("created_at").endswith("+00:00")
    assert shown == {
        "id": "PS120001",
        "site": "PS1",
        "task_sequence": "PS100003",
        "task_sequence_name": "install",
        "boot_image": "PS100001",
        "collection": "rack 7",
        "purpose": "required",
        "make_available_to": "media-pxe",
        "enabled": True,
        "available_at": None,
        "expires_at": None,
        "rerun": "always",
        "members": 1,
        "protected": [],
        "pending_approval": [],
        "offered": [],
        "states": {"ARMED": 1},
        "waiting_behind": [],
    }
    assert run("deployment", "list", "--json").json[0]["id"] == "PS120001"


@pytest.mark.parametrize(("option", "value"), [("--purpose", "forced"), ("--make-available-to", "everyone")])
def test_a_deployment_takes_known_words_only(run: Any, site: Path, option: str, value: str) -> None:
    create = {
        "--task-sequence": "PS100003",
        "--collection": "rack 7",
        "--purpose": "available",
        "--make-available-to": "media-pxe",
    }
    words = [word for pair in {**create, option: value}.items() for word in pair]
    result = run("deployment", "create", *words)
    assert result.code == 2
    assert value in result.err


@pytest.mark.parametrize("whom", [("--device", "WEB01"), ("--collection", "rack 7")])
def test_clearing_lets_a_device_boot_again_once_it_is_confirmed(
    run: Any, site: Path, home: Path, whom: Any
) -> None:
    assert "nothing to clear" in run("deployment", "clear", *whom).out
    claimed(home)
    explain = ("explain", "--mac", "00:11:22:33:44:55", "--json")
    assert run(*explain).json["reasons"][-1]["code"] == "already_offered"
    assert (
        run("deployment", "clear", *whom, "--dry-run").out
        == "would let PS120001 on web01 (CLAIMED) run again\n"
    )
    assert run("deployment", "clear", *whom).code == 2
    assert run(*explain).json["action"] == "ignore"
    assert run("deployment", "clear", *whom, "--yes").out == "cleared PS120001 on web01 (CLAIMED)\n"
    assert run(*explain).json["action"] == "boot"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("device", "show", "web1"), "web01"),
        (("collection", "show", "rack 8"), "rack 7"),
        (("boot-image", "show", "PS10001"), "PS100001"),
        (("task-sequence", "remove", "PS100033", "--yes"), "PS100003"),
        (("deployment", "show", "PS12001"), "PS120001"),
        (("collection", "add", "rack 7", "web011"), "web01"),
        (("deployment", "clear", "--device", "wbe01"), "web01"),
    ],
)
def test_a_slip_of_the_pen_is_told_the_nearest_name(run: Any, site: Path, arguments: Any, hint: str) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (1, "")
    assert f"did you mean {hint}" in result.err


# dp


def test_settings_are_set_and_unset(run: Any, done: Any, site: Path, tmp_path: Path) -> None:
    file = tmp_path / "ignore.txt"
    file.write_text("# nobody\n")
    done(
        *(
            "dp",
            "set",
            "--interface",
            "lo",
            "--interface",
            "eth9",
            "--unknown-computers",
            "--response-delay",
            "4",
        ),
        *("--user-device-affinity", "manual"),
        *("--no-listen-on-dhcp-port", "--mac-ignore-list-file", str(file)),
        *("--ramdisk-tftp-block-size", "16384", "--ramdisk-tftp-window-size", "8"),
    )
    changed = run("dp", "show", "--json").json
    assert changed.pop("name")
    assert changed == {
        "site": "PS1",
        "enable_pxe": True,
        "allow_pxe_response": True,
        "interfaces": ["lo", "eth9"],
        "unknown_computers": True,
        "response_delay": 4,
        "listen_on_dhcp_port": False,
        "mac_ignore_list_file": str(file),
        "ramdisk_tftp_block_size": 16384,
        "ramdisk_tftp_window_size": 8,
        "ramdisk_tftp_variable_window": False,
        "user_device_affinity": "manual",
    }
    done(
        *(
            "dp",
            "set",
            "--no-enable-pxe",
            "--no-allow-pxe-response",
            "--no-interface",
            "--no-unknown-computers",
        ),
        *(
            "--no-user-device-affinity",
            "--no-response-delay",
            "--listen-on-dhcp-port",
            "--no-mac-ignore-list-file",
        ),
        *("--no-ramdisk-tftp-block-size", "--no-ramdisk-tftp-window-size"),
    )
    unset = run("dp", "show", "--json").json
    assert unset.pop("name")
    assert unset == {
        "site": "PS1",
        "enable_pxe": False,
        "allow_pxe_response": False,
        "interfaces": None,
        "unknown_computers": False,
        "response_delay": 0,
        "listen_on_dhcp_port": True,
        "mac_ignore_list_file": None,
        "ramdisk_tftp_block_size": 4096,
        "ramdisk_tftp_window_size": 1,
        "ramdisk_tftp_variable_window": False,
        "user_device_affinity": "none",
    }


def test_an_exclusion_list_that_does_not_parse_is_refused_with_its_line(
    run: Any, site: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ignore.txt"
    for content, word in ((None, "cannot be read"), (b"\nweb01\n", "line 2"), (b"\xff\xfe", "UTF-8")):
        if content is not None:
            file.write_bytes(content)
        result = run("dp", "set", "--mac-ignore-list-file", str(file), "--unknown-computers")
        assert result.code == 1
        assert str(file) in result.err
        assert word in result.err
    settings = run("dp", "show", "--json").json
    assert (settings["mac_ignore_list_file"], settings["unknown_computers"]) == (None, False)


def test_an_unknown_interface_is_set_but_said_so(run: Any, site: Path) -> None:
    assert "no interface nope0" in run("dp", "set", "--interface", "nope0").err


# explain


def test_explain_prints_the_promised_json_and_sends_nothing(run: Any, site: Path) -> None:
    explained = run("explain", "--mac", "0011.2233.4455", "--json")
    value = explained.json
    promised = ["action", "device", "deployment", "boot_image", "boot_program", "reasons"]
    assert list(value) == [*promised, "variables", "windows", "tftp"]
    assert {key: value[key] for key in list(value)[:5]} == {
        "action": "boot",
        "device": "web01",
        "deployment": "PS120001",
        "boot_image": "PS100001",
        "boot_program": "grubx64.efi",
    }
    assert all(list(reason) == ["code", "text", "rule"] for reason in value["reasons"])
    assert run("explain", "--mac", "0011.2233.4455", "--json") == explained


def test_explain_numbers_the_reasons_with_their_rules(run: Any, site: Path) -> None:
    lines = run("explain", "--mac", "00:11:22:33:44:55", "--relay", "10.0.0.1").out.splitlines()
    assert lines[0] == "web01 through relay 10.0.0.1 boots, without asking anyone  [boot]"
    assert "  1. known device web01 by MAC  [CM-99]" in lines
    assert "  5. boot image PS100001 (x64) matches x64 UEFI exactly  [CM-101]" in lines


@pytest.mark.parametrize(
    ("options", "program"),
    [
        ((), "grubx64.efi"),
        (("--firmware", "bios"), "pxelinux.0"),
        (("--arch", "x86", "--firmware", "bios"), "pxelinux.0"),
        (("--arch", "arm64"), None),
        (("--arch", "x86"), None),
        (("--smbios-guid", GUID), "grubx64.efi"),
        (("--smbios-guid", "00000000-0000-0000-0000-000000000000"), "grubx64.efi"),
        (("--ipxe",), "grubx64.efi"),
    ],
)
def test_explain_takes_every_kind_of_machine(run: Any, site: Path, options: Any, program: str | None) -> None:
    assert run("explain", "--mac", "00:11:22:33:44:55", *options, "--json").json["boot_program"] == program


def test_explain_speaks_for_the_first_bound_interface_or_the_one_named(
    run: Any, done: Any, site: Path
) -> None:
    done("dp", "set", "--interface", "lo")
    explain = ("explain", "--mac", "00:11:22:33:44:55", "--json")
    assert run(*explain).json["action"] == "boot"
    assert run(*explain, "--interface", "eth7").json["reasons"][-1]["code"] == "interface_not_bound"


def test_explain_reads_the_exclusion_list_and_fails_closed(
    run: Any, done: Any, site: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ignore.txt"
    file.write_text("00-11-22-33-44-55\n")
    done("dp", "set", "--mac-ignore-list-file", str(file))
    explain = ("explain", "--mac", "00:11:22:33:44:55", "--json")
    assert run(*explain).json["reasons"][-1]["code"] == "excluded"
    file.unlink()
    gone = run(*explain)
    assert gone.json["reasons"][-1]["code"] == "required_paused"
    assert str(file) in gone.err


def test_explain_shows_what_would_happen_if_responses_were_allowed(run: Any, done: Any, site: Path) -> None:
    done("dp", "set", "--no-allow-pxe-response")
    result = run("explain", "--mac", "00:11:22:33:44:55")
    assert "gets no answer  [ignore]" in result.out
    assert "boot program grubx64.efi" in result.out
    assert result.out.rstrip().endswith("--allow-pxe-response  [CM-2]")
    assert run("explain", "--mac", "00:11:22:33:44:55", "--json").json["action"] == "ignore"


def test_explain_of_an_image_not_distributed_says_what_to_run(
    run: Any, done: Any, site: Path, home: Path
) -> None:
    (home / "content" / "images" / "PS100001.json").unlink()
    reason = run("explain", "--mac", "00:11:22:33:44:55", "--json").json["reasons"][-1]
    assert reason["code"] == "boot_image_not_distributed"
    assert "pxefast content distribute PS100001" in reason["text"]
