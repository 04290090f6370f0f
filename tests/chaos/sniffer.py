"""What was really sent: every UDP packet of the test's network, recorded by the kernel, decoded without pxefast's code.

A launch file of these tests ends with the byte 0xFF, which no other byte of any served file is (`files`): a DATA packet
that holds it is one that completed a launch file.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .database import Row

ETH_P_IP = 0x0800
ETHERNET, IP_UDP = 14, 17
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
BUFFER_BYTES = 128 << 20
DHCP, BOOT, TFTP = 67, 4011, 69
DATA = 3
LAST_BYTE = b"\xff"

Address = tuple[str, int]


@dataclass(frozen=True)
class Question:
    """A DHCP packet of a machine."""

    time: float
    mac: str
    xid: int
    server: str
    port: int


@dataclass(frozen=True)
class Reply:
    """A DHCP packet of a server; `rows` is what the database held for the machine just after it."""

    time: float
    mac: str
    xid: int
    server: str
    port: int
    file: str
    rows: Sequence[Row] | None = field(repr=False)


@dataclass(frozen=True)
class Completion:
    """A packet with the last byte of a launch file, from a transfer's own port to a machine's."""

    time: float
    server: Address
    client: Address
    rows: Sequence[Row] | None = field(repr=False)

    @property
    def transfer(self) -> tuple[Address, Address]:
        """What tells one transfer from all others."""
        return self.server, self.client


Sighting = Question | Reply | Completion
Look = Callable[[str], Sequence[Row] | None]


def decode(datagram: bytes, time: float, servers: Iterable[str], look: Look) -> Sighting | None:
    """What an IP packet says about a boot; None for anything else."""
    header = (datagram[0] & 15) * 4
    if datagram[9] != IP_UDP:
        return None
    source, destination = socket.inet_ntoa(datagram[12:16]), socket.inet_ntoa(datagram[16:20])
    source_port, port = struct.unpack_from("!HH", datagram, header)
    payload = datagram[header + 8 :]
    if port in (DHCP, BOOT) and destination in servers and len(payload) >= 240:
        return Question(time, payload[28:34].hex(":"), int.from_bytes(payload[4:8]), destination, port)
    if source not in servers or len(payload) < 4:
        return None
    if source_port in (DHCP, BOOT) and len(payload) >= 240:
        mac = payload[28:34].hex(":")
        file = payload[108:236].split(b"\0", 1)[0].decode("ascii", "replace")
        rows = look(mac) if file else None
        return Reply(time, mac, int.from_bytes(payload[4:8]), source, source_port, file, rows)
    if source_port != TFTP and payload[1] == DATA and LAST_BYTE in payload[4:]:
        return Completion(time, (source, source_port), (destination, port), look(destination))
    return None


class Sniffer:
    """Records on the loopback of the thread that makes it, until `end()`.

    `look` reads the ledger of a machine by its MAC or its address: at once, by a connection of its own. It is called
    in the sniffer's thread; None says that the database did not answer.
    """

    def __init__(self, servers: Iterable[str], look: Look) -> None:
        self._servers = frozenset(servers)
        self._look = look
        self.sightings: list[Sighting] = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.settimeout(0.1)
        # One protocol, so that loopback shows each packet once: on its way in.
        self._socket.bind(("lo", ETH_P_IP))
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="sniffer")
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                try:
                    frame, control, _, _ = self._socket.recvmsg(65600, 64)
                except TimeoutError:
                    if self._stop.is_set():
                        return
                    continue
                seconds, nanoseconds = struct.unpack("qq", control[0][2])
                seen = decode(frame[ETHERNET:], seconds + nanoseconds / 1e9, self._servers, self._look)
                if seen is not None:
                    self.sightings.append(seen)
        except BaseException as error:
            self._failure = error

    def end(self) -> list[Sighting]:
        """Everything seen. AssertionError if the kernel dropped a packet, or recording failed."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the sniffer is still behind"
        _, dropped = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._socket.close()
        assert self._failure is None, self._failure
        assert dropped == 0, f"{dropped} packets were not recorded"
        return self.sightings
