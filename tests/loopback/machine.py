"""A machine that boots from the network, scripted with scapy, which knows nothing of pxefast's own wire."""

from __future__ import annotations

import itertools
import socket
import uuid
from typing import Any, NamedTuple, Self

from scapy.layers.dhcp import BOOTP, DHCP

from .service import PATIENCE, Event, Service

COOKIE = b"\x63\x82\x53\x63"
UEFI_X64 = 7
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
DHCP_PORT, BOOT_PORT, CLIENT_PORT = 67, 4011, 68

_numbers = itertools.count(0x10000000)


class Answer(NamedTuple):
    """A question's event, and the packet that answered it, if one did."""

    event: Event
    reply: BOOTP | None
    source: tuple[str, int] | None

    @property
    def codes(self) -> list[str]:
        """The codes of the reasons."""
        return [reason["code"] for reason in self.event["reasons"]]

    @property
    def file(self) -> str | None:
        """The boot file that the packet names."""
        return None if self.reply is None else self.reply.file.rstrip(b"\0").decode()


class Client:
    """A client with one MAC address and SMBIOS GUID, and its questions.

    An iPXE is a client with `ipxe` set: the second stage of a boot is another client with the same MAC.
    """

    def __init__(
        self, mac: str, guid: str, address: str = "127.0.0.2", architecture: int = UEFI_X64, ipxe: bool = False,
        port: int = 0,
    ) -> None:  # fmt: skip
        self.mac, self.guid, self.architecture, self.ipxe = mac, guid, architecture, ipxe
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.bind((address, port))
        self.address: tuple[str, int] = self.socket.getsockname()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def packet(
        self, message_type: int, xid: int, extra: tuple[tuple[int, bytes], ...] = (), **header: Any
    ) -> bytes:
        """A question as UEFI firmware or iPXE asks it; `extra` options at the end, `header` fields of BOOTP."""
        options: list[Any] = [
            ("message-type", message_type),
            (60, f"PXEClient:Arch:{self.architecture:05}:UNDI:003000".encode()),
            (93, self.architecture.to_bytes(2, "big")),
            (94, bytes([1, 3, 0])),
            (97, b"\0" + uuid.UUID(self.guid).bytes_le),
        ]
        if self.ipxe:
            options.append((77, b"iPXE"))
        fields = {"chaddr": bytes.fromhex(self.mac.replace(":", "")), "xid": xid, "flags": "B", **header}
        return bytes(BOOTP(**fields) / DHCP(options=[*options, *extra, "end"]))

    def discover_by_broadcast(self, xid: int) -> bytes:
        """Ask who serves PXE: the question."""
        packet = self.packet(DISCOVER, xid)
        self.socket.sendto(packet, ("255.255.255.255", DHCP_PORT))
        return packet

    def boot_from(self, server: str, xid: int) -> str:
        """What firmware does on a network: discover by broadcast, and ask the server that answers. The boot file."""
        self.socket.settimeout(PATIENCE)
        discover = self.discover_by_broadcast(xid)
        assert checked(self.socket.recv(65536), discover).siaddr == server
        request = self.packet(REQUEST, xid)
        self.socket.sendto(request, (server, BOOT_PORT))
        return checked(self.socket.recv(65536), request).file.rstrip(b"\0").decode()

    def received(self) -> list[tuple[bytes, tuple[str, int]]]:
        """What has arrived and was not taken yet. Loopback delivers before the sender goes on."""
        return pending(self.socket)


class Machine(Client):
    """A client at an address of its own on loopback, that reads the events of its service."""

    def __init__(self, service: Service, mac: str, guid: str, **more: Any) -> None:
        super().__init__(mac, guid, **more)
        self.service = service
        self.server = "127.0.0.1"

    def discover(self, xid: int | None = None, **more: Any) -> Answer:
        """Ask on the DHCP port who serves PXE; a new boot unless `xid` says which."""
        return self.ask("dhcp", self.packet(DISCOVER, next(_numbers) if xid is None else xid, **more))

    def request(self, xid: int | None = None, **more: Any) -> Answer:
        """Ask on the boot server's port what to boot."""
        return self.ask("boot", self.packet(REQUEST, next(_numbers) if xid is None else xid, **more))

    def boot(self) -> Answer:
        """Discover, and request where an offer came: the last answer."""
        xid = next(_numbers)
        offer = self.discover(xid)
        return offer if offer.reply is None else self.request(xid)

    def ask(self, port: str, packet: bytes) -> Answer:
        """Send a question; the answer, or the certainty that there is none: its event is written after it."""
        xid = packet[4:8].hex()
        after = len(self.service.events)
        self.socket.sendto(packet, (self.server, self.service.ports[port]))
        event = self.service.event("request", lambda event: event["xid"] == xid, after=after)
        if event["sent_to"] is None:
            assert not self.received()
            return Answer(event, None, None)
        self.socket.settimeout(PATIENCE)
        payload, source = self.socket.recvfrom(65536)
        assert not self.received(), "one answer a question"
        return Answer(event, checked(payload, packet), source)


def pending(sock: socket.socket) -> list[tuple[bytes, tuple[str, int]]]:
    """Every datagram that waits in a socket."""
    arrived = []
    sock.setblocking(False)
    try:
        while True:
            arrived.append(sock.recvfrom(65536))
    except BlockingIOError:
        return arrived
    finally:
        sock.setblocking(True)


def options(payload: bytes) -> list[tuple[int, bytes]]:
    """Code and value of each option in its order, padding aside."""
    assert payload[236:240] == COOKIE
    found, at = [], 240
    while payload[at] != 255:
        if payload[at] == 0:
            at += 1
            continue
        length = payload[at + 1]
        found.append((payload[at], payload[at + 2 : at + 2 + length]))
        at += 2 + length
    return found


def checked(payload: bytes, question: bytes) -> BOOTP:
    """An answer as scapy reads it, once it has kept every promise that all answers keep."""
    reply, asked, said = BOOTP(payload), BOOTP(question), dict(options(payload))
    assert reply.op == 2
    assert said[53] in (bytes([OFFER]), bytes([ACK])), "never a NAK"
    assert reply.yiaddr == "0.0.0.0", "no address is ever leased"
    assert not {1, 3, 51} & said.keys(), "no network settings either"
    assert said[60] == b"PXEClient"
    assert b"PXEClient" in question, "only PXE clients are answered"
    assert said[54] == bytes(map(int, reply.siaddr.split(".")))
    for field in ("xid", "htype", "hlen", "giaddr"):
        assert getattr(reply, field) == getattr(asked, field), field
    assert payload[28:44] == question[28:44], "chaddr"
    assert 300 <= len(payload) <= 1472
    assert [option for option in reply[DHCP].options if isinstance(option, tuple)], "scapy reads options"
    return reply
