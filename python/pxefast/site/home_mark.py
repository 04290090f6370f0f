"""A mark outside of the home: how far its journal was when this host last saw it (D38).

A home that is put back whole, database and journal from one old copy, agrees with itself. The mark does not agree with
it. It also names the inode of the database file, because a file that was put in the place of another one while a
write-ahead log was there is neither of both. It is in memory (/run), so that it lasts until the host restarts;
`[journal] copy` lasts longer. The marks of a site also say which homes serve it, and so find a copy of a home that
serves beside it. Where a mark cannot be written there is none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select

from pxefast import named_files
from pxefast.site import schema
from pxefast.site.journal import Head, JournalError

__all__ = ["HomeMark", "marks_folder"]

# Beyond so many, marks of homes that are gone are removed.
_MOST = 1000
# A mark is a few hundred bytes: two paths and a hash.
_LARGEST = 1 << 16
_BLOCK = 512


def marks_folder() -> Path | None:
    """Where marks are kept: /run/pxefast where this user may write there, else the user's own runtime folder."""
    common = Path("/run/pxefast")
    if os.geteuid() == 0 or os.access(common, os.W_OK):
        return common / "marks"
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path(own, "pxefast", "marks") if own else None


class _Mark(NamedTuple):
    home: str
    seq: int
    hash: str
    #: Inode of the database file; None for a database server, and in a mark of an earlier build.
    database: int | None = None


class HomeMark:
    """The mark of the home at `home`, in `folder`; None keeps none."""

    def __init__(self, home: Path, folder: Path | None) -> None:
        self._home = home
        self._folder = folder
        self._descriptor: int | None = None
        self._length = 0
        self._written = Head(-1, "")

    def close(self) -> None:
        """Give back the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def require(
        self, connection: Connection, point: str, known: Container[str] = (), database: int | None = None
    ) -> None:
        """Raise JournalError where this host has seen this home further on, or a copy of it serves now.

        Args:
            connection: A transaction.
            point: The distribution point.
            known: Hashes of records that are known from elsewhere.
            database: Inode of the database file, which must be the mark's; None for a database server, and where the
                database is being reconciled.
        """
        file = self._file(connection, point)
        if file is None:
            return
        # The first half of a name is the site's, the second the home's.
        for other in file.parent.glob(f"{file.name.split('-')[0]}-*.json"):
            twin = _read(other)
            if twin is not None and twin.home != str(self._home) and _is_served(Path(twin.home)):
                raise JournalError(
                    f"the home {twin.home} serves this site on this host now: {self._home} is a copy of it; "
                    "let one of both serve alone"
                )
        mark = _read(file)
        if mark is None:
            return
        a = schema.audit.c
        found = connection.execute(select(a.hash).where(a.seq == mark.seq)).scalar_one_or_none()
        if found != mark.hash and mark.hash not in known:
            raise JournalError(
                f"this host saw record {mark.seq} of this home, which neither its database nor its journal holds now: "
                "the home was put back whole from an older copy",
                behind=True,
            )
        if None not in (database, mark.database) and database != mark.database:
            raise JournalError(
                "the database file is another one than this host last saw in this home: it was replaced, and a "
                "write-ahead log of the old file may have changed it"
            )

    def write(
        self, connection_or_none: Connection | None, point: str, head: Head, database: int | None
    ) -> None:
        """Say that the journal is so far, beside the database file with that inode.

        The connection is needed the first time. Raises OSError.
        """
        if head == self._written or self._folder is None:
            return
        if self._descriptor is None:
            assert connection_or_none is not None
            file = self._file(connection_or_none, point)
            assert file is not None
            self._open(file)
        mark = _Mark(str(self._home), *head, database)
        data = json.dumps(mark._asdict()).encode()
        # Blanks cover what a longer one has left.
        self._length = max(self._length, -(-len(data) // _BLOCK) * _BLOCK)
        assert self._descriptor is not None
        os.pwrite(self._descriptor, data.ljust(self._length), 0)
        self._written = head

    @property
    def is_open(self) -> bool:
        """Whether `write` needs no connection."""
        return self._descriptor is not None or self._folder is None

    def _file(self, connection: Connection, point: str) -> Path | None:
        """The file of this site, distribution point and home: a site is known by its first record."""
        if self._folder is None:
            return None
        a = schema.audit.c
        first = connection.execute(select(a.hash).where(a.seq == 1)).scalar_one_or_none() or ""
        return self._folder / f"{_digest(f'{first} {point}')}-{_digest(str(self._home))}.json"

    def _open(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        _prune(file.parent)
        # The folder is the service's own, and root writes here too: a link in it would choose what root gives away.
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        self._length = os.fstat(self._descriptor).st_size
        if os.geteuid() == 0:
            # The service may be another user than the person who reconciles.
            owner = file.parent.stat()
            os.fchown(self._descriptor, owner.st_uid, owner.st_gid)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _is_served(home: Path) -> bool:
    """Return True while a service has the lock of a home."""
    try:
        lock = os.open(home / "run" / "serve.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _read(file: Path) -> _Mark | None:
    try:
        return _Mark(**json.loads(named_files.read_bytes(file, _LARGEST)))
    except (OSError, ValueError, TypeError):
        return None


def _prune(folder: Path) -> None:
    files = list(folder.glob("*.json"))
    if len(files) <= _MOST:
        return
    for file in files:
        mark = _read(file)
        if mark is None or not Path(mark.home).is_dir():
            file.unlink(missing_ok=True)
