"""What a version of a boot image is made of: its files, each with the SHA-256 of every chunk of it.

The bytes of a manifest are canonical, and their SHA-256 is in the site database: a distribution point trusts the
database alone, so that whoever keeps the content source cannot change what machines boot.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from pxefast.errors import ContentError

__all__ = ["CHUNK_BYTES", "Manifest", "ManifestFile", "blob_path", "decode", "encode"]

CHUNK_BYTES: Final = 4 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ManifestFile(NamedTuple):
    """A file: its name with `/`, its SHA-256, its size in bytes, and the SHA-256 of each CHUNK_BYTES of it."""

    name: str
    sha256: str
    size: int
    chunks: tuple[str, ...]

    def ranges(self) -> Iterator[tuple[int, int, str]]:
        """Each chunk's offset, length and SHA-256."""
        for number, digest in enumerate(self.chunks):
            start = number * CHUNK_BYTES
            yield start, min(CHUNK_BYTES, self.size - start), digest


class Manifest(NamedTuple):
    """A packaged version of a boot image; `packaged_at` is ISO 8601 in UTC, `facts` whatever else is known of it."""

    id: str
    version: int
    revision: int
    kind: str
    architecture: str
    packaged_at: str
    facts: Mapping[str, Any]
    files: tuple[ManifestFile, ...]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    def blobs(self) -> list[ManifestFile]:
        """One file for each different content."""
        return list({file.sha256: file for file in self.files}.values())


def blob_path(sha256: str) -> str:
    """Where a file's bytes are, below the content source and the library alike."""
    return f"blobs/{sha256[:2]}/{sha256}"


def encode(manifest: Manifest) -> bytes:
    """Canonical JSON: equal manifests are equal bytes."""
    value = {**manifest._asdict(), "files": [file._asdict() for file in manifest.files]}
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode(data: bytes, sha256: str, where: str) -> Manifest:
    """The manifest whose bytes have this SHA-256. Raises ContentError, which names `where` it came from."""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ContentError(
            f"{where} is not what was packaged: its SHA-256 is not the one in the site database; "
            "package the image again: pxefast content redistribute"
        )
    try:
        value = json.loads(data)
        files = tuple(
            ManifestFile(**{**file, "chunks": tuple(file["chunks"])}) for file in value.pop("files")
        )
        manifest = Manifest(**value, files=files)
        if all(_is_whole(file) for file in files):
            return manifest
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ContentError(f"{where} is no manifest that this pxefast can read; it may be too old for it")


def _is_whole(file: ManifestFile) -> bool:
    chunks = -(-file.size // CHUNK_BYTES)
    return len(file.chunks) == chunks and all(_DIGEST.fullmatch(text) for text in (file.sha256, *file.chunks))
