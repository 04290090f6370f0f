"""Capture files of every kind are read as scapy writes them, and no bytes in one are believed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pxefast.cli.capture import Capture, Datagram
from pxefast.errors import CannotOpen, InputError
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw
from scapy.utils import PcapNgWriter, PcapWriter

CAPTURES = sorted((Path(__file__).parent.parent / "data" / "pcap").glob("*.pcap"))
PORTS = (67, 4011)
TIME = 1_700_000_000.25
# A destination of its own, or scapy would look for one on the network.
BROADCAST = "ff:ff:ff:ff:ff:ff"
ETHER = Ether(dst=BROADCAST)


def question(port: int = 67, words: bytes = b"question") -> Packet:
    packet: Packet = IP(src="10.77.0.100", dst="10.77.0.3") / UDP(sport=68, dport=port) / Raw(words)
    return packet


def read(file: Path) -> tuple[list[Datagram], Capture]:
    with Capture(file, PORTS) as capture:
        return list(capture), capture


def written(file: Path, packets: Sequence[Any], **how: Any) -> Path:
    with PcapWriter(str(file), **how) as writer:
        for packet in packets:
            packet.time = TIME
            writer.write(packet)
    return file


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_both_byte_orders_and_both_clocks_of_pcap(tmp_path: Path, endianness: str, nano: bool) -> None:
    file = written(tmp_path / "a.pcap", [ETHER / question()], endianness=endianness, nano=nano)
    found, capture = read(file)
    assert found == [Datagram(TIME, "10.77.0.100", 68, "10.77.0.3", 67, b"question")]
    assert (capture.counts, capture.damage) == ({"packets": 1}, None)


@pytest.mark.parametrize(
    ("frame", "link"),
    [
        (ETHER / question(), 1),
        (ETHER / Dot1Q(vlan=7) / question(), 1),
        (ETHER / Dot1AD(vlan=2) / Dot1Q(vlan=7) / question(), 1),
        (CookedLinux() / question(), 113),
        (CookedLinuxV2() / question(), 276),
        (question(), 101),
        (question(), 228),
    ],
    ids=["ethernet", "vlan", "q-in-q", "cooked", "cooked-2", "raw", "ipv4"],
)
def test_every_link_that_tcpdump_writes_here(tmp_path: Path, frame: Packet, link: int) -> None:
    found, _ = read(written(tmp_path / "a.pcap", [frame], linktype=link))
    assert [datagram.payload for datagram in found] == [b"question"]


def test_pcapng_with_its_interfaces(tmp_path: Path) -> None:
    file = tmp_path / "a.pcapng"
    with PcapNgWriter(str(file)) as writer:
        for words in (b"one", b"two"):
            packet = ETHER / question(4011, words)
            packet.time = TIME
            writer.write(packet)
    found, capture = read(file)
    assert [datagram.payload for datagram in found] == [b"one", b"two"]
    assert [datagram.time for datagram in found] == [pytest.approx(TIME)] * 2
    assert capture.damage is None


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_both_byte_orders_with_every_kind_of_packet(tmp_path: Path, order: str) -> None:
    data = bytes(ETHER / question())
    ticks = int(TIME * 1024)
    section = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    # Option 9: ticks of 2^-10 s; option 14: all times are one hour later.
    options = struct.pack(order + "HHBxxxHHqHH", 9, 1, 0x80 | 10, 14, 8, 3600, 0, 0)
    interface = block(order, 1, struct.pack(order + "HHI", 1, 0, 0) + options)
    lengths = (ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    packet = block(order, 6, struct.pack(order + "IIIII", 0, *lengths) + data)
    old = block(order, 2, struct.pack(order + "HHIIII", 0, 0, *lengths) + data)
    simple = block(order, 3, struct.pack(order + "I", len(data)) + data)
    unknown = block(order, 0xBAD, b"of a later version")
    file = tmp_path / "a.pcapng"
    # A second section begins anew: its packets are of its own interfaces.
    file.write_bytes(section + interface + unknown + packet + old + simple + section + packet)
    found, capture = read(file)
    assert [datagram.time for datagram in found] == [TIME + 3600, TIME + 3600, None]
    assert capture.counts == {"packets": 4, "malformed": 1}


@pytest.mark.parametrize("file", CAPTURES, ids=lambda file: file.stem)
def test_the_captures_of_real_firmware_hold_what_scapy_finds(file: Path) -> None:
    from scapy.utils import rdpcap

    expected = [
        (bytes(packet[UDP].payload), packet[IP].src)
        for packet in rdpcap(str(file))
        if UDP in packet and packet[UDP].dport in PORTS
    ]
    found, capture = read(file)
    assert [(datagram.payload, datagram.source) for datagram in found] == expected
    assert capture.damage is None


def test_what_is_cut_short_malformed_or_in_pieces_is_counted(tmp_path: Path) -> None:
    whole = bytes(ETHER / question())
    cut = whole[:45]
    long_claim = bytearray(whole)
    struct.pack_into("!H", long_claim, 38, 600)
    piece = bytes(ETHER / IP(flags="MF") / UDP(dport=67) / Raw(b"first"))
    six = bytes(Ether(dst=BROADCAST, type=0x86DD) / Raw(bytes(60)))
    file = tmp_path / "a.pcap"
    with PcapWriter(str(file), linktype=1) as writer:
        writer.write_header(None)
        for data, length in (
            (whole, len(whole)),
            (cut, len(whole)),
            (bytes(long_claim), len(whole)),
            (piece, len(piece)),
            (six, len(six)),
        ):
            writer.write_packet(data, sec=1, usec=0, caplen=len(data), wirelen=length)
    found, capture = read(file)
    assert len(found) == 1
    assert capture.counts == {"packets": 5, "truncated": 1, "malformed": 1, "fragments": 1, "other": 1}


def test_a_packet_of_which_less_than_all_was_captured_is_counted_wherever_it_was_cut(tmp_path: Path) -> None:
    whole = bytes(ETHER / question())
    file = tmp_path / "a.pcap"
    with PcapWriter(str(file), linktype=1) as writer:
        writer.write_header(None)
        for length in range(len(whole) + 1):
            writer.write_packet(whole[:length], sec=1, usec=0, caplen=length, wirelen=len(whole))
    found, capture = read(file)
    assert [datagram.payload for datagram in found] == [b"question"]
    assert capture.counts == {"packets": len(whole) + 1, "truncated": len(whole)}


def test_a_capture_that_ends_in_the_middle_is_read_up_to_there(tmp_path: Path) -> None:
    file = written(tmp_path / "a.pcap", [ETHER / question()] * 3)
    file.write_bytes(file.read_bytes()[:-5])
    found, capture = read(file)
    assert len(found) == 2
    assert capture.damage is not None
    assert "within a packet" in capture.damage


@pytest.mark.parametrize(
    "content", [b"", b"\xd4\xc3", b"name,mac\n", b"\xd4\xc3\xb2\xa1\x02", b"\n\r\r\n" + bytes(40)]
)
def test_a_file_that_is_no_capture_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"notes\.txt is no capture"):
        read(file)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match=r"gone\.pcap: No such file"):
        read(tmp_path / "gone.pcap")
