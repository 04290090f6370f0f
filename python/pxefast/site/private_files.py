"""Files with secrets that only their owner may read: the site database, its copies and its exports (D24)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pxefast.errors import CannotOpen

__all__ = ["create", "tighten", "tighten_home"]

_MODE = 0o600
# Bits that no secret file, and no home, may have.
_NOT_OF_OWNER = 0o077
_OF_OTHERS = 0o007
# What a home holds; a folder with anything else in it is not pxefast's alone.
_OF_HOME = frozenset(
    ["boot-images", "content", "journal", "lost+found", "pxefast.toml", "run", "site.db", "source"]
)


def create(file: Path) -> None:
    """Create an empty file that only its owner may read. SQLite gives its -wal and -shm files the same mode.

    Raises OSError.
    """
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE))


def tighten(database: Path) -> list[str]:
    """Let only the owner read a database and what lies beside it: -wal, -shm, and copies from before an upgrade.

    Returns:
        A sentence for each file whose mode was changed, or could not be.
    """
    told = []
    for file in sorted(database.parent.glob(f"{database.name}*")):
        try:
            status = file.lstat()
            if not stat.S_ISREG(status.st_mode) or not status.st_mode & _NOT_OF_OWNER:
                continue
            before = stat.filemode(status.st_mode)
            file.chmod(_MODE)
        except FileNotFoundError:
            continue
        except OSError as error:
            told.append(
                f"others may read {file}, which holds secrets, and its mode cannot be changed: {error.strerror}"
            )
        else:
            told.append(f"only its owner may read {file} now, which holds secrets (its mode was {before})")
    return told


def tighten_home(home: Path) -> str | None:
    """Let nobody but owner and group look into a home that is there already.

    Returns:
        A sentence if its mode was changed, else None.

    Raises:
        CannotOpen: Everybody may look into the folder, and it is not this user's, or holds other things as well.
    """
    try:
        status = home.stat()
    except OSError as error:
        raise CannotOpen(f"cannot look at {home}: {error.strerror}") from None
    if not status.st_mode & _OF_OTHERS:
        return None
    before = stat.filemode(status.st_mode)
    why = f"everybody may look into {home} ({before}), which is to hold secrets"
    advice = f"name a folder of pxefast's own with --home, or run: chmod o-rwx {home}"
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX:
        raise CannotOpen(f"{why}, and it is not this user's own; {advice}")
    others = sorted(path.name for path in home.iterdir() if path.name not in _OF_HOME)
    if others:
        raise CannotOpen(f"{why}, and it holds other things, such as {others[0]}; {advice}")
    try:
        home.chmod(stat.S_IMODE(status.st_mode) & ~_OF_OTHERS)
    except OSError as error:
        raise CannotOpen(f"{why}, and its mode cannot be changed: {error.strerror}; {advice}") from None
    return f"only owner and group may look into {home} now (its mode was {before})"
