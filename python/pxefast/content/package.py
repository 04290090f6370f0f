"""Packaging: a boot image's files into the content source, as a new version."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pxefast.content.depot import Depot
from pxefast.content.library import Published
from pxefast.content.manifest import CHUNK_BYTES, Manifest, ManifestFile, encode
from pxefast.content.source import Progress, SourceFile, stamp
from pxefast.errors import ContentError

__all__ = ["STAMP", "add_files", "changed", "outdated", "seal"]

# The fact that tells whether an image's file or folder was changed since.
STAMP = "source_stamp"


def add_files(
    files: Sequence[SourceFile], depot: Depot, *, verify: bool = False, progress: Progress | None = None
) -> tuple[ManifestFile, ...]:
    """Put files into the content source, as far as they are not there; what a manifest says of them.

    `verify`: what is there already is read, and put there again unless it is what it is named by. Raises ContentError.
    """
    total, done, entries = sum(file.size for file in files), 0, []
    for file in files:

        def told(of_file: int, name: str = file.name, before: int = done) -> None:
            if progress is not None:
                progress(before + of_file, total, name)

        told(0)
        entry = _hashed(file, told)
        there = depot.intact(entry) if verify else depot.holds(entry)
        if not there:
            depot.put_blob(entry.sha256, _unchanged(file, entry))
        entries.append(entry)
        done += file.size
    if progress is not None:
        progress(total, total, "")
    return tuple(entries)


def seal(manifest: Manifest, depot: Depot) -> str:
    """Make a version of files that are in the content source; the SHA-256 of its manifest. Raises ContentError."""
    data = encode(manifest)
    sha256 = hashlib.sha256(data).hexdigest()
    depot.put_manifest(manifest.id, manifest.version, sha256, data)
    return sha256


def outdated(published: Published, revision: int, source: Path) -> str | None:
    """Why what is published is not what would be packaged now; None where it is, or nobody here can tell.

    `revision` and `source` are the boot image's.
    """
    if revision > published.revision:
        return "its properties have changed"
    return changed(published.facts, source)


def changed(facts: Mapping[str, Any], source: Path) -> str | None:
    """Whether an image's file or folder is another one than was packaged, as far as this host can see it."""
    packaged = facts.get(STAMP)
    if packaged is None or not source.exists():
        return None
    try:
        now = stamp(source)
    except ContentError as error:
        return str(error)
    return None if now == packaged else f"{source} has changed"


def _hashed(file: SourceFile, told: Callable[[int], None]) -> ManifestFile:
    whole, chunks, size = hashlib.sha256(), [], 0
    for chunk in _chunks(file):
        whole.update(chunk)
        chunks.append(hashlib.sha256(chunk).hexdigest())
        size += len(chunk)
        told(size)
    if size != file.size:
        raise _moving(file)
    return ManifestFile(file.name, whole.hexdigest(), size, tuple(chunks))


def _unchanged(file: SourceFile, entry: ManifestFile) -> Iterator[bytes]:
    """The bytes that were hashed. Raises ContentError as soon as they are others."""
    size = 0
    for digest, chunk in zip(entry.chunks, _chunks(file), strict=False):
        if hashlib.sha256(chunk).hexdigest() != digest:
            raise _moving(file)
        size += len(chunk)
        yield chunk
    if size != entry.size:
        raise _moving(file)


def _chunks(file: SourceFile) -> Iterator[bytes]:
    try:
        with _opened(file) as descriptor:
            while chunk := _read(descriptor, CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise ContentError(f"cannot read {file.path}: {error.strerror}") from None


def _read(descriptor: int, length: int) -> bytes:
    """So many bytes, fewer at the end of the file alone."""
    parts = []
    while length and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


@contextmanager
def _opened(file: SourceFile) -> Iterator[int]:
    # The path was looked at before: it must still be that regular file, and no link put in its place.
    reader = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(reader).st_mode):
            raise _moving(file)
        yield reader
    finally:
        os.close(reader)


def _moving(file: SourceFile) -> ContentError:
    return ContentError(f"{file.path} changed while it was packaged; distribute it again")
