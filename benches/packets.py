"""Parsing one DHCP packet of real firmware: pxefast against scapy and dpkt."""

from __future__ import annotations

from typing import Any

import dpkt
from pxefast import _native
from scapy.layers.dhcp import BOOTP
from timing import in_turns

# EDK2 x64's DISCOVER as captured (firmware observed, E-F2).
OPTIONS = bytes.fromhex(
    "638253633501013902 05c03723 0102030405060c0d0f111216171c28292a2b3233363a3b3c4243618081828384858687"
    "6111 00 b385da60391fdb5f9b4adb1522b559ca 5e03010300 5d020007"
    "3c20 505845436c69656e743a417263683a30303030373a554e44493a303033303030 ff"
)
DISCOVER = (
    bytes.fromhex("0101060000001001 0000 8000")
    + bytes(16)
    + bytes.fromhex("525400150102")
    + bytes(10 + 192)
    + OPTIONS
)


def ours(count: int) -> None:
    for _ in range(count):
        packet = _native.parse_dhcp(DISCOVER)
        packet.guid, packet.architecture  # noqa: B018  # what a caller reads


def with_scapy(count: int) -> None:
    for _ in range(count):
        packet = BOOTP(DISCOVER)
        packet["DHCP options"].options  # noqa: B018


def with_dpkt(count: int) -> None:
    for _ in range(count):
        dpkt.dhcp.DHCP(DISCOVER).opts  # noqa: B018


def run() -> dict[str, Any]:
    seconds = in_turns({"pxefast": ours, "dpkt": with_dpkt, "scapy": with_scapy})
    for name, value in seconds.items():
        print(f"  {name:<10}{value * 1e6:>9.2f} us a packet{value / seconds['pxefast']:>9.1f} x pxefast's")
    return {
        "seconds_a_packet": seconds,
        "ratio": {name: value / seconds["pxefast"] for name, value in seconds.items()},
    }
