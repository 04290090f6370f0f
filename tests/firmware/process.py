"""A program the rig started, the text it prints, and its end by process id."""

from __future__ import annotations

import codecs
import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, TypeVar

from .net import Namespace

T = TypeVar("T")


class GoneError(AssertionError):
    """What was waited for did not come: the time ran out, or the program ended first."""


class Text:
    """What a program has printed to one pipe so far. A thread reads on, so that the program never blocks."""

    def __init__(self, pipe: IO[bytes], name: str) -> None:
        self._name = name
        self._text = ""
        self._ended = False
        self._news = threading.Condition()
        threading.Thread(target=self._read, args=(pipe,), daemon=True, name=f"read {name}").start()

    def _read(self, pipe: IO[bytes]) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        with pipe:
            while piece := pipe.read1(65536):  # type: ignore[attr-defined]
                with self._news:
                    self._text += decode(piece)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def __str__(self) -> str:
        with self._news:
            return self._text

    def wait(self, look: Callable[[str], T | None], seconds: float, what: str) -> T:
        """The first thing `look` finds in the whole text. GoneError after `seconds` or at the pipe's end."""
        deadline = time.monotonic() + seconds
        with self._news:
            while (found := look(self._text)) is None:
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    why = "it ended" if self._ended else f"{seconds:.0f} s passed"
                    last = printable(self._text[-3000:])
                    raise GoneError(f"{self._name}: {why} without {what}; it last printed:\n{last}")
                self._news.wait(left)
            return found

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """The first match of a regular expression."""
        return self.wait(re.compile(pattern, re.MULTILINE).search, seconds, f"/{pattern}/")


class Program:
    """A running program: `out` and `err` are its two pipes, `end()` stops it and only it."""

    def __init__(self, argv: Sequence[str], namespace: Namespace, name: str | None = None) -> None:
        self.name = name or argv[0]
        with namespace:
            # The kernel ends it with us, however we end.
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self.out = Text(self._popen.stdout, f"{self.name} (stdout)")
        self.err = Text(self._popen.stderr, f"{self.name} (stderr)")

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def end(self, seconds: float = 10) -> int:
        """Terminate, then kill; returns the exit status once every byte it printed is in `out` and `err`."""
        self._popen.terminate()
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(seconds)
        for text in (self.out, self.err):
            with contextlib.suppress(GoneError):
                text.wait(lambda _: None, seconds, "end")
        return self._popen.returncode


def printable(text: str) -> str:
    """`text` without terminal control sequences, for a person to read and a test to search."""
    text = re.sub(r"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>])", "", text)
    return "".join(c for c in text.replace("\r", "") if c.isprintable() or c in "\n\t")
