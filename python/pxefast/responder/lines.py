"""The log's lines, written by a thread of their own: a reader that hangs or a full disk stops no machine (R-105)."""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TextIO

__all__ = ["Lines"]

# A busy minute's worth; what does not fit is counted.
_MOST = 20_000


class Lines:
    """Writes lines to a stream, in order; `lost` counts those that could not be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        try:
            # Past Python's buffer: whoever holds its lock could keep the process from ending.
            self._descriptor: int | None = stream.fileno()
        except (OSError, io.UnsupportedOperation):
            self._descriptor = None
        self.lost = 0
        self._waiting: deque[str] = deque()
        self._news = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="pxefast-log", daemon=True)
        self._thread.start()

    def msg(self, line: str) -> None:
        """One line, some time soon; never waits."""
        with self._news:
            if len(self._waiting) >= _MOST:
                self.lost += 1
                return
            self._waiting.append(line)
            self._news.notify()

    debug = info = warning = error = msg

    @property
    def alive(self) -> bool:
        """True while the writing thread runs."""
        return self._thread.is_alive()

    def close(self, seconds: float) -> None:
        """Write what waits, for at most so long."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closing)
                lines = list(self._waiting)
                self._waiting.clear()
            if not lines:
                return
            try:
                for whole in _pieces(lines):
                    self._write(whole)
            except (OSError, ValueError):
                with self._news:
                    self.lost += len(lines)

    def _write(self, text: bytes) -> None:
        if self._descriptor is None:
            self._stream.write(text.decode())
            self._stream.flush()
            return
        left = memoryview(text)
        while left:
            left = left[os.write(self._descriptor, left) :]


def _pieces(lines: Sequence[str]) -> Iterator[bytes]:
    """Whole lines, as many as the kernel writes at once into a pipe that another process writes to as well."""
    piece = b""
    for line in lines:
        raw = f"{line}\n".encode()
        if piece and len(piece) + len(raw) > select.PIPE_BUF:
            yield piece
            piece = b""
        piece += raw
    yield piece
