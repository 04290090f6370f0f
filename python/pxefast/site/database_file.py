"""The file of a SQLite database, watched: whether it is still the one that was opened, and whole (D37)."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from pxefast.errors import CannotOpen, DatabaseDamaged, DatabaseReplaced

__all__ = ["DatabaseFile"]

# Primary result codes of SQLite.
_CORRUPT, _FULL, _NOT_A_DATABASE, _IO_ERROR = 11, 13, 26, 10
# An integrity check that failed is not repeated sooner: it may read the whole file.
_RECHECK_SECONDS = 5.0
_PAGE_BYTES = 4096
_BESIDE = ("-wal", "-shm")

Identity = tuple[int, int]


class DatabaseFile:
    """The file at a path.

    Once the file was found to be another one, or damaged, every later `check` fails. A replaced file stays replaced for
    the life of the process: connections to two files under one name share a write-ahead log, and nobody can tell what
    either holds. A damaged file is good again when `recover` has checked all of it.

    Nothing here opens the file but SQLite: a descriptor of our own would drop SQLite's locks when it is closed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._identity: Identity | None = None
        self._size = 0
        self._replaced = ""
        self._damaged = ""
        self._recheck_at = 0.0

    def connect(self, busy_seconds: float, autocommit: bool = False) -> sqlite3.Connection:
        """Open a connection that never creates a database. Raises sqlite3.Error."""
        uri = f"file:{quote(os.fsencode(self.path))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=busy_seconds, check_same_thread=False)
        if autocommit:
            connection.isolation_level = None
        return connection

    @property
    def inode(self) -> int | None:
        """Inode of the file that was opened first; None before that."""
        return None if self._identity is None else self._identity[1]

    def check(self) -> None:
        """Raise CannotOpen unless the file is there, is the one that was opened first, and is not damaged."""
        if not self._replaced:
            self._look()
        if self._replaced:
            raise DatabaseReplaced(self._replaced)
        if self._damaged:
            raise DatabaseDamaged(self._damaged)

    def beside(self) -> dict[Path, Identity | None]:
        """The identities of the files that SQLite keeps beside a database that is open."""
        return {path: _identity(path) for path in self._beside()}

    def check_beside(self, before: dict[Path, Identity | None]) -> None:
        """Raise DatabaseReplaced where one of those files is another one now, while a connection is open."""
        for path, identity in before.items():
            if _identity(path) != identity:
                self._replace(f"{path} was deleted or replaced")
        self.check()

    def failed(self, error: BaseException | None) -> CannotOpen:
        """The error to raise for one of the driver's; remembers that the file is damaged."""
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in (_CORRUPT, _NOT_A_DATABASE):
            self._damaged = (
                f"{self.path} is damaged: {error}; stop the service and put a backup in its place, "
                "then run: pxefast reconcile"
            )
            return DatabaseDamaged(self._damaged)
        if code == _FULL:
            return CannotOpen(f"{self.path}: {error}; {no_space(self.path)}")
        if code == _IO_ERROR and _is_full(self.path):
            # So SQLite says where it finds no room for the memory that its processes share.
            return CannotOpen(f"{self.path}: {error}; {no_space(self.path)}")
        if code == _IO_ERROR:
            return CannotOpen(f"{self.path}: {error}; check that its disk is whole and has free space")
        return CannotOpen(f"{self.path}: {error}; check the disk and the file's owner and mode")

    def recover(self, busy_seconds: float) -> None:
        """Take a damaged file back into use if all of it is good, as a new connection reads it. Raises CannotOpen."""
        if not self._damaged:
            return
        if time.monotonic() < self._recheck_at:
            raise DatabaseDamaged(self._damaged)
        try:
            with closing(self.connect(busy_seconds)) as connection:
                found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            found = str(error)
        if found != "ok":
            self._recheck_at = time.monotonic() + _RECHECK_SECONDS
            raise DatabaseDamaged(self._damaged)
        self._damaged = ""

    def _look(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            if self._identity is None:
                raise CannotOpen(
                    f"there is no site database at {self.path}; make one with: pxefast init --site-code XYZ"
                ) from None
            self._replace(f"{self.path} was deleted or renamed")
            return
        except OSError as error:
            raise CannotOpen(
                f"cannot look at {self.path}: {error.strerror}; check its owner and mode"
            ) from None
        identity = (status.st_dev, status.st_ino)
        if self._identity is None:
            if status.st_size == 0:
                raise CannotOpen(f"{self.path} is empty; put a backup of the database in its place")
            self._identity = identity
        elif identity != self._identity:
            self._replace(f"{self.path} is another file than the one that was opened")
        elif status.st_size < self._size:
            # SQLite makes its file shorter in a VACUUM alone, which pxefast never runs.
            self._replace(f"{self.path} was cut from {self._size} to {status.st_size} bytes or overwritten")
        self._size = max(self._size, status.st_size)

    def _replace(self, what: str) -> None:
        self._replaced = (
            f"the database file was replaced under the service: {what}; "
            "put the right file back if need be, restart the service, then run: pxefast reconcile"
        )

    def _beside(self) -> list[Path]:
        return [self.path.with_name(f"{self.path.name}{end}") for end in _BESIDE]


def no_space(path: Path) -> str:
    """What to do about a disk without room, with its name."""
    try:
        free = f"{_free_bytes(path):,} bytes are free for {path.parent}"
    except OSError:
        free = f"the disk of {path.parent} does not say what is free"
    return f"no space left on device: {free}; free space, and what stopped goes on by itself"


def _free_bytes(path: Path) -> int:
    """Return how much room the file system of a file has for its user. Raises OSError."""
    status = os.statvfs(path.parent)
    return status.f_bavail * status.f_frsize


def _is_full(path: Path) -> bool:
    """Return True if a file system has no room for the next page of a database."""
    try:
        return _free_bytes(path) < _PAGE_BYTES
    except OSError:
        return False


def _identity(path: Path) -> Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
