"""A folder by TFTP, read-only, without a site: the native pump, and a thread that follows the folder's changes."""

from __future__ import annotations

import errno
import time
from os import PathLike
from pathlib import Path
from threading import Event, Thread
from typing import Self

from pydantic import ValidationError

from pxefast import _native
from pxefast.config import Tftp
from pxefast.errors import CannotBind, CannotOpen, UsageError
from pxefast.tftp.folder import Folder

__all__ = ["TftpServer"]

# Changes count within a second: so long between two looks at the folder; looking takes at most a fifth of the time.
_PAUSE_SECONDS = 0.4
_PAUSE_LOOKS = 4
# How long a signal or `close` may go unnoticed by `join`, in milliseconds.
_STEP_MILLISECONDS = 200
# How often it is looked whether a last transfer has ended.
_DRAIN_MILLISECONDS = 20


class TftpServer:
    """Serves the files below a folder by TFTP, read-only, from its construction until `close` or the end of `with`.

    Files are served under their names in the folder, `/` between folders, case aside; of two names that differ only in
    case the first in the order of bytes is. What is added, replaced or removed counts within a second; a transfer under
    way keeps its file. A file that is written to meanwhile ends its transfer with an error before its last bytes. Links
    are followed below the folder and refused where they lead out of it.

    `host` is an IPv4 address to listen on, `port` 0 takes any free one. `block_max` is the largest block in bytes, 512
    to 65464, 0 what the path's MTU carries whole; `window_max` the most blocks before an acknowledgment, 1 to 64;
    `workers` the threads that send, 1 to 64, 0 half as many as the host has cores, at most 8.

    Raises CannotOpen for the folder, CannotBind for the port, UsageError for a value out of range.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        host: str = "0.0.0.0",
        port: int = 69,
        block_max: int = 0,
        window_max: int = 64,
        workers: int = 0,
    ) -> None:
        self._folder = Folder(Path(folder).absolute())
        if not self._folder.path.is_dir():
            raise CannotOpen(f"{folder} is not a folder; name the folder whose files shall be served")
        self._server = _bind(host, _limits(port, block_max, window_max, workers))
        self._names: tuple[str, ...] = ()
        self._problems: tuple[str, ...] = ()
        self._ended = Event()
        self._follower = Thread(target=self._follow, name="pxefast-tftp-folder", daemon=True)
        try:
            pause = self._look()
        except OSError as error:
            self._server.stop()
            raise CannotOpen(str(error.strerror or error)) from error
        except BaseException:
            self._server.stop()
            raise
        self._pause = pause
        self._follower.start()

    @property
    def port(self) -> int:
        """The UDP port that requests come to."""
        return self._server.ports["tftp"]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are served now, in the order of their bytes; the same tuple until something changes."""
        return self._names

    @property
    def problems(self) -> tuple[str, ...]:
        """What is in the folder and not served now: a sentence each, with what to do."""
        return self._problems

    def stats(self) -> dict[str, int]:
        """Every counter of TFTP since the start, by dotted name."""
        return {key: value for key, value in self._server.counters().items() if key.startswith("tftp.")}

    def transfers(self) -> list[_native.Transfer]:
        """The transfers that ended since the last call; the newest 4096 at most."""
        return self._server.transfers()

    def live(self) -> list[_native.Live]:
        """The transfers under way, as they are now; they go on meanwhile."""
        return self._server.live()

    def join(self, seconds: float | None = None) -> bool:
        """Wait until `close`, at most so long; whether that came. Ctrl-C ends it with KeyboardInterrupt."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self._ended.is_set():
            left = _STEP_MILLISECONDS if end is None else int(1000 * (end - time.monotonic()))
            if left <= 0:
                return False
            self._server.wait(min(left, _STEP_MILLISECONDS))
        return True

    def drain(self, seconds: float) -> bool:
        """Begin no transfer any more, and wait for those under way, at most so long; whether all have ended.

        What is asked for from now on is never answered; `close` is still to be called.
        """
        self._server.drain()
        end = time.monotonic() + seconds
        while self._server.transferring:
            left = int(1000 * (end - time.monotonic()))
            if left <= 0:
                return False
            self._server.wait(min(left, _DRAIN_MILLISECONDS))
        return True

    def close(self) -> None:
        """End; transfers under way are cut. A second time does nothing."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._server.wake()
        self._follower.join()
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _follow(self) -> None:
        while not self._ended.wait(self._pause):
            self._pause = self._look()

    def _look(self) -> float:
        """Publish the folder if it changed; how long to wait before the next look, in seconds."""
        began = time.monotonic()
        if self._folder.look():
            try:
                self._server.publish_folder(self._folder.path, self._folder.files)
            except OSError:
                # The folder is gone, which is among its problems; what the name stands for now is not known.
                self._server.publish_folder("/", [])
            self._problems, self._names = self._folder.problems, self._folder.names
        return max(_PAUSE_SECONDS, _PAUSE_LOOKS * (time.monotonic() - began))


def _limits(port: int, block_max: int, window_max: int, workers: int) -> Tftp:
    try:
        return Tftp(port=port, max_block_size=block_max, max_window_size=window_max, workers=workers)
    except ValidationError as error:
        first = error.errors()[0]
        name = {"max_block_size": "block_max", "max_window_size": "window_max"}.get(
            str(first["loc"][0]), str(first["loc"][0])
        )
        raise UsageError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None


def _bind(host: str, limits: Tftp) -> _native.Server:
    try:
        settings = _native.ServerSettings(
            address=host,
            dhcp_port=None,
            boot_port=None,
            accept_option82_without_giaddr=False,
            **limits.limits(),
        )
    except ValueError as error:
        raise UsageError(f"host: {error}; 0.0.0.0 is every interface") from None
    try:
        return _native.Server(settings)
    except OSError as error:
        if error.errno == errno.EMFILE:
            raise CannotOpen(f"cannot serve: {error.strerror}") from None
        advice = {
            errno.EADDRINUSE: "; end the server that uses it (`ss -lunp` names it), or choose another port",
            errno.EACCES: "; ports below 1024 need root or CAP_NET_BIND_SERVICE: use sudo, or a port such as 6969",
            errno.EADDRNOTAVAIL: "; no interface has this address",
        }.get(error.errno or 0, "")
        raise CannotBind(f"cannot bind {error.strerror or error}{advice}") from None
