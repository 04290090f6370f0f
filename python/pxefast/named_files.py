"""Reading of files that an operator names: regular files only, never blocking, bounded in size and in time (D35).

A FIFO, a device or a file on a hung network mount can block `open` and `read` for ever, and /dev/zero never ends.
Every error is an OSError whose `strerror` completes the sentence "cannot read FILE: ...".
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

__all__ = ["DEADLINE_SECONDS", "Unsettled", "open_regular", "read_bytes", "stamp"]

T = TypeVar("T")

# Time that a file system has to answer. Local disks take milliseconds, a spun-down array or an NFS server that
# restarts takes a few seconds.
DEADLINE_SECONDS = 10.0
_CHUNK_BYTES = 1 << 20
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class Unsettled(OSError):  # noqa: N818  what the file is
    """The file was written to while it was read, so that its content may be neither the old nor the new one."""

    def __init__(self, file: Path | str) -> None:
        super().__init__(errno.EAGAIN, "it changed while it was read; try again", str(file))


def read_bytes(file: Path | str, most: int, seconds: float | None = DEADLINE_SECONDS) -> bytes:
    """Read a whole regular file.

    Args:
        file: Path of the file; a symbolic link is followed.
        most: Largest size in bytes that is read.
        seconds: Time that the file system has to answer; None reads in the calling thread, without a deadline.

    Returns:
        The content of the file.

    Raises:
        Unsettled: The file was written to meanwhile.
        TimeoutError: The file system did not answer in time.
        OSError: The file cannot be opened, is not a regular file, or is larger than `most` bytes.
    """
    if seconds is None:
        return _read(file, most)
    return _within(seconds, lambda: _read(file, most), file)


def open_regular(file: Path | str, seconds: float = DEADLINE_SECONDS) -> BinaryIO:
    """Open a regular file for reading in pieces, for files that are too large to read whole.

    Args:
        file: Path of the file; a symbolic link is followed.
        seconds: Time that the file system has to open the file.

    Returns:
        The open file, which the caller closes.

    Raises:
        TimeoutError: The file system did not answer in time.
        OSError: The file cannot be opened, or is not a regular file.
    """
    return os.fdopen(_within(seconds, lambda: _opened(file), file, late=os.close), "rb")


def stamp(file: Path | str) -> tuple[int, ...] | None:
    """Return what differs after each change of a file: device, inode, size and times; None if it has no status."""
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(file: Path | str, most: int) -> bytes:
    descriptor = _opened(file)
    try:
        before = os.fstat(descriptor)
        if before.st_size > most:
            raise _too_large(file, most)
        parts: list[bytes] = []
        # One byte more than is expected, so that what grows is noticed. Files of /proc have content and no size.
        expected = before.st_size or most
        left = expected + 1
        while left and (part := os.read(descriptor, min(left, _CHUNK_BYTES))):
            parts.append(part)
            left -= len(part)
        if not left:
            raise Unsettled(file) if before.st_size else _too_large(file, most)
        after = os.fstat(descriptor)
        content = b"".join(parts)
        written = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
        if written or (after.st_size and len(content) != after.st_size):
            raise Unsettled(file)
        return content
    finally:
        os.close(descriptor)


def _opened(file: Path | str) -> int:
    """Return a descriptor of a regular file."""
    # The first look keeps a device from being opened, which can have effects; the second one is what counts.
    _check(file, Path(file).stat())
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(file, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(file: Path | str, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        number = errno.EISDIR if kind == stat.S_IFDIR else errno.EINVAL
        what = _KINDS.get(kind, "of an unknown kind")
        raise OSError(number, f"it is {what}, not a regular file", str(file))


def _too_large(file: Path | str, most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {_size(most)}", str(file))


def _size(count: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= factor and count % factor == 0:
            return f"{count // factor} {unit}"
    return f"{count} bytes"


class _Call(Generic[T]):
    """One call in a thread of its own, which is left behind if the kernel does not return from it."""

    def __init__(self, job: Callable[[], T], late: Callable[[T], None] | None) -> None:
        self._job = job
        self._late = late
        self._turn = threading.Lock()
        self._abandoned = False
        self.done = threading.Event()
        self.result: list[T] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Make the call; a result that nobody waits for any more goes to `late`."""
        try:
            result = self._job()
        except BaseException as error:
            self.error = error
        else:
            with self._turn:
                if not self._abandoned:
                    self.result.append(result)
                elif self._late is not None:
                    self._late(result)
        self.done.set()

    def abandon(self) -> bool:
        """Stop waiting. Return False if the result arrived at this moment."""
        with self._turn:
            self._abandoned = not self.result and self.error is None
            return self._abandoned


def _within(
    seconds: float, job: Callable[[], T], file: Path | str, late: Callable[[T], None] | None = None
) -> T:
    """Return what `job` returns. Raise TimeoutError if it takes longer than `seconds`."""
    call = _Call(job, late)
    threading.Thread(target=call.run, name="pxefast-file", daemon=True).start()
    if not call.done.wait(seconds) and call.abandon():
        text = f"its file system has not answered within {seconds:g} s; see whether its mount hangs"
        raise TimeoutError(errno.ETIMEDOUT, text, str(file))
    if call.error is not None:
        raise call.error
    return call.result[0]
