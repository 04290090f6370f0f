"""The units of packaging/ under a real systemd, put there as docs/tftp.md tells."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .loopback.home import write_files
from .loopback.host import Host, HostHome, host_or_skip
from .loopback.lan import CLIENT, SERVER, Lan, lan_or_skip
from .loopback.machine import CLIENT_PORT, Client
from .loopback.peer import DATA, Fetch, Peer, request
from .loopback.service import Event, eventually

DOCUMENT = Path(__file__).parent.parent / "docs" / "tftp.md"
SERVICE = "pxefast.service"
LARGE = random.Random(30).randbytes(200_000)
SMALL = random.Random(31).randbytes(1_300)
BOOT = random.Random(32).randbytes(2_600)
FILES = {"large.bin": LARGE, "small.bin": SMALL, "boot.efi": BOOT}


class Point:
    """A distribution point on a host of its own, and a client's way to it."""

    def __init__(self, host: Host) -> None:
        self.host, self.home = host, HostHome(host)
        steps = re.search(r"### Socket units\n.*?\n\n((?:    [^\n]+\n)+)", DOCUMENT.read_text(), re.DOTALL)
        assert steps
        host.run("bash", "-ec", "cd /opt/pxefast\n" + steps[1])
        write_files(host.root / "srv" / "image", FILES)
        self.image = self.home.publish(Path("/srv/image"), uefi="boot.efi")
        eventually(self.serves)

    def serves(self) -> bool:
        with self.peer() as peer:
            first = peer.ask(self.name("small.bin"))
            return first.opcode == DATA and peer.rest(first, 512, 1) == SMALL

    def events(self, kind: str) -> list[Event]:
        """What the service has logged of a kind of event."""
        lines = self.host.run("journalctl", "--unit", SERVICE, "--output", "cat").splitlines()
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if event["event"] == kind]

    def show(self, what: str, unit: str = SERVICE) -> str:
        return self.host.run("systemctl", "show", "--value", "--property", what, unit)

    def peer(self) -> Peer:
        return Peer(69, CLIENT, SERVER)

    def name(self, file: str) -> str:
        return f"SMSImages/{self.image}/{file}"

    def fetch(self, file: str, *options: tuple[str, object]) -> bytes:
        with self.peer() as peer:
            return peer.fetch(self.name(file), options)


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    lan: Lan = lan_or_skip()
    host = host_or_skip(tmp_path_factory.mktemp("host"), lan.server)
    try:
        with lan.client:
            yield Point(host)
    finally:
        host.close()
        lan.close()


def test_the_steps_of_the_manual_lead_to_a_service_that_serves_without_any_privilege(point: Point) -> None:
    assert point.fetch("large.bin", ("blksize", 1400), ("windowsize", 16)) == LARGE
    status = point.host.run("cat", f"/proc/{point.show('MainPID')}/status")
    told = dict(line.split(":\t", 1) for line in status.splitlines())
    assert "0" not in told["Uid"].split()
    assert {told[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    assert point.home.status()["problems"] == []


def test_a_machine_is_told_what_to_boot_and_only_once(point: Point) -> None:
    client = Client("02:00:00:00:00:01", "11111111-2222-3333-4444-555555555555", address="", port=CLIENT_PORT)
    point.home.answer()
    point.home.device("pc", client.mac, client.guid)
    deployed = point.home.deploy(point.image, ["pc"])
    explained = ("explain", "--mac", client.mac, "--smbios-guid", client.guid, "--arch", "x64", "--json")
    eventually(lambda: deployed.id in point.home.command(*explained).out)
    with client:
        file = client.boot_from(SERVER, 1)
        with point.peer() as peer:
            assert peer.fetch(file) == BOOT
        client.discover_by_broadcast(2)
        (again,) = eventually(
            lambda: [event for event in point.events("request") if event["xid"] == "00000002"]
        )
    assert again["sent_to"] is None
    assert again["deployment"] == deployed.id


def test_the_service_brings_what_its_group_gets(point: Point) -> None:
    (name,) = (dp["name"] for dp in json.loads(point.home.run("dp", "list", "--json")))
    files = write_files(point.host.root / "srv" / "second", {"second.bin": LARGE})
    image = point.home.run("boot-image", "add", f"/srv/{files.name}", "--name", "second", "--arch", "x64",
                           "--boot-program=uefi=second.bin", "--quiet")  # fmt: skip
    point.home.run("distribution-point-group", "create", "north")
    point.home.run("content", "distribute", image, "--group", "north")
    point.home.run("distribution-point-group", "add", "north", "--dp", name)

    def work() -> list[str]:
        return [event["content"] for event in point.events("service") if event.get("image") == image]

    eventually(lambda: work() == ["begun", "served"])
    with point.peer() as peer:
        assert peer.fetch(f"SMSImages/{image}/second.bin") == LARGE


def test_a_reload_takes_the_new_settings_and_lets_a_transfer_of_the_old_service_end(point: Point) -> None:
    settings, old = point.home.folder / "pxefast.toml", point.show("MainPID")
    before = settings.read_text()
    with point.peer() as peer, point.peer() as later:
        fetch = Fetch(peer, point.name("large.bin"))
        settings.write_text(before.replace("[tftp]\n", "[tftp]\nmax_block_size = 1024\n"))
        point.host.run("systemctl", "reload", SERVICE)
        eventually(lambda: point.show("MainPID") not in (old, "0"))
        assert dict(later.ask(point.name("small.bin"), [("blksize", 1400)]).options) == {"blksize": "1024"}
        assert fetch.end() == LARGE
    eventually(lambda: not (point.host.root / "proc" / old).exists())
    assert (point.show("ActiveState"), point.show("NRestarts")) == ("active", "0")
    settings.write_text(before)
    point.host.run("systemctl", "reload", SERVICE)
    assert point.fetch("small.bin") == SMALL


def test_a_service_that_dies_is_started_again_and_what_was_asked_meanwhile_is_answered(point: Point) -> None:
    old = point.show("MainPID")
    point.host.run("kill", "-KILL", old)
    assert point.fetch("small.bin") == SMALL
    assert point.show("MainPID") != old


def test_a_request_starts_a_service_that_was_stopped_alone(point: Point) -> None:
    point.host.run("systemctl", "stop", SERVICE)
    assert point.show("ActiveState") == "inactive"
    assert point.fetch("small.bin") == SMALL
    assert point.show("ActiveState") == "active"


def test_a_filter_of_system_calls_that_keeps_files_from_being_opened_is_named(point: Point) -> None:
    unit = write_files(
        point.host.root / "run/systemd/system/pxefast.service.d",
        {"more.conf": b"[Service]\nRestrictSUIDSGID=yes\nRestart=no\n"},
    )
    point.host.run("systemctl", "daemon-reload")
    assert point.host.command("systemctl", "restart", SERVICE).code == 1
    last = point.host.run(
        "journalctl", "--unit", SERVICE, "--output", "cat", "--identifier", "pxefast"
    ).splitlines()[-1]
    assert "files cannot be opened to be served" in last
    assert "RestrictSUIDSGID" in last
    assert point.show("ExecMainStatus") == "3"
    (unit / "more.conf").unlink()
    point.host.run("systemctl", "daemon-reload")
    point.host.run("systemctl", "reset-failed", SERVICE)
    assert point.fetch("small.bin") == SMALL


def test_the_same_filter_is_named_to_who_serves_a_folder_alone(point: Point) -> None:
    command = b"pxefast tftp /srv/image --host 127.0.0.1 --port 0"
    unit = b"[Service]\nType=oneshot\nRestrictSUIDSGID=yes\nExecStart=" + command + b"\n"
    write_files(point.host.root / "run/systemd/system", {"alone.service": unit})
    assert point.host.command("systemctl", "start", "alone").code == 1
    told = point.host.run("journalctl", "--unit", "alone", "--output", "cat", "--identifier", "pxefast")
    assert "files cannot be opened to be served" in told
    assert "Traceback" not in told
    assert point.show("ExecMainStatus", "alone") == "3"


def test_a_service_that_is_stopped_with_its_sockets_ends_its_transfers_and_stays_stopped(
    point: Point,
) -> None:
    with point.peer() as peer, point.peer() as late:
        fetch = Fetch(peer, point.name("large.bin"))
        point.host.run("systemctl", "stop", "--no-block", "pxefast-*.socket")
        eventually(lambda: point.show("StatusText") == "ends; 1 transfer under way")
        late.tell(request(point.name("small.bin")))
        assert fetch.end() == LARGE
        eventually(lambda: point.show("ActiveState", "pxefast-tftp.socket") == "inactive")
        late.socket.connect(late.door)
        late.socket.send(request(point.name("small.bin")))
        with pytest.raises(ConnectionRefusedError):
            late.socket.recv(2000)
    assert point.show("ActiveState") == "inactive"
    assert not [event for event in point.events("service") if event["level"] == "error"]
