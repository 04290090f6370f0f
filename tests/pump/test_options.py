"""Every value that an option can have, and every way to say a request wrong (RFC 2347-2349, 7440; R-24, R-25, R-29)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pxefast import TftpServer

from ..loopback.alone import Alone
from ..loopback.home import write_files
from ..loopback.machine import pending
from ..loopback.peer import DATA, ERROR, OACK, Option, Packet, Peer, request

SIZE = 2_000_003
# Text whose line ends and lone CRs lie across the edges of blocks of 512.
TEXT = (b"x" * 511 + b"\r\n" + b"y" * 510 + b"\r\0" + b"z" * 511 + b"\n") * 3
MOST_IN_FLIGHT = 1 << 20
# What one transfer may cost in memory.
STATE = 64 << 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {
        "file": bytes(range(256)) * (SIZE // 256) + b"end",
        "text": TEXT,
        "n" * 255: b"long",
        "empty": b"",
    }
    return write_files(tmp_path_factory.mktemp("served"), files)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[TftpServer]:
    with TftpServer(folder, host="127.0.0.1", port=0) as server_:
        yield server_


def granted(server: TftpServer, *options: Option, name: str = "file") -> dict[str, str]:
    """What a request is granted; nothing where DATA comes at once."""
    with Peer(server.port) as peer:
        first = peer.ask(name, options)
        peer.send(ERROR, 0)
    return dict(first.options) if first.opcode == OACK else {}


@pytest.mark.parametrize(
    ("asked", "most"),
    [(0, None), (1, 1), (2, 2), (63, 63), (64, 64), (65, 64), (65535, 64), (65536, None), ("", None),
     ("-1", None), ("+5", None), (" 5", None), ("5x", None), ("5 ", None), ("0x10", None), ("1e2", None),
     ("00000000000000000004", None), ("9" * 20, None), ("\u0664", None)],
)  # fmt: skip
def test_a_window_is_granted_as_asked_up_to_64_blocks_or_not_at_all(
    server: TftpServer, asked: object, most: int | None
) -> None:
    """R-24."""
    assert granted(server, ("windowsize", asked)) == ({} if most is None else {"windowsize": str(most)})


@pytest.mark.parametrize(
    ("asked", "most"),
    [(0, None), (7, None), (8, 8), (511, 511), (512, 512), (1456, 1456), (65464, 65464), (65465, None),
     (65536, None), ("", None), ("-8", None), ("512.0", None), ("9" * 20, None)],
)  # fmt: skip
def test_a_block_is_granted_as_asked_within_its_bounds_or_not_at_all(
    server: TftpServer, asked: object, most: int | None
) -> None:
    """R-24. Loopback carries the largest of them whole."""
    assert granted(server, ("blksize", asked)) == ({} if most is None else {"blksize": str(most)})


@pytest.mark.parametrize(
    ("asked", "given"),
    [(0, None), (1, "1"), (255, "255"), (256, None), ("", None), ("1.5", None), ("-1", None)],
)
def test_a_timeout_is_granted_exactly_or_not_at_all(
    server: TftpServer, asked: object, given: str | None
) -> None:
    """R-25."""
    assert granted(server, ("timeout", asked)) == ({} if given is None else {"timeout": given})


@pytest.mark.parametrize("asked", [0, 1, 2**31, 2**63, "9" * 19])
def test_a_size_that_is_asked_for_is_answered_with_the_files_own(server: TftpServer, asked: object) -> None:
    """R-25."""
    assert granted(server, ("tsize", asked)) == {"tsize": str(SIZE // 256 * 256 + 3)}


@pytest.mark.parametrize(
    "options",
    [
        [("utimeout", 100)], [("multicast", "")], [("rollover", 0)], [("x", "y")] * 20, [("blksize2", 512)],
        [("blksize ", 512)], [("blk", 512)], [("tsize", 2**64)], [("tsize", "-1")], [("%s%n", "%s")], [("", "512")],
    ],
)  # fmt: skip
def test_what_is_unknown_or_no_number_is_not_acknowledged(server: TftpServer, options: list[Option]) -> None:
    """R-25."""
    assert granted(server, *options) == {}
    assert granted(server, ("blksize", 600), *options) == {"blksize": "600"}


@pytest.mark.parametrize(
    "words", [b"blksize\0", b"blksize\x00512", b"blksize", b"\0", b"\0\0\0\0", b"tsize\0\x30\0blksize\0"]
)
def test_an_option_without_its_value_or_its_end_is_as_if_it_were_not_there(
    server: TftpServer, words: bytes
) -> None:
    """R-25."""
    with Peer(server.port) as peer:
        peer.tell(request("file") + words)
        first = peer.receive()
        peer.send(ERROR, 0)
    assert first.opcode == (OACK if words.startswith(b"tsize") else DATA)


def test_many_options_are_read_up_to_a_bound_and_a_longer_request_is_dropped(server: TftpServer) -> None:
    """R-25."""
    assert granted(server, *[("a", "")] * 15, ("blksize", 600)) == {"blksize": "600"}
    with Peer(server.port) as peer, Peer(server.port) as other:
        peer.tell(request("file", [("a", "b")] * 500))
        assert other.ask("nothing").opcode == ERROR
        assert pending(peer.socket) == []


def under_way(peer: Peer, *options: Option) -> list[Packet]:
    """The first window of a transfer that acknowledged its options."""
    window = dict(peer.ask("file", options).options).get("windowsize", "1")
    peer.ack(0)
    return [peer.receive() for _ in range(int(window))]


def test_the_largest_of_everything_keeps_a_mebibyte_in_flight_and_costs_no_memory(
    folder: Path, tmp_path: Path, long: bool
) -> None:
    """R-24: blocks are read when they leave, so that a window costs nothing but its transfer's state."""
    options: list[Option] = [("blksize", 65464), ("windowsize", 65535), ("tsize", 0), ("timeout", 255)]
    count = 1000 if long else 100
    with Alone(folder, tmp_path / "log") as alone, ExitStack() as stack:
        with Peer(alone.port) as first:
            window = under_way(first, *options)
            first.send(ERROR, 0)
        assert sum(len(packet.rest) for packet in window) <= MOST_IN_FLIGHT
        before = alone.resident_bytes
        for _ in range(count):
            peer = stack.enter_context(Peer(alone.port))
            assert peer.ask("file", options).opcode == OACK
            peer.ack(0)
            assert peer.receive().opcode == DATA
        assert alone.resident_bytes - before <= count * STATE


@pytest.mark.parametrize("mode", ["octet", "OCTET", "oCtEt", "netascii", "NETASCII"])
def test_both_modes_that_carry_a_file_carry_its_bytes(server: TftpServer, mode: str) -> None:
    """R-29. Text is as it lies there: line ends are never changed, so none is at an edge."""
    with Peer(server.port) as peer:
        assert peer.rest(peer.ask("text", mode=mode), 512, 1) == TEXT


@pytest.mark.parametrize(
    ("datagram", "code"),
    [
        (b"\0\1file\0mail\0", 4),
        (b"\0\1file\0\0", 4),
        (b"\0\1file\0octet \0", 4),
        (b"\0\1file\0oct\0", 4),
        (b"\0\1fi\0le\0octet\0", 4),  # what follows the name's NUL is the mode
        (b"\0\1" + b"n" * 256 + b"\0octet\0", 2),
        (b"\0\1" + b"n" * 255 + b"\0octet\0", 0),
        (b"\0\1" + b"n/" * 240 + b"\0octet\0", 2),
        (b"\0\1" + b"n" * 511 + b"\0octet\0", 2),
        (b"\0\1\0octet\0", None),
        (b"\0\1file", None),
        (b"\0\1file\0", None),
        (b"\0\1file\0octet", None),
    ],
)  # fmt: skip
def test_a_request_that_is_said_wrong_is_refused_or_not_answered(
    server: TftpServer, datagram: bytes, code: int | None
) -> None:
    """R-29. 0: it is served; None: silence."""
    with Peer(server.port) as peer, Peer(server.port) as other:
        peer.tell(datagram)
        assert other.ask("nothing").number == 1
        # A file comes from a thread of its own, anything else before the answer to the other.
        if code == 0:
            first = peer.receive()
            assert (first.opcode, first.number) == (DATA, 1)
            return
        answers = [answer for answer, _ in pending(peer.socket)]
        if code is None:
            assert answers == []
        else:
            assert [answer[:4] for answer in answers] == [bytes([0, ERROR, 0, code])]
            assert answers[0].endswith(b"\0") and answers[0].count(b"\0", 4) == 1
