"""What Windows boot managers need of TFTP: a window that they vary, and blocks beyond the MTU (W-97, W-106..W-110)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from pxefast import _native

from ..loopback.lan import CLIENT, OTHER, SERVER, Lan, Wire
from ..loopback.machine import pending
from ..loopback.peer import ACK, DATA, ERROR, OACK, Option, Packet, Peer
from .native import Native
from .test_names import ABSENT

IMAGE = "PS100001"
WIM = f"SMSImages/{IMAGE}/boot.{IMAGE}.wim"
STORE = 16384
MORE_FRAGMENTS, DONT_FRAGMENT = 0x2000, 0x4000


def windows(block: int, window: int) -> list[Option]:
    """What the boot manager asks for, in its order."""
    return [("tsize", 0), ("blksize", block), ("windowsize", window), ("msftwindow", 31416)]


@pytest.fixture(scope="module")
def files(seed: int) -> dict[str, bytes]:
    random = Random(seed)
    return {"wim": random.randbytes(3_000_007), "store": random.randbytes(STORE)}


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> Iterator[Native]:
    native_ = Native(tmp_path_factory.mktemp("native"), files, {WIM: "wim"})
    yield native_
    native_.server.stop()


def acknowledge(peer: Peer, block: int, wanted: int) -> None:
    """Acknowledge a block, and say how many are wanted next."""
    peer.send(ACK, block % 65536, bytes([wanted]))


def taken(peer: Peer, count: int, first: int) -> bytes:
    """So many blocks, which begin with this one; what the server's timer sent again before is passed over."""
    packet = peer.receive()
    while 0 < (first - packet.number) % 65536 <= 255:
        packet = peer.receive()
    packets = [packet, *(peer.receive() for _ in range(count - 1))]
    assert [packet[:2] for packet in packets] == [(DATA, (first + n) % 65536) for n in range(count)]
    return b"".join(packet.rest for packet in packets)


def test_the_boot_managers_own_store_arrives_as_in_the_worked_example(
    native: Native, files: dict[str, bytes]
) -> None:
    store = _native.MemoryFile(files["store"])
    native.answer("127.0.0.51", image=IMAGE, files=[("Boot/BCD", store)])
    with Peer(native.door, "127.0.0.51") as peer:
        oack = peer.ask("\\Boot\\BCD", windows(1456, 4))
        asked = [("tsize", "16384"), ("blksize", "1456"), ("windowsize", "4"), ("msftwindow", "27182")]
        assert oack.options == asked
        acknowledge(peer, 0, 4)
        content = taken(peer, 4, 1)
        acknowledge(peer, 4, 8)
        content += taken(peer, 8, 5)[: 2 * 1456]
        acknowledge(peer, 6, 4)
        content += taken(peer, 4, 7)
        acknowledge(peer, 10, 4)
        content += taken(peer, 2, 11)
        acknowledge(peer, 12, 0xEE)
        report = native.ended(peer)
    assert content == files["store"]
    assert (report.outcome, report.bytes, report.name) == ("complete", STORE, "Boot/BCD")
    assert (report.variable_window, report.window_size, report.resent) == (True, 8, 6)


def test_a_window_that_grows_to_the_most_carries_a_whole_image(
    native: Native, files: dict[str, bytes]
) -> None:
    download = _native.Download(
        "127.0.0.1", native.door, WIM, block_size=1456, window_size=4, variable_window=True
    )
    assert download.run(60)
    assert download.data == files["wim"]
    report = native.reported()
    assert (report.outcome, report.variable_window, report.window_size) == ("complete", True, 64)


def test_an_acknowledgment_of_four_bytes_or_of_nothing_wanted_keeps_the_window(native: Native) -> None:
    with Peer(native.door, "127.0.0.52") as peer:
        peer.ask(WIM, windows(1456, 3))
        peer.ack(0)
        taken(peer, 3, 1)
        acknowledge(peer, 3, 0)
        taken(peer, 3, 4)
        acknowledge(peer, 6, 255)
        taken(peer, 255, 7)
        peer.send(ERROR, 0)
        report = native.ended(peer)
        assert (report.window_size, report.resent) == (255, 0)


def test_no_window_is_varied_by_who_was_not_granted_it(native: Native) -> None:
    for number, options in enumerate(
        ([("windowsize", 3)], [("windowsize", 3), ("msftwindow", 1)], [("msftwindow", 31416)])
    ):
        with Peer(native.door, f"127.0.0.{60 + number}") as peer:
            packet = peer.ask(WIM, options)
            window = 1
            if packet.opcode == OACK:
                assert packet.options == [("windowsize", "3")]
                window = 3
                acknowledge(peer, 0, 16)
                taken(peer, window, 1)
            acknowledge(peer, window, 16)
            taken(peer, window, window + 1)
            assert not pending(peer.socket)
            peer.send(ERROR, 0)
            report = native.ended(peer)
            assert (report.variable_window, report.window_size) == (False, window)


@contextmanager
def on_network(lan: Lan, folder: Path, files: dict[str, bytes], most: int = 16384) -> Iterator[Native]:
    with lan.server:
        native = Native(folder, files, {WIM: "wim"}, address=SERVER, max_block_size_windows=most)
    yield native
    native.server.stop()


@contextmanager
def client(lan: Lan, native: Native, address: str = CLIENT) -> Iterator[Peer]:
    with lan.client:
        peer = Peer(native.door, address, SERVER)
    with peer:
        yield peer


def offsets(packets: list[bytes]) -> tuple[set[int], int]:
    """The flags of all fragments, and how many are not whole datagrams."""
    words = [struct.unpack_from("!H", packet, 6)[0] for packet in packets]
    return {word & 0xC000 for word in words}, sum(bool(word & 0x3FFF) for word in words)


@pytest.mark.parametrize("block", [4096, 8192, 16384])
def test_blocks_beyond_the_mtu_leave_as_fragments_and_arrive_whole(
    lan: Lan, tmp_path: Path, files: dict[str, bytes], block: int
) -> None:
    wire = Wire(lan)
    with on_network(lan, tmp_path, files) as native, wire.socket, client(lan, native) as peer:
        assert peer.fetch(WIM, windows(block, 4)) == files["wim"]
        report = native.ended(peer)
        packets = wire.packets()
    assert (report.block_size, report.resent, report.variable_window) == (block, 0, True)
    assert {packet[12:16] for packet in packets} == {socket.inet_aton(SERVER)}
    assert max(map(len, packets)) <= 1500, "nothing is left for a network card to cut"
    flags, fragments = offsets(packets)
    assert flags == {0}, "no DF"
    whole = len(files["wim"]) // block
    assert fragments >= whole * -(-block // 1480)
    assert native.server.counters()["tftp.offload_given_up"] == 0


def granted(peer: Peer, options: list[Option]) -> int:
    """The block size that a request is granted; the transfer is ended."""
    oack = peer.ask(WIM, options)
    peer.send(ERROR, 0)
    return int(dict(oack.options)["blksize"])


def test_only_windows_and_who_was_told_a_block_size_get_more_than_the_path_carries(
    lan: Lan, tmp_path: Path, files: dict[str, bytes]
) -> None:
    plain: list[Option] = [("blksize", 65464), ("windowsize", 4)]
    with (
        on_network(lan, tmp_path, files) as native,
        client(lan, native) as peer,
        client(lan, native, OTHER) as other,
    ):
        assert granted(peer, windows(65464, 4)) == 16384
        assert granted(peer, plain) == 1468
        with lan.client:
            native.answer(CLIENT, image=IMAGE, block_size=8192)
        assert (granted(peer, plain), granted(other, plain)) == (8192, 1468)
        assert peer.fetch(WIM, plain) == files["wim"]
        native.server.forget(CLIENT)
        assert granted(peer, plain) == 1468


def test_no_block_leaves_in_fragments_where_the_operator_forbids_it(
    lan: Lan, tmp_path: Path, files: dict[str, bytes]
) -> None:
    wire = Wire(lan)
    with on_network(lan, tmp_path, files, most=0) as native, wire.socket, client(lan, native) as peer:
        with lan.client:
            native.answer(CLIENT, image=IMAGE, block_size=8192)
        assert granted(peer, windows(8192, 4)) == 1468
        assert peer.fetch(WIM, [("blksize", 8192), ("windowsize", 16)]) == files["wim"]
        flags, fragments = offsets(wire.packets())
    assert (flags, fragments) == ({0}, 0)


def test_a_machine_has_six_transfers_at_once_each_opened_aborted_and_opened_again(
    lan: Lan, tmp_path: Path, files: dict[str, bytes]
) -> None:
    """R-42: no limit counts against it."""
    with on_network(lan, tmp_path, files) as native:
        with lan.client:
            peers = [Peer(native.door, CLIENT, SERVER) for _ in range(6)]
        first: list[Packet] = []
        for peer in peers:
            probe = peer.ask(WIM, windows(1456, 4))
            assert (probe.opcode, dict(probe.options)["tsize"]) == (OACK, "3000007")
            peer.send(ERROR, 0, b"TFTP Aborted\0")
            first.append(peer.ask(WIM, windows(1456, 4)))
        for name in ABSENT * 3:
            with client(lan, native) as peer:
                missing = peer.ask(name)
                assert (missing.opcode, missing.number) == (ERROR, 1), name
        contents = [bytearray() for _ in peers]
        for peer in peers:
            acknowledge(peer, 0, 4)
        blocks = len(files["wim"]) // 1456 + 1
        for done in range(0, blocks, 4):
            count = min(4, blocks - done)
            for peer, content in zip(peers, contents, strict=True):
                content += taken(peer, count, done + 1)
                acknowledge(peer, done + count, 4)
        assert all(content == files["wim"] for content in contents)
        counters = native.server.counters()
        for peer in peers:
            peer.socket.close()
    assert counters["tftp.refused.not_found"] == 3 * len(ABSENT)
    assert counters["tftp.dropped.client_transfers"] == counters["tftp.dropped.client_rate"] == 0
