"""TFTP packets and names: scapy builds what we read and reads what we write; what we write, we read back."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pxefast import _native
from scapy.layers.tftp import (
    TFTP,
    TFTP_ACK,
    TFTP_DATA,
    TFTP_ERROR,
    TFTP_OACK,
    TFTP_RRQ,
    TFTP_WRQ,
    TFTP_Option,
    TFTP_Options,
)

from .oracle import CAPTURES, datagrams, spoilt, tftp, tftp_options

words = st.binary(min_size=1, max_size=40).filter(lambda text: b"\0" not in text)
blocks = st.integers(0, 65535)
numbers = st.integers(0, 2**64 - 1)


def unique(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[tuple[bytes, Any]]]:
    return st.lists(st.tuples(words, values), max_size=16, unique_by=lambda option: option[0].lower())


@given(words, unique(numbers))
def test_a_request_goes_through_scapy_and_back(filename: bytes, options: list[tuple[bytes, int]]) -> None:
    written = _native.emit_tftp_request(filename, options)
    texts = [(name, str(value).encode()) for name, value in options]
    request = tftp(written)[TFTP_RRQ]
    assert (request.filename, request.mode, tftp_options(written)) == (filename, b"octet", texts)
    packet = _native.parse_tftp(written)
    assert (packet.opcode, packet.filename, packet.mode, packet.options) == ("rrq", filename, "octet", texts)


@given(unique(numbers))
def test_an_option_acknowledgment_goes_through_scapy_and_back(options: list[tuple[bytes, int]]) -> None:
    written = _native.emit_tftp_oack(options)
    texts = [(name, str(value).encode()) for name, value in options]
    assert tftp(written).op == 6
    assert tftp_options(written) == texts
    packet = _native.parse_tftp(written)
    assert (packet.opcode, packet.options) == ("oack", texts)


@given(blocks, st.binary(max_size=1468))
def test_a_block_goes_through_scapy_and_back(block: int, payload: bytes) -> None:
    written = _native.emit_tftp_data(block, payload)
    data = tftp(written)[TFTP_DATA]
    assert (data.block, bytes(data.payload)) == (block, payload)
    packet = _native.parse_tftp(written)
    assert (packet.opcode, packet.block, packet.payload) == ("data", block, payload)


@given(blocks)
def test_an_acknowledgment_goes_through_scapy_and_back(block: int) -> None:
    written = _native.emit_tftp_ack(block)
    assert tftp(written)[TFTP_ACK].block == block
    packet = _native.parse_tftp(written)
    assert (packet.opcode, packet.block, packet.next_window) == ("ack", block, None)


@given(st.integers(0, 8), st.text(max_size=60).filter(lambda text: "\0" not in text))
def test_an_error_goes_through_scapy_and_back(code: int, message: str) -> None:
    written = _native.emit_tftp_error(code, message)
    error = tftp(written)[TFTP_ERROR]
    assert (error.errorcode, error.errormsg) == (code, message.encode())
    packet = _native.parse_tftp(written)
    assert (packet.opcode, packet.code, packet.message) == ("error", code, message.encode())


def scapy_options(options: list[tuple[bytes, bytes]]) -> TFTP_Options:
    return TFTP_Options(options=[TFTP_Option(oname=name, value=value) for name, value in options])


MODES = {b"OCTET": "octet", b"netascii": "netascii", b"Mail": "mail", b"x": "other"}


@pytest.mark.parametrize(("op", "layer", "opcode"), [(1, TFTP_RRQ, "rrq"), (2, TFTP_WRQ, "wrq")])
@given(words, st.sampled_from(sorted(MODES)), unique(words))
def test_requests_that_scapy_builds_are_read(
    op: int, layer: Any, opcode: str, filename: bytes, mode: bytes, options: list[tuple[bytes, bytes]]
) -> None:
    built = TFTP(op=op) / layer(filename=filename, mode=mode) / scapy_options(options)
    packet = _native.parse_tftp(bytes(built))
    assert (packet.opcode, packet.filename, packet.mode) == (opcode, filename, MODES[mode])
    assert packet.options == options


@given(blocks, unique(words), words)
def test_answers_that_scapy_builds_are_read(
    block: int, options: list[tuple[bytes, bytes]], words: bytes
) -> None:
    oack = TFTP(op=6) / TFTP_OACK() / scapy_options(options)
    assert _native.parse_tftp(bytes(oack)).options == options
    assert _native.parse_tftp(bytes(TFTP(op=4) / TFTP_ACK(block=block))).block == block
    error = _native.parse_tftp(bytes(TFTP(op=5) / TFTP_ERROR(errorcode=block, errormsg=words)))
    assert (error.code, error.message) == (block, words)


@given(blocks, st.integers(0, 255))
def test_a_fifth_byte_of_an_acknowledgment_is_the_next_window(block: int, window: int) -> None:
    written = _native.emit_tftp_ack(block, window)
    assert written == _native.emit_tftp_ack(block) + bytes([window])
    packet = _native.parse_tftp(written)
    assert (packet.block, packet.next_window) == (block, window)


SOURCES = [packet.payload for capture in CAPTURES for packet in datagrams(capture) if not packet.is_dhcp]


@given(spoilt(SOURCES))
def test_a_spoilt_packet_is_read_or_refused_by_name(packets: tuple[bytes, bytes]) -> None:
    for data in packets:
        try:
            packet = _native.parse_tftp(data)
        except _native.WireError as error:
            assert error.offset <= len(data)
        else:
            assert len(packet.options) <= 16
            assert packet.filename != b""


@pytest.mark.parametrize(
    ("data", "what", "offset"),
    [
        (b"", "truncated", 0),
        (b"\0\7", "unknown_opcode", 0),
        (b"default send string", "unknown_opcode", 0),
        (b"\0\1name", "no_terminator", 2),
        (b"\0\1\0octet\0", "empty", 2),
        (b"\0\1f\0octet\0" + bytes(1468), "too_long", 1468),
    ],
)
def test_an_error_says_what_is_wrong_and_where(data: bytes, what: str, offset: int) -> None:
    with pytest.raises(_native.WireError) as caught:
        _native.parse_tftp(data)
    assert (caught.value.what, caught.value.offset) == (what, offset)


def test_a_packet_that_nobody_could_read_is_not_written() -> None:
    for write in (
        lambda: _native.emit_tftp_request(b""),
        lambda: _native.emit_tftp_request(b"a\0b"),
        lambda: _native.emit_tftp_request(b"x" * 1468),
        lambda: _native.emit_tftp_oack([(b"", 1)]),
        lambda: _native.emit_tftp_data(1, bytes(65504)),
    ):
        with pytest.raises(_native.WireError):
            write()
    with pytest.raises(ValueError, match="not a TFTP error code: 9"):
        _native.emit_tftp_error(9)


@given(st.binary(max_size=700))
def test_a_folded_name_stays_inside_and_folds_to_itself(raw: bytes) -> None:
    try:
        name = _native.fold_name(raw)
    except _native.WireError:
        return
    parts = name.split(b"/")
    assert all(0 < len(part) <= 255 and part not in (b".", b"..") for part in parts)
    assert len(name) <= 512
    assert not any(byte < 32 or byte in b"\\:\x7fABCXYZ" for byte in name)
    assert _native.fold_name(name) == name


parts = st.from_regex(rb"[a-z0-9_.-]{1,20}", fullmatch=True).filter(lambda part: part.strip(b".") != b"")


@given(st.lists(parts, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_every_spelling_of_a_name_folds_alike(parts: list[bytes], random: Random) -> None:
    choose = random.choice
    spelt = choose([b"", b"/", b"\\", b"//"]) + parts[0]
    for part in parts[1:]:
        spelt += choose([b"/", b"\\", b"\\/", b"//"]) + choose([part, part.upper(), part.title()])
    spelt += choose([b"", b"\n", b"\r\n", b"\xff", b" ", b"\0junk"])
    assert _native.fold_name(spelt) == b"/".join(parts)


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "empty_name"),
        (b"boot/", "empty_name"),
        (b"..\\..\\windows\\system32", "dots_in_name"),
        (b"boot/../../etc/passwd", "dots_in_name"),
        (b"C:\\boot.ini", "colon_in_name"),
        (b"boot\x1b[31m", "control_in_name"),
        (b"a" * 256, "long_component"),
        (b"a/" * 300 + b"a", "long_name"),
    ],
)
def test_a_name_that_leads_out_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(_native.WireError) as caught:
        _native.fold_name(raw)
    assert caught.value.what == what
