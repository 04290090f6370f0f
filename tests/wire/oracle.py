"""What others make of the same bytes: scapy and tshark, to compare with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st
from scapy.fields import Field
from scapy.layers.dhcp import BOOTP, DHCP, DHCPOptions, DHCPOptionsField
from scapy.layers.inet import UDP
from scapy.layers.tftp import TFTP
from scapy.utils import rdpcap, wrpcap

CAPTURES = sorted((Path(__file__).parent.parent / "data" / "pcap").glob("*.pcap"))
TSHARK = shutil.which("tshark")
DHCP_PORTS = {67, 68, 4011}
# The DHCP options whose values scapy gives a type.
TYPED = {code for code, option in DHCPOptions.items() if isinstance(option, Field)}

_FIELD = DHCPOptionsField("options", [])


class Datagram(NamedTuple):
    """One UDP datagram of a capture."""

    sport: int
    dport: int
    payload: bytes

    @property
    def is_dhcp(self) -> bool:
        return self.dport in DHCP_PORTS


def datagrams(capture: Path) -> list[Datagram]:
    """The UDP datagrams of an Ethernet capture, in order."""
    found = [packet[UDP] for packet in rdpcap(str(capture)) if UDP in packet]
    return [Datagram(udp.sport, udp.dport, bytes(udp.payload)) for udp in found]


def dhcp(payload: bytes) -> Any:
    """scapy's reading; its `options` are taken by `dhcp_options`."""
    return BOOTP(payload)


def dhcp_options(payload: bytes) -> list[tuple[int, bytes]]:
    """Code and bytes of each option instance: scapy's decoded values, each encoded back by scapy."""
    instances = [option for option in BOOTP(payload)[DHCP].options if isinstance(option, tuple)]
    encoded = [_FIELD.i2m(None, [option]) for option in instances]
    return [(option[0], option[2:]) for option in encoded]


def tftp(payload: bytes) -> Any:
    """scapy's reading."""
    return TFTP(payload)


def tftp_options(payload: bytes) -> list[tuple[bytes, bytes]]:
    """Name and value of each option as scapy reads them."""
    options = TFTP(payload).getlayer("TFTP_Options")
    return [(option.oname, option.value) for option in options.options] if options else []


def tshark(packets: list[Any], folder: Path, *fields: str) -> list[dict[str, list[str]]]:
    """What tshark says of whole packets: the fields' values by name; `_ws.malformed` is among them."""
    assert TSHARK
    capture = folder / "packets.pcap"
    wrpcap(str(capture), packets)
    names = ["_ws.malformed", *fields]
    arguments = [argument for name in names for argument in ("-e", name)]
    layout = ["-T", "fields", "-E", "separator=;", "-E", "aggregator=|"]
    command = [TSHARK, "-n", "-r", str(capture), *layout, *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    rows = [[cell.split("|") if cell else [] for cell in line.split(";")] for line in output.splitlines()]
    return [dict(zip(names, row, strict=True)) for row in rows]


@st.composite
def spoilt(draw: st.DrawFn, sources: list[bytes]) -> tuple[bytes, bytes]:
    """One of the packets with up to six bytes changed, whole and cut short."""
    packet = bytearray(draw(st.sampled_from(sources)))
    places = st.integers(0, len(packet) - 1)
    for at, byte in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        packet[at] = byte
    return bytes(packet), bytes(packet[: draw(places)])
