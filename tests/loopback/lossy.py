"""A client behind a bad link: what it hears and what it says is lost, doubled or late, by the numbers of a seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from .peer import DATA, ERROR, OACK, Option, Packet, Peer, request


@dataclass(frozen=True)
class Quality:
    """Percent of the datagrams, in each direction."""

    loss: float = 0
    doubled: float = 0
    late: float = 0  # overtaken by the next


class Link:
    """The two directions between a client's port and the server."""

    def __init__(self, peer: Peer, quality: Quality, random: Random) -> None:
        self._peer, self._quality, self._random = peer, quality, random
        self._arrived: deque[Packet] = deque()
        self._late: Packet | None = None

    def tell(self, datagram: bytes) -> None:
        """To the well-known port. It may be lost."""
        if not self._chance(self._quality.loss):
            self._peer.tell(datagram)

    def ack(self, block: int) -> None:
        for _ in range(self._copies()):
            self._peer.ack(block)

    def receive(self, seconds: float) -> Packet | None:
        """The next packet that arrives; None after that much silence."""
        while not self._arrived:
            try:
                packet = self._peer.receive(seconds)
            except TimeoutError:
                packet, self._late = self._late, None
                return packet
            if self._late is None and self._chance(self._quality.late):
                self._late = packet
                continue
            self._arrived.extend([packet] * self._copies())
            if self._late is not None:
                self._arrived.append(self._late)
                self._late = None
        return self._arrived.popleft()

    def _copies(self) -> int:
        return 0 if self._chance(self._quality.loss) else 1 + self._chance(self._quality.doubled)

    def _chance(self, percent: float) -> bool:
        return self._random.random() * 100 < percent


def fetch(
    link: Link, name: str, options: Sequence[Option], silences: int = 40, seconds: float = 0.25
) -> bytes | str:
    """A file as RFC 7440 receives it: an ACK a window, one at each gap, the last again after each silence.

    What went wrong, in words, where the server says so or nothing comes for so many silences.
    """
    content, size, window = bytearray(), 512, 1
    received = acknowledged = silent = 0
    asked, granted, gap = request(name, options), False, False
    link.tell(asked)
    while True:
        packet = link.receive(seconds)
        if packet is None:
            silent += 1
            if silent > silences:
                return f"silence after block {received}"
            if received or granted:
                link.ack(received)
            else:
                link.tell(asked)
            continue
        silent = 0
        if packet.opcode == ERROR:
            return f"error {packet.number}"
        if packet.opcode == OACK:
            if not received:
                chosen = dict(packet.options)
                granted, size, window = True, int(chosen["blksize"]), int(chosen["windowsize"])
                link.ack(0)
            continue
        assert packet.opcode == DATA
        if packet.number == (received + 1) % 65536:
            received, gap = received + 1, False
            content += packet.rest
            last = len(packet.rest) < size
            if last or received - acknowledged >= window:
                acknowledged = received
                link.ack(received)
            if last:
                return bytes(content)
        elif (packet.number - received) % 65536 < 32768 and not gap:
            gap, acknowledged = True, received
            link.ack(received)
