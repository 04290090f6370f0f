"""Packets with forged sources: nobody is flooded by them, and no two servers talk to each other (R-22, R-31, R-32)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from pxefast import TftpServer, config
from pxefast.errors import ConfigError
from scapy.layers.inet import IP, UDP
from scapy.layers.tftp import TFTP, TFTP_ACK, TFTP_ERROR, TFTP_RRQ

from ..loopback.home import write_files
from ..loopback.lan import CLIENT, OTHER, SERVER, Forger, Lan, Wire
from ..loopback.peer import ACK, DATA, ERROR, OACK, RRQ, WRQ, Option, Peer, request
from ..loopback.service import eventually

DOOR = 69
FULL: list[Option] = [("blksize", 1456), ("windowsize", 64), ("tsize", 0)]
VICTIM = ("10.20.0.7", 40_000)  # gets what is sent to it and says nothing, not even by ICMP
CLOSED = (OTHER, 40_001)  # a host that is there, and a port of it that is closed


@pytest.fixture(scope="module")
def content(seed: int) -> bytes:
    return Random(seed).randbytes(1_000_003)


@pytest.fixture
def server(lan: Lan, tmp_path: Path, content: bytes) -> Iterator[TftpServer]:
    write_files(tmp_path, {"file": content})
    with lan.server:
        server_ = TftpServer(tmp_path, host=SERVER, port=DOOR)
    with server_:
        yield server_


@pytest.fixture
def forger(lan: Lan) -> Iterator[Forger]:
    with Forger(lan.client) as forger_:
        yield forger_


def good_client(lan: Lan, content: bytes) -> None:
    """What was sent before was dealt with, and an honest client is served."""
    with lan.client:
        peer = Peer(DOOR, CLIENT, SERVER)
    with peer:
        assert peer.fetch("file", FULL) == content


def sent_to(wire: Wire, victim: tuple[str, int]) -> list[IP]:
    """What the server sent to a victim, read by scapy."""
    packets = [IP(packet) for packet in wire.packets()]
    return [packet for packet in packets if (packet.dst, packet[UDP].dport) == victim]


def first_answer(wire: Wire, victim: tuple[str, int]) -> IP:
    return eventually(lambda: sent_to(wire, victim), what="the answer to a forged request")[0]


def opcodes(packets: list[IP]) -> list[int]:
    return [bytes(packet[UDP].payload)[1] for packet in packets]


def test_a_forged_request_for_a_host_that_answers_by_icmp_costs_it_one_packet(
    lan: Lan, server: TftpServer, content: bytes, forger: Forger
) -> None:
    """R-22: the acknowledgments of who cannot see the answers come too late, also where he knows the port."""
    wire = Wire(lan)
    with wire.socket:
        forger.send(CLOSED, (SERVER, DOOR), request("file", FULL))
        answer = first_answer(wire, CLOSED)
        for block in (0, 64, 128, 192):
            forger.send(CLOSED, (SERVER, answer[UDP].sport), struct.pack("!HH", ACK, block))
        good_client(lan, content)
        assert sent_to(wire, CLOSED) == []
    assert opcodes([answer]) == [OACK]
    assert {report.outcome for report in server.transfers()} == {"refused", "complete"}


def test_a_client_that_is_gone_when_its_first_window_comes_gets_one_packet_of_it(
    lan: Lan, server: TftpServer, content: bytes, forger: Forger
) -> None:
    """R-22: the first window begins with one block, so that ICMP ends it before it is half out."""
    wire = Wire(lan)
    with wire.socket:
        with lan.client:
            peer = Peer(DOOR, OTHER, SERVER)
        with peer:
            assert peer.ask("file", FULL).opcode == OACK
            assert peer.server is not None
            gone = peer.socket.getsockname()
        forger.send(gone, peer.server, struct.pack("!HH", ACK, 0))
        good_client(lan, content)
        sent = sent_to(wire, gone)
    assert opcodes(sent)[:2] == [OACK, DATA]
    assert sum(len(packet[UDP].payload) for packet in sent[1:]) <= 2 * (4 + 1456), "one, and one on its way"
    assert {report.outcome for report in server.transfers()} == {"refused", "complete"}


@pytest.mark.parametrize("options", [[], FULL])
def test_who_cannot_see_the_port_gets_nothing_sent_by_acknowledging_at_random(
    lan: Lan, server: TftpServer, content: bytes, forger: Forger, seed: int, options: list[Option]
) -> None:
    """R-22: the port is a secret; the victim gets what anybody silent gets, at most 3 times the request."""
    random, asked = Random(seed), request("file", options)
    wire = Wire(lan)
    with wire.socket:
        forger.send(VICTIM, (SERVER, DOOR), asked)
        port = first_answer(wire, VICTIM)[UDP].sport
        for _ in range(2_000):
            tried = random.randrange(1024, 65536)
            if tried != port:
                forger.send(VICTIM, (SERVER, tried), struct.pack("!HH", ACK, random.choice((0, 1, 64))))
        good_client(lan, content)
        ended = eventually(
            lambda: [report for report in server.transfers() if report.outcome == "timed_out"],
            what="the end of the forged transfer",
        )
        sent = sent_to(wire, VICTIM)
    assert len(ended) == 1
    assert len(sent) <= (2 if options else 1), "and one that was taken from the wire before"
    if options:
        assert 3 * len(bytes(sent[0][UDP].payload)) <= 3 * len(asked)
    else:
        assert all(len(bytes(packet[UDP].payload)) == 4 + 512 for packet in sent)


def test_each_transfer_has_a_port_that_its_neighbours_do_not_tell(lan: Lan, server: TftpServer) -> None:
    """R-23: there is no mode with one port for all, nor a row of ports."""
    with pytest.raises(ConfigError, match="single_port"):
        config.parse("[tftp]\nsingle_port = true", "pxefast.toml")
    ports = []
    for _ in range(30):
        with lan.client:
            peer = Peer(DOOR, CLIENT, SERVER)
        with peer:
            ports.append(peer.ask("file", FULL).source[1])
            peer.send(ERROR, 0)
    assert DOOR not in ports
    assert len(set(ports)) > 25
    steps = {after - before for before, after in pairwise(ports)}
    assert len(steps) > 20, ports


def test_packets_of_others_to_a_transfers_port_neither_end_nor_move_it(
    lan: Lan, server: TftpServer, content: bytes, forger: Forger
) -> None:
    """R-31: from the same address and another port, and from another address and the same port."""
    wire = Wire(lan)
    with wire.socket:
        with lan.client:
            peer = Peer(DOOR, CLIENT, SERVER)
        with peer:
            peer.ask("file", FULL)
            peer.ack(0)
            first = peer.receive()
            own = peer.socket.getsockname()
            strangers = [(CLIENT, own[1] ^ 1), (OTHER, own[1]), ("10.20.0.1", own[1]), ("10.20.0.1", DOOR)]
            for stranger in strangers:
                for packet in (
                    TFTP() / TFTP_ERROR(errorcode=0),
                    TFTP() / TFTP_ERROR(errorcode=8),
                    TFTP() / TFTP_ACK(block=64),
                    TFTP() / TFTP_ACK(block=3),
                    TFTP() / TFTP_RRQ(filename="file"),
                ):
                    forger.send(stranger, first.source, bytes(packet))
            assert peer.rest(first, 1456, 64) == content
        packets = wire.packets()
        assert {IP(packet).dst for packet in packets} == {CLIENT}
        assert {IP(packet)[UDP].dport for packet in packets} == {own[1]}


def test_two_servers_that_are_made_to_talk_to_each_other_fall_silent_within_one_packet(
    lan: Lan, server: TftpServer, content: bytes, tmp_path: Path
) -> None:
    """R-32: each opcode, from every port that another server answers from, to the door and to a transfer's port."""
    wire = Wire(lan)
    with lan.client:
        second = TftpServer(tmp_path, host=CLIENT, port=DOOR)
    datagrams = [
        request("file"), request("missing"), request("file", FULL), request("file", opcode=WRQ),
        struct.pack("!HH", DATA, 1) + bytes(512), struct.pack("!HH", ACK, 1), struct.pack("!HH", ERROR, 5) + b"no\0",
        struct.pack("!H", OACK) + b"blksize\x00512\0", struct.pack("!HH", 7, 0),
    ]  # fmt: skip
    with second, wire.socket, Forger(lan.client) as here, Forger(lan.server) as there:
        with lan.client:
            one = Peer(DOOR, OTHER, SERVER)
        with one:
            # A transfer of each server, whose port the other is made to write to.
            port_of_first = one.ask("file", FULL).source[1]
            with lan.server:
                two = Peer(DOOR, SERVER, CLIENT)
            with two:
                port_of_second = two.ask("file", FULL).source[1]
                wire.packets()
                for datagram in datagrams:
                    for port in (67, 68, DOOR, 1023, 4011, port_of_second):
                        here.send((CLIENT, port), (SERVER, DOOR), datagram)
                        here.send((CLIENT, port), (SERVER, port_of_first), datagram)
                    for port in (67, 68, DOOR, 1023, 4011, port_of_first):
                        there.send((SERVER, port), (CLIENT, DOOR), datagram)
                        there.send((SERVER, port), (CLIENT, port_of_second), datagram)
                with lan.client:
                    honest = Peer(DOOR, OTHER, SERVER)
                with honest:
                    assert honest.fetch("file", FULL) == content
                answers = [IP(packet) for packet in wire.packets()]
    forged = (67, 68, DOOR, 1023, 4011, port_of_first)
    said = [packet for packet in answers if packet.dst == CLIENT and packet[UDP].sport not in forged]
    asking = [datagram for datagram in datagrams if datagram[1] in (RRQ, WRQ)]
    assert {packet[UDP].dport for packet in said} == {port_of_second}
    assert len(said) == len(asking)
