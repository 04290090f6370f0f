"""Every packet of the captures of real firmware is read, and read as scapy reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pxefast import _native

from .oracle import CAPTURES, Datagram, datagrams, dhcp, dhcp_options, tftp, tftp_options

HEADER = ["op", "htype", "hlen", "hops", "xid", "secs", "ciaddr", "yiaddr", "siaddr", "giaddr", "chaddr"]
OPCODES = {1: "rrq", 2: "wrq", 3: "data", 4: "ack", 5: "error", 6: "oack"}

by_name = pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.stem)


def of_kind(capture: Path, *, is_dhcp: bool) -> list[Datagram]:
    return [datagram for datagram in datagrams(capture) if datagram.is_dhcp is is_dhcp]


def before_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def test_the_captures_are_there() -> None:
    assert len(CAPTURES) == 21


@by_name
def test_every_dhcp_packet_agrees_with_scapy(capture: Path) -> None:
    packets = of_kind(capture, is_dhcp=True)
    assert packets
    for packet in packets:
        ours, theirs = _native.parse_dhcp(packet.payload), dhcp(packet.payload)
        for name in HEADER:
            assert getattr(ours, name) == getattr(theirs, name), name
        assert ours.flags == theirs.flags.value
        assert ours.sname == before_nul(theirs.sname)
        assert ours.file == before_nul(theirs.file)
        assert ours.options == dhcp_options(packet.payload)
        assert ours.message_type == dict(dhcp_options(packet.payload))[53][0]
        assert ours.relay_agent == dict(dhcp_options(packet.payload)).get(82)


@by_name
def test_every_tftp_packet_agrees_with_scapy(capture: Path) -> None:
    packets = of_kind(capture, is_dhcp=False)
    assert packets or capture.stem.endswith("relay-server")
    for packet in packets:
        ours, theirs = _native.parse_tftp(packet.payload), tftp(packet.payload)
        body = theirs.payload
        expected: dict[str, Any] = {"opcode": OPCODES[theirs.op]}
        match ours.opcode:
            case "rrq" | "wrq":
                expected |= {"filename": body.filename, "mode": body.mode.decode()}
                expected |= {"options": tftp_options(packet.payload)}
            case "oack":
                expected |= {"options": tftp_options(packet.payload)}
            case "ack":
                expected |= {"block": body.block, "next_window": None}
            case "data":
                expected |= {"block": body.block, "payload": bytes(body.payload)}
            case "error":
                expected |= {"code": body.errorcode, "message": body.errormsg}
        assert {name: getattr(ours, name) for name in expected} == expected


class Seen(NamedTuple):
    """What was observed of one kind of client's DISCOVER."""

    arch: int
    undi: tuple[int, int, int]
    codes: list[int]
    text: str
    flags: int
    ipxe: bool


IPXE = [53, 57, 93, 94, 60, 77, 55, 175, 61, 97]
EDK2 = [53, 57, 55, 97, 94, 93, 60]
CLIENTS = {
    "bios": Seen(0, (1, 2, 1), IPXE, "PXEClient:Arch:00000:UNDI:002001", 0, True),
    "bios-e1000": Seen(0, (1, 2, 1), IPXE, "PXEClient:Arch:00000:UNDI:002001", 0, True),
    "ipxe-rom": Seen(0, (1, 2, 1), IPXE, "PXEClient:Arch:00000:UNDI:002001", 0, True),
    "uefi-x64": Seen(7, (1, 3, 0), EDK2, "PXEClient:Arch:00007:UNDI:003000", 0x8000, False),
    "uefi-ia32": Seen(6, (1, 3, 0), EDK2, "PXEClient:Arch:00006:UNDI:003000", 0x8000, False),
    "uefi-arm64": Seen(11, (1, 3, 0), EDK2, "PXEClient:Arch:00011:UNDI:003000", 0x8000, False),
    "uefi-x64-http": Seen(16, (1, 3, 0), EDK2, "HTTPClient:Arch:00016:UNDI:003000", 0x8000, False),
}


def capture(name: str) -> Path:
    return next(capture for capture in CAPTURES if capture.stem == name)


def first_discover(name: str) -> _native.DhcpPacket:
    packets = (_native.parse_dhcp(packet.payload) for packet in of_kind(capture(name), is_dhcp=True))
    return next(packet for packet in packets if packet.message_type == 1)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_discover_says_who_asks(name: str) -> None:
    seen, packet = CLIENTS[name], first_discover(name)
    options = dict(packet.options)
    assert [code for code, _ in packet.options] == seen.codes
    assert (packet.architecture, packet.architectures, packet.undi) == (seen.arch, [seen.arch], seen.undi)
    assert options[60] == seen.text.encode()
    assert packet.pxe_class == ("http" if seen.text.startswith("HTTP") else "pxe")
    assert int.from_bytes(options[57], "big") == 1472
    assert packet.flags == seen.flags
    assert packet.ipxe is seen.ipxe
    assert options.get(77) == (b"iPXE" if seen.ipxe else None)
    assert options.get(61) == (b"\x01" + packet.chaddr[:6] if seen.ipxe else None)
    assert packet.mac == packet.chaddr[:6].hex(":")
    assert (packet.sname, packet.file, packet.boot_item, packet.vendor) == (b"", b"", None, [])


def test_the_guid_reads_as_smbios_prints_it() -> None:
    assert first_discover("bios").guid == "8a9f841d-4d9f-5e53-a833-734a9fbf87b5"
    assert dict(first_discover("bios").options)[97].hex() == "001d849f8a9f4d535ea833734a9fbf87b5"


def test_a_menu_item_is_asked_for_at_4011() -> None:
    packets = [packet for packet in datagrams(capture("bios")) if packet.dport == 4011]
    asked = _native.parse_dhcp(packets[0].payload)
    assert (asked.xid, asked.boot_item, asked.pxe_class, asked.architecture) == (0, (0x8000, 0), "pxe", 0)
    assert dict(asked.options)[60] == b"PXEClient"


def test_edk2_names_a_size_it_does_not_mean_in_its_request() -> None:
    packets = [_native.parse_dhcp(packet.payload) for packet in of_kind(capture("uefi-x64"), is_dhcp=True)]
    request = next(packet for packet in packets if packet.message_type == 3 and packet.ciaddr == "0.0.0.0")
    assert dict(request.options)[57] == b"\xff\x00"


RELAYED = [capture.stem for capture in CAPTURES if capture.stem.endswith("relay-server")]


@pytest.mark.parametrize("name", RELAYED)
def test_a_relayed_discover_carries_the_relays_words(name: str) -> None:
    discover = first_discover(name)
    assert (discover.hops, discover.relay_agent) == (1, b"\x01\x05down0")
    assert discover.options[-1][0] == 82


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bios", [(b"blksize", b"1432"), (b"tsize", b"0")]),
        ("uefi-x64", [(b"tsize", b"0"), (b"blksize", b"1468"), (b"windowsize", b"4")]),
    ],
)
def test_a_first_read_request_asks_as_observed(name: str, options: list[tuple[bytes, bytes]]) -> None:
    requests = [packet for packet in datagrams(capture(name)) if packet.dport == 69]
    assert sorted(_native.parse_tftp(requests[0].payload).options) == sorted(options)


def test_edk2_ends_its_size_probe_with_error_8() -> None:
    packets = [_native.parse_tftp(packet.payload) for packet in of_kind(capture("uefi-x64"), is_dhcp=False)]
    errors = [(packet.code, packet.message) for packet in packets if packet.opcode == "error"]
    assert (8, b"User aborted the transfer") in errors
