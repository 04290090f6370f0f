"""How a service begins, is looked at and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ..loopback.home import LOOPBACK, Home, Outcome
from ..loopback.point import Point
from ..loopback.service import PATIENCE, Service, eventually


def pxefast(*arguments: str | Path, seconds: float = 60) -> Outcome:
    """Run pxefast to its end, as a process."""
    command = [sys.executable, "-m", "pxefast", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def fails(home: Home, code: int, *words: str) -> None:
    """`serve` must end with this code and say all of these words, and no more than people read."""
    outcome = pxefast("--home", home.folder, "serve")
    assert (outcome.code, outcome.out) == (code, ""), outcome
    assert all(word in outcome.error for word in words), outcome.error
    assert "Traceback" not in outcome.error


def test_a_port_for_reports_that_is_taken_is_named_with_advice(home: Home) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        number = taken.getsockname()[1]
        home.configure({**LOOPBACK, "report": {"port": number}})
        fails(home, 3, f"TCP 127.0.0.1:{number}", "[report]", "pxefast.toml")


@pytest.mark.parametrize("port", ["dhcp.port", "dhcp.boot_port", "tftp.port"])
def test_a_port_that_is_taken_is_named_with_advice(home: Home, port: str) -> None:
    section, key = port.split(".")
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        home.configure({**LOOPBACK, section: {**LOOPBACK[section], key: number}})
        fails(home, 3, f"127.0.0.1:{number}", "dp set --no-listen-on-dhcp-port", "pxefast.toml")


def test_an_address_that_this_host_has_not_is_named_with_advice(home: Home) -> None:
    home.configure({**LOOPBACK, "listen": {"address": "192.0.2.1"}})
    fails(home, 3, "192.0.2.1", "[listen]")


def test_a_wrong_setting_is_named_with_its_file_and_key(home: Home) -> None:
    file = str(home.folder / "pxefast.toml")
    home.configure({"tftp": {"port": 70000}})
    fails(home, 1, file, "tftp.port")
    home.configure({"tftp": {"prot": 69}})
    fails(home, 1, file, "tftp.prot")
    (home.folder / "pxefast.toml").write_text("[tftp\n")
    fails(home, 1, file)


def test_an_exclusion_list_that_cannot_be_read_keeps_the_service_from_starting(
    home: Home, tmp_path: Path
) -> None:
    listed = tmp_path / "excluded.txt"
    listed.write_text("02:00:00:00:00:01\n")
    home.run("dp", "set", "--mac-ignore-list-file", str(listed))
    listed.write_text("02:00:00:00:00:01\nzz\n")
    fails(home, 1, f"{listed}: line 2")
    listed.unlink()
    fails(home, 1, str(listed))


def test_a_folder_that_is_no_home_is_named_with_advice(tmp_path: Path) -> None:
    outcome = pxefast("--home", tmp_path / "nothing", "serve")
    assert outcome.code == 3
    assert "pxefast init --site-code" in outcome.error
    assert "Traceback" not in outcome.error


def test_a_home_has_one_service_and_the_second_does_not_disturb_it(home: Home) -> None:
    with Service(home) as first:
        fails(home, 3, "another pxefast serves", "pxefast status")
        assert home.status()["pid"] == first.pid


def test_systemd_hears_when_it_is_ready_and_when_it_ends(home: Home, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    for address in (path, f"@pxefast-test-{os.getpid()}"):
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
            systemd.bind(address.replace("@", "\0"))
            systemd.settimeout(PATIENCE)
            with Service(home, {"NOTIFY_SOCKET": address}):
                assert systemd.recv(100) == b"READY=1"
            assert systemd.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_and_leaves_nothing_behind(home: Home, number: signal.Signals) -> None:
    service = Service(home)
    assert home.status()["running"]
    assert service.end(number, seconds=3) == 0
    assert service.events[-1]["text"] == "stopped"
    assert home.command("status").code == 1
    assert home.status() == {"running": False}
    assert not service.lines


def test_with_no_time_for_transfers_it_ends_in_the_middle_of_them(tmp_path: Path) -> None:
    from ..loopback.peer import Peer

    settings = {**LOOPBACK, "tftp": {"port": 0, "drain_seconds": 0}}
    with Point(tmp_path, settings) as point, Peer(point.service.ports["tftp"]) as peer:
        assert peer.ask(point.name("boot.efi"), [("tsize", 0)]).options
        assert point.service.end(seconds=3) == 0


def test_the_status_tells_what_runs_and_a_killed_service_is_not_running(home: Home) -> None:
    service = Service(home)
    status = home.status()
    assert status["running"] is True
    assert status["pid"] == service.pid
    assert status["ports"] == service.ports
    assert status["site"] == "PS1"
    assert status["answers"] is False, "a new distribution point answers nobody"
    assert status["problems"] == []
    text = home.run("status")
    assert f"pid {service.pid}" in text
    assert "counters" in text
    assert service.event("service", lambda event: event["level"] == "warning")["text"].endswith(
        "pxefast dp set --enable-pxe --allow-pxe-response"
    )
    service.end(signal.SIGKILL)
    assert home.command("status", "--json").code == 1
    assert home.status() == {"running": False}
    with Service(home):
        assert home.status()["running"], "what the dead one left is no hindrance"


def test_ports_may_be_switched_off_or_changed_only_by_a_restart_and_the_status_says_so(home: Home) -> None:
    with Service(home) as service:
        home.run("dp", "set", "--no-listen-on-dhcp-port")
        assert "restart" in eventually(lambda: home.status()["problems"])[0]
        assert "dhcp" in service.ports
    with Service(home) as service:
        assert set(service.ports) == {"boot", "tftp", "report"}


def test_a_log_that_nobody_reads_any_more_does_not_end_the_service(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine("available")
        point.service.close_log()
        for _ in range(3):
            machine.socket.sendto(machine.packet(1, 5), ("127.0.0.1", point.service.ports["dhcp"]))
            machine.socket.settimeout(PATIENCE)
            assert machine.socket.recv(2000)
            eventually(lambda: not point.service.is_read)
        assert "log lines could not be written" in eventually(lambda: point.home.status()["problems"])[0]
        assert point.service.end() == 0


def test_the_version_says_what_this_build_is() -> None:
    facts = json.loads(pxefast("version", "--json").out)
    assert facts["build_profile"] in ("release", "debug")
    assert isinstance(facts["decide_compiled"], bool)
    assert set(facts["kernel"]) == {"udp_segment", "openat2"}
    pure = subprocess.run(
        [sys.executable, "-m", "pxefast", "version", "--json"],
        env={**os.environ, "PXEFAST_PURE": "1"},
        capture_output=True,
        check=True,
    )
    assert json.loads(pure.stdout)["decide_compiled"] is False


def test_the_demo_boots_once_and_explains_why_there_is_no_second_boot() -> None:
    outcome = pxefast("demo")
    assert outcome.code == 0, outcome
    assert "SHA-256 as published" in outcome.out
    assert "already offered" in outcome.out
    assert outcome.error == ""
