"""Sockets that systemd opens for the service (sd_listen_fds(3)), so that it needs no privilege of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ..loopback.home import LOOPBACK, Home, write_files
from ..loopback.lan import SERVER, Lan
from ..loopback.peer import Peer
from ..loopback.service import Service

ACTIVATOR = str(Path(__file__).parent.parent / "loopback" / "activator.py")
ANY = ("dhcp=udp:127.0.0.1:0", "boot=udp:127.0.0.1:0", "tftp=udp:127.0.0.1:0")
CONTENT = bytes(range(256)) * 20


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """What the settings say of ports is nothing that anybody could open."""
    home = Home(tmp_path / "home", {**LOOPBACK, "dhcp": {"port": 1, "boot_port": 2}, "tftp": {"port": 3}})
    home.answer()
    return home


def activated(home: Home, *before: str) -> Service:
    return Service(home, program=(ACTIVATOR, *before, "--"))


def fails(home: Home, sockets: Sequence[str], *words: str) -> None:
    command = [sys.executable, ACTIVATOR, *sockets, "--", "--home", str(home.folder), "serve"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (3, ""), done
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr


def test_the_service_serves_on_sockets_that_were_opened_for_it_and_so_does_its_successor(
    home: Home, tmp_path: Path
) -> None:
    image = home.publish(write_files(tmp_path / "image", {"boot.efi": CONTENT}), uefi="boot.efi")
    with activated(home, *ANY) as service:
        ports = service.ports
        for _ in range(2):
            assert not {ports[name] for name in ("dhcp", "boot", "tftp")} & {1, 2, 3}
            with Peer(ports["tftp"]) as peer:
                assert peer.fetch(f"SMSImages/{image}/boot.efi") == CONTENT
            service.reload()
            assert service.ports == ports


@pytest.mark.parametrize(
    ("sockets", "words"),
    [
        ((*ANY, "http=udp:127.0.0.1:0"), ("'http'", "dhcp, boot, tftp and report")),
        ((*ANY, "tftp=udp:127.0.0.1:0"), ("'tftp'", "already")),
        (("tftp=tcp:127.0.0.1:0",), ("'tftp'", "not of UDP", "FileDescriptorName=")),
        (("report=udp:127.0.0.1:0",), ("'report'", "not of TCP")),
        (("tftp=udp6::::0",), ("'tftp'", "not of IPv4")),
        (("tftp=udp:0.0.0.0:unbound",), ("'tftp'", "no port")),
    ],
)
def test_a_socket_that_is_not_what_it_is_called_is_named(
    home: Home, sockets: Sequence[str], words: Sequence[str]
) -> None:
    fails(home, sockets, *words)


def test_a_dhcp_port_for_a_point_that_does_not_listen_there_is_refused_with_both_ways_out(home: Home) -> None:
    home.run("dp", "set", "--no-listen-on-dhcp-port")
    fails(home, ANY, "systemctl disable --now pxefast-dhcp.socket", "--listen-on-dhcp-port")


def test_sockets_for_another_process_are_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with Service(home, {"LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "dhcp:boot:tftp"}) as service:
        assert service.ports


def test_the_well_known_ports_are_served_and_handed_on_without_any_capability(
    lan: Lan, tmp_path: Path
) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("setpriv is missing: apt-get install util-linux")
    home = Home(tmp_path / "home", {"log": {"format": "json"}})
    home.answer()
    image = home.publish(write_files(tmp_path / "image", {"boot.efi": CONTENT}), uefi="boot.efi")
    without = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    sockets = ("dhcp=udp:0.0.0.0:67", "boot=udp:0.0.0.0:4011", "tftp=udp:0.0.0.0:69")
    with lan.server:
        service = activated(home, *sockets, *without)
    with service:
        for _ in range(2):
            status = Path(f"/proc/{service.pid}/status").read_text()
            assert {line for line in status.splitlines() if line.startswith(("CapEff", "CapBnd"))} == {
                f"CapEff:\t{0:016x}",
                f"CapBnd:\t{0:016x}",
            }
            with lan.client, Peer(69, "0.0.0.0", SERVER) as peer:
                assert peer.fetch(f"SMSImages/{image}/boot.efi") == CONTENT
            service.reload()
