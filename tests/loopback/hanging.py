"""A service whose threads can be made to hang in the kernel, each where a test says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .home import Home
from .service import Service

# Opening a FIFO that nobody writes to blocks as a look at a hung mount does.
_PROGRAM = """
import os, sys
from pathlib import Path
from pxefast import named_files
from pxefast.cli import main
from pxefast.content.library import Library
from pxefast.responder.turns import Turns
from pxefast.site.watch import Watcher

def hanging(place, name):
    before = getattr(place, name)
    fifo = Path(os.environ["PXEFAST_TEST_HANGS"], name if place is not named_files else "list")
    def call(*arguments):
        if fifo.exists():
            os.close(os.open(fifo, os.O_RDONLY))
        return before(*arguments)
    setattr(place, name, call)

hanging(named_files, "stamp")
hanging(Library, "stamp")
hanging(Watcher, "changed")
hanging(Turns, "take")
sys.exit(main())
"""


class Hangs:
    """Places where a thread of the service hangs: `list`, `stamp` (content), `changed` (database), `take` (main)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def serve(self, home: Home) -> Service:
        """Start the service of a home."""
        return Service(home, {"PXEFAST_TEST_HANGS": str(self._folder)}, ("-c", _PROGRAM))

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Have the thread that comes by hang until the end of the block."""
        os.mkfifo(self._folder / place)
        try:
            yield
        finally:
            self.let_go(place)

    def let_go(self, place: str) -> None:
        """Let it go on."""
        fifo = self._folder / place
        if not fifo.exists() or not stat.S_ISFIFO(fifo.stat().st_mode):
            return
        # Who has opened it has its descriptor; who comes now finds nothing.
        gone = fifo.rename(fifo.with_suffix(".gone"))
        with suppress(OSError):
            os.close(os.open(gone, os.O_WRONLY | os.O_NONBLOCK))
        gone.unlink()
