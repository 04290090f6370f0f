"""A machine that boots from the network as UEFI firmware does, over a bad network, by nothing but its own bytes.

It asks every server, takes the first answer that names a file, fetches that file and then the launch file beside it.
Whoever has the whole launch file is imaged: that is counted here, and by the sniffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

DISCOVER, REQUEST = 1, 3
DHCP, BOOT, TFTP = 67, 4011, 69
RRQ, DATA, ACK, ERROR, OACK = 1, 3, 4, 5, 6
UEFI_X64 = 7
# Real firmware waits 4 s and longer; these machines have less time.
ANSWER_SECONDS, TRIES = 0.12, 3
BLOCK_SECONDS, BLOCK_TRIES = 0.12, 5

Address = tuple[str, int]
Outcome = Literal["imaged", "silence", "cut", "refused", "rebooted"]


@dataclass(frozen=True)
class Network:
    """How bad it is: chances of a datagram, either way, to be lost, doubled or late (by up to `late_seconds`)."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    late_seconds: float = 0.3


GOOD = Network()
BAD = Network(lost=0.05, doubled=0.1, late=0.1)


class Port(asyncio.DatagramProtocol):
    """One UDP port of a machine behind its bad network."""

    def __init__(self, network: Network, numbers: random.Random) -> None:
        self._network, self._numbers = network, numbers
        self.received: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport

    @classmethod
    async def open(cls, address: Address, network: Network, numbers: random.Random) -> Port:
        loop = asyncio.get_running_loop()
        _, port = await loop.create_datagram_endpoint(lambda: cls(network, numbers), local_addr=address)
        return port

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        for delay in self._fate():
            asyncio.get_running_loop().call_later(delay, self.received.put_nowait, (data, addr))

    def send(self, data: bytes, to: Address) -> None:
        for delay in self._fate():
            if delay:
                asyncio.get_running_loop().call_later(delay, self._send, data, to)
            else:
                self._send(data, to)

    def _send(self, data: bytes, to: Address) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(data, to)

    def _fate(self) -> list[float]:
        """After how many seconds each copy of a datagram goes on."""
        chance, bad = self._numbers.random, self._network
        if chance() < bad.lost:
            return []
        copies = 2 if chance() < bad.doubled else 1
        return [chance() * bad.late_seconds if chance() < bad.late else 0.0 for _ in range(copies)]

    def close(self) -> None:
        self._transport.close()


@dataclass
class Machine:
    """`number` makes its MAC, GUID and address. `reboots`: the chance, at each step of a boot, to be switched off."""

    number: int
    servers: Sequence[str]
    launch_file: str
    network: Network
    numbers: random.Random
    reboots: float = 0.0
    imaged: list[str] = field(default_factory=list)
    """What it booted with each time that it got a whole launch file."""

    def __post_init__(self) -> None:
        self.name = f"pc{self.number:04}"
        self.mac = bytes([2, 0, 0, 0, *self.number.to_bytes(2)]).hex(":")
        self.guid = uuid.uuid5(uuid.NAMESPACE_DNS, self.name)
        self.address = f"127.1.{self.number >> 8}.{self.number & 255}"
        self._xid = 0
        self._server = ""
        self._port: Port | None = None

    async def boot(self) -> Outcome:
        """One start: from the first DISCOVER to the end of the launch file, or to wherever it ends."""
        if self._port is None:
            self._port = await Port.open((self.address, 68), self.network, self.numbers)
        # Some firmware begins every boot with the same transaction id.
        if self._xid == 0 or self.numbers.random() < 0.8:
            self._xid = self.numbers.randrange(1, 1 << 32)
        try:
            if await self._ask(DISCOVER, DHCP) is None:
                return "silence"
            named = await self._ask(REQUEST, BOOT)
            if named is None:
                return "silence"
            server, file = named
            folder = file.rsplit("/", 1)[0]
            for needed in (file, f"{folder}/{self.launch_file}"):
                fetched = await self._fetch(server, needed)
                if isinstance(fetched, str):
                    return fetched
            self.imaged.append(file)
            self._server = server
            return "imaged"
        except SwitchedOffError:
            return "rebooted"

    async def environment(self) -> dict[str, str]:
        """What the server tells the boot environment: `session.env` of its newest boot."""
        fetched = await self._fetch(self._server, "session.env")
        assert isinstance(fetched, bytes), fetched
        return dict(line.split("=", 1) for line in fetched.decode().splitlines())

    async def report(self, environment: Mapping[str, str], kind: str) -> int | None:
        """Say `started`, `done` or `failed`; the HTTP status, None where no answer came."""
        url = urlsplit(environment["PXEFAST_REPORT_URL"])
        try:
            reader, writer = await asyncio.open_connection(
                url.hostname, url.port, local_addr=(self.address, 0)
            )
            head = f"POST {url.path}/{kind} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 0\r\n"
            writer.write(f"{head}Authorization: Bearer {environment['PXEFAST_TOKEN']}\r\n\r\n".encode())
            status = await reader.readline()
            writer.close()
        except OSError:
            return None
        return int(status.split()[1]) if status else None

    def close(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None

    def _may_reboot(self) -> None:
        if self.numbers.random() < self.reboots:
            raise SwitchedOffError

    def packet(self, message_type: int, seconds: int = 0) -> bytes:
        mac = bytes.fromhex(self.mac.replace(":", ""))
        own = bytes(4) if message_type == DISCOVER else bytes(map(int, self.address.split(".")))
        flags = 0x8000 if message_type == DISCOVER else 0
        header = struct.pack("!BBBBIHH", 1, 1, 6, 0, self._xid, seconds, flags) + own + bytes(12)
        options = (
            (53, bytes([message_type])),
            (60, f"PXEClient:Arch:{UEFI_X64:05}:UNDI:003000".encode()),
            (93, UEFI_X64.to_bytes(2)),
            (94, bytes([1, 3, 0])),
            (97, b"\0" + self.guid.bytes_le),
        )
        encoded = b"".join(bytes([code, len(value)]) + value for code, value in options)
        return header + mac.ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63" + encoded + b"\xff"

    async def _ask(self, message_type: int, port: int) -> tuple[str, str] | None:
        """Ask every server until one answers: it, and the file that it names. A request needs a file."""
        assert self._port
        for seconds in range(TRIES):
            self._may_reboot()
            for server in self.servers:
                self._port.send(self.packet(message_type, seconds), (server, port))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS * (seconds + 1)):
                    while True:
                        reply, (server, source) = await self._port.received.get()
                        named = reply[108:236].split(b"\0", 1)[0].decode()
                        if reply[4:8] != self._xid.to_bytes(4) or source != port:
                            continue
                        if named or message_type == DISCOVER:
                            return server, named
        return None

    async def _fetch(self, server: str, file: str) -> bytes | Outcome:
        """Read a file by TFTP, or what came of it."""
        self._may_reboot()
        port = await Port.open((self.address, 0), self.network, self.numbers)
        try:
            return await self._transfer(port, server, file)
        finally:
            port.close()

    async def _transfer(self, port: Port, server: str, file: str) -> bytes | Outcome:
        size, window = self.numbers.choice((512, 700, 1024, 1432)), self.numbers.choice((1, 1, 2, 4, 16))
        words = [file, "octet", "blksize", str(size), "windowsize", str(window)]
        if self.numbers.random() < 0.5:
            words += ["tsize", "0"]
        if self.numbers.random() < 0.2:
            words, size, window = words[:2], 512, 1
        last = struct.pack("!H", RRQ) + b"".join(word.encode() + b"\0" for word in words)
        peer, block, silent = (server, TFTP), 0, 0
        content = bytearray()
        port.send(last, peer)
        while silent < BLOCK_TRIES:
            try:
                async with asyncio.timeout(BLOCK_SECONDS):
                    packet, source = await port.received.get()
            except TimeoutError:
                silent += 1
                port.send(last, peer)
                continue
            if peer[1] == TFTP:
                peer = source
            elif source != peer:
                continue
            opcode, number = struct.unpack_from("!HH", packet)
            if opcode == ERROR:
                return "refused"
            if opcode == OACK and block == 0:
                last = struct.pack("!HH", ACK, 0)
                port.send(last, peer)
            elif opcode == DATA:
                silent = 0
                ends = len(packet) < size + 4
                if number == (block + 1) & 0xFFFF:
                    block += 1
                    content += packet[4:]
                    self._may_reboot()
                    last = struct.pack("!HH", ACK, block & 0xFFFF)
                    if ends or block % window == 0:
                        port.send(last, peer)
                    if ends:
                        return bytes(content)
        return "cut"


class SwitchedOffError(Exception):
    """The machine was, in the middle of a boot."""
