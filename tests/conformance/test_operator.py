"""What the page tells an operator to do, done by the commands, and what a machine then gets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MAC = "00:11:22:33:44:55"
GUID = "24D0F753-B2E2-4D9C-B07C-099C4FC1EF3C"

Run = Callable[..., Any]


@pytest.fixture
def told(run: Run) -> Callable[..., tuple[str, str]]:
    """The action for a machine that starts now, and the code of the reason that ends it."""

    def told(*machine: str) -> tuple[str, str]:
        result = run("explain", *(machine or ("--mac", MAC)), "--json")
        assert result.code == 0, result.err
        return result.json["action"], result.json["reasons"][-1]["code"]

    return told


def deploy(done: Run, collection: str, purpose: str, *more: str) -> str:
    created: str = done(
        "deployment", "create", "--task-sequence", "PS100003", "--collection", collection,
        "--purpose", purpose, "--make-available-to", "media-pxe", "--quiet", *more,
    )  # fmt: skip
    return created


# exclusion list and duplicate hardware identifiers


@pytest.mark.parametrize("place", ["pxeExceptions.txt", "a folder/of any name/list", "ohne endung"])
def test_the_exclusion_list_may_lie_anywhere_under_any_name(
    done: Run, told: Any, site: Path, tmp_path: Path, place: str
) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{MAC}\n")
    assert told()[0] == "boot"
    done("dp", "set", "--mac-ignore-list-file", str(file))
    assert told() == ("ignore", "excluded")


def test_each_distribution_point_has_its_own_exclusion_list(
    done: Run, run: Run, told: Any, site: Path, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "list.txt"
    file.write_text(f"{MAC}\n")
    own = run("dp", "show", "--json").json["name"]
    (home / "pxefast.toml").write_text(f'[point]\nname = "{own}"\n')
    done("dp", "create", "other")
    done("dp", "set", "--dp", "other", "--mac-ignore-list-file", str(file))
    assert told()[0] == "boot", "this one has none"
    assert run("dp", "show", "--json").json["mac_ignore_list_file"] is None


def test_the_two_lists_do_what_the_page_says_of_each(
    done: Run, told: Any, site: Path, tmp_path: Path
) -> None:
    done("device", "import", "--name", "dock", "--mac", "00:11:22:33:00:01", "--smbios-guid", GUID)
    done("collection", "create", "docks")
    done("collection", "add", "docks", "dock")
    deploy(done, "docks", "required")
    deploy(done, "All Unknown Computers", "available")
    done("dp", "set", "--unknown-computers")
    done("duplicate-id", "add", "--mac", "00-11-22-33-00-01")
    by_mac = ("--mac", "00:11:22:33:00:01")
    assert told(*by_mac, "--smbios-guid", GUID)[0] == "boot", "the SMBIOS GUID still finds it"
    assert told(*by_mac)[0] == "prompt", "without one it is an unknown machine, and those have a deployment"
    file = tmp_path / "list.txt"
    file.write_text("00:11:22:33:00:01\n")
    done("dp", "set", "--mac-ignore-list-file", str(file))
    assert told(*by_mac, "--smbios-guid", GUID) == ("ignore", "excluded")
    assert told(*by_mac) == ("ignore", "excluded")


def test_duplicate_identifiers_are_the_whole_hierarchys_and_take_both_documented_forms(
    done: Run, run: Run, site: Path
) -> None:
    done("duplicate-id", "add", "--mac", "01:02:03:04:05:E0")
    done("duplicate-id", "add", "--smbios-guid", GUID)
    listed = json.dumps(run("duplicate-id", "list", "--json").json).lower()
    assert "01:02:03:04:05:e0" in listed
    assert GUID.lower() in listed
    done("duplicate-id", "remove", "--mac", "01:02:03:04:05:E0", "--yes")
    assert "01:02:03:04:05:e0" not in json.dumps(run("duplicate-id", "list", "--json").json).lower()


def test_a_conflicting_record_is_refused_until_a_person_says_how(done: Run, run: Run, site: Path) -> None:
    again = ("device", "import", "--name", "web02", "--mac", MAC)
    refused = run(*again)
    assert refused.code == 1
    assert "web01" in refused.err
    done(*again, "--on-conflict", "new")


# deployments


def test_a_required_deployment_to_a_built_in_collection_is_refused(run: Run, site: Path) -> None:
    result = run(
        "deployment", "create", "--task-sequence", "PS100003", "--collection", "All Systems",
        "--purpose", "required", "--make-available-to", "media-pxe",
    )  # fmt: skip
    assert result.code == 1
    assert "All Systems" in result.err


def test_a_collection_above_the_maximum_size_is_refused_when_the_deployment_is_made(
    done: Run, run: Run, site: Path
) -> None:
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66", "--collection", "rack 7")
    done("setting", "set", "collection_maximum_size", "1")
    arguments = ("deployment", "create", "--task-sequence", "PS100003", "--collection", "rack 7")
    more = ("--purpose", "required", "--make-available-to", "media-pxe")
    assert run(*arguments, *more).code == 1
    done("setting", "set", "collection_maximum_size", "2")
    done(*arguments, *more)


def test_the_preferred_id_is_a_variable_of_the_device_or_of_its_collection(
    done: Run, run: Run, site: Path
) -> None:
    hidden = done(
        "deployment", "create", "--task-sequence", "PS100003", "--collection", "rack 7", "--purpose",
        "available", "--make-available-to", "media-pxe-hidden", "--quiet",
    )  # fmt: skip

    def deployment() -> str:
        return str(run("explain", "--mac", MAC, "--json").json["deployment"])

    assert deployment() == "PS120001"
    done("collection", "variable", "set", "rack 7", "SMSTSPreferredAdvertID", hidden)
    assert deployment() == hidden
    done("device", "variable", "set", "web01", "SMSTSPreferredAdvertID", "PS120001")
    assert deployment() == "PS120001"


def test_clearing_lets_the_newest_required_deployment_run_again(
    done: Run, run: Run, told: Any, site: Path, started: Any
) -> None:
    started()
    assert told() == ("ignore", "already_offered")
    done("deployment", "clear", "--collection", "rack 7", "--yes")
    assert told()[0] == "boot"
    assert run("explain", "--mac", MAC, "--json").json["deployment"] == "PS120001"


def test_rerun_behaviour_is_kept_and_is_not_the_guard_that_runs_once(
    done: Run, run: Run, told: Any, site: Path, started: Any
) -> None:
    created = deploy(done, "rack 7", "available", "--rerun", "never")
    assert run("deployment", "show", created, "--json").json["rerun"] == "never"
    assert run("deployment", "show", "PS120001", "--json").json["rerun"] == "always"
    done("deployment", "remove", created, "--yes")
    started()
    assert told() == ("ignore", "already_offered"), "always is what a client in full Windows does"


# unknown computers


def test_a_site_has_one_unknown_computer_object_of_each_architecture_and_no_identity_in_them(
    run: Run, site: Path
) -> None:
    items = run("collection", "show", "All Unknown Computers", "--json").json
    assert items["members"] == [
        "arm64 Unknown Computer (PS1)",
        "x64 Unknown Computer (PS1)",
        "x86 Unknown Computer (PS1)",
    ]
    refused = run("device", "remove", "x64 Unknown Computer (PS1)", "--yes")
    assert refused.code == 1
    imported = run("device", "import", "--name", "x64 Unknown Computer (PS1)", "--mac", "00:11:22:33:00:09")
    assert imported.code == 1


# sites


def test_a_device_of_another_site_is_invisible_here(done: Run, told: Any, site: Path) -> None:
    done("site", "create", "--code", "AAA", "--parent", "PS1")
    done("device", "set", "web01", "--site", "AAA")
    assert told() == ("ignore", "other_site")


# a distribution point beside a DHCP server


def test_a_machine_that_the_dhcp_server_of_this_host_sends_to_4011_is_answered(
    done: Run, run: Run, site: Path
) -> None:
    captures = Path(__file__).parent.parent / "data" / "pcap"
    done("dp", "set", "--no-listen-on-dhcp-port", "--unknown-computers")
    deploy(done, "All Unknown Computers", "available")
    for name in ("uefi-x64-same-host", "bios-same-host"):
        items = run("replay", str(captures / f"{name}.pcap"), "--json").json
        asked = [item for item in items if item["door"] == "request"]
        assert asked, name
        assert all(item["action"] == "prompt" for item in asked), name


def test_every_setting_that_once_was_a_registry_value_has_a_command(run: Run, done: Run, site: Path) -> None:
    done("dp", "set", "--ramdisk-tftp-block-size", "8192", "--ramdisk-tftp-window-size", "8")
    done("dp", "set", "--no-listen-on-dhcp-port")
    shown = run("dp", "show", "--json").json
    assert (shown["ramdisk_tftp_block_size"], shown["ramdisk_tftp_window_size"]) == (8192, 8)
    assert shown["listen_on_dhcp_port"] is False
