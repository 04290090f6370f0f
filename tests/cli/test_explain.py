"""`pxefast explain`: one machine's decision as a person reads it, and every machine of a deployment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import wims

MAC = "00:11:22:33:44:55"
DEPLOYMENT = "PS120001"

Run = Callable[..., Any]


def decided(run: Run, *arguments: str) -> tuple[str, str]:
    """The action and the code of the last reason."""
    value = run("explain", *arguments, "--json").json
    return value["action"], value["reasons"][-1]["code"]


def imported(done: Run, *names: str, number: int = 1) -> None:
    """Import devices and put them into the collection of the deployment."""
    for place, name in enumerate(names, start=number):
        done("device", "import", "--name", name, "--mac", f"00:11:22:33:00:{place:02x}")
        done("collection", "add", "rack 7", name)


def test_the_chain_is_numbered_with_the_rule_of_each_reason(done: Run, site: Path) -> None:
    lines = done("explain", "--mac", MAC).splitlines()
    assert lines[0].startswith("web01 boots, without asking anyone")
    chain = [line for line in lines if line.lstrip()[0].isdigit()]
    assert [line.split(".")[0].strip() for line in chain] == [str(n) for n in range(1, len(chain) + 1)]
    assert all(line.endswith("]") for line in chain)


def test_a_known_device_can_be_named_in_place_of_its_address(run: Run, site: Path) -> None:
    assert run("explain", "--device", "WEB01", "--json").json == run("explain", "--mac", MAC, "--json").json


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--mac", MAC, "--device", "web01"),
        ("--deployment", DEPLOYMENT, "--ipxe"),
        ("--mac", MAC, "--at", "soon"),
        ("--mac", MAC, "--secs", "70000"),
    ],
    ids=" ".join,
)
def test_a_question_that_makes_no_sense_is_refused(run: Run, site: Path, arguments: tuple[str, ...]) -> None:
    result = run("explain", *arguments)
    assert (result.code, result.out) == (2, "")


def test_the_response_delay_is_explained_for_a_machine_that_only_began(
    run: Run, done: Run, site: Path
) -> None:
    done("dp", "set", "--response-delay", "8")
    assert decided(run, "--mac", MAC, "--secs", "4") == ("ignore", "response_delay")
    assert decided(run, "--mac", MAC, "--secs", "8")[0] == "boot"
    assert decided(run, "--mac", MAC)[0] == "boot"


def test_a_time_to_come_can_be_asked_about(run: Run, site: Path) -> None:
    assert decided(run, "--mac", MAC)[0] == "boot"
    assert decided(run, "--mac", MAC, "--at", "2099-01-01") == ("ignore", "arming_expired")


def test_a_machine_that_was_launched_hears_since_when(run: Run, site: Path, started: Any) -> None:
    started()
    reason = run("explain", "--mac", MAC, "--json").json["reasons"][-1]
    assert reason["code"] == "already_offered"
    assert "launched 20" in reason["text"]


def test_a_bad_exclusion_list_holds_what_is_required_and_is_named(
    run: Run, done: Run, site: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "excluded.txt"
    listed.write_text(f"{MAC}\n")
    done("dp", "set", "--mac-ignore-list-file", str(listed))
    assert decided(run, "--mac", MAC) == ("ignore", "excluded")
    listed.unlink()
    assert decided(run, "--mac", MAC) == ("ignore", "required_paused")


def test_a_halted_point_says_so(run: Run, site: Path, home: Path) -> None:
    (home / "run").mkdir(exist_ok=True)
    (home / "run" / "HALT").write_text("wrong image\n")
    value = run("explain", "--mac", MAC, "--json").json
    assert (value["action"], value["reasons"][-1]["code"]) == ("ignore", "halted")
    assert "wrong image" in value["reasons"][-1]["text"]


# every machine of a deployment


def verdicts(run: Run, *arguments: str) -> dict[str, str]:
    """Each machine and the code of its reason, `boots` where it boots."""
    result = run("explain", "--deployment", DEPLOYMENT, *arguments, "--json")
    assert result.code == 0, result.err
    return {item["device"]: "boots" if item["boots"] else item["reason"]["code"] for item in result.json}


def test_each_machine_of_a_deployment_has_the_reason_that_decides(
    run: Run, done: Run, site: Path, started: Any, tmp_path: Path
) -> None:
    imported(done, "new", "listed", "spared", "elsewhere", "ready")
    done("site", "create", "--code", "AAA", "--parent", "PS1")
    done("device", "set", "elsewhere", "--site", "AAA")
    done("device", "set", "spared", "--protected")
    done("deployment", "approve", DEPLOYMENT, "--device", "listed", "--device", "ready", "--yes")
    listed = tmp_path / "excluded.txt"
    listed.write_text("00:11:22:33:00:02\n")
    done("dp", "set", "--mac-ignore-list-file", str(listed))
    started()
    assert verdicts(run) == {
        "web01": "already_offered",
        "new": "pending_approval",
        "listed": "excluded",
        "spared": "protected",
        "elsewhere": "other_site",
        "ready": "boots",
    }


def test_a_point_that_is_switched_off_is_the_reason_only_where_nothing_else_is(
    run: Run, done: Run, site: Path
) -> None:
    imported(done, "new")
    done("dp", "set", "--no-allow-pxe-response")
    assert verdicts(run) == {"web01": "responses_not_allowed", "new": "pending_approval"}


def test_a_deployment_that_another_goes_before_says_which(run: Run, done: Run, site: Path) -> None:
    created = done(
        "deployment", "create", "--task-sequence", "PS100003", "--collection", "rack 7",
        "--purpose", "required", "--make-available-to", "media-pxe", "--quiet",
    )  # fmt: skip
    assert verdicts(run) == {"web01": "other_deployment"}
    assert created in run("explain", "--deployment", DEPLOYMENT).out


def test_machines_of_a_platform_without_a_boot_image_are_told_so(run: Run, site: Path) -> None:
    assert verdicts(run, "--arch", "arm64") == {"web01": "no_boot_image"}


def test_machines_without_a_record_are_asked_about_where_they_are_deployed_to(
    run: Run, done: Run, site: Path
) -> None:
    available = done(
        "deployment", "create", "--task-sequence", "PS100003", "--collection", "All Unknown Computers",
        "--purpose", "available", "--make-available-to", "media-pxe", "--quiet",
    )  # fmt: skip

    def told() -> dict[str, str]:
        items = run("explain", "--deployment", available, "--json").json
        return {item["device"]: "boots" if item["boots"] else item["reason"]["code"] for item in items}

    assert told()["x64 Unknown Computer (PS1)"] == "unknown_computers_off"
    done("dp", "set", "--unknown-computers")
    assert told() == {
        "x64 Unknown Computer (PS1)": "boots",
        "x86 Unknown Computer (PS1)": "no_boot_image",
        "arm64 Unknown Computer (PS1)": "no_boot_image",
    }


def test_a_device_boots_if_it_does_through_any_of_its_network_cards(
    run: Run, done: Run, site: Path, tmp_path: Path
) -> None:
    done("device", "import", "--name", "two", "--mac", "00:11:22:33:00:01", "--mac", "00:11:22:33:00:02")
    done("collection", "add", "rack 7", "two")
    done("deployment", "approve", DEPLOYMENT, "--yes")
    done("duplicate-id", "add", "--mac", "00:11:22:33:00:01")
    assert verdicts(run)["two"] == "boots"
    # The exclusion list is of the device, whichever card is on it.
    listed = tmp_path / "excluded.txt"
    listed.write_text("00:11:22:33:00:01\n")
    done("dp", "set", "--mac-ignore-list-file", str(listed))
    assert verdicts(run)["two"] == "excluded"


def test_people_read_counts_first_and_then_both_lists(run: Run, done: Run, site: Path) -> None:
    imported(done, "new")
    lines = run("explain", "--deployment", DEPLOYMENT).out.splitlines()
    assert lines[0] == "required deployment PS120001 reaches 2 machines: 1 would boot now, 1 would not"
    assert lines.index("would boot now:") < lines.index("would not boot now:")
    assert any(line.split() == ["1", "pending_approval"] for line in lines)
    assert any(line.strip().startswith("new ") and line.endswith("[R-58]") for line in lines)


def test_a_deployment_that_is_not_there_is_an_error(run: Run, site: Path) -> None:
    assert run("explain", "--deployment", "PS1FFFFF").code == 1


def test_on_a_terminal_a_bar_says_how_far_it_is_and_the_result_stays_whole(
    run: Run, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    result = run("explain", "--deployment", DEPLOYMENT, "--json")
    assert [item["device"] for item in result.json] == ["web01"]
    assert "machines" in result.err


def test_explaining_changes_nothing(run: Run, site: Path, home: Path) -> None:
    run("explain", "--mac", MAC)
    before = (home / "site.db").read_bytes()
    run("explain", "--deployment", DEPLOYMENT)
    run("explain", "--mac", MAC)
    assert (home / "site.db").read_bytes() == before


# what a machine boots with


def test_the_variables_of_a_boot_are_told_with_their_sources_and_secrets_are_not(
    run: Run, done: Run, site: Path, tmp_path: Path
) -> None:
    done("collection", "variable", "set", "rack 7", "Role", "web")
    done("device", "variable", "set", "web01", "role", "db")
    done("deployment", "variable", "set", DEPLOYMENT, "Domain", "example.org")
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2\n")
    done("collection", "variable", "set", "rack 7", "Password", "--secret", "--value-file", str(secret))
    assert run("explain", "--mac", MAC, "--json").json["variables"] == {
        "Domain": {"value": "example.org", "source": "variable of deployment PS120001"},
        "role": {"value": "db", "source": "variable of the device"},
    }
    words = done("explain", "--mac", MAC)
    assert "  role=db  (variable of the device)" in words
    assert "hunter2" not in words
    done("device", "set", "web01", "--protected")
    assert run("explain", "--mac", MAC, "--json").json["variables"] == {}


def test_where_each_size_of_a_windows_pe_boot_comes_from_is_its_last_reason(
    run: Run, done: Run, site: Path, tmp_path: Path
) -> None:
    wim = wims.make(tmp_path / "boot.wim", payload=100_000)
    image = done("boot-image", "add", str(wim.path), "--quiet", "--id", "PS100009")
    done("content", "distribute", image)
    done("deployment", "remove", DEPLOYMENT, "--yes")
    sequence = done("task-sequence", "create", "--name", "pe", "--boot-image", image, "--quiet")
    target = ("--task-sequence", sequence, "--collection", "rack 7")
    done("deployment", "create", *target, "--purpose", "required", "--make-available-to", "media-pxe")
    done("boundary-group", "create", "cellar")
    done("boundary-group", "add", "cellar", "--subnet", "10.1.0.0/16")
    done("boundary-group", "set", "cellar", "--tftp-block-size", "1356")
    done("boot-image", "set", image, "--tftp-window-size", "8")
    assert decided(run, "--mac", MAC) == ("boot", "ramdisk_sizes")
    text = run("explain", "--mac", MAC, "--address", "10.1.2.3", "--json").json["reasons"][-1]["text"]
    for part in ("1356 bytes (boundary group cellar (10.1.0.0/16))", f"8 a window (boot image {image})"):
        assert part in text
    assert "distribution point" in text
    assert run("explain", "--mac", MAC, "--address", "10.1").code == 2
