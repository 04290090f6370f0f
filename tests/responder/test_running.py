"""`explain` says what the running service does, also where the files of its home say something else by now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ..loopback.machine import Machine
from ..loopback.point import Point
from ..loopback.service import eventually


def explained(point: Point, machine: Machine) -> tuple[str, list[str], str]:
    """Action, codes of the reasons, and what standard error says."""
    outcome = point.home.command("explain", "--mac", machine.mac, "--smbios-guid", machine.guid, "--json")
    assert outcome.code == 0, outcome
    said: dict[str, Any] = json.loads(outcome.out)
    return said["action"], [reason["code"] for reason in said["reasons"]], outcome.error


def listed(point: Point, folder: Path, *machines: Machine) -> Path:
    """An exclusion list of these machines, which the service has read."""
    file = folder / "excluded.txt"
    file.write_text("".join(f"{machine.mac}\n" for machine in machines))
    point.home.run("dp", "set", "--mac-ignore-list-file", str(file))
    eventually(lambda: point.home.status()["snapshot"]["excluded"] == len(machines))
    return file


@pytest.mark.parametrize("broken", ["gone", "a line that is none", "empty"])
def test_an_exclusion_list_that_became_unreadable_still_excludes_for_explain_as_for_the_service(
    tmp_path: Path, broken: str
) -> None:
    with Point(tmp_path) as point:
        excluded, available, required = (
            point.machine(kind) for kind in ("available", "available", "required")
        )
        file = listed(point, tmp_path, excluded)
        assert explained(point, excluded)[:2] == ("ignore", excluded.request().codes)
        if broken == "gone":
            file.unlink()
        else:
            file.write_text("" if broken == "empty" else "no MAC address\n")
        eventually(lambda: point.home.status()["snapshot"]["exclusions"]["problem"])
        for machine in (excluded, available, required):
            # Before the request, which claims what is required.
            action, codes, error = explained(point, machine)
            answer = machine.request()
            assert action == answer.event["action"], error
            assert codes == answer.codes[: len(codes)], error
            assert "decides from another exclusion list" in error
        assert excluded.request().codes[-1] == "excluded"
        point.service.stop()
        action, _, error = explained(point, excluded)
        assert action != "ignore" or broken == "empty" or "required" in error
        assert "another exclusion list" not in error, "no service, no other view"


def test_the_list_that_counts_is_kept_for_the_services_user_alone(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine("available")
        listed(point, tmp_path, machine)
        kept = point.home.folder / "run" / "exclusions"
        eventually(lambda: kept.read_text() == f"{machine.mac}\n")
        assert kept.stat().st_mode & 0o777 == 0o600
        kept.write_text("02:00:00:00:99:99\n")
        action, _, error = explained(point, machine)
        assert action == "ignore", "the file is read"
        assert "excludes 1 machines by a list that cannot be read here" in error


def test_a_service_that_has_not_seen_the_newest_change_is_said_to_have_an_older_view(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine("available")
        assert "view" not in explained(point, machine)[2]
        with point.service.suspended():
            point.home.run("device", "set", point.home.status()["site"] and "pc001", "--protected")
            _, _, error = explained(point, machine)
            assert "the running service decides from an older view of the site" in error
        eventually(lambda: "view" not in explained(point, machine)[2])


def test_what_the_service_alone_knows_is_a_reason_for_explain(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine("required")
        folder = point.home.folder / "run"
        status = json.loads((folder / "status.json").read_text())
        with point.service.suspended():
            told = {
                "code": "database_unavailable",
                "text": "required deployments are off: stuck",
                "rule": "D10",
            }
            for key, action in (("held", "ignore"), ("problem", "ignore")):
                said = {**status, key: told}
                (folder / "status.json").write_text(json.dumps(said))
                assert explained(point, machine)[:2][0] == action
                assert "stuck" in explained(point, machine)[2]


def test_whatif_compares_with_what_the_service_decides_from(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        excluded = point.machine("available")
        file = listed(point, tmp_path, excluded)
        file.write_text("no MAC address\n")
        eventually(lambda: point.home.status()["snapshot"]["exclusions"]["problem"])
        said = json.loads(point.home.run("whatif", "--json", "setting", "set", "budget_claims", "7"))
        assert said == [], "the list is the same before and after"
