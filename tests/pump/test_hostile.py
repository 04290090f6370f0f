"""What must not hurt the TFTP port, and what must get no answer (R-29, R-31, T5, T9)."""

from __future__ import annotations

import struct
from collections import Counter
from random import Random

from scapy.layers.tftp import TFTP

from ..loopback.machine import pending
from ..loopback.peer import ACK, DATA, ERROR, OACK, Peer, request
from ..loopback.point import Point
from ..loopback.service import eventually, moved

LARGE = "sized/3000007.bin"


def dropped(name: bytes) -> dict[str, tuple[bytes, str]]:
    """Datagrams to the well-known port that get no answer, and the counter that tells of each."""
    return {
        "DATA": (struct.pack("!HH", DATA, 1) + b"x" * 512, "dropped.no_request"),
        "ACK": (struct.pack("!HH", ACK, 0), "dropped.no_request"),
        "ERROR": (struct.pack("!HH", ERROR, 5) + b"no\0", "dropped.no_request"),
        "OACK": (struct.pack("!H", OACK) + b"blksize\x00512\0", "dropped.no_request"),
        "nothing": (b"", "malformed.truncated"),
        "one byte": (b"\0", "malformed.truncated"),
        "a load balancer's probe": (b"default send string", "malformed.unknown_opcode"),
        "opcode 0": (b"\0\0", "malformed.unknown_opcode"),
        "opcode 7": (b"\0\7" + name, "malformed.unknown_opcode"),
        "no name": (b"\0\1\0octet\0", "malformed.empty"),
        "a name without end": (b"\0\1" + name, "malformed.no_terminator"),
        "a mode without end": (b"\0\1" + name + b"\0octet", "malformed.no_terminator"),
        "no mode": (b"\0\1" + name + b"\0", "malformed.no_terminator"),
        "longer than any request": (b"\0\1" + b"x" * 1500 + b"\0octet\0", "malformed.too_long"),
        "longer than any frame": (b"\0\1" + b"x" * 60_000 + b"\0octet\0", "dropped.datagram_too_long"),
    }


def received(counters: dict[str, int]) -> int:
    return counters["tftp.received"]


def adds_up(counters: dict[str, int]) -> bool:
    """Whether every datagram at the well-known port is accounted for once."""
    parts = ("tftp.dropped.", "tftp.malformed.", "tftp.refused.")
    lost = sum(value for name, value in counters.items() if name.startswith(parts))
    return received(counters) == counters["tftp.started"] + counters["tftp.repeated"] + lost


def barrier(point: Point) -> None:
    """Return when everything sent before was dealt with; a good client is served meanwhile."""
    with Peer(point.service.ports["tftp"], "127.0.0.3") as peer:
        assert peer.fetch(point.name("sized/1.bin"))


def test_what_is_no_request_is_dropped_and_counted_by_its_reason(point: Point, peer: Peer) -> None:
    """R-29, R-31."""
    before = point.service.counters()
    wanted: Counter[str] = Counter()
    for datagram, counter in dropped(point.name(LARGE).encode()).values():
        peer.tell(datagram)
        wanted[f"tftp.{counter}"] += 1
    barrier(point)
    assert pending(peer.socket) == []
    after = point.service.counters()
    changes = moved(before, after)
    assert {
        name: n for name, n in changes.items() if name.startswith(("tftp.dropped", "tftp.malf"))
    } == wanted
    assert received(after) - received(before) == wanted.total() + 1
    assert adds_up(after)


def hostile(random: Random, name: bytes) -> bytes:
    """A request that was once good, or never."""
    options = [
        (
            random.choice(("blksize", "windowsize", "tsize", "timeout", "multicast", "x" * 300)),
            random.randrange(-9, 70000),
        )
        for _ in range(random.randrange(12))
    ]
    good = request(name, options, mode=random.choice(("octet", "netascii", "mail", "OCTET", "")))
    match random.randrange(6):
        case 0:
            return random.randbytes(random.randrange(1600))
        case 1:
            return good[: random.randrange(len(good))]
        case 2:
            return struct.pack("!H", random.randrange(10)) + random.randbytes(random.randrange(600))
        case 3:
            changed = bytearray(good)
            for _ in range(random.randrange(1, 9)):
                changed[random.randrange(len(changed))] = random.choice((0, 0xFF, random.randrange(256)))
            return bytes(changed)
        case 4:
            return b"\0\1" + random.randbytes(random.randrange(200)) + b"\0octet\0"
        case _:
            return good + random.randbytes(random.randrange(100))


def test_thousands_of_hostile_requests_leave_the_service_answering(
    point: Point, files: dict[str, bytes], seed: int, long: bool
) -> None:
    """R-25, R-29, R-31, R-44."""
    random = Random(seed)
    name = point.name(LARGE).encode()
    count = 100_000 if long else 5_000
    with Peer(point.service.ports["tftp"]) as peer:
        assert peer.fetch(name)
    before = point.service.counters()
    barrier(point)
    sockets, memory = point.service.sockets, point.service.resident_bytes
    answers: Counter[int] = Counter()
    barriers = 1
    for number in range(0, count, 50):
        # Each fifty from a port of its own.
        with Peer(point.service.ports["tftp"]) as crowd:
            for _ in range(50):
                crowd.tell(hostile(random, name))
            barrier(point)
            barriers += 1
            for datagram, (address, port) in pending(crowd.socket):
                assert (address, port) != crowd.door, "nothing is ever sent from the well-known port"
                packet = TFTP(datagram)
                answers[packet.op] += 1
                if packet.op == DATA:
                    assert (packet.payload.block, datagram[4:]) == (1, files[LARGE][: len(datagram) - 4]), (
                        number
                    )
                elif packet.op == ERROR:
                    assert packet.payload.errorcode in (1, 2, 4)
    assert set(answers) == {DATA, ERROR, OACK}
    after = point.service.counters()
    assert received(after) - received(before) == count + barriers
    assert adds_up(after)
    reasons = [
        key
        for key in moved(before, after)
        if key.startswith(("tftp.dropped", "tftp.malformed", "tftp.refused"))
    ]
    assert len(reasons) > 8, reasons
    eventually(lambda: point.service.sockets <= sockets, what="the end of the last transfer")
    assert point.service.resident_bytes - memory < 16 << 20
