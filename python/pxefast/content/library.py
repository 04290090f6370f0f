"""The content library: published files, immutable and named by their hash, and one manifest a boot image.

    <folder>/blobs/<aa>/<sha256>    read-only
    <folder>/images/<ID>.json       written last: an image is published when its manifest is there
    <folder>/builtin/<sha256>       what pxefast itself brings along

Every step is durable before the next one (D22): a crash leaves the old image or the new one, and never a part
of one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from pxefast.content.source import SourceFile, check_programs, scan
from pxefast.errors import CannotOpen, ContentError

__all__ = ["BuiltIn", "Image", "Library", "Progress", "Published", "PublishedFile"]

_READ_BYTES = 1 << 20
_TEMPORARY = ".new-"

# Called with the bytes done, the bytes in all, and the name of the file in hand.
Progress = Callable[[int, int, str], None]


class Image(Protocol):
    """What the library needs to know of a boot image."""

    @property
    def id(self) -> str:
        """Such as PS100001."""

    @property
    def architecture(self) -> str:
        """x86, x64 or arm64."""

    @property
    def programs(self) -> Mapping[str, str]:
        """The boot program's file by kind of client: bios, uefi, ipxe."""


class PublishedFile(NamedTuple):
    """A file in the library; size in bytes."""

    name: str
    sha256: str
    size: int

    @property
    def blob(self) -> str:
        """Where its bytes are, relative to the library's folder."""
        return f"blobs/{self.sha256[:2]}/{self.sha256}"


class BuiltIn(NamedTuple):
    """A file of pxefast's own: its full name, where its bytes are relative to the library's folder, size in bytes."""

    name: str
    path: str
    size: int


class Published(NamedTuple):
    """A boot image in the library; `published_at` is ISO 8601 in UTC."""

    id: str
    architecture: str
    published_at: str
    files: tuple[PublishedFile, ...]


class Library:
    """The content library in a folder. Several processes may use it; changes take turns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs"
        self._images = folder / "images"
        if not self._images.is_dir() or not self._blobs.is_dir():
            raise CannotOpen(
                f"there is no content library at {folder}; make one with: pxefast init --site-code XYZ"
            )

    @classmethod
    def create(cls, folder: Path) -> Library:
        """A new, empty library."""
        try:
            for part in ("blobs", "images"):
                (folder / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotOpen(f"cannot make {error.filename}: {error.strerror}") from None
        return cls(folder)

    def distribute(self, image: Image, source: Path, progress: Progress | None = None) -> Published:
        """Publish a folder as a boot image, replacing what it held before.

        Raises ContentError; then nothing changed.
        """
        files = scan(source)
        check_programs(image.id, image.programs, (file.name for file in files))
        total = sum(file.size for file in files)
        done = 0
        with self._turn():
            copied = []
            for file in files:
                if progress is not None:
                    progress(done, total, file.name)
                copied.append(self._copy(file, done, total, progress))
                done += file.size
            now = datetime.now(UTC).isoformat(timespec="seconds")
            published = Published(image.id, image.architecture, now, tuple(copied))
            self._write_manifest(published)
            self._collect()
        if progress is not None:
            progress(total, total, "")
        return published

    def published(self) -> dict[str, Published]:
        """Every published image by id. Raises CannotOpen for a manifest that cannot be read."""
        found = (self._read_manifest(path) for path in sorted(self._images.glob("*.json")))
        return {published.id: published for published in found}

    def validate(self, published: Published) -> list[str]:
        """The names of those files of an image whose bytes are not there, or not what they were (CM-147)."""
        return [file.name for file in published.files if self._hash(file) != file.sha256]

    def remove(self, image_id: str) -> bool:
        """Withdraw an image's files; False if it was not published."""
        with self._turn():
            manifest = self._images / f"{image_id}.json"
            if not manifest.exists():
                return False
            manifest.unlink()
            _sync_folder(self._images)
            self._collect()
        return True

    def bring(self, files: Mapping[str, bytes]) -> list[BuiltIn]:
        """Keep files of pxefast's own beside the images. Raises CannotOpen."""
        brought = []
        try:
            (self.folder / "builtin").mkdir(exist_ok=True)
            for name, content in files.items():
                path = f"builtin/{hashlib.sha256(content).hexdigest()}"
                if not (self.folder / path).exists():
                    with self._temporary(self.folder / "builtin") as (writer, temporary):
                        _write_all(writer, content)
                        self._place(writer, temporary, self.folder / path, 0o444)
                brought.append(BuiltIn(name, path, len(content)))
        except OSError as error:
            raise CannotOpen(f"cannot write to {self.folder}: {error.strerror}") from None
        return brought

    def stamp(self) -> tuple[int, int]:
        """A value that changes whenever an image is published or withdrawn; one system call."""
        status = self._images.stat()
        return status.st_mtime_ns, status.st_ino

    def _copy(self, file: SourceFile, done: int, total: int, progress: Progress | None) -> PublishedFile:
        digest = hashlib.sha256()
        copied = 0
        try:
            with _opened(file) as reader, self._temporary(self._blobs) as (writer, temporary):
                while block := os.read(reader, _READ_BYTES):
                    digest.update(block)
                    _write_all(writer, block)
                    copied += len(block)
                    if progress is not None:
                        progress(done + copied, total, file.name)
                if copied != file.size:
                    raise ContentError(f"{file.path} changed while it was copied; distribute it again")
                blob = PublishedFile(file.name, digest.hexdigest(), copied)
                self._place(writer, temporary, self.folder / blob.blob, 0o444)
                return blob
        except OSError as error:
            raise ContentError(f"cannot publish {file.path}: {error.strerror}") from None

    def _hash(self, file: PublishedFile) -> str | None:
        try:
            with (self.folder / file.blob).open("rb") as blob:
                return hashlib.file_digest(blob, "sha256").hexdigest()
        except OSError:
            return None

    def _place(self, writer: int, temporary: Path, target: Path, mode: int) -> None:
        """Make a written file durable, then give it its name durably."""
        os.fchmod(writer, mode)
        os.fsync(writer)
        if not target.parent.is_dir():
            target.parent.mkdir()
            _sync_folder(target.parent.parent)
        temporary.rename(target)
        _sync_folder(target.parent)

    @contextmanager
    def _temporary(self, folder: Path) -> Iterator[tuple[int, Path]]:
        writer, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=folder)
        try:
            yield writer, Path(name)
        finally:
            os.close(writer)
            Path(name).unlink(missing_ok=True)

    def _write_manifest(self, published: Published) -> None:
        value = {**published._asdict(), "files": [file._asdict() for file in published.files]}
        try:
            with self._temporary(self._images) as (writer, temporary):
                _write_all(writer, json.dumps(value, indent=1).encode())
                self._place(writer, temporary, self._images / f"{published.id}.json", 0o644)
        except OSError as error:
            raise ContentError(f"cannot publish {published.id}: {error.strerror}") from None

    def _read_manifest(self, path: Path) -> Published:
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            files = tuple(PublishedFile(**file) for file in value.pop("files"))
            return Published(**value, files=files)
        except OSError as error:
            raise CannotOpen(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise CannotOpen(f"{path} is damaged; run: pxefast content distribute {path.stem}") from None

    def _collect(self) -> None:
        """Delete blobs that no manifest names, and what a crash left half written."""
        try:
            used = {file.sha256 for image in self.published().values() for file in image.files}
        except CannotOpen:
            # A damaged manifest may name any of them.
            return
        for path in self._blobs.rglob("*"):
            if path.is_file() and path.name not in used:
                path.unlink()
        for path in self._images.glob(f"{_TEMPORARY}*"):
            path.unlink()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CannotOpen(f"cannot write to {self.folder}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


@contextmanager
def _opened(file: SourceFile) -> Iterator[int]:
    # The path was looked at before: it must still be that regular file, and no link put in its place.
    reader = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(reader).st_mode):
            raise ContentError(f"{file.path} changed while it was copied; distribute it again")
        yield reader
    finally:
        os.close(reader)


def _write_all(writer: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(writer, view) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
