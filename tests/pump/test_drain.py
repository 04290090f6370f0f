"""A server that ends: it reads no new request, and its doors are another's."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

from ..loopback.peer import OACK, Peer, request
from ..loopback.service import eventually
from .native import Native

# Nobody is taken for silent, and all may be half open at once.
IP_PKTINFO = 8
ROOMY = {"workers": 2, "max_transfers": 1000, "retransmit_milliseconds": 2000}
OPTIONS = [("blksize", 1024), ("windowsize", 2)]


def begun(native: Native, stack: ExitStack) -> Peer:
    """A transfer whose options are agreed."""
    peer = stack.enter_context(Peer(native.door))
    assert peer.ask("file", OPTIONS).opcode == OACK
    return peer


def rest(peer: Peer) -> bytes:
    peer.ack(0)
    return peer.rest(peer.receive(), 1024, 2)


def test_a_draining_server_ends_its_transfers_and_leaves_new_requests_in_the_socket(
    tmp_path: Path, seed: int
) -> None:
    files = {"file": Random(seed).randbytes(50_000)}
    native = Native(tmp_path, files, {"file": "file"}, **ROOMY)
    door = socket.socket(fileno=socket.dup(native.server.sockets()["tftp"]))
    with ExitStack() as stack, closing(door):
        peers = [begun(native, stack) for _ in range(3)]
        native.server.drain()
        native.server.drain()
        assert native.server.waiting() == [], "the door says so, and has heard of it before"
        late = stack.enter_context(Peer(native.door))
        late.tell(request("file", OPTIONS))
        assert native.server.transferring == 3
        for left, peer in zip((2, 1, 0), peers, strict=True):
            assert rest(peer) == files["file"]
            eventually(lambda: native.server.transferring == left, what="the end of a transfer")  # noqa: B023
        assert door.recv(2000, socket.MSG_PEEK).startswith(b"\0\1file"), "nobody read it"
        native.server.resume()
        assert late.receive().opcode == OACK
        assert rest(late) == files["file"]
        native.server.stop()


def test_a_draining_server_asks_nothing_of_its_caller_but_still_opens_gates(tmp_path: Path) -> None:
    files = {"file": b"x" * 3000}
    native = Native(tmp_path, files, {"SMSImages/A/file": "file"}, gated=["SMSImages/A/file"])
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking, Peer(native.door) as peer:
        assert peer.ask("SMSImages/A/file", OPTIONS).opcode == OACK
        peer.ack(0)
        first = peer.receive()
        native.server.drain()
        asking.sendto(b"anything", ("127.0.0.1", native.server.ports["boot"]))
        peer.receive()
        peer.ack(2)
        (gate,) = eventually(native.server.gates, what="the gate")
        native.server.open(gate)
        assert native.server.counters()["dhcp.received"] == 0
        assert first.opcode
        assert peer.rest(peer.receive(), 1024, 2, 3) == files["file"][2048:]
        native.server.resume()
        native.server.wait(0)
        eventually(
            lambda: native.server.wait(10) or native.server.counters()["dhcp.received"], what="the datagram"
        )
        native.server.stop()


def test_doors_handed_over_to_a_second_server_while_the_first_drains_lose_no_request(
    tmp_path: Path, seed: int
) -> None:
    files = {"file": Random(seed).randbytes(20_000)}
    first = Native(tmp_path / "first", files, {"file": "file"}, **ROOMY)
    with ExitStack() as stack:
        under_way = [begun(first, stack) for _ in range(4)]
        askers = [stack.enter_context(Peer(first.door)) for _ in range(120)]
        told = iter(askers)

        def ask(count: int) -> None:
            for _ in range(count):
                next(told).tell(request("file", OPTIONS))

        ask(30)
        first.barrier()
        second = Native(tmp_path / "second", files, {"file": "file"}, sockets=first.server.sockets(), **ROOMY)
        ask(30)
        first.server.drain()
        ask(30)
        for peer in under_way:
            assert rest(peer) == files["file"]
        ask(30)
        for peer in askers:
            assert peer.receive().opcode == OACK, "each asked once"
            assert rest(peer) == files["file"]
        eventually(lambda: not first.server.transferring, what="the first's end")
        first.server.stop()
        with Peer(second.door) as peer:
            assert peer.fetch("file", OPTIONS) == files["file"]
        started = [each.server.counters()["tftp.started"] for each in (first, second)]
        assert sum(started) == 4 + 120 + 1
        assert min(started) > 30
        second.server.stop()


def test_no_request_is_read_before_there_is_anything_to_serve(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as door:
        door.bind(("127.0.0.1", 0))
        door.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        with Peer(door.getsockname()[1]) as peer:
            peer.tell(request("file"))
            native = Native(tmp_path, {"file": b"x"}, {"file": "file"}, sockets={"tftp": door.fileno()})
            assert peer.receive().rest == b"x"
            native.server.stop()
