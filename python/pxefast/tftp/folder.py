"""What is in a folder that anybody may change at any time: names to serve, and what cannot be served, with why.

A look reads only the folders whose time of change moved, for that moves whenever an entry comes, goes or is replaced
by another. What a file holds is the pump's matter, which opens it anew for each request.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pxefast._native import WireError, fold_name

__all__ = ["Folder"]

# A folder that changed so lately may change again without its time moving: times are as coarse as that on some file
# systems. In nanoseconds.
_COARSEST_TIME = 2_500_000_000


@dataclass(frozen=True, slots=True)
class _Listing:
    """The entries of one folder; files and folders lead to real paths below the root, links followed."""

    files: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    # An entry, or "" for the folder itself, and why it cannot be served.
    refused: dict[str, str] = field(default_factory=dict)


class _Seen(NamedTuple):
    """A listing, and what told that it is still true; nothing tells it of a None."""

    stamp: tuple[int, int, int] | None
    listing: _Listing


class Folder:
    """The files below `path`, as of the last `look`; before the first there are none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Name, as clients ask for it, and path below the folder; by name.
        self.files: list[tuple[str, str]] = []
        #: The names alone.
        self.names: tuple[str, ...] = ()
        #: What is not served, a sentence each.
        self.problems: tuple[str, ...] = ()
        self._root = ""
        self._identity: tuple[int, int] | None = None
        self._seen: dict[str, _Seen] = {}

    def look(self) -> bool:
        """Whether `files`, `problems`, or what the path itself leads to, are others than before."""
        identity = self._identity_now()
        self._root = os.path.realpath(self.path)
        seen: dict[str, _Seen] = {}
        waiting = [""]
        while waiting:
            below = waiting.pop()
            if below not in seen:
                seen[below] = self._read(below, self._seen.get(below))
                waiting.extend(seen[below].listing.folders.values())
        same = identity == self._identity and seen.keys() == self._seen.keys()
        same = same and all(entry.listing == self._seen[below].listing for below, entry in seen.items())
        self._identity, self._seen = identity, seen
        if not same:
            self._name()
        return not same

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _read(self, below: str, known: _Seen | None) -> _Seen:
        """A folder's listing: the known one, while that is true."""
        path = os.path.join(self._root, below)  # noqa: PTH118  a Path an entry costs more than reading it
        try:
            before = time.time_ns()
            status = os.stat(path)  # noqa: PTH116
            stamp = (status.st_dev, status.st_ino, status.st_mtime_ns)
            if known is not None and known.stamp == stamp:
                return known
            listing, links = self._list(path, below)
        except OSError as error:
            return _Seen(None, _Listing(refused={"": error.strerror or str(error)}))
        settled = not links and status.st_mtime_ns < before - _COARSEST_TIME
        return _Seen(stamp if settled else None, listing)

    def _list(self, path: str, below: str) -> tuple[_Listing, bool]:
        """A folder's entries, and whether there are links among them: what those lead to changes elsewhere."""
        listing, links = _Listing(), False
        prefix = f"{below}/" if below else ""
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links = True
                    self._follow(entry, listing)
                elif entry.is_file(follow_symlinks=False):
                    listing.files[entry.name] = prefix + entry.name
                elif entry.is_dir(follow_symlinks=False):
                    listing.folders[entry.name] = prefix + entry.name
                else:
                    listing.refused[entry.name] = "neither a file nor a folder; remove it"
        return listing, links

    def _follow(self, entry: os.DirEntry[str], listing: _Listing) -> None:
        try:
            real = os.path.realpath(entry.path, strict=True)
            real.encode()
            mode = os.stat(real).st_mode  # noqa: PTH116
        except UnicodeEncodeError:
            listing.refused[entry.name] = "the link leads to a name that is not UTF-8; rename that"
            return
        except OSError as error:
            listing.refused[entry.name] = f"the link leads nowhere ({error.strerror}); remove it"
            return
        inside = os.path.relpath(real, self._root)
        if inside == ".." or inside.startswith("../"):
            why = f"the link leads out of the folder, to {real}; copy the file into it"
            listing.refused[entry.name] = why
        elif stat.S_ISDIR(mode):
            listing.folders[entry.name] = "" if inside == "." else inside
        elif stat.S_ISREG(mode):
            listing.files[entry.name] = inside
        else:
            listing.refused[entry.name] = "the link leads to neither a file nor a folder; remove it"

    def _name(self) -> None:
        """Names from listings, in the order of their bytes: of two that clients cannot tell apart the first counts."""
        found: list[tuple[str, str]] = []
        refused: list[tuple[str, str]] = []
        self._walk("", "", (), found, refused)
        found.sort(key=lambda file: os.fsencode(file[0]))
        files: list[tuple[str, str]] = []
        first: dict[bytes, str] = {}
        for name, path in found:
            folded, why = _fold(name)
            other = first.setdefault(folded, name) if why is None else name
            if other is not name:
                why = f"clients cannot tell it from {other!r}, which is served; rename one of them"
            if why is None:
                files.append((name, path))
            else:
                refused.append((name, why))
        self.files = files
        self.names = tuple(name for name, _ in files)
        self.problems = tuple(f"{repr(name) if name else self.path}: {why}" for name, why in refused)

    def _walk(
        self,
        below: str,
        prefix: str,
        above: tuple[str, ...],
        found: list[tuple[str, str]],
        refused: list[tuple[str, str]],
    ) -> None:
        listing = self._seen[below].listing
        refused.extend(((prefix + name).rstrip("/"), why) for name, why in listing.refused.items())
        found.extend((prefix + name, path) for name, path in listing.files.items())
        for name, inner in listing.folders.items():
            # A folder is refused once, not with each of its files; that also bounds how deep this goes.
            _, why = _fold(f"{prefix}{name}/x")
            if why is not None:
                refused.append((prefix + name, why))
            elif inner == below or inner in above:
                refused.append((prefix + name, "the link leads back to a folder that holds it; remove it"))
            else:
                self._walk(inner, f"{prefix}{name}/", (*above, below), found, refused)


def _fold(name: str) -> tuple[bytes, str | None]:
    """The one form that the pump looks a name up in (W-77), or why no client can ask for it."""
    try:
        raw = name.encode()
        folded = fold_name(raw)
    except UnicodeEncodeError:
        return b"", "the name is not UTF-8; rename it"
    except WireError as error:
        return b"", f"no client can ask for such a name ({error.what}); rename it"
    if folded != raw.lower():
        return b"", f"clients that ask for it mean {folded.decode()!r}; rename it"
    return folded, None
