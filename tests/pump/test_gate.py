"""The launch barrier (B2): a gated file's final byte leaves only by the transfer whose gate was opened (I3, R-81)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from ..loopback.machine import pending
from ..loopback.peer import DATA, ERROR, OACK, Option, Peer, request
from ..loopback.service import moved
from .native import MILLISECONDS, Native

IMAGE = "SMSImages/PS100001"
OTHER_IMAGE = "SMSImages/PS100002"
SESSION = "0123456789abcdef0123456789abcdef"
SIZES = (0, 1, 511, 512, 513, 1024, 16 * 512, 16 * 512 + 1, 64 * 512, 100_000)


@pytest.fixture(scope="module")
def files(seed: int) -> dict[str, bytes]:
    random = Random(seed)
    sized = {f"{size}.bin": random.randbytes(size) for size in SIZES}
    return {**sized, "free.bin": random.randbytes(5000), "boot.efi": b"a program"}


@pytest.fixture
def native(tmp_path: Path, files: dict[str, bytes]) -> Iterator[Native]:
    names = {f"{image}/{name}": name for image in (IMAGE, OTHER_IMAGE) for name in files}
    gated = [full for full, name in names.items() if name != "free.bin"]
    native_ = Native(tmp_path, files, names, gated)
    yield native_
    native_.server.stop()


@pytest.fixture
def peer(native: Native) -> Iterator[Peer]:
    with Peer(native.door) as peer_:
        yield peer_


def come_to_the_gate(peer: Peer, name: str, size: int, options: list[Option] | None = None) -> bytes:
    """Ask for a file and acknowledge every window before the one with the final byte; what has come so far."""
    block, window = 512, 1
    if options is None:
        peer.tell(request(name))
    else:
        granted = dict(peer.ask(name, options).options)
        block, window = int(granted.get("blksize", block)), int(granted.get("windowsize", window))
        peer.ack(0)
    final = max(1, -(-size // block))
    content = b""
    for number in range(1, (final - 1) // window * window + 1):
        packet = peer.receive()
        assert (packet.opcode, packet.number) == (DATA, number)
        content += packet.rest
        if number % window == 0:
            peer.ack(number)
    return content


@pytest.mark.parametrize("window", [1, 2, 3, 16, 63, 64])
@pytest.mark.parametrize("size", SIZES)
def test_the_final_byte_is_on_no_wire_before_the_gate_opens(
    native: Native, peer: Peer, files: dict[str, bytes], size: int, window: int
) -> None:
    name = f"{IMAGE}/{size}.bin"
    options: list[Option] = [("blksize", 512), ("windowsize", window)]
    if size % 2 == 0:
        options.append(("tsize", 0))
    content = come_to_the_gate(peer, name, size, options)
    gate = native.gate()
    assert (gate.name, gate.address, gate.session) == (name, "127.0.0.2", None)
    assert gate.peer == "{}:{}".format(*peer.socket.getsockname())
    for _ in range(3):
        peer.ack(len(content) // 512)
        if not content:
            peer.tell(request(name, options))
    native.barrier()
    assert pending(peer.socket) == []
    assert native.server.gates() == [], "it asks once"
    native.server.open(gate)
    first = len(content) // 512 + 1
    assert content + peer.rest(peer.receive(), 512, window, first) == files[f"{size}.bin"]
    report = native.ended(peer)
    assert (report.outcome, report.gated, report.resent) == ("complete", True, 0)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513])
def test_a_small_file_without_options_waits_too(
    native: Native, peer: Peer, files: dict[str, bytes], size: int
) -> None:
    name = f"{IMAGE}/{size}.bin"
    content = come_to_the_gate(peer, name, size)
    gate = native.gate()
    native.barrier()
    assert pending(peer.socket) == []
    native.server.open(gate)
    assert content + peer.rest(peer.receive(), 512, 1, len(content) // 512 + 1) == files[f"{size}.bin"]


def test_a_refused_gate_tells_the_client_why_and_ends(native: Native, peer: Peer) -> None:
    before = native.server.counters()
    come_to_the_gate(peer, f"{IMAGE}/1024.bin", 1024, [("windowsize", 4)])
    native.server.refuse(native.gate(), "not launched: launched already")
    refused = peer.receive()
    assert (refused.opcode, refused.number, refused.rest) == (ERROR, 2, b"not launched: launched already\0")
    report = native.ended(peer)
    assert (report.outcome, report.gated, report.bytes) == ("denied", True, 0)
    changes = moved(before, native.server.counters())
    assert (changes["tftp.gates.asked"], changes["tftp.ended.denied"]) == (1, 1)
    assert "tftp.gates.opened" not in changes


def test_a_reason_of_any_length_is_told(native: Native, peer: Peer) -> None:
    come_to_the_gate(peer, f"{IMAGE}/1.bin", 1)
    native.server.refuse(native.gate(), "ä" * 10_000)
    assert peer.receive().rest == ("ä" * 127).encode() + b"\0"


def test_two_transfers_of_one_file_ask_each_for_itself(
    native: Native, peer: Peer, files: dict[str, bytes]
) -> None:
    options: list[Option] = [("windowsize", 2)]
    name = f"{IMAGE}/1024.bin"
    with Peer(native.door) as other:
        come_to_the_gate(peer, name, 1024, options)
        mine = native.gate()
        come_to_the_gate(other, name, 1024, options)
        theirs = native.gate()
        assert mine.transfer != theirs.transfer
        native.server.open(theirs)
        assert other.rest(other.receive(), 512, 2) == files["1024.bin"]
        assert pending(peer.socket) == []
        native.server.refuse(mine, "no")
        assert peer.receive().opcode == ERROR


def test_a_client_that_left_and_came_again_asks_again_and_the_old_answer_meets_nobody(
    native: Native, peer: Peer, files: dict[str, bytes]
) -> None:
    name = f"{IMAGE}/513.bin"
    before = native.server.counters()
    come_to_the_gate(peer, name, 513)
    first = native.gate()
    peer.send(ERROR, 0)
    assert native.ended(peer).outcome == "aborted"
    content = come_to_the_gate(peer, name, 513)
    second = native.gate()
    assert second.transfer != first.transfer
    native.server.open(first)
    native.barrier()
    assert pending(peer.socket) == []
    native.server.open(second)
    assert content + peer.rest(peer.receive(), 512, 1, 2) == files["513.bin"]
    native.server.refuse(second, "too late")
    native.barrier()
    assert moved(before, native.server.counters())["tftp.gates.late"] >= 1


def test_a_gate_whose_client_has_left_is_not_handed_out(native: Native, peer: Peer) -> None:
    come_to_the_gate(peer, f"{IMAGE}/1.bin", 1)
    native.server.wait(MILLISECONDS)
    peer.tell(request("missing"))
    assert peer.receive().opcode == ERROR, "and another request took its place"
    assert native.server.gates() == []


def test_a_client_that_aborts_as_it_comes_to_the_gate_is_launched_by_nobody(native: Native) -> None:
    for _ in range(50):
        with Peer(native.door) as peer:
            assert peer.ask(f"{IMAGE}/1024.bin").opcode == DATA
            # Both may be there when the server looks: nothing leaves for the first, so that nothing else wakes it.
            peer.ack(1)
            peer.send(ERROR, 0, b"never mind\0")
            assert native.ended(peer).outcome == "aborted"
    assert native.server.gates() == []


def test_who_only_asks_for_the_size_asks_for_no_gate(native: Native, peer: Peer) -> None:
    name = f"{IMAGE}/100000.bin"
    assert peer.ask(name, [("tsize", 0), ("blksize", 1468), ("windowsize", 4)]).opcode == OACK
    peer.send(ERROR, 8, b"User aborted the transfer\0")
    assert native.ended(peer).outcome == "size_probe"
    assert native.server.gates() == []
    assert native.server.counters()["tftp.gates.asked"] == 0


def test_a_file_that_is_not_gated_asks_nobody(native: Native, peer: Peer, files: dict[str, bytes]) -> None:
    assert peer.fetch(f"{IMAGE}/free.bin", [("windowsize", 4)]) == files["free.bin"]
    report = native.ended(peer)
    assert (report.outcome, report.gated) == ("complete", False)
    assert native.server.counters()["tftp.gates.asked"] == 0


def test_an_opened_transfer_sends_its_final_window_until_the_client_has_it(
    native: Native, peer: Peer, files: dict[str, bytes]
) -> None:
    come_to_the_gate(peer, f"{IMAGE}/1024.bin", 1024, [("windowsize", 2)])
    native.server.open(native.gate())
    lost = [peer.receive(), peer.receive()]
    assert peer.receive() in lost, "the timer's, of either"
    peer.ack(1)
    second = peer.receive()
    while second.number != 2:
        second = peer.receive()
    assert second.rest == lost[1].rest
    assert native.server.gates() == [], "it is asked once"


def test_a_gate_of_another_server_opens_nothing(native: Native, tmp_path: Path, peer: Peer) -> None:
    other = Native(tmp_path / "other", {"1.bin": b"x"}, {f"{IMAGE}/1.bin": "1.bin"}, [f"{IMAGE}/1.bin"])
    try:
        with Peer(other.door) as theirs:
            come_to_the_gate(theirs, f"{IMAGE}/1.bin", 1)
            come_to_the_gate(peer, f"{IMAGE}/1.bin", 1)
            gate, mine = other.gate(), native.gate()
            assert gate.transfer[16:] == mine.transfer[16:], "the same place in the same life"
            native.server.open(gate)
            native.barrier()
            assert pending(peer.socket) == []
            native.server.open(mine)
            assert peer.receive().opcode == DATA
    finally:
        other.server.stop()


def test_a_server_stops_while_gates_wait(native: Native, peer: Peer) -> None:
    come_to_the_gate(peer, f"{IMAGE}/1.bin", 1)
    gate = native.gate()
    native.server.stop()
    native.server.open(gate)
    assert pending(peer.socket) == []


def test_a_session_in_a_name_is_told_at_the_gates_of_its_address(native: Native) -> None:
    def session(address: str, name: str) -> str | None:
        with Peer(native.door, address) as peer:
            come_to_the_gate(peer, name, 9)
            gate = native.gate()
            native.server.refuse(gate, "no")
            assert peer.receive().opcode == ERROR
            assert gate.name == f"{name.split('/boot.efi')[0].removesuffix(f'/{SESSION}')}/boot.efi"
            return gate.session

    assert session("127.0.0.21", f"{IMAGE}/{SESSION}/boot.efi") == SESSION
    assert session("127.0.0.21", f"{IMAGE}/boot.efi") == SESSION
    assert session("127.0.0.22", f"{IMAGE}/boot.efi") is None
    assert session("127.0.0.21", f"{OTHER_IMAGE}/boot.efi") is None, "a session is of one image"
    assert session("127.0.0.21", f"{IMAGE}/{SESSION}/boot.efi") == SESSION
    native.answer("127.0.0.21", f"{IMAGE}/boot.efi", image="PS100001")
    assert session("127.0.0.21", f"{IMAGE}/boot.efi") is None, "the answer began another session"
    native.answer("127.0.0.21", f"{IMAGE}/{SESSION}/boot.efi", image="PS100001")
    assert session("127.0.0.21", f"{IMAGE}/boot.efi") == SESSION, "and may name it"
