"""How far a TFTP server can be abused: what it sends to who never asked it, for what a forger sends in that one's name.

A forger sends a request with a victim's address, and perhaps ACKs. What goes to the victim is counted on the wire, in a
network of this run's own. Every server gets every forgery at once, and the count ends when all have been silent for
long enough. `python -m benches.tftp.reflection`, and a section of ../run.py.
"""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from .bench import apart, script
from .peers import AbsentError
from .servers import IMAGE, SERVERS, Stage

NAMES = ("pxefast", "dnsmasq", "tftpd-hpa", "atftpd", "tftpd-crate", "fbtftp", "tftpy")
HEADERS = 20 + 8
ETH_P_IP, OUTGOING, SO_RCVBUFFORCE = 0x0800, 4, 33
ACK, ERROR, OACK = 4, 5, 6
BLOCK = 1456
ACKS, PACE = 50, 0.01
GUESSES = 1_000  # at once
# tftpd-hpa doubles its waits up to 16 s.
QUIET = 18.0


@dataclass(frozen=True)
class Forgery:
    """What is sent in a victim's name. `port`: how the forger comes by the transfer's port, if it acknowledges."""

    name: str
    options: bytes = b""
    file: str | None = None
    port: str = ""
    closed: bool = False  # nobody listens at the victim's port: its host says so by ICMP


PROMISES = {
    "silent": "who says nothing more gets at most 2 DATA, 1,032 bytes",
    "silent, options": "with options, at most 3 OACK, 3 times the request",
    "silent, no such file": "one ERROR, at most 3 times the request",
    "ACKs to each port": "who has to guess the port gets out less than 3 times what he sends",
    "ACKs, victim closed": "ICMP ends a transfer within one packet",
}
FULL = b"blksize\0%d\0windowsize\x0064\0tsize\x000\0" % BLOCK
FORGERIES = (
    Forgery("silent"),
    Forgery("silent, options", FULL),
    Forgery("silent, no such file", file="nothing.bin"),
    Forgery("ACKs to each port", FULL, port="guessed"),
    Forgery("ACKs, port known", FULL, port="known"),
    Forgery("ACKs, victim closed", FULL, port="known", closed=True),
)


@dataclass
class Count:
    """What one forgery at one server came to. Bytes are payload; those on the wire have IP's and UDP's headers."""

    server: str
    forgery: str
    request: int = 0
    forged: int = 0
    forged_on_wire: int = 0
    datagrams: int = 0
    sent: int = 0
    sent_on_wire: int = 0
    opcodes: list[int] = field(default_factory=list)
    last_after: float = 0.0

    @property
    def factor(self) -> float:
        return self.sent / self.forged

    @property
    def factor_on_wire(self) -> float:
        return self.sent_on_wire / self.forged_on_wire


class Victim:
    """An address and port that is told what it never asked for."""

    def __init__(self, number: int, door: int, file: str, forgery: Forgery, count: Count) -> None:
        self.address = (f"127.0.1.{number + 1}", 40_000 + number)
        self.forgery, self.count = forgery, count
        self._door = door
        self._request = b"\0\1" + (forgery.file or file).encode() + b"\0octet\0" + forgery.options
        self._window = 1
        self._port: int | None = None
        self._ports = iter(range(*_ephemeral()))
        self._acks = 0
        self._began = 0.0

    def ask(self, raw: socket.socket) -> None:
        self._began = time.monotonic()
        self.count.request = len(self._request)
        self._forge(raw, self._door, self._request)

    def acknowledge(self, raw: socket.socket) -> bool:
        """What is forged next; whether there is more to come."""
        if self.forgery.port == "guessed":
            tried = list(islice(self._ports, GUESSES))
            for port in tried:
                self._forge(raw, port, struct.pack("!HH", ACK, 0))
            return bool(tried)
        if self._port is not None and self._acks < ACKS:
            self._forge(raw, self._port, struct.pack("!HH", ACK, self._acks * self._window % 65536))
            self._acks += 1
        return self._acks < ACKS

    def hit(self, port: int, payload: bytes) -> None:
        """A packet came; of a window that the kernel has not cut yet, each of its blocks."""
        opcode = payload[1]
        whole = [payload[at : at + 4 + BLOCK] for at in range(0, len(payload), 4 + BLOCK)]
        count = self.count
        count.datagrams += len(whole)
        count.sent += len(payload)
        count.sent_on_wire += len(payload) + HEADERS * len(whole)
        count.opcodes += [opcode] * len(whole)
        count.last_after = time.monotonic() - self._began
        self._port = port
        if opcode == OACK:
            words = payload[2:].lower().split(b"\0")
            self._window = int(dict(zip(words[::2], words[1::2], strict=False)).get(b"windowsize", 1))

    def _forge(self, raw: socket.socket, port: int, payload: bytes) -> None:
        self.count.forged += len(payload)
        self.count.forged_on_wire += len(payload) + HEADERS
        addresses = socket.inet_aton(self.address[0]) + socket.inet_aton("127.0.0.1")
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses
        udp = struct.pack("!HHHH", self.address[1], port, 8 + len(payload), 0)
        raw.sendto(ip + udp + payload, ("127.0.0.1", 0))


def _ephemeral() -> tuple[int, int]:
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return int(first), int(last) + 1


def measure(
    names: Sequence[str], quiet: float = QUIET, forgeries: Sequence[Forgery] = FORGERIES
) -> tuple[list[Count], dict[str, str]]:
    """All counts, in this network and with port 69 free in it, and why a server is missing."""
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pxefast-bench-")))
        folder.chmod(0o755)
        here = Stage(folder / "served", folder)
        here.path("").mkdir(parents=True)
        for file in ("image.bin", "small.bin"):
            here.path(file).write_bytes(bytes(16 << 20))
        victims: list[Victim] = []
        for name in names:
            try:
                server = stack.enter_context(SERVERS[name].run(here))
                _wait(server.port, f"{IMAGE}/{SERVERS[name].file}")
            except (AbsentError, subprocess.CalledProcessError, TimeoutError) as error:
                absent[name] = str(error)
                continue
            for forgery in forgeries:
                count = Count(name, forgery.name)
                file = f"{IMAGE}/{SERVERS[name].file}"
                victims.append(Victim(len(victims), server.port, file, forgery, count))
        _attack(stack, victims, quiet)
        return [victim.count for victim in victims], absent


def _wait(port: int, file: str) -> None:
    """Until a server answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.1)
        for _ in range(100):
            probe.sendto(b"\0\1" + file.encode() + b"\0octet\0tsize\x000\0", ("127.0.0.1", port))
            try:
                datagram, source = probe.recvfrom(2048)
            except OSError:
                continue
            if datagram[1] != ERROR:
                probe.sendto(b"\0\5\0\0\0", source)
                return
            time.sleep(0.05)
        raise TimeoutError("it does not serve")


def _attack(stack: ExitStack, victims: Sequence[Victim], quiet: float) -> None:
    wire = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)))
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 27)
    wire.bind(("lo", ETH_P_IP))
    wire.setblocking(False)
    raw = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
    by_address = {victim.address: victim for victim in victims}
    for victim in victims:
        if not victim.forgery.closed:
            silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            silent.bind(victim.address)
        victim.ask(raw)
    busy = {victim.address for victim in victims if victim.forgery.port}
    heard = time.monotonic()
    while (now := time.monotonic()) < heard + quiet:
        select.select([wire], [], [], PACE if busy else min(0.2, heard + quiet - now))
        for address, port, payload in _arrived(wire):
            if (victim := by_address.get(address)) is not None:
                victim.hit(port, payload)
                heard = time.monotonic()
        busy = {address for address in busy if by_address[address].acknowledge(raw)}


def _arrived(wire: socket.socket) -> Iterator[tuple[tuple[str, int], int, bytes]]:
    """The victim, the server's port and the payload of each whole UDP packet that has come."""
    while True:
        try:
            packet, link = wire.recvfrom(1 << 17)
        except BlockingIOError:
            return
        if link[2] == OUTGOING or packet[9] != socket.IPPROTO_UDP:
            continue
        source, target = struct.unpack_from("!HH", packet, 20)
        yield (socket.inet_ntoa(packet[16:20]), target), source, packet[28:]


def promises(counts: Sequence[Count]) -> dict[str, bool]:
    """What pxefast promises of these counts, and whether it was kept (R-20, R-21, R-22)."""
    kept: dict[str, Callable[[Count], bool]] = {
        "silent": lambda count: count.datagrams <= 2 and count.sent <= 1032,
        "silent, options": lambda count: (
            set(count.opcodes) == {OACK} and count.datagrams <= 3 and count.sent <= 3 * count.request
        ),
        "silent, no such file": lambda count: count.datagrams <= 1 and count.sent <= 3 * count.request,
        "ACKs to each port": lambda count: count.factor_on_wire < 3,
        "ACKs, victim closed": lambda count: count.datagrams <= 2,
    }
    ours = [count for count in counts if count.server == "pxefast" and count.forgery in PROMISES]
    return {PROMISES[count.forgery]: kept[count.forgery](count) for count in ours}


def text(counts: Sequence[Count]) -> str:
    head = ("forged", "server", "bytes in", "datagrams", "bytes out", "factor", "on wire", "last after")
    lines = ["{:<22}{:<12}{:>9}{:>10}{:>10}{:>9}{:>9}{:>12}".format(*head)]
    for name in dict.fromkeys(count.forgery for count in counts):
        lines += [
            f"{name if number == 0 else '':<22}{count.server:<12}{count.forged:>9}{count.datagrams:>10}{count.sent:>10}"
            f"{count.factor:>9.1f}{count.factor_on_wire:>9.1f}{count.last_after:>10.1f} s"
            for number, count in enumerate(count for count in counts if count.forgery == name)
        ]
    return "\n".join(lines)


def section() -> dict[str, Any]:
    """The part of ../run.py: measured in a network of its own."""
    figures = apart("benches.tftp.reflection")
    print(figures["text"])
    return figures


def _here(quick: bool) -> dict[str, Any]:
    counts, absent = measure(["pxefast"] if quick else NAMES)
    kept = promises(counts)
    words = [text(counts), "", *(f"{name}: {why}" for name, why in absent.items())]
    words += [f"{promise}: {'kept' if true else 'MISSED'}" for promise, true in kept.items()]
    rows = [
        {**asdict(count), "factor": count.factor, "factor_on_wire": count.factor_on_wire} for count in counts
    ]
    return {"rows": rows, "absent": absent, "promises": kept, "text": "\n".join(words)}


if __name__ == "__main__":
    sys.exit(script("benches.tftp.reflection", __doc__, "pxefast alone", _here))
