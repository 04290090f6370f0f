"""Many TFTP clients at once, in one thread: each fetches a file over and over, whole and verified, and counts."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time

from .peer import ACK, DATA, request

# When firmware asks again for the first time (W-20).
RETRY_SECONDS = 4.0
BLOCK = 512


class Storm:
    """`clients` that fetch `name` from a port of 127.0.0.1 until the end of the `with`.

    `fetched` counts whole files, `retries` requests and acknowledgments that had to be sent again, `wrong` what was no
    part of the file.
    """

    def __init__(self, clients: int, port: int, name: str, content: bytes) -> None:
        self.fetched = self.retries = 0
        self.wrong: list[bytes] = []
        self._door, self._name, self._content = ("127.0.0.1", port), name, content
        self._ending = threading.Event()
        self._fetchers = [_Fetcher(self) for _ in range(clients)]
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Storm:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for fetcher in self._fetchers:
                fetcher.begin()
                selector.register(fetcher.socket, selectors.EVENT_READ, fetcher)
            # Everybody ends what was begun.
            while any(fetcher.fetching for fetcher in self._fetchers):
                for key, _ in selector.select(0.1):
                    key.data.receive()
                now = time.monotonic()
                for fetcher in self._fetchers:
                    if fetcher.fetching and now > fetcher.until:
                        self.retries += 1
                        fetcher.say()
        for fetcher in self._fetchers:
            fetcher.socket.close()

    def has_fetched(self, count: int) -> bool:
        return self.fetched > count

    def next(self) -> bool:
        self.fetched += 1
        return not self._ending.is_set()


class _Fetcher:
    def __init__(self, storm: Storm) -> None:
        self._storm = storm
        self.fetching = False
        self.until = 0.0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.2", 0))
        self.socket.setblocking(False)

    def begin(self) -> None:
        self._block, self._received = 0, b""
        self._server = self._storm._door
        self._word = request(self._storm._name)
        self.fetching = True
        self.say()

    def say(self) -> None:
        self.until = time.monotonic() + RETRY_SECONDS
        self.socket.sendto(self._word, self._server)

    def receive(self) -> None:
        datagram, source = self.socket.recvfrom(65536)
        if not self.fetching or (self._block and source != self._server):
            return
        opcode, block = struct.unpack_from("!HH", datagram)
        if opcode != DATA:
            self._storm.wrong.append(datagram)
            return
        if block != self._block + 1:
            return
        self._block, self._server = block, source
        self._received += datagram[4:]
        self._word = struct.pack("!HH", ACK, block)
        self.say()
        if len(datagram) - 4 < BLOCK:
            if self._received != self._storm._content:
                self._storm.wrong.append(self._received)
            self.fetching = False
            if self._storm.next():
                self.begin()
