"""The direct style: a machine without an address, whose session's files are not for whoever asks first (D25)."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from ..loopback.home import LOOPBACK
from ..loopback.lan import CLIENT, OTHER, SERVER, Lan
from ..loopback.machine import DISCOVER, REQUEST, Client, checked
from ..loopback.peer import DATA, ERROR, Peer
from ..loopback.point import FILES, PROGRAMS, Point
from ..loopback.service import PATIENCE, eventually

MAC, GUID = "02:00:00:00:0d:01", "dddddddd-0000-0000-0000-000000000001"


class Bare(Client):
    """A client that has no address yet: its packets come from 0.0.0.0, and it hears what is broadcast."""

    def __init__(self, mac: str, guid: str) -> None:
        super().__init__(mac, guid, address="", port=68)
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._wire.bind(("eth0", 0))

    def __exit__(self, *_: object) -> None:
        self._wire.close()
        super().__exit__()

    def broadcast(self, packet: bytes, source: str = "0.0.0.0") -> None:
        """Send it to everybody."""
        ether = Ether(src=self.mac, dst="ff:ff:ff:ff:ff:ff")
        datagram = ether / IP(src=source, dst="255.255.255.255") / UDP(sport=68, dport=67) / packet
        self._wire.send(bytes(datagram))

    def offered(self, xid: int) -> str:
        """The boot file that the answer to a DISCOVER names."""
        discover = self.packet(DISCOVER, xid)
        self.broadcast(discover)
        self.socket.settimeout(PATIENCE)
        return str(checked(self.socket.recv(65536), discover).file.rstrip(b"\0").decode())

    def takes(self, address: str, xid: int) -> bytes:
        """What it says to its DHCP server: the address that it takes."""
        server = socket.inet_aton("192.0.2.7")
        return self.packet(REQUEST, xid, extra=((50, socket.inet_aton(address)), (54, server)))


@pytest.fixture(scope="module")
def direct(lan: Lan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    settings = {"log": {"format": "json"}, "dhcp.style": {"uefi_x64": "direct"}}
    with lan.server:
        point = Point(tmp_path_factory.mktemp("direct"), settings, FILES, PROGRAMS)
    with point:
        yield point


def machine(lan: Lan, point: Point, number: int) -> Bare:
    """A machine with a required boot."""
    mac, guid = f"{MAC[:-2]}{number:02x}", str(uuid.UUID(int=uuid.UUID(GUID).int + number))
    point.home.device(f"direct{number}", mac, guid)
    point.home.deploy(point.image, [f"direct{number}"])
    eventually(lambda: point.home.command("explain", "--mac", mac, "--json").out.count('"boot"'))
    with lan.client:
        return Bare(mac, guid)


def asked(lan: Lan, address: str, name: str) -> int:
    """What the answer to a read request of this address is."""
    with lan.client, Peer(69, address, SERVER) as peer:
        return peer.ask(name).opcode


def test_the_files_of_a_session_are_for_the_address_that_the_dhcp_server_gave(
    lan: Lan, direct: Point
) -> None:
    with machine(lan, direct, 1) as bare:
        name = bare.offered(0xD1)
        private = name.rpartition("/")[0] + "/session.env"
        assert asked(lan, OTHER, name) == DATA, "a boot program is no secret"
        assert asked(lan, OTHER, "session.env") == ERROR
        assert asked(lan, OTHER, private) == ERROR
        assert asked(lan, CLIENT, name) == DATA
        assert asked(lan, CLIENT, "session.env") == ERROR, "nobody knows yet who that is"
        bare.broadcast(bare.takes(CLIENT, 0xD1))
        eventually(lambda: asked(lan, CLIENT, "session.env") == DATA)
        assert asked(lan, OTHER, name) == DATA
        assert asked(lan, OTHER, "session.env") == ERROR


def test_who_is_not_the_machine_settles_nothing(lan: Lan, direct: Point) -> None:
    with machine(lan, direct, 2) as bare:
        name = bare.offered(0xD2)
        with lan.client, Peer(67, OTHER, SERVER, port=1068) as elsewhere:
            # From an address that is one already, and by no broadcast.
            elsewhere.tell(bare.takes(OTHER, 0xD2))
        bare.broadcast(bare.takes(OTHER, 0xD2), source=OTHER)
        bare.broadcast(bare.takes(OTHER, 0xD3))
        bare.broadcast(bare.takes(CLIENT, 0xD2))
        assert asked(lan, CLIENT, name) == DATA
        eventually(lambda: asked(lan, CLIENT, "session.env") == DATA)
        assert asked(lan, OTHER, name) == DATA
        assert asked(lan, OTHER, "session.env") == ERROR


def test_over_loopback_the_address_that_was_answered_has_the_session(tmp_path: Path) -> None:
    settings = {**LOOPBACK, "dhcp.style": {"uefi_x64": "direct"}}
    # More than one block, and the launch file: a machine that starts again is offered it again.
    files = {"boot.efi": b"x" * 5000}
    with Point(tmp_path, settings, files, {"uefi": "boot.efi"}) as point, ExitStack() as stack:
        client = point.machine()
        name = client.discover(0xD4).file
        assert name is not None

        def of(address: str, wanted: str) -> int:
            with Peer(point.service.ports["tftp"], address) as peer:
                return peer.ask(wanted).opcode

        stack.enter_context(client)
        assert of("127.0.9.9", name) == DATA
        assert of("127.0.9.9", "session.env") == ERROR
        assert of(client.address[0], name) == DATA
        assert of(client.address[0], "session.env") == DATA
