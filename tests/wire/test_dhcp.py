"""DHCP packets: scapy builds what we read and reads what we write; what we write, we read back."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pxefast import _native
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from .oracle import CAPTURES, TSHARK, TYPED, datagrams, dhcp, dhcp_options, spoilt, tshark

RESERVED = {0, 52, 53, 82, 255}
# Whatever the budget is: who serves PXE, and what a Windows boot goes by.
NEVER_LEFT_OUT = {54, 60, 243, 250, 252}

addresses = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
codes = st.integers(1, 254).filter(lambda code: code not in RESERVED)
values = st.one_of(st.binary(max_size=40), st.binary(min_size=250, max_size=600))
options = st.lists(st.tuples(codes, values), max_size=8, unique_by=lambda option: option[0])
texts = st.binary(max_size=63).map(lambda text: text.replace(b"\0", b"/"))

replies = st.fixed_dictionaries(
    {
        "message_type": st.integers(0, 255),
        "xid": st.integers(0, 2**32 - 1),
        "chaddr": st.binary(min_size=16, max_size=16),
        "htype": st.integers(0, 255),
        "hlen": st.integers(0, 16),
        "secs": st.integers(0, 65535),
        "flags": st.integers(0, 65535),
        "ciaddr": addresses,
        "siaddr": addresses,
        "giaddr": addresses,
        "sname": texts,
        "file": st.builds(bytes.__add__, texts, texts),
        "options": options,
        "relay_agent": st.none() | st.binary(max_size=300),
    }
)


@given(replies)
def test_what_is_written_is_read_back(reply: dict[str, Any]) -> None:
    packet = _native.parse_dhcp(_native.emit_dhcp_reply(**reply, budget=65000))
    assert packet.op == 2
    assert (packet.hops, packet.yiaddr) == (0, "0.0.0.0")
    same = reply.keys() - {"options", "relay_agent"}
    assert {name: getattr(packet, name) for name in same} == {name: reply[name] for name in same}
    agent = [] if reply["relay_agent"] is None else [(82, reply["relay_agent"])]
    assert packet.options == [(53, bytes([reply["message_type"]])), *reply["options"], *agent]
    assert packet.relay_agent == reply["relay_agent"]


@given(replies, st.integers(548, 1472))
def test_no_reply_is_longer_than_its_budget_or_shorter_than_300(reply: dict[str, Any], budget: int) -> None:
    needed = [(54, b"\xc0\0\2\n"), (60, b"PXEClient")]
    reply["options"] = [*(option for option in reply["options"] if option[0] not in NEVER_LEFT_OUT), *needed]
    written = _native.emit_dhcp_reply(**reply, budget=budget)
    assert 300 <= len(written) <= budget


requests = st.fixed_dictionaries(
    {
        "op": st.sampled_from([1, 2]),
        "htype": st.integers(0, 255),
        "hlen": st.integers(0, 16),
        "hops": st.integers(0, 255),
        "xid": st.integers(0, 2**32 - 1),
        "secs": st.integers(0, 65535),
        "flags": st.integers(0, 65535),
        "ciaddr": addresses,
        "yiaddr": addresses,
        "siaddr": addresses,
        "giaddr": addresses,
        "chaddr": st.binary(min_size=16, max_size=16),
        "sname": st.binary(min_size=64, max_size=64),
        "file": st.binary(min_size=128, max_size=128),
    }
)


@given(requests, st.lists(st.tuples(codes, st.binary(max_size=60)), max_size=12), st.binary(max_size=8))
def test_what_scapy_builds_is_read(
    header: dict[str, Any], options: list[tuple[int, bytes]], junk: bytes
) -> None:
    built = bytes(BOOTP(**header) / DHCP(options=[("message-type", 1), *options, "end"])) + junk
    packet = _native.parse_dhcp(built)
    same = header.keys() - {"sname", "file"}
    assert {name: getattr(packet, name) for name in same} == {name: header[name] for name in same}
    assert packet.sname == header["sname"].partition(b"\0")[0]
    assert packet.file == header["file"].partition(b"\0")[0]
    joined: dict[int, bytes] = {53: b"\1"}
    for code, value in options:
        joined[code] = joined.get(code, b"") + value
    assert packet.options == list(joined.items())


# Of the options with a type of their own scapy keeps only values that fit the type.
untyped = [code for code in range(1, 255) if code not in RESERVED | TYPED]
opaque = st.tuples(st.sampled_from(untyped), st.binary(max_size=255))


@given(replies, st.lists(opaque, max_size=8))
def test_what_is_written_scapy_reads(reply: dict[str, Any], options: list[tuple[int, bytes]]) -> None:
    written = _native.emit_dhcp_reply(**{**reply, "options": options, "relay_agent": b"\1\0"}, budget=65000)
    theirs = dhcp(written)
    same = reply.keys() - {"options", "relay_agent", "message_type", "flags", "sname", "file"}
    assert {name: getattr(theirs, name) for name in same} == {name: reply[name] for name in same}
    assert (theirs.op, theirs.hops, theirs.yiaddr, theirs.flags.value) == (2, 0, "0.0.0.0", reply["flags"])
    assert theirs.sname == reply["sname"].ljust(64, b"\0")
    assert theirs.file == reply["file"].ljust(128, b"\0")
    sent = [(53, bytes([reply["message_type"]])), *options, (82, b"\1\0")]
    assert dhcp_options(written) == sent
    assert theirs[DHCP].options[len(sent)] == "end"


@pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
def test_tshark_finds_nothing_to_say_against_an_offer(tmp_path: Path) -> None:
    guid = bytes.fromhex("0033221100554477668899aabbccddeeff")
    own, pxe = (54, b"\xc0\0\2\n"), (60, b"PXEClient")
    machine = {"message_type": 2, "xid": 0x112233, "chaddr": b"\2\0\0\x11\x22\x33", "siaddr": "192.0.2.10"}
    shapes: list[dict[str, Any]] = [
        {"options": [own, (97, guid), pxe]},
        {"options": [own, pxe, (43, b"\6\1\x08\xff")], "file": b"smsboot\\x64\\wdsnbp.com"},
        {"options": [own, pxe, (252, b"x" * 300)], "relay_agent": b"\1\5down0"},
    ]
    frame = Ether() / IP(src="192.0.2.10", dst="255.255.255.255") / UDP(sport=67, dport=68)
    packets = [frame / _native.emit_dhcp_reply(**machine, **shape, budget=1472) for shape in shapes]
    rows = tshark(packets, tmp_path, "dhcp.option.type", "dhcp.id", "dhcp.file")
    assert [row["_ws.malformed"] for row in rows] == [[], [], []]
    sent = [[int(code) for code in row["dhcp.option.type"] if code not in ("0", "255")] for row in rows]
    assert sent == [[53, 54, 97, 60], [53, 54, 60, 43], [53, 54, 60, 252, 252, 82]]
    assert {row["dhcp.id"][0] for row in rows} == {"0x00112233"}
    assert rows[1]["dhcp.file"] == ["smsboot\\x64\\wdsnbp.com"]


SOURCES = [packet.payload for capture in CAPTURES for packet in datagrams(capture) if packet.is_dhcp]


@given(spoilt(SOURCES))
def test_a_spoilt_packet_is_read_or_refused_by_name(packets: tuple[bytes, bytes]) -> None:
    for data in packets:
        try:
            packet = _native.parse_dhcp(data)
        except _native.WireError as error:
            assert str(error) == f"{error.what} at byte {error.offset}"
            assert error.offset <= len(data)
        else:
            assert len(packet.options) <= len(data)


@given(st.binary(max_size=700))
def test_bytes_of_no_meaning_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(_native.WireError):
        _native.parse_dhcp(data)


@pytest.mark.parametrize(
    ("spoil", "what", "offset"),
    [
        (lambda packet: packet[:239], "truncated", 236),
        (lambda packet: b"\3" + packet[1:], "bad_op", 0),
        (lambda packet: packet[:2] + b"\x11" + packet[3:], "bad_hardware_length", 2),
        (lambda packet: packet[:236] + bytes(4) + packet[240:], "bad_cookie", 236),
        (lambda packet: packet[:240], "no_message_type", 240),
        (lambda packet: packet[:240] + b"\x35\2\1", "option_overrun", 240),
    ],
)
def test_an_error_says_what_is_wrong_and_where(spoil: Any, what: str, offset: int) -> None:
    good = _native.emit_dhcp_reply(message_type=5, xid=1, chaddr=b"")
    with pytest.raises(_native.WireError) as caught:
        _native.parse_dhcp(spoil(good))
    assert (caught.value.what, caught.value.offset) == (what, offset)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"chaddr": bytes(17)}, "bad_hardware_length"),
        ({"hlen": 17}, "bad_hardware_length"),
        ({"sname": b"x" * 64}, "too_long"),
        ({"file": b"x" * 128}, "too_long"),
        ({"file": b"a\0b"}, "unexpected"),
        *[({"options": [(code, b"")]}, "unexpected") for code in sorted(RESERVED)],
        ({"options": [(60, b"x" * 400)]}, "too_long"),
    ],
)
def test_a_reply_that_no_client_could_read_is_not_written(fields: dict[str, Any], what: str) -> None:
    with pytest.raises(_native.WireError) as caught:
        _native.emit_dhcp_reply(**{"message_type": 2, "xid": 1, "chaddr": bytes(6), **fields})
    assert caught.value.what == what


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match=r'"192\.0\.2\.300" is not an IPv4 address'):
        _native.emit_dhcp_reply(message_type=2, xid=1, chaddr=bytes(6), siaddr="192.0.2.300")
