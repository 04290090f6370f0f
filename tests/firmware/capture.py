"""A tcpdump of what pxefast heard and said, and what tshark and scapy read in every packet that it said."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.tftp import TFTP, TFTP_DATA, TFTP_ERROR, TFTP_OACK
from scapy.utils import RawPcapReader

from ..loopback.service import eventually
from .net import BROADCAST, PXE_SERVER, Namespace
from .process import Program

SENT = f"ip.src == {PXE_SERVER} && !icmp"
WARNING = 0x600000  # Wireshark's PI_WARN; errors and malformed packets lie above
ANY_TFTP_ERROR = "TFTP ERROR packet"  # Wireshark's warning at every ERROR, however well made
ETHERNET, UDP_AND_DATA_HEADERS = 14, 8 + 4
TAIL = 1 << 20
Facts = dict[str, Any]

COMMON_FIELDS = ["frame.number", "_ws.expert.severity", "_ws.expert.message", "frame.protocols"]
COMMON_FIELDS += ["ip.dst", "udp.srcport", "udp.dstport", "udp.length"]
TFTP_FIELDS = ["tftp.opcode", "tftp.block", "tftp.option.name", "tftp.option.value"]
TFTP_FIELDS += ["tftp.error.code", "tftp.error.message"]
OPTION_FIELDS = ["dhcp.option.type", "dhcp.option.value"]
DHCP_FIELDS = {
    "op": "dhcp.type",
    "xid": "dhcp.id",
    "flags": "dhcp.flags",
    "ciaddr": "dhcp.ip.client",
    "yiaddr": "dhcp.ip.your",
    "siaddr": "dhcp.ip.server",
    "giaddr": "dhcp.ip.relay",
    "chaddr": "dhcp.hw.mac_addr",
    "file": "dhcp.file",
    "sname": "dhcp.server",
}
END_OPTION = 0  # tshark's number for it


class Mark(NamedTuple):
    """Something that tshark says against a packet."""

    frame: int
    severity: int
    message: str


class Capture:
    """Running from its making until `end()`."""

    def __init__(self, namespace: Namespace, interface: str, path: Path) -> None:
        self.path, self._namespace = path, namespace
        # Not in immediate mode, in which each packet takes as much room as the longest: 511 would fill these 64 MiB.
        argv = ["tcpdump", "-i", interface, "-n", "-U", "-B", "65536", "-Z", "root"]
        self._program = Program([*argv, "-w", str(path), "ip"], namespace)
        self._program.err.wait_for(r"listening on", 15)

    def end(self) -> None:
        """Ends it when it holds all that came until now: packets wait for up to a second until it gets them."""
        if not self._program.running:
            return
        mark = os.urandom(16)
        with self._namespace, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as last:
            last.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            # An echo reply, which nobody answers.
            last.sendto(bytes(8) + mark, (BROADCAST, 0))
        eventually(lambda: mark in self._tail())
        self._program.end()

    def _tail(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - TAIL))
            return file.read()

    @property
    def dropped(self) -> int:
        """Packets that the kernel could not give to tcpdump. Known after `end()`."""
        return int(self._program.err.wait_for(r"^(\d+) packets? dropped by kernel", 0)[1])


def read_by_tshark(path: Path) -> tuple[dict[int, Facts], list[Mark]]:
    """What tshark reads in every packet that pxefast sent, by frame number, and all it has against them.

    A mark is anything malformed, in error or worth a warning, checksums included.
    """
    packets: dict[int, Facts] = {}
    against: list[Mark] = []
    for row in _tshark(path, [*COMMON_FIELDS, *TFTP_FIELDS, *OPTION_FIELDS, *DHCP_FIELDS.values()]):
        frame, severities, messages, protocols, destination, source_port, port, length = row[:8]
        opcode, block, names, values, code, error, codes, contents, *header = row[8:]
        facts: Facts = {"to": f"{destination}:{port}", "from port": int(source_port)}
        if protocols.endswith(":dhcp"):
            # The header comes first; some options (61) hold the same kind of field again.
            facts |= zip(DHCP_FIELDS, (value.split("|")[0] for value in header), strict=True)
            known = [int(option) for option in codes.split("|") if int(option) != END_OPTION]
            facts["options"] = list(zip(known, contents.split("|"), strict=False))
        elif ":tftp" in protocols:
            facts["opcode"] = int(opcode)
            if block:
                facts |= {"block": int(block), "bytes": int(length) - UDP_AND_DATA_HEADERS}
            if names:
                facts["options"] = list(zip(names.split("|"), values.split("|"), strict=False))
            if code:
                facts |= {"code": int(code), "message": error}
        else:
            facts["unknown to tshark"] = protocols
        packets[int(frame)] = facts
        if severities:
            marks = zip(map(int, severities.split("|")), messages.split("|"), strict=True)
            against += [
                Mark(int(frame), *mark) for mark in marks if mark[0] >= WARNING and mark[1] != ANY_TFTP_ERROR
            ]
    return packets, against


def read_by_scapy(path: Path) -> dict[int, Facts]:
    """The same as scapy reads it."""
    packets: dict[int, Facts] = {}
    with RawPcapReader(str(path)) as frames:
        for frame, (raw, _) in enumerate(frames, start=1):
            if _sent(raw):
                datagram = IP(raw[ETHERNET:])
                udp = datagram[UDP]
                facts: Facts = {"to": f"{datagram.dst}:{udp.dport}", "from port": udp.sport}
                payload = bytes(udp.payload)
                packets[frame] = facts | (_dhcp(payload) if udp.sport in (67, 4011) else _tftp(payload))
    return packets


def _sent(raw: bytes) -> bool:
    is_ip, is_udp = raw[12:14] == b"\x08\x00", raw[ETHERNET + 9] == 17
    return is_ip and is_udp and raw[ETHERNET + 12 : ETHERNET + 16] == bytes(map(int, PXE_SERVER.split(".")))


def _dhcp(payload: bytes) -> Facts:
    packet = BOOTP(payload)
    facts: Facts = {name: getattr(packet, name) for name in ("ciaddr", "yiaddr", "siaddr", "giaddr")}
    facts |= {"op": str(packet.op), "xid": f"0x{packet.xid:08x}", "flags": f"0x{int(packet.flags):04x}"}
    facts |= {"chaddr": packet.chaddr[:6].hex(":"), "file": _text(packet.file), "sname": _text(packet.sname)}
    built = [bytes(DHCP(options=[option])) for option in packet[DHCP].options if option not in ("end", "pad")]
    facts["options"] = [(option[0], option[2:].hex()) for option in built]
    return facts


def _tftp(payload: bytes) -> Facts:
    packet = TFTP(payload)
    facts: Facts = {"opcode": packet.op}
    match packet.payload:
        case TFTP_DATA() as data:
            facts |= {"block": data.block, "bytes": len(data.payload)}
        case TFTP_OACK() as agreed:
            facts["options"] = [(each.oname.decode(), each.value.decode()) for each in agreed.payload.options]
        case TFTP_ERROR() as error:
            facts |= {"code": error.errorcode, "message": error.errormsg.decode()}
        case other:
            facts["unknown to scapy"] = other.summary()
    return facts


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode()


def _tshark(path: Path, fields: list[str]) -> Iterator[list[str]]:
    argv = [
        "tshark",
        "-n",
        "-r",
        str(path),
        "-Y",
        SENT,
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
    ]
    argv += ["-T", "fields", "-E", "occurrence=a", "-E", "aggregator=|", "-E", "separator=/t"]
    for field in fields:
        argv += ["-e", field]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return (line.split("\t") for line in done.stdout.splitlines())
