"""Bringing a packaged version here: in parts at the same time, each verified, and published when all of it is.

What was cut short is taken up again: a part that is there and has its hash is not fetched once more. So nothing but
the files themselves says how far it is, and a kill at any moment costs at most the parts that were on their way.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from pxefast.content.depot import Depot
from pxefast.content.library import Arrival, Published, hash_file
from pxefast.content.manifest import Manifest, ManifestFile
from pxefast.content.source import Progress
from pxefast.errors import ContentError

__all__ = ["pull"]

# A part with wrong bytes is asked for so often: a connection may have garbled it.
_TRIES = 3


class _Part(NamedTuple):
    file: ManifestFile
    path: Path
    start: int
    length: int
    sha256: str
    # Nothing of it can be there: its file is new.
    new: bool


def pull(
    arrival: Arrival, depot: Depot, manifest: Manifest, parallel: int = 4, progress: Progress | None = None
) -> Published:
    """Bring a version from the content source and publish it, `parallel` parts at a time.

    Files in the library that are not what they are named by are brought anew. Raises ContentError; then what was
    published before still is, and what has come is kept for the next time, unless the disk is full.
    """
    library, folder = arrival
    try:
        _drop_others(folder, {file.sha256 for file in manifest.files})
        arriving = [file for file in manifest.blobs() if not library.intact(file.sha256)]
        counter = _Counter(manifest, arriving, progress)
        _bring(depot, folder, arriving, parallel, counter)
        for file in arriving:
            _seal(folder / file.sha256, file)
        published = library.publish(manifest, {file.sha256: folder / file.sha256 for file in arriving})
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(library.folder).free
            shutil.rmtree(folder, ignore_errors=True)
            raise ContentError(
                f"no space left for {manifest.id}: it needs {manifest.size:,} bytes, {library.folder} had {free:,}; "
                "what was served before still is"
            ) from None
        raise ContentError(f"cannot bring {manifest.id} to {folder}: {error.strerror}") from None
    shutil.rmtree(folder, ignore_errors=True)
    counter.end()
    return published


class _Counter:
    """Bytes that are here and verified, told from any thread."""

    def __init__(
        self, manifest: Manifest, arriving: Iterable[ManifestFile], progress: Progress | None
    ) -> None:
        self._total = sum(file.size for file in manifest.blobs())
        self._done = self._total - sum(file.size for file in arriving)
        self._progress = progress
        self._turn = threading.Lock()

    def add(self, length: int, name: str) -> None:
        with self._turn:
            self._done += length
            if self._progress is not None:
                self._progress(self._done, self._total, name)

    def end(self) -> None:
        if self._progress is not None:
            self._progress(self._total, self._total, "")


def _bring(
    depot: Depot, folder: Path, files: Iterable[ManifestFile], parallel: int, counter: _Counter
) -> None:
    """Fetch whatever part of these files is not here already."""
    with ThreadPoolExecutor(parallel, thread_name_prefix="pull") as pool:
        jobs = [pool.submit(_fetch, depot, part, counter) for part in _parts(folder, files)]
        try:
            finished, _ = wait(jobs, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    for job in finished:
        job.result()


def _parts(folder: Path, files: Iterable[ManifestFile]) -> Iterator[_Part]:
    for file in files:
        path = folder / file.sha256
        new = not path.exists()
        _allot(path, file.size)
        for start, length, sha256 in file.ranges():
            yield _Part(file, path, start, length, sha256, new)


def _allot(path: Path, size: int) -> None:
    """A file of this size; a full disk is found out before anything is fetched. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.ftruncate(descriptor, size)
        if size:
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def _fetch(depot: Depot, part: _Part, counter: _Counter) -> None:
    """Make a part what it must be. Raises ContentError or OSError."""
    descriptor = os.open(part.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if part.new or not _is(part, os.pread(descriptor, part.length, part.start)):
            _write(descriptor, part.start, _verified(depot, part))
    finally:
        os.close(descriptor)
    counter.add(part.length, part.file.name)


def _verified(depot: Depot, part: _Part) -> memoryview:
    for _ in range(_TRIES):
        data = depot.chunk(part.file.sha256, part.start, part.length)
        if _is(part, data):
            return data
    raise ContentError(
        f"{part.file.name}: bytes {part.start:,} to {part.start + part.length:,} in the content source {depot.where} "
        "are not what was packaged; where the boot image's own files are, run: pxefast content redistribute"
    )


def _is(part: _Part, data: bytes | memoryview) -> bool:
    return len(data) == part.length and hashlib.sha256(data).hexdigest() == part.sha256


def _write(descriptor: int, start: int, data: memoryview) -> None:
    while data:
        written = os.pwrite(descriptor, data, start)
        start, data = start + written, data[written:]


def _seal(path: Path, file: ManifestFile) -> None:
    """Read a whole file back, and make it durable and read-only. Raises ContentError or OSError."""
    if hash_file(path) != file.sha256:
        path.unlink()
        raise ContentError(
            f"{file.name} does not read back as it was written to {path.parent}; is the disk damaged?"
        )
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o444)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _drop_others(folder: Path, wanted: set[str]) -> None:
    """Forget what another version has left."""
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
