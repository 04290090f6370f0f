"""What firmware and Microsoft's first programs say on ports 67 and 4011, and what an answer must be (W-1 to W-70)."""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
COOKIE = bytes.fromhex("63825363")
BIOS, X86, X64, ARM64 = 0, 6, 7, 11
NAMES = {BIOS: "x64", X86: "x86", X64: "x64", ARM64: "arm64"}
# Of wdsnbp.com and wdsmgfw.efi, all machines alike (W-66).
LOADER_XID = bytes.fromhex("40e20100")
APPROVAL = 1
OPT_IN, NO_PROMPT = 1, 2
# An answer that every client takes (W-8).
MOST = 548

Options = Sequence[tuple[int, bytes]]
_numbers = itertools.count(0x31000000)


@dataclass(frozen=True)
class Firmware:
    """How one kind of firmware asks."""

    name: str
    architecture: int
    interface: bytes
    most: int
    kind: Literal["bios", "uefi", "ipxe"]

    @property
    def identity(self) -> list[tuple[int, bytes]]:
        """Options 93, 94 and 60."""
        text = f"PXEClient:Arch:{self.architecture:05}:UNDI:{self.interface[1]:03}{self.interface[2]:03}"
        return [(93, self.architecture.to_bytes(2, "big")), (94, self.interface), (60, text.encode())]

    def ask(self, message: int, guid: uuid.UUID) -> list[tuple[int, bytes]]:
        """The options of a question, in this firmware's order."""
        head = [(53, bytes([message])), (57, self.most.to_bytes(2, "big"))]
        wants = (55, bytes([1, 3, 43, 54, 60, 66, 67, 97, *range(128, 136)]))
        rom_wants = (55, bytes([1, 2, 3, 5, 6, 11, 12, 13, 15, 16, 17, 18, 43, 54, 60, 67, *range(128, 136)]))
        serial = (97, b"\0" + guid.bytes_le)
        architecture, interface, text = self.identity
        if self.kind == "ipxe":
            features = (175, bytes.fromhex("eb03010000170101150101130101"))
            return [*head, architecture, interface, text, (77, b"iPXE"), wants, features, serial]
        if self.kind == "bios":
            return [head[0], rom_wants, head[1], serial, architecture, interface, text]
        return [*head, wants, serial, interface, architecture, text]


UNDI2, UNDI3 = b"\x01\x02\x01", b"\x01\x03\x10"
ROM = Firmware("BIOS", BIOS, UNDI2, 1260, "bios")
UEFI_X64 = Firmware("UEFI x64", X64, UNDI3, 1464, "uefi")
UEFI_X86 = Firmware("UEFI x86", X86, UNDI3, 1464, "uefi")
UEFI_ARM64 = Firmware("UEFI arm64", ARM64, UNDI3, 1464, "uefi")
IPXE_BIOS = Firmware("iPXE BIOS", BIOS, UNDI2, 1472, "ipxe")
IPXE_UEFI = Firmware("iPXE UEFI", X64, UNDI3, 1472, "ipxe")


class Loader(NamedTuple):
    """What wdsnbp.com or wdsmgfw.efi says of itself in option 250 (W-61, W-66)."""

    architecture: int
    prompt_done: int | None = 0
    version: int = 0x0800
    action_done: int = 0
    request_id: int | None = None

    def option(self) -> bytes:
        parts = [] if self.prompt_done is None else [(12, bytes([self.prompt_done]))]
        parts += [(13, struct.pack("!H", self.version)), (1, struct.pack("!H", self.architecture))]
        parts += [] if self.request_id is None else [(5, struct.pack("!I", self.request_id))]
        parts += [(14, bytes([self.action_done]))]
        return packed(parts) + b"\xff"


@dataclass(frozen=True)
class Said:
    """Option 250 of an answer; None where it is silent."""

    next_action: int | None = None
    interval: int | None = None
    polls: int | None = None
    request_id: int | None = None
    message: str | None = None
    prompt: int | None = None
    action_done: int | None = None


@dataclass(frozen=True)
class Question:
    """A packet to send."""

    message: int
    xid: bytes
    mac: bytes
    options: Options
    secs: int = 0
    flags: int = 0
    ciaddr: str = "0.0.0.0"
    siaddr: str = "0.0.0.0"
    pad: int = 0

    def packet(self) -> bytes:
        head = struct.pack("!4B4sHH", 1, 1, 6, 0, self.xid, self.secs, self.flags)
        head += address(self.ciaddr) + bytes(4) + address(self.siaddr) + bytes(4)
        head += self.mac.ljust(16, b"\0") + bytes(192) + COOKIE
        return (head + packed(self.options) + b"\xff").ljust(self.pad, b"\0")


@dataclass(frozen=True)
class Answer:
    """An answer that has kept every rule; `file` as it stands there, `bcd` and `variables` are paths without NUL."""

    message: int
    siaddr: str
    file: str
    options: dict[int, bytes] = field(repr=False)
    raw: bytes = field(repr=False)

    @property
    def bcd(self) -> str | None:
        """Option 252."""
        value = self.options.get(252)
        if value is None:
            return None
        assert b"\0" not in value[:-1], f"252 is {value!r}: W-58"
        return value.removesuffix(b"\0").decode("ascii")

    @property
    def variables(self) -> str | None:
        """The path in option 243, which is one record of type 1 and never a key (W-60)."""
        value = self.options.get(243)
        if value is None:
            return None
        assert value[0] == 1, f"243 is {value!r}: W-60"
        assert len(value) == 2 + value[1], f"243 is {value!r}"
        return value[2:].rstrip(b"\0").decode("ascii")

    @property
    def said(self) -> Said | None:
        """Option 250."""
        value = self.options.get(250)
        if value is None:
            return None
        assert value.endswith(b"\xff"), f"250 is {value!r}: W-61"
        parts = dict(unpacked(value[:-1]))
        assert parts.keys() <= {2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 15, 16}, parts

        def number(code: int, size: int) -> int | None:
            if code not in parts:
                return None
            assert len(parts[code]) == size, (code, parts[code])
            return int.from_bytes(parts[code], "big")

        text = parts.get(6)
        return Said(
            number(2, 1), number(3, 2), number(4, 2), number(5, 4),
            None if text is None else text.rstrip(b"\0").decode("ascii"), number(11, 1), number(14, 1),
        )  # fmt: skip


def next_xid() -> bytes:
    """A transaction id that nobody had yet."""
    return next(_numbers).to_bytes(4, "big")


def discover(firmware: Firmware, mac: bytes, guid: uuid.UUID) -> Question:
    """E-1, E-2: to port 67."""
    flags = 0 if firmware.kind == "ipxe" else 0x8000
    pad = MOST if firmware.kind == "bios" else 0
    return Question(DISCOVER, next_xid(), mac, firmware.ask(DISCOVER, guid), 4, flags, pad=pad)


def request(firmware: Firmware, mac: bytes, guid: uuid.UUID, ciaddr: str, offer: Answer) -> Question:
    """E-5: to port 4011. Nothing is known of it there before (W-17), so that its xid is as good as any."""
    options = firmware.ask(REQUEST, guid)
    if firmware.kind == "ipxe":
        # W-39: it names the server that it asks.
        options.append((54, offer.options[54]))
    return Question(REQUEST, next_xid(), mac, options, ciaddr=ciaddr)


def loader_request(
    loader: Loader, architecture: int, mac: bytes, guid: uuid.UUID, ciaddr: str, server: str
) -> Question:
    """E-6: of wdsnbp.com or wdsmgfw.efi, to port 4011; `architecture` is what option 93 says."""
    options = [
        (93, architecture.to_bytes(2, "big")),
        (97, b"\0" + guid.bytes_le),
        (53, bytes([REQUEST])),
        (60, b"PXEClient"),
        (55, bytes([60, *range(128, 136)])),
        (250, loader.option()),
    ]
    return Question(REQUEST, LOADER_XID, mac, options, secs=0xFFFF, ciaddr=ciaddr, siaddr=server)


def read(packet: bytes, question: Question, server: str) -> Answer:
    """An answer to a question; AssertionError names the rule that it breaks."""
    asked = question.packet()
    assert len(packet) >= 300, "W-8"
    assert packet[0] == 2
    assert packet[1:3] == asked[1:3]
    assert packet[3] == 0
    assert packet[4:8] == asked[4:8], "xid (W-4)"
    assert packet[16:20] == bytes(4), "yiaddr (W-14)"
    assert packet[20:24] == address(server), "siaddr (W-1)"
    assert packet[28:44] == asked[28:44], "chaddr (W-4)"
    assert packet[236:240] == COOKIE
    pairs = unpacked(packet[240:])
    codes = [code for code, _ in pairs]
    assert len(set(codes)) == len(codes), "EDK2 reads the first instance only (W-7)"
    assert codes[:2] == [53, 54], "W-9"
    assert not {1, 3, 6, 51, 52, 58, 59} & set(codes), "W-6, W-10"
    if 82 in codes:
        assert codes.pop() == 82, "W-50"
    rest = [code for code in codes if code in (43, 66, 67, 243, 250, 252)]
    assert codes[2:4] in ([97, 60], [60, 97]) or 97 not in codes, "W-9"
    assert codes[-len(rest) :] == rest or not rest, "W-9"
    options = dict(pairs)
    message = {DISCOVER: OFFER, REQUEST: ACK}[question.message]
    assert options[53] == bytes([message])
    assert options[54] == address(server), "W-15"
    assert options[60] == b"PXEClient"
    assert options.get(97) == dict(question.options).get(97), "W-29"
    if message == OFFER:
        assert struct.unpack_from("!H", packet, 10)[0] & 0x8000, "W-11"
    file, nul, _ = packet[108:236].partition(b"\0")
    assert nul, "the boot file ends with NUL (W-43)"
    room = min(int.from_bytes(dict(question.options).get(57, b"\2\x40"), "big"), 1500) - 28
    assert len(packet) <= room, f"{len(packet)} bytes for {room} (W-8)"
    return Answer(message, server, file.decode("ascii"), options, packet)


def address(dotted: str) -> bytes:
    return bytes(map(int, dotted.split(".")))


def packed(options: Options) -> bytes:
    """Code, length, bytes; again and again."""
    return b"".join(bytes([code, len(value)]) + value for code, value in options)


def unpacked(data: bytes) -> list[tuple[int, bytes]]:
    """The same read: 0 is padding, 255 the end (W-5)."""
    found, at = [], 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        value = data[at + 2 : at + 2 + data[at + 1]]
        assert len(value) == data[at + 1], "an option runs over the end"
        found.append((data[at], value))
        at += 2 + len(value)
    return found
