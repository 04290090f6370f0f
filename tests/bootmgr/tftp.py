"""A TFTP client with the habits of Windows' boot manager, and with bad luck on its receiving side (W-82 to W-108)."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)
ABORTED, USER_ABORTED = (0, b"TFTP Aborted"), (8, b"User aborted the transfer")
ASKED_WINDOW, GRANTED_WINDOW = "31416", "27182"
MOST_WINDOW = 64
# How long the client waits before it says again what it has. What a real one does is not public.
AGAIN = 0.25
PATIENCE = 15.0
# In the last acknowledgement the fifth byte says nothing (W-107).
GARBAGE = 0xEE


class RefusedError(Exception):
    """An ERROR from the server: its code and text."""

    def __init__(self, name: str, code: int, text: str) -> None:
        super().__init__(f"{name}: ERROR {code} {text}")
        self.code, self.text = code, text


@dataclass(frozen=True)
class Wish:
    """What a read request asks for; None leaves the option out."""

    block: int | None = 1456
    window: int | None = 4
    variable: bool = True
    size: bool = True
    spelled: Callable[[str], str] = str.lower

    def options(self) -> list[tuple[str, str]]:
        """In Windows' order (W-96)."""
        asked = [("tsize", "0")] if self.size else []
        asked += [("blksize", str(self.block))] if self.block is not None else []
        asked += [("windowsize", str(self.window))] if self.window is not None else []
        asked += [("msftwindow", ASKED_WINDOW)] if self.variable else []
        return [(self.spelled(name), value) for name, value in asked]


PLAIN = Wish(None, None, variable=False, size=False)
EDK2 = Wish(1468, 4, variable=False)
ROM = Wish(1456, None, variable=False, size=False)
IPXE = Wish(1432, None, variable=False)


class Granted(NamedTuple):
    """What the server agreed to; `block` and `window` as they hold without an option."""

    block: int = 512
    window: int = 1
    variable: bool = False
    size: int | None = None


class Luck:
    """Which arriving blocks are lost: those numbered in `once`, the first time, and some of all."""

    def __init__(self, once: Iterable[int] = (), rate: float = 0.0, seed: int = 0) -> None:
        self._once = set(once)
        self._rate = rate
        self._random = random.Random(seed)
        self.lost = 0

    def loses(self, block: int) -> bool:
        gone = block in self._once or self._random.random() < self._rate
        self._once.discard(block)
        self.lost += gone
        return gone


Next = Callable[[int, bool], "int | None"]


def doubled(window: int, clean: bool) -> int:
    """The next window's size: twice as many after a clean one, four after a loss (E-9a)."""
    return min(window * 2, MOST_WINDOW) if clean else 4


@dataclass
class Done:
    """A transfer as the client saw it; `sent` and `heard` are block numbers, acknowledged and arrived."""

    name: str
    asked: list[tuple[str, str]]
    granted: Granted
    content: bytes
    acknowledged: list[tuple[int, int | None]] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)

    @property
    def largest_window(self) -> int:
        """The most blocks that were asked for at once."""
        return max([wish for _, wish in self.acknowledged if wish is not None], default=self.granted.window)


class Transfer:
    """One read request on a port of its own, up to its first answer. Raises RefusedError."""

    def __init__(
        self, door: tuple[str, int], address: str, name: str | bytes, wish: Wish, port: int = 0
    ) -> None:
        self.name = name if isinstance(name, str) else name.decode("latin-1")
        self._raw = name if isinstance(name, bytes) else name.encode()
        self._asked = wish.options()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((address, port))
        self._server: tuple[str, int] | None = None
        try:
            self._open(door)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _open(self, door: tuple[str, int]) -> None:
        words = b"".join(f"{name}\0{value}\0".encode() for name, value in self._asked)
        request = struct.pack("!H", RRQ) + self._raw + b"\0octet\0" + words
        self._socket.sendto(request, door)
        self._first: tuple[int, bytes] | None = None
        answer = self._receive(PATIENCE)
        assert answer, f"{self.name}: no answer"
        assert self._server
        assert self._server[0] == door[0], "answered from the address that was asked (W-84)"
        assert self._server[1] != door[1], "a transfer has a port of its own (W-84)"
        opcode, rest = answer
        if opcode == OACK:
            self.granted = self._granted(rest)
            self.agreed = True
        else:
            assert opcode == DATA
            self.granted, self.agreed, self._first = Granted(), False, answer

    def _granted(self, rest: bytes) -> Granted:
        """What an OACK says, once it has kept the rules (W-90 to W-95)."""
        assert rest.endswith(b"\0"), rest
        words = rest[:-1].decode("ascii").split("\0")
        pairs = list(zip(words[::2], words[1::2], strict=True))
        asked = dict(self._asked)
        names = [name for name, _ in pairs]
        assert names == [name for name in asked if name in names], f"{names} for {list(asked)}: W-90, W-95"
        for name, value in pairs:
            assert value == str(int(value)), f"{name} is {value!r}: W-95"
        said = {name.lower(): int(value) for name, value in pairs}
        for name, least in (("blksize", 8), ("windowsize", 1)):
            if name in said:
                assert least <= said[name] <= int({key.lower(): value for key, value in self._asked}[name]), (
                    pairs
                )
        variable = "msftwindow" in said
        if variable:
            assert said["msftwindow"] == int(GRANTED_WINDOW), pairs
            assert "windowsize" in said, f"{pairs}: W-107 wants windowsize beside it"
        return Granted(
            said.get("blksize", 512), said.get("windowsize", 1), variable, said.get("tsize")
        )  # fmt: skip

    def abort(self, why: tuple[int, bytes] = ABORTED) -> int | None:
        """End it, as after a size probe; the size that the server told."""
        self._send(ERROR, why[0], why[1] + b"\0")
        return self.granted.size

    def read(self, luck: Luck | None = None, grow: Next = doubled, stop_before: int | None = None) -> Done:
        """Every block; or, as good as off, no more where the next window would hold block `stop_before`.

        Raises RefusedError where the server ends it.
        """
        luck = luck or Luck()
        size, window = self.granted.block, self.granted.window
        done = Done(self.name, self._asked, self.granted, b"")
        blocks: list[bytes] = []
        acked, allowed = 0, window
        clean, told = True, False

        def acknowledge(number: int, wish: int | None) -> None:
            nonlocal acked, allowed, window
            if not self.granted.variable:
                wish = None
            self._send(ACK, number % 65536, b"" if wish is None else bytes([wish]))
            done.acknowledged.append((number, wish))
            # Byte 0, or none, keeps the window (W-107).
            window = wish or window
            acked, allowed = number, max(allowed, number + window)

        if self.agreed:
            acknowledge(0, window)
        end = time.monotonic() + PATIENCE
        while True:
            packet, self._first = self._first or self._receive(AGAIN), None
            have = len(blocks)
            if packet is None:
                assert time.monotonic() < end, f"{self.name}: nothing after block {have}"
                clean = False
                acknowledge(have, grow(window, False))
                continue
            opcode, rest = packet
            assert opcode == DATA, packet
            (number,) = struct.unpack_from("!H", rest)
            # The nearest block with this number on the wire: it goes from 65535 to 0 (W-87).
            number = have + 1 + ((number - have - 1 + 32768) % 65536 - 32768)
            assert number <= allowed, (
                f"{self.name}: block {number}, but no more than {allowed} were asked for"
            )
            if luck.loses(number):
                continue
            done.arrived.append(number)
            if number > have + 1:
                clean = False
                if not told:
                    acknowledge(have, grow(window, False))
                    told = True
                continue
            if number <= have:
                continue
            end, told = time.monotonic() + PATIENCE, False
            data = rest[2:]
            assert len(data) <= size, f"{len(data)} bytes in a block of {size}"
            blocks.append(data)
            if len(data) < size:
                self._send(ACK, number % 65536, bytes([GARBAGE]) if self.granted.variable else b"")
                done.content = b"".join(blocks)
                assert self.granted.size in (None, len(done.content)), "tsize is the size (W-93)"
                return done
            if number - acked == window:
                if stop_before is not None and number + MOST_WINDOW >= stop_before:
                    done.content = b"".join(blocks)
                    return done
                acknowledge(number, grow(window, clean))
                clean = True

    def _receive(self, seconds: float) -> tuple[int, bytes] | None:
        self._socket.settimeout(seconds)
        while True:
            try:
                datagram, source = self._socket.recvfrom(65536)
            except TimeoutError:
                return None
            if self._server not in (None, source):
                continue
            self._server = source
            (opcode,) = struct.unpack_from("!H", datagram)
            if opcode == ERROR:
                (code,) = struct.unpack_from("!H", datagram, 2)
                raise RefusedError(self.name, code, datagram[4:].rstrip(b"\0").decode())
            return opcode, datagram[2:]

    def _send(self, opcode: int, number: int, rest: bytes = b"") -> None:
        assert self._server
        self._socket.sendto(struct.pack("!HH", opcode, number) + rest, self._server)


class Client:
    """Whoever reads files from one address; `done` are the transfers that came to their end, in that order."""

    def __init__(self, door: tuple[str, int], address: str) -> None:
        self.door, self.address = door, address
        self.done: list[Done] = []

    def open(self, name: str | bytes, wish: Wish) -> Transfer:
        """A transfer up to its OACK. Raises RefusedError."""
        return Transfer(self.door, self.address, name, wish)

    def probe(self, name: str | bytes, wish: Wish, why: tuple[int, bytes] = ABORTED) -> int | None:
        """A file's size, by a request that is aborted after its OACK (W-97); None without such a file."""
        try:
            with self.open(name, wish) as transfer:
                return transfer.abort(why)
        except RefusedError as refused:
            assert refused.code == 1, refused
            return None

    def fetch(
        self, name: str | bytes, wish: Wish, luck: Luck | None = None, grow: Next = doubled
    ) -> Done:  # fmt: skip
        """A whole file. Raises RefusedError."""
        with self.open(name, wish) as transfer:
            done = transfer.read(luck, grow)
        self.done.append(done)
        return done
