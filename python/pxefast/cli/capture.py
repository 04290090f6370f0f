"""UDP datagrams out of a capture file: pcap and pcapng, read once from front to back and a packet at a time.

What a capture holds was written by anybody: no length in it is believed, and what cannot be read is counted.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from pxefast import named_files
from pxefast.errors import CannotOpen, InputError

__all__ = ["Capture", "Datagram"]

# No link that PXE runs over has longer packets; a length beyond it is damage, and the file is not read on.
_LONGEST_PACKET = 1 << 18
_LONGEST_BLOCK = 1 << 24

# First four bytes, as a little-endian number -> byte order and ticks a second.
_PCAP = {
    0xA1B2C3D4: ("<", 10**6),
    0xD4C3B2A1: (">", 10**6),
    0xA1B23C4D: ("<", 10**9),
    0x4D3CB2A1: (">", 10**9),
}
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_TIME_RESOLUTION, _TIME_OFFSET = 9, 14

# Link type -> (bytes before the payload, where the protocol's number is); None where the payload is IP itself.
_ETHERNET, _SLL, _SLL2 = (14, 12), (16, 14), (20, 0)
_LINKS = {1: _ETHERNET, 113: _SLL, 276: _SLL2, 12: None, 14: None, 101: None, 228: None}
_IPV4 = 0x0800
_VLAN = (0x8100, 0x88A8, 0x9100)
_UDP = 17


class Datagram(NamedTuple):
    """A UDP datagram over IPv4; `time` in Unix seconds, None where the capture has none."""

    time: float | None
    source: str
    source_port: int
    destination: str
    port: int
    payload: bytes


class _Interface(NamedTuple):
    link: int
    ticks: int
    offset: int


class _Frame(NamedTuple):
    time: float | None
    link: int
    data: bytes
    whole: int


class _Left(Exception):  # noqa: N818  a packet that is left out; its text is what it is counted by
    pass


@dataclass
class Capture:
    """The datagrams to some ports of a capture file, in the file's order. Use it in a `with`; iterate it once.

    `counts` then says how many packets were read ("packets") and left out: "other" traffic, "truncated" by whoever
    captured, "malformed", "fragments", "unknown_link". `damage` says where the file stopped making sense, or None.
    Raises CannotOpen for a file that cannot be read, InputError for one that is no capture.
    """

    file: Path
    ports: Collection[int]

    def __post_init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.damage: str | None = None
        self.position = 0
        try:
            self._stream: BinaryIO = named_files.open_regular(self.file)
        except OSError as error:
            raise CannotOpen(f"cannot read {self.file}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def __iter__(self) -> Iterator[Datagram]:
        for frame in self._frames():
            self.counts["packets"] += 1
            try:
                yield self._datagram(frame)
            except _Left as left:
                self.counts[str(left)] += 1

    def _frames(self) -> Iterator[_Frame]:
        magic = self._read(4)
        number = int.from_bytes(magic, "little")
        if number == _SECTION:
            yield from self._pcapng()
        elif len(magic) == 4 and number in _PCAP:
            yield from self._pcap(*_PCAP[number])
        else:
            raise InputError(f"{self.file} is no capture: write one with tcpdump -w FILE, as pcap or pcapng")

    def _pcap(self, order: str, ticks: int) -> Iterator[_Frame]:
        header = self._read(20)
        if len(header) < 20:
            raise InputError(f"{self.file} is no capture: it ends within the header")
        link = struct.unpack_from(order + "I", header, 16)[0] & 0xFFFF
        record = struct.Struct(order + "IIII")
        while head := self._read(record.size):
            if len(head) < record.size:
                return self._damaged("it ends within a packet's header")
            seconds, fraction, length, whole = record.unpack(head)
            if length > _LONGEST_PACKET:
                return self._damaged(f"a packet of {length} bytes")
            data = self._read(length)
            if len(data) < length:
                return self._damaged("it ends within a packet")
            yield _Frame(seconds + fraction / ticks, link, data, whole)
        return None

    def _pcapng(self) -> Iterator[_Frame]:
        """Blocks of type, length, body and the length again; each section says its byte order anew."""
        order = "<"
        interfaces: list[_Interface] = []
        head = _SECTION.to_bytes(4, "little") + self._read(4)
        while head:
            if len(head) < 8:
                return self._damaged("it ends within a block's header")
            section = int.from_bytes(head[:4], "little") == _SECTION
            start = self._read(4) if section else b""
            if section:
                # The section's length is in the order that only the next field tells.
                order = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}.get(start, "")
                if not order:
                    raise InputError(f"{self.file} is no capture: its section has no byte order")
                interfaces = []
            kind, length = struct.unpack(order + "II", head)
            if not 12 + len(start) <= length <= _LONGEST_BLOCK or length % 4:
                return self._damaged(f"a block of {length} bytes")
            body = self._read(length - 8 - len(start))
            if len(body) < length - 8 - len(start):
                return self._damaged("it ends within a block")
            try:
                if kind == _INTERFACE:
                    interfaces.append(_interface(body[:-4], order))
                elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                    yield _packet(kind, body[:-4], order, interfaces)
            except (struct.error, IndexError):
                self.counts["packets"] += 1
                self.counts["malformed"] += 1
            head = self._read(8)
        return None

    def _read(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except OSError as error:
            raise CannotOpen(f"cannot read {self.file}: {error.strerror}") from None
        self.position += len(data)
        return data

    def _damaged(self, what: str) -> None:
        self.damage = f"byte {self.position}: {what}"

    def _datagram(self, frame: _Frame) -> Datagram:
        """The frame's datagram. Raises _Left where it has none that is asked for."""
        if frame.link not in _LINKS:
            raise _Left("unknown_link")
        short = "truncated" if len(frame.data) < frame.whole else "malformed"
        try:
            packet = _network(frame.data, _LINKS[frame.link])
            source, destination, segment = _ipv4(packet, short)
            source_port, port, length = struct.unpack_from("!HHH", segment)
        except (struct.error, IndexError):
            raise _Left(short) from None
        if port not in self.ports:
            raise _Left("other")
        if length < 8:
            raise _Left("malformed")
        if length > len(segment):
            raise _Left(short)
        return Datagram(frame.time, source, source_port, destination, port, segment[8:length])


def _interface(body: bytes, order: str) -> _Interface:
    link = struct.unpack_from(order + "H", body)[0]
    ticks, offset, at = 10**6, 0, 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + length]
        if code == _TIME_RESOLUTION and length == 1:
            # The highest bit says whether the rest is a power of 2 or of 10.
            ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == _TIME_OFFSET and length == 8:
            offset = struct.unpack(order + "q", value)[0]
        at += 4 + length + -length % 4
    return _Interface(link, ticks, offset)


def _packet(kind: int, body: bytes, order: str, interfaces: list[_Interface]) -> _Frame:
    """A packet block's frame. Raises struct.error or IndexError for one that is malformed."""
    if kind == _SIMPLE_PACKET:
        whole = struct.unpack_from(order + "I", body)[0]
        return _Frame(None, interfaces[0].link, body[4 : 4 + whole], whole)
    layout = "IIIII" if kind == _PACKET else "HxxIIII"
    number, high, low, length, whole = struct.unpack_from(order + layout, body)
    interface = interfaces[number]
    if length > len(body) - 20:
        raise IndexError
    time = interface.offset + ((high << 32) + low) / interface.ticks
    return _Frame(time, interface.link, body[20 : 20 + length], whole)


def _network(data: bytes, link: tuple[int, int] | None) -> bytes:
    """The IPv4 packet in a frame, behind any VLAN tags."""
    if link is None:
        return data
    start, where = link
    protocol = struct.unpack_from("!H", data, where)[0]
    while protocol in _VLAN:
        protocol = struct.unpack_from("!H", data, start + 2)[0]
        start += 4
    if protocol != _IPV4:
        raise _Left("other")
    return data[start:]


def _ipv4(packet: bytes, short: str) -> tuple[str, str, bytes]:
    """Source, destination and what UDP made of it."""
    first, total = struct.unpack_from("!BxH", packet)
    flags, protocol = struct.unpack_from("!HxB", packet, 6)
    header = (first & 0xF) * 4
    if first >> 4 != 4 or protocol != _UDP:
        raise _Left("other")
    if header < 20 or total < header:
        raise _Left("malformed")
    # More to come (0x2000), or not the first (0x1FFF): no boot request was ever seen in pieces.
    if flags & 0x3FFF:
        raise _Left("fragments")
    if len(packet) < total and short == "malformed":
        raise _Left("malformed")
    source, destination = struct.unpack_from("!4s4s", packet, 12)
    return str(IPv4Address(source)), str(IPv4Address(destination)), packet[header:total]
