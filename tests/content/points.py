"""Two distribution points of one site, each with a home of its own: `one` packages, both serve."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pxefast.content.library import Library

from ..loopback.home import LOOPBACK, Home

IMAGE = ("--name", "big", "--arch", "x64", "--boot-program", "uefi=boot.efi", "--quiet")


class Points:
    """Homes `one` and `two` with one database file between them. `two` brings content from `url`."""

    def __init__(self, folder: Path) -> None:
        self.one = Home(folder / "one", made=("--dp", "one"))
        self.one.run("dp", "create", "two")
        self.two = Home(folder / "two", made=("--dp", "two"))
        for path in self.two.folder.glob("site.db*"):
            path.unlink()
        (self.two.folder / "site.db").symlink_to(self.one.database)
        self.point(self.one, "one")
        self.bring_from(f"file://{self.one.folder}/source")

    def point(self, home: Home, name: str, **content: object) -> None:
        home.configure({**LOOPBACK, "point": {"name": name}, "content": content})

    def bring_from(self, url: str, **more: object) -> None:
        """Where `two` finds content."""
        self.point(self.two, "two", source=url, timeout_seconds=2, **more)

    def add(self, source: Path) -> str:
        """A boot image that nobody has yet."""
        return self.one.run("boot-image", "add", str(source), *IMAGE)

    def status(self, home: Home, image: str, point: str) -> dict[str, Any]:
        rows = json.loads(home.run("content", "status", image, "--json"))
        found: dict[str, Any] = next(row for row in rows if row["distribution_point"] == point)
        return found


def served(home: Home, image: str) -> tuple[int, dict[str, str]]:
    """The version that is served and each of its files' own SHA-256, read now; 0 for none."""
    library = Library(home.folder / "content")
    published = library.published().get(image)
    if published is None:
        return 0, {}
    digests = {}
    for file in published.files:
        with (library.folder / file.blob).open("rb") as blob:
            digests[file.name] = hashlib.file_digest(blob, "sha256").hexdigest()
    return published.version, digests


def content_of(source: Path) -> dict[str, str]:
    """Each file's SHA-256 by its name."""
    found = {}
    for path in sorted(source.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[str(path.relative_to(source))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
