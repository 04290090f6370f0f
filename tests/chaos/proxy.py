"""A way to a PostgreSQL server that can be cut, and that can lose the answer to a COMMIT (R-75)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

COMMIT = b"COMMIT\0"
Mode = Literal["open", "cut", "lose-commits"]


class Proxy:
    """Listens on `port` of 127.0.0.1, until `close`, in front of a Unix socket.

    `cut` ends every connection and takes no new one. `lose-commits` passes a COMMIT on, waits until it is answered,
    and ends the connection instead of passing the answer back. `lost` counts those.
    """

    def __init__(self, to: str) -> None:
        self._to = to
        self._mode: Mode = "open"
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._turn = threading.Lock()
        self.lost = 0
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._begin(self._listen)

    def set(self, mode: Mode) -> None:
        with self._turn:
            self._mode = mode
            if mode == "cut":
                for pair in self._pairs:
                    _end(pair)

    def close(self) -> None:
        """End every connection, and the proxy."""
        self.set("cut")
        self._door.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._door.close()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True, name="proxy")
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._door.accept()
                self._begin(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._to)
            pair, asked = (client, server), threading.Event()
            with self._turn:
                self._pairs.add(pair)
                if self._mode == "cut":
                    _end(pair)
            answers = threading.Thread(
                target=self._pass, args=(pair, server, client, False, asked), daemon=True
            )
            answers.start()
            self._pass(pair, client, server, True, asked)
            answers.join()
            with self._turn:
                self._pairs.discard(pair)

    def _pass(
        self,
        pair: tuple[socket.socket, socket.socket],
        source: socket.socket,
        sink: socket.socket,
        is_client: bool,
        asked: threading.Event,
    ) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if self._mode == "lose-commits":
                    if is_client and COMMIT in piece:
                        asked.set()
                    elif not is_client and asked.is_set():
                        with self._turn:
                            self.lost += 1
                        break
                sink.sendall(piece)
        _end(pair)


def _end(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
