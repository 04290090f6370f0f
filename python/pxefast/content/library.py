"""The content library: published files, immutable and named by their hash, and one manifest a boot image.

    <folder>/blobs/<aa>/<sha256>       read-only
    <folder>/images/<ID>.json          written last: an image is published when its manifest is there
    <folder>/images/<ID>.before        the manifest of the version before: a service may still open files of it
    <folder>/images/<ID>.damaged       the manifest of an image that was withdrawn, for its bytes are not what they were
    <folder>/partial/<ID>/<sha256>     what is being brought here
    <folder>/builtin/<sha256>          what pxefast itself brings along

Every step is durable before the next one (D22): a crash leaves the old image or the new one, and never a part
of one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pxefast.content.durable import place, sync
from pxefast.content.manifest import Manifest, blob_path
from pxefast.content.source import Progress
from pxefast.errors import CannotOpen, ContentError

__all__ = ["Arrival", "BuiltIn", "Library", "Published", "PublishedFile", "hash_file"]

_READ_BYTES = 1 << 20
_TEMPORARY = ".new-"
_MANIFESTS = (".json", ".damaged", ".before")


class PublishedFile(NamedTuple):
    """A file in the library; size in bytes."""

    name: str
    sha256: str
    size: int

    @property
    def blob(self) -> str:
        """Where its bytes are, relative to the library's folder."""
        return blob_path(self.sha256)


class BuiltIn(NamedTuple):
    """A file of pxefast's own: its full name, where its bytes are relative to the library's folder, size in bytes."""

    name: str
    path: str
    size: int


class Published(NamedTuple):
    """A boot image in the library; `published_at` is ISO 8601 in UTC.

    `version` 0 was published before there were versions. `facts` are the packaged manifest's.
    """

    id: str
    architecture: str
    published_at: str
    files: tuple[PublishedFile, ...]
    version: int = 0
    revision: int = 1
    kind: str = "files"
    facts: Mapping[str, Any] = {}

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


class Library:
    """The content library in a folder. Several processes may use it; changes take turns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / "blobs"
        self._images = folder / "images"
        self._partial = folder / "partial"
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

    def published(self) -> dict[str, Published]:
        """Every published image by id. Raises CannotOpen for a manifest that cannot be read."""
        return self._manifests(".json")

    def withdrawn(self) -> dict[str, Published]:
        """Every image that was published and is damaged, by id. Raises CannotOpen."""
        return self._manifests(".damaged")

    def holds(self, image_id: str) -> bool:
        """Whether an image is published or withdrawn, whatever became of its manifest."""
        return any((self._images / f"{image_id}{suffix}").exists() for suffix in (".json", ".damaged"))

    def surplus(self, ordered: Collection[str]) -> dict[str, float]:
        """The images that are here without an order, with the Unix seconds since when. Raises CannotOpen.

        What is older than orders is left alone.
        """
        there = {**self.published(), **self.withdrawn()}
        return {
            image: datetime.fromisoformat(found.published_at).timestamp()
            for image, found in there.items()
            if found.version and image not in ordered
        }

    def damaged(self, published: Published, progress: Progress | None = None) -> list[str]:
        """The names of those files of an image whose bytes are not there, or not what they were (CM-147)."""
        found, done = [], 0
        for file in published.files:
            if progress is not None:
                progress(done, published.size, file.name)
            if not self.intact(file.sha256):
                found.append(file.name)
            done += file.size
        if progress is not None:
            progress(published.size, published.size, "")
        return found

    def intact(self, sha256: str) -> bool:
        """Whether the blob of this name is there and holds the bytes that it is named by."""
        try:
            return hash_file(self.folder / blob_path(sha256)) == sha256
        except OSError:
            return False

    def withdraw(self, image_id: str) -> None:
        """Serve a damaged image no more. What of it is not damaged is kept, to be used again."""
        with self._turn():
            try:
                (self._images / f"{image_id}.json").rename(self._images / f"{image_id}.damaged")
            except FileNotFoundError:
                return
            sync(self._images)

    def remove(self, image_id: str) -> bool:
        """Withdraw an image's files; False if it was neither published nor withdrawn."""
        with self._turn():
            there = self.holds(image_id)
            for suffix in _MANIFESTS:
                (self._images / f"{image_id}{suffix}").unlink(missing_ok=True)
            sync(self._images)
            self._collect()
        # Whoever brings it at this moment finds its folder gone, and says so.
        shutil.rmtree(self._partial / image_id, ignore_errors=True)
        return there

    def bring(self, files: Mapping[str, bytes]) -> list[BuiltIn]:
        """Keep files of pxefast's own beside the images. Raises CannotOpen."""
        brought = []
        try:
            (self.folder / "builtin").mkdir(exist_ok=True)
            for name, content in files.items():
                path = f"builtin/{hashlib.sha256(content).hexdigest()}"
                if not (self.folder / path).exists():
                    self._write(self.folder / path, content, 0o444)
                brought.append(BuiltIn(name, path, len(content)))
        except OSError as error:
            raise CannotOpen(f"cannot write to {self.folder}: {error.strerror}") from None
        return brought

    def stamp(self) -> tuple[int, int]:
        """A value that changes whenever an image is published or withdrawn; one system call."""
        status = self._images.stat()
        return status.st_mtime_ns, status.st_ino

    @contextmanager
    def arrival(self, image_id: str) -> Iterator[Arrival]:
        """Leave to bring an image's files here, one image at a time; others wait.

        What an earlier arrival left in its folder when it was cut short is still there.
        """
        folder = self._partial / image_id
        with self._locked(".arrival"):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CannotOpen(f"cannot make {folder}: {error.strerror}") from None
            yield Arrival(self, folder)

    @property
    def busy(self) -> bool:
        """Whether somebody brings an image here at this moment."""
        try:
            lock = os.open(self.folder / ".arrival", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def publish(self, manifest: Manifest, arrived: Mapping[str, Path]) -> Published:
        """Serve a version, and whatever was served of that image no more.

        `arrived` has those of its files, by SHA-256, that are not in the library yet: verified and durable. Raises
        ContentError; then nothing changed.
        """
        files = tuple(PublishedFile(file.name, file.sha256, file.size) for file in manifest.files)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        about = (manifest.version, manifest.revision, manifest.kind, manifest.facts)
        published = Published(manifest.id, manifest.architecture, now, files, *about)
        value = {**published._asdict(), "files": [file._asdict() for file in files]}
        try:
            with self._turn():
                for sha256, path in arrived.items():
                    place(path, self.folder / blob_path(sha256))
                gone = next((file for file in files if not (self.folder / file.blob).exists()), None)
                if gone is not None:
                    raise ContentError(f"{gone.name} was removed from the library meanwhile; do it again")
                served = self._images / f"{manifest.id}.json"
                if served.exists():
                    self._write(served.with_suffix(".before"), served.read_bytes(), 0o644)
                self._write(served, json.dumps(value, indent=1).encode(), 0o644)
                (self._images / f"{manifest.id}.damaged").unlink(missing_ok=True)
                self._collect()
        except OSError as error:
            raise ContentError(f"cannot publish {manifest.id}: {error.strerror}") from None
        return published

    def _write(self, target: Path, content: bytes, mode: int) -> None:
        """A small file, whole or not at all."""
        writer, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=target.parent)
        try:
            with os.fdopen(writer, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(writer, mode)
                os.fsync(writer)
            place(Path(name), target)
        finally:
            Path(name).unlink(missing_ok=True)

    def _manifests(self, suffix: str) -> dict[str, Published]:
        found = (_read_manifest(path) for path in sorted(self._images.glob(f"*{suffix}")))
        return {published.id: published for published in found}

    def _collect(self) -> None:
        """Delete blobs that no manifest names, and what a crash left half written."""
        try:
            known = [image for suffix in _MANIFESTS for image in self._manifests(suffix).values()]
        except CannotOpen:
            # A damaged manifest may name any of them.
            return
        used = {file.sha256 for image in known for file in image.files}
        for path in self._blobs.rglob("*"):
            if path.is_file() and path.name not in used:
                path.unlink()
        for path in self._images.glob(f"{_TEMPORARY}*"):
            path.unlink()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._locked(".lock"):
            yield

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        try:
            lock = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CannotOpen(f"cannot write to {self.folder}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


class Arrival(NamedTuple):
    """Leave to bring an image's files to a library, and the folder to put them together in."""

    library: Library
    folder: Path


def hash_file(path: Path) -> str:
    """The SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(path: Path) -> Published:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        files = tuple(PublishedFile(**file) for file in value.pop("files"))
        return Published(**value, files=files)
    except OSError as error:
        raise CannotOpen(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CannotOpen(f"{path} is damaged; run: pxefast content redistribute {path.stem}") from None
