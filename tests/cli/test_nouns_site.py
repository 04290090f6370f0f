"""Sites, distribution points, groups, duplicates, deployments, launch files and content as a person uses them."""

from pathlib import Path
from typing import Any

import pytest

MAC = "00:11:22:33:44:55"
GUID = "11223344-5566-7788-99aa-bbccddeeff00"
DEPLOY = ("deployment", "create", "--task-sequence", "PS100003", "--make-available-to", "media-pxe")


@pytest.fixture
def many(done: Any, site: Path, tmp_path: Path) -> str:
    """A collection of 25 devices, n00 to n24; the value is its name."""
    file = tmp_path / "many.csv"
    file.write_text("".join(f"n{number:02d},02:00:00:00:00:{number:02x}\n" for number in range(25)))
    done("collection", "create", "many")
    done("device", "import-csv", str(file), "--collection", "many")
    return "many"


# sites


def test_a_site_is_made_listed_shown_and_removed(run: Any, done: Any, site: Path) -> None:
    assert done("site", "create", "--code", "aaa", "--parent", "PS1") == "created site AAA"
    assert [row["code"] for row in run("site", "list", "--json").json] == ["AAA", "PS1"]
    shown = {"code": "AAA", "parent": "PS1", "distribution_points": [], "devices": 0}
    assert run("site", "show", "AAA", "--json").json == shown
    assert "devices:" in run("site", "show", "AAA").out
    done("device", "set", "web01", "--site", "AAA")
    assert "be refused: site AAA still has device web01" in run("site", "remove", "AAA", "--dry-run").out
    assert run("site", "remove", "AAA", "--yes").code == 1
    done("device", "set", "web01", "--site", "PS1")
    assert run("site", "remove", "AAA").code == 2
    assert done("site", "remove", "AAA", "--yes") == "removed site AAA"


def test_what_is_made_for_a_site_has_its_code(run: Any, done: Any, site: Path) -> None:
    done("site", "create", "--code", "AAA")
    assert done("collection", "create", "there", "--site", "AAA", "-q") == "AAA00001"
    image = (
        "boot-image",
        "add",
        str(site),
        "--name",
        "i",
        "--arch",
        "x64",
        "--boot-program",
        "uefi=grubx64.efi",
    )
    assert done(*image, "--site", "aaa", "-q") == "AAA00002"
    assert done("task-sequence", "create", "--name", "t", "--site", "AAA", "-q") == "AAA00003"
    assert (
        done(*DEPLOY, "--purpose", "available", "--collection", "there", "--site", "AAA", "-q") == "AAA20001"
    )
    assert run("collection", "create", "nowhere", "--site", "BBB").code == 1


# deployments


def test_many_machines_need_the_hash_of_their_list(run: Any, done: Any, many: str) -> None:
    refused = run(*DEPLOY, "--collection", many, "--purpose", "required")
    assert (refused.code, refused.out) == (1, "")
    assert "25 devices (n00, n01, n02, n03, n04 and 20 more)" in refused.err
    digest = refused.err.rpartition("--confirm ")[2].strip()
    dry = run(*DEPLOY, "--collection", many, "--purpose", "required", "--dry-run")
    assert dry.out == "would create this required deployment to 'many'\n"
    assert f"--confirm {digest}" in dry.err
    done("collection", "remove", many, "n00", "--yes")
    assert run(*DEPLOY, "--collection", many, "--purpose", "required", "--confirm", digest).code == 1
    done("collection", "add", many, "n00")
    made = run(*DEPLOY, "--collection", many, "--purpose", "required", "--confirm", digest)
    assert made.out == "created deployment PS120002\n"
    assert "its 25 devices will be given it" in made.err
    assert run("deployment", "show", "PS120002", "--json").json["states"] == {"ARMED": 25}


def test_the_list_counts_members_those_that_wait_and_the_states(run: Any, done: Any, site: Path) -> None:
    done("device", "import", "--name", "n", "--mac", "00:11:22:33:44:66", "--collection", "rack 7")
    done(*DEPLOY, "--collection", "rack 7", "--purpose", "available")
    available, required = run("deployment", "list", "--json").json
    assert (required["members"], required["pending"], required["states"]) == (2, 1, {"ARMED": 1})
    assert (available["members"], available["pending"], available["states"]) == (2, 0, {})
    done("setting", "set", "approve_new_members", "no")
    assert run("deployment", "list", "--json").json[1]["pending"] == 0
    assert "ARMED=1" in run("deployment", "list").out


def test_protected_devices_are_named_and_left_out(run: Any, done: Any, site: Path) -> None:
    done("device", "set", "web01", "--protected")
    made = run(*DEPLOY, "--collection", "rack 7", "--purpose", "required")
    assert "protected, and left out: web01" in made.err
    shown = run("deployment", "show", "PS120002", "--json").json
    assert (shown["protected"], shown["pending_approval"], shown["states"]) == (["web01"], [], {})


@pytest.mark.parametrize("collection", ["All Systems", "All Unknown Computers"])
def test_a_built_in_collection_is_never_imaged_by_a_slip(run: Any, site: Path, collection: str) -> None:
    result = run(*DEPLOY, "--collection", collection, "--purpose", "required")
    assert result.code == 1
    assert "every" in result.err
    assert run(*DEPLOY, "--collection", collection, "--purpose", "available", "-q").code == 0


def test_a_deployment_is_disabled_at_once_and_enabled_again(run: Any, done: Any, site: Path) -> None:
    explain = ("explain", "--mac", MAC, "--json")
    assert run(*explain).json["action"] == "boot"
    assert done("deployment", "disable", "ps120001") == "disabled deployment PS120001"
    assert run(*explain).json["action"] != "boot"
    assert run("deployment", "show", "PS120001", "--json").json["enabled"] is False
    done("deployment", "enable", "PS120001")
    assert run(*explain).json["action"] == "boot"


def test_times_are_local_or_utc_and_shown_in_utc(
    run: Any, done: Any, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        done(
            "deployment",
            "set",
            "PS120001",
            "--available-at",
            "2027-01-31T18:00",
            "--expires-at",
            "2027-02-01T00:00Z",
        )
        shown = run("deployment", "show", "PS120001", "--json").json
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (shown["available_at"], shown["expires_at"]) == (
        "2027-01-31T16:00:00+00:00",
        "2027-02-01T00:00:00+00:00",
    )
    done("deployment", "set", "PS120001", "--no-available-at", "--no-expires-at", "--rerun", "never")
    shown = run("deployment", "show", "PS120001", "--json").json
    assert (shown["available_at"], shown["expires_at"], shown["rerun"]) == (None, None, "never")


@pytest.mark.parametrize(
    "options",
    [(), ("--available-at", "tomorrow"), ("--no-expires-at", "--expires-at", "2027-02-01"), ("--rerun", "sometimes"),
     ("--make-available-to", "all")],
)  # fmt: skip
def test_a_change_of_a_deployment_that_cannot_be_meant_is_a_wrong_command_line(
    run: Any, site: Path, options: Any
) -> None:
    before = run("deployment", "show", "PS120001").out
    assert run("deployment", "set", "PS120001", *options).code == 2
    assert run("deployment", "show", "PS120001").out == before


# boot images and content


def test_a_launch_file_is_a_file_of_the_folder(run: Any, done: Any, site: Path) -> None:
    assert run("boot-image", "set", "PS100001", "--launch-file", "boot.wim").code == 1
    done("boot-image", "set", "PS100001", "--launch-file", "\\GRUBX64.EFI")
    assert run("boot-image", "show", "PS100001", "--json").json["launch_file"] == "grubx64.efi"
    done("boot-image", "set", "PS100001", "--no-launch-file")
    assert run("boot-image", "show", "PS100001", "--json").json["launch_file"] is None
    assert run("boot-image", "set", "PS100001", "--no-launch-file", "--launch-file", "x").code == 2
    add = (
        "boot-image",
        "add",
        str(site),
        "--name",
        "i",
        "--arch",
        "x64",
        "--boot-program",
        "uefi=grubx64.efi",
    )
    assert run(*add, "--launch-file", "boot.wim").code == 1
    made = done(*add, "--launch-file", "pxelinux.0", "-q")
    assert run("boot-image", "show", made, "--json").json["launch_file"] == "pxelinux.0"


def test_a_task_sequence_without_a_boot_image_is_for_clients(run: Any, done: Any, site: Path) -> None:
    made = done("task-sequence", "create", "--name", "patch", "-q")
    deploy = (
        "deployment",
        "create",
        "--task-sequence",
        made,
        "--collection",
        "rack 7",
        "--purpose",
        "available",
    )
    refused = run(*deploy, "--make-available-to", "media-pxe")
    assert refused.code == 1
    assert "no boot image" in refused.err
    done(*deploy, "--make-available-to", "clients")
    assert {row["boot_image"] for row in run("task-sequence", "list", "--json").json} == {"PS100001", None}


def test_content_is_validated_redistributed_and_withdrawn(
    run: Any, done: Any, site: Path, home: Path
) -> None:
    assert "every file is what was distributed" in done("content", "validate", "PS100001")
    blob = next(path for path in (home / "content" / "blobs").rglob("*") if path.is_file())
    blob.chmod(0o644)
    blob.write_bytes(b"rotten")
    damaged = run("content", "validate", "ps100001")
    assert damaged.code == 1
    assert "damaged" in damaged.err
    done("content", "redistribute", "PS100001")
    done("content", "validate", "PS100001")
    planned = run("content", "remove", "PS100001", "--dry-run").out
    assert planned.startswith("would withdraw the files of boot image PS100001 from ")
    done("content", "remove", "PS100001", "--yes")
    assert run("content", "list", "--json").json == []
    for verb, told in (
        ("redistribute", "run: pxefast content distribute PS100001"),
        ("validate", "run: pxefast content distribute PS100001"),
        ("remove", "see: pxefast content status"),
    ):
        assert told in run("content", verb, "PS100001").err


# distribution points, groups, duplicates


def test_distribution_points_are_made_set_and_removed(run: Any, done: Any, site: Path) -> None:
    done("site", "create", "--code", "AAA")
    made = run("dp", "create", "dp2", "--site", "AAA")
    assert made.out == "created distribution point dp2 of site AAA\n"
    assert "[point]" in made.err
    done("dp", "set", "--dp", "dp2", "--enable-pxe", "--user-device-affinity", "automatic", "--site", "PS1")
    shown = run("dp", "show", "dp2", "--json").json
    assert (shown["site"], shown["enable_pxe"], shown["user_device_affinity"]) == ("PS1", True, "automatic")
    assert [point["name"] for point in run("dp", "list", "--json").json].count("dp2") == 1
    assert run("dp", "remove", "dp2", "--dry-run").out == "would remove distribution point dp2\n"
    # With two of them this home must say which it is; which ones there are it is told.
    unknown = run("dp", "show").err
    assert "[point] name" in unknown
    assert "dp2" in unknown
    assert done("dp", "remove", "dp2", "--yes") == "removed distribution point dp2", "no dead end"
    assert run("dp", "show").code == 0


def test_what_is_made_where_this_point_is_not_named_belongs_to_the_site_of_all_points(
    run: Any, done: Any, site: Path
) -> None:
    done("site", "create", "--code", "AAA")
    done("dp", "create", "dp2", "--site", "PS1")
    assert done("collection", "create", "here", "-q").startswith("PS1")


def test_an_interface_is_a_name_a_mac_or_none_at_all(run: Any, done: Any, site: Path) -> None:
    nobody = run("dp", "set", "--interface", "none")
    assert "answers nobody" in nobody.err
    assert run("dp", "show", "--json").json["interfaces"] == []
    done("dp", "set", "--interface", "00-11-22-33-44-55", "--interface", "lo")
    assert run("dp", "show", "--json").json["interfaces"] == [MAC, "lo"]
    done("dp", "set", "--no-interface")
    assert run("dp", "show", "--json").json["interfaces"] is None
    assert run("dp", "set", "--user-device-affinity", "perhaps").code == 2


def test_groups_are_made_filled_and_emptied(run: Any, done: Any, site: Path) -> None:
    name = run("dp", "show", "--json").json["name"]
    for noun in ("distribution-point-group", "boundary-group"):
        done(noun, "create", "north")
        done(noun, "add", "north", "--dp", name)
        assert run(noun, "show", "NORTH", "--json").json["distribution_points"] == [name]
        assert run(noun, "add", "north").code == 2
        assert (
            run(noun, "remove", "north", "--dp", name, "--dry-run").out
            == f"would take {name} out of group 'north'\n"
        )
        done(noun, "remove", "north", "--dp", name, "--yes")
        assert run(noun, "list", "--json").json[0]["distribution_points"] == []
    done("boundary-group", "add", "north", "--subnet", "10.1.2.0/24")
    assert run("boundary-group", "show", "north", "--json").json["subnets"] == ["10.1.2.0/24"]
    assert "10.1.2.0/24" in run("boundary-group", "list").out
    assert run("boundary-group", "add", "north", "--subnet", "10.1.2.3/24").code == 1
    done("boundary-group", "remove", "north", "--yes")
    assert run("boundary-group", "list", "--json").json == []


def test_a_duplicate_identifier_identifies_nobody_until_it_is_taken_off(
    run: Any, done: Any, site: Path
) -> None:
    explain = ("explain", "--mac", MAC, "--json")
    assert (
        done("duplicate-id", "add", "--mac", "0011.2233.4455")
        == f"MAC {MAC} identifies no device from now on"
    )
    done("duplicate-id", "add", "--smbios-guid", GUID)
    assert run(*explain).json["device"] is None
    assert run("duplicate-id", "list", "--json").json == [
        {"kind": "smbios-guid", "value": GUID},
        {"kind": "mac", "value": MAC},
    ]
    assert run("duplicate-id", "add", "--mac", MAC).code == 1
    assert (
        run("duplicate-id", "add").code
        == run("duplicate-id", "add", "--mac", MAC, "--smbios-guid", GUID).code
        == 2
    )
    assert (
        run("duplicate-id", "remove", "--mac", MAC, "--dry-run").out
        == f"would let MAC {MAC} identify a device again\n"
    )
    done("duplicate-id", "remove", "--mac", MAC, "--yes")
    assert run(*explain).json["device"] == "web01"
