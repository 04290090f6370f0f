"""A TFTP client down to the datagram (RFC 1350, 2347 to 2349, 7440), so that it can misbehave."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)
Option = tuple[str, object]


class Packet(NamedTuple):
    """A TFTP packet: the block number or error code, and what follows it."""

    opcode: int
    number: int
    rest: bytes
    source: tuple[str, int]

    @property
    def options(self) -> list[tuple[str, str]]:
        """What an OACK grants, in its order."""
        assert self.opcode == OACK, self
        parts = self.rest.decode().split("\0")
        assert parts.pop() == ""
        return list(zip(parts[::2], parts[1::2], strict=True))


def request(
    name: str | bytes, options: Sequence[Option] = (), mode: str = "octet", opcode: int = RRQ
) -> bytes:
    """A read request; `name` as bytes goes out as it is."""
    raw = name if isinstance(name, bytes) else name.encode()
    words = "".join(f"{key}\0{value}\0" for key, value in options)
    return struct.pack("!H", opcode) + raw + b"\0" + mode.encode() + b"\0" + words.encode()


class Peer:
    """One UDP port of a client."""

    def __init__(
        self, door: int, address: str = "127.0.0.2", server: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.door = (server, door)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.bind((address, port))
        self.server: tuple[str, int] | None = None

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, name: str | bytes, options: Sequence[Option] = (), mode: str = "octet") -> Packet:
        """Send a read request to the well-known port; the first packet that answers it."""
        self.tell(request(name, options, mode))
        return self.receive()

    def tell(self, datagram: bytes) -> None:
        """Send any bytes to the well-known port."""
        self.socket.sendto(datagram, self.door)

    def receive(self, seconds: float = 10) -> Packet:
        """The next packet; what comes from a new port is the transfer's."""
        self.socket.settimeout(seconds)
        datagram, self.server = self.socket.recvfrom(65536)
        assert self.server[1] != self.door[1], "nothing is ever sent from the well-known port"
        opcode = struct.unpack_from("!H", datagram)[0]
        if opcode == OACK:
            return Packet(opcode, 0, datagram[2:], self.server)
        return Packet(opcode, struct.unpack_from("!H", datagram, 2)[0], datagram[4:], self.server)

    def send(self, opcode: int, number: int, rest: bytes = b"") -> None:
        """Send a packet to the transfer."""
        assert self.server
        self.socket.sendto(struct.pack("!HH", opcode, number) + rest, self.server)

    def ack(self, block: int) -> None:
        self.send(ACK, block % 65536)

    def fetch(self, name: str | bytes, options: Sequence[Option] = ()) -> bytes:
        """A whole file, over a path that neither loses nor reorders."""
        first = self.ask(name, options)
        granted = dict(first.options) if first.opcode == OACK else {}
        size, window = int(granted.get("blksize", 512)), int(granted.get("windowsize", 1))
        if first.opcode == OACK:
            self.ack(0)
            first = self.receive()
        return self.rest(first, size, window)

    def rest(self, packet: Packet, size: int, window: int, block: int = 1) -> bytes:
        """The file from `packet` on, which is this block."""
        return b"".join(self.blocks(packet, size, window, block))

    def blocks(self, packet: Packet, size: int, window: int, block: int = 1) -> Iterator[bytes]:
        """The same block by block, each before the window that holds it is acknowledged.

        What the server's timer sends again, for a reader that takes long, is passed over.
        """
        while True:
            while packet.opcode == DATA and 0 < (block - packet.number) % 65536 <= window:
                packet = self.receive()
            assert (packet.opcode, packet.number) == (DATA, block % 65536), (
                block,
                packet[:2],
                packet.rest[:80],
            )
            yield packet.rest
            last = len(packet.rest) < size
            if last or block % window == 0:
                self.ack(block)
            if last:
                return
            packet = self.receive()
            block += 1


class Fetch:
    """A transfer under way, in lock step: its first block has come, and it goes on when told."""

    def __init__(self, peer: Peer, name: str, size: int = 1400) -> None:
        self._peer, self._size = peer, size
        assert peer.ask(name, [("blksize", size)]).options == [("blksize", str(size))]
        peer.ack(0)
        self._first = peer.receive()
        while self._first.opcode == OACK:
            self._first = peer.receive()

    def end(self) -> bytes:
        """The whole file. What was sent again meanwhile is passed over."""
        return self._peer.rest(self._first, self._size, 1)
