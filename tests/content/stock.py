"""A content source, a library, and images that go from one to the other."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pxefast.config import Content
from pxefast.content.depot import Depot
from pxefast.content.library import Library, Published
from pxefast.content.manifest import Manifest
from pxefast.content.package import add_files, seal
from pxefast.content.pull import pull
from pxefast.content.source import Progress, check_programs, scan

MIB = 1 << 20


class Stock(NamedTuple):
    """A content source, and the library of a point that brings from it."""

    depot: Depot
    library: Library

    def distribute(
        self,
        source: Path,
        image: str = "PS100001",
        programs: Mapping[str, str] = {},
        progress: Progress | None = None,
    ) -> Published:
        """A folder packaged and brought here."""
        return self.bring(package(self.depot, source, image, programs=programs), progress=progress)

    def bring(self, version: Version, parallel: int = 4, progress: Progress | None = None) -> Published:
        manifest = self.depot.manifest(*version)
        with self.library.arrival(manifest.id) as arrival:
            return pull(arrival, self.depot, manifest, parallel, progress)

    def blobs(self) -> set[str]:
        return {path.name for path in (self.library.folder / "blobs").rglob("*") if path.is_file()}


class Version(NamedTuple):
    """What the site database knows of a version."""

    image: str
    version: int
    sha256: str


def stock(folder: Path) -> Stock:
    """An empty one."""
    return Stock(Depot(Content(), folder / "source"), Library.create(folder / "content"))


def package(
    depot: Depot,
    source: Path,
    image: str = "PS100001",
    version: int = 1,
    programs: Mapping[str, str] = {},
    **more: Any,
) -> Version:
    files = scan(source)
    check_programs(image, programs, (file.name for file in files))
    entries = add_files(files, depot, **more)
    manifest = Manifest(image, version, 1, "files", "x64", "2027-01-01T00:00:00+00:00", {}, entries)
    return Version(image, version, seal(manifest, depot))


def write_image(folder: Path, megabytes: int, seed: int = 1) -> Path:
    """A folder with a big file of so many MiB and some bytes, a small one and an empty one."""
    folder.mkdir(exist_ok=True)
    chance = random.Random(seed)
    with (folder / "boot.wim").open("wb") as file:
        for _ in range(megabytes):
            file.write(chance.randbytes(MIB))
        file.write(chance.randbytes(777))
    (folder / "boot.efi").write_bytes(chance.randbytes(5000))
    (folder / "empty").write_bytes(b"")
    return folder


def is_whole(library: Library, source: Path, image: str = "PS100001") -> bool:
    """Whether what is published is the folder's content, byte for byte."""
    published = library.published()[image]
    assert {file.name for file in published.files} == {file.name for file in scan(source)}
    return all(
        hashlib.sha256((library.folder / file.blob).read_bytes()).digest()
        == hashlib.sha256((source / file.name).read_bytes()).digest()
        for file in published.files
    )
