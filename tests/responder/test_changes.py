"""Every change counts within a second, without a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pxefast import config
from pxefast.content.library import Library
from pxefast.responder.halt import Halt
from pxefast.responder.view import View
from pxefast.site.store import Store

from ..loopback.machine import Machine
from ..loopback.point import Point
from ..loopback.service import SOON, eventually


def soon_answered(machine: Machine) -> None:
    eventually(lambda: machine.discover().reply, SOON, "an answer")


def soon_refused(machine: Machine, code: str) -> None:
    eventually(lambda: machine.discover().codes[-1] == code, SOON, code)
    assert machine.discover().reply is None
    assert machine.request().reply is None


def test_a_machine_is_known_and_served_and_forgotten_as_the_operator_says(point: Point) -> None:
    home = point.home
    machine = point.client("02:00:00:00:02:01", "22222222-0000-0000-0000-000000000001")
    soon_refused(machine, "unknown_computers_off")
    home.device("fresh", machine.mac, machine.guid)
    soon_refused(machine, "no_deployment")
    deployment = home.deploy(point.image, ["fresh"])
    soon_answered(machine)
    home.run("deployment", "remove", deployment.id, "--yes")
    soon_refused(machine, "no_deployment")


def test_a_distribution_point_that_may_not_answer_is_silent_and_logs_why(point: Point) -> None:
    machine = point.machine("available")
    for switch, code in (("allow-pxe-response", "responses_not_allowed"), ("enable-pxe", "pxe_disabled")):
        point.home.run("dp", "set", f"--no-{switch}")
        soon_refused(machine, code)
        point.home.run("dp", "set", f"--{switch}")
        soon_answered(machine)


def test_a_boot_image_that_is_not_for_pxe_boots_nobody(point: Point) -> None:
    machine = point.machine()
    point.home.run("boot-image", "set", point.image, "--no-pxe")
    soon_refused(machine, "boot_image_not_pxe_enabled")
    point.home.run("boot-image", "set", point.image, "--pxe")
    soon_answered(machine)
    assert machine.boot().reply is not None


def test_the_log_says_which_boot_image_is_served_from_now_on_and_which_no_more(point: Point) -> None:
    seen, says = len(point.service.events), lambda text: lambda event: text in event["text"]
    point.home.run("content", "remove", point.image, "--yes")
    gone = point.service.event("service", says(f"serves {point.image} no more"), after=seen)
    assert gone["level"] == "warning"
    point.home.run("content", "distribute", point.image)
    back = point.service.event("service", says(f"now serves {point.image} version"), after=seen)
    assert back["level"] == "info"


def test_only_bound_interfaces_are_answered(point: Point) -> None:
    machine = point.machine("available")
    point.home.run("dp", "set", "--interface", "elsewhere0")
    soon_refused(machine, "interface_not_bound")
    point.home.run("dp", "set", "--interface", "lo")
    soon_answered(machine)
    point.home.run("dp", "set", "--no-interface")
    soon_answered(machine)


def test_the_response_delay_is_measured_by_the_clients_own_seconds(point: Point) -> None:
    machine = point.machine()
    point.home.run("dp", "set", "--response-delay", "4")
    eventually(lambda: machine.discover().codes[-1] == "response_delay", SOON, "the delay")
    assert machine.discover(secs=3).reply is None
    assert machine.discover(secs=4).reply is not None
    assert machine.request(secs=0).reply is not None, "who was offered has waited already"
    point.home.run("dp", "set", "--response-delay", "0")
    other = point.machine()
    assert other.discover(secs=0).reply is not None


@pytest.fixture
def listed(point: Point, tmp_path: Path) -> Path:
    """The exclusion file of the distribution point, with one machine that nobody has."""
    file = tmp_path / "excluded.txt"
    file.write_text("02:00:00:aa:aa:aa\n")
    after = len(point.service.events)
    point.home.run("dp", "set", "--mac-ignore-list-file", str(file))
    point.service.event(
        "service", lambda event: f"{file} read: 1 excluded" in event["text"], after=after, seconds=SOON
    )
    return file


@pytest.fixture
def unlisted(point: Point) -> object:
    """Takes the list away after the test."""
    yield
    point.home.run("dp", "set", "--no-mac-ignore-list-file")


@pytest.mark.usefixtures("unlisted")
def test_an_excluded_machine_gets_silence_within_a_second_whatever_is_deployed(
    point: Point, listed: Path
) -> None:
    required, available = point.machine(), point.machine("available")
    for machine in (required, available):
        for spelling in (
            machine.mac.upper().replace(":", "-"),
            machine.mac.replace(":", ""),
            f" {machine.mac} # why",
        ):
            listed.write_text(f"02:00:00:aa:aa:aa\r\n{spelling}\r\n")
            soon_refused(machine, "excluded")
            listed.write_text("02:00:00:aa:aa:aa\n")
            soon_answered(machine)
    assert required.boot().reply is not None


@pytest.mark.usefixtures("unlisted")
def test_a_line_that_cannot_be_read_is_named_and_the_last_good_list_stays(point: Point, listed: Path) -> None:
    excluded, other = point.machine(), point.machine()
    listed.write_text(f"{excluded.mac}\n")
    soon_refused(excluded, "excluded")
    after = len(point.service.events)
    listed.write_text("02:00:00:aa:aa:aa\nnot a MAC\n")
    event = point.service.event("service", lambda event: event["level"] == "error", after=after, seconds=SOON)
    assert f"{listed}: line 2: 'not a MAC'" in event["text"]
    assert "last good list stays" in event["text"]
    assert excluded.boot().codes[-1] == "excluded"
    assert other.boot().reply is not None
    assert f"{listed}: line 2" in eventually(lambda: point.home.status()["problems"])[0]
    listed.write_text("02:00:00:aa:aa:aa\n")
    soon_answered(excluded)


@pytest.mark.usefixtures("unlisted")
@pytest.mark.parametrize("how", ["deleted", "emptied", "a folder", "not text"])
def test_a_list_that_is_gone_holds_required_deployments(point: Point, listed: Path, how: str) -> None:
    excluded, required, available = point.machine(), point.machine(), point.machine("available")
    listed.write_text(f"{excluded.mac}\n")
    soon_refused(excluded, "excluded")
    if how == "emptied":
        listed.write_text("# nobody\n")
    elif how == "not text":
        listed.write_bytes(b"\xff\xfe\x00\xd8")
    else:
        listed.unlink()
        if how == "a folder":
            listed.mkdir()
    soon_refused(required, "required_paused")
    assert excluded.boot().codes[-1] == "excluded"
    assert available.boot().reply is not None
    if how == "a folder":
        listed.rmdir()
    listed.write_text("02:00:00:aa:aa:aa\n")
    soon_answered(required)
    assert required.boot().reply is not None


def test_a_manifest_that_cannot_be_read_stops_everything_until_it_is_mended(point: Point) -> None:
    machine = point.machine("available")
    manifest = point.home.folder / "content" / "images" / f"{point.image}.json"
    whole = manifest.read_bytes()
    for content in (whole[: len(whole) // 2], b"[]", b"{}"):
        manifest.unlink()
        manifest.write_bytes(content)
        soon_refused(machine, "site_unreadable")
        manifest.unlink()
        manifest.write_bytes(whole)
        soon_answered(machine)


def test_a_first_exclusion_list_that_cannot_be_read_stops_everything_and_is_said_once(
    point: Point, tmp_path: Path
) -> None:
    machine = point.machine("available")
    soon_answered(machine)
    listed = tmp_path / "gone.txt"
    after = len(point.service.events)
    with Store.open(point.home.database) as store:
        # The command line refuses such a file; it went missing right after.
        store.dps.set(mac_ignore_list_file=str(listed))
        soon_refused(machine, "site_unreadable")
        listed.write_text(f"{machine.mac}\n")
        soon_refused(machine, "excluded")
        store.dps.set(mac_ignore_list_file=None)
    soon_answered(machine)
    told = [event["text"] for event in point.service.events[after:] if event["level"] in ("error", "warning")]
    assert len(told) == 2, told
    assert str(listed) in told[0]
    assert "handed out again" in told[1]


def test_no_deployment_counts_before_the_exclusion_list_that_was_made_before_it(
    point: Point, tmp_path: Path
) -> None:
    """Both are found by one look at the site: there is no moment with the one and without the other (CM-58)."""
    excluded_at_each_change = []

    class Watched(View):
        def __setattr__(self, name: str, value: Any) -> None:
            if name == "site" and "site" in self.__dict__:
                excluded_at_each_change.append(self.sight().exclusions.macs)
            super().__setattr__(name, value)

    home = point.home.folder
    settings = config.load(home / "pxefast.toml")
    with Store.open(point.home.database) as store:
        view = Watched(
            store, Library(home / "content"), settings, Halt(home), lambda files: None, lambda *told: None
        )
        listed = tmp_path / "listed.txt"
        listed.write_text("02:00:00:00:02:02\n")
        store.dps.set(mac_ignore_list_file=str(listed))
        point.home.device("spared", "02:00:00:00:02:02", "22222222-0000-0000-0000-000000000002")
        point.home.deploy(point.image, ["spared"])
        view.refresh()
        view.close()
    assert excluded_at_each_change == [frozenset({"02:00:00:00:02:02"})]
