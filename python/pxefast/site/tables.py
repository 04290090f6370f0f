"""The tables of a site database as a whole: made at once or not at all, recognised, and brought up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection

from pxefast.errors import AlreadyExists, CannotOpen
from pxefast.site import private_files
from pxefast.site.engines import Database, SQLite, database
from pxefast.site.migrations import HEAD, REVISIONS, create_tables, revision_of, upgrade

__all__ = ["new_database", "require_tables", "upgrade_tables"]


@contextmanager
def new_database(where: Path | str, busy_seconds: float) -> Iterator[Connection]:
    """A new SQLite file or an empty PostgreSQL database with its tables, to be filled inside the block.

    It is there whole after the block, or not at all. Raises AlreadyExists or CannotOpen.
    """
    place = database(where, busy_seconds)
    try:
        if isinstance(place, SQLite) and place.file is not None:
            with _new_file(place.file, busy_seconds) as connection:
                yield connection
            return
        with place.transaction(change=True, lock=False) as connection:
            place.reserve(connection)
            if revision_of(connection) is not None:
                raise AlreadyExists(f"{place.where} holds a site database already")
            create_tables(connection)
            yield connection
    finally:
        place.engine.dispose()


@contextmanager
def _new_file(file: Path, busy_seconds: float) -> Iterator[Connection]:
    if file.exists():
        raise AlreadyExists(f"{file} already exists")
    unfinished = file.with_name(f".new-{file.name}")
    place = SQLite(unfinished, busy_seconds, new=True)
    try:
        unfinished.unlink(missing_ok=True)
        private_files.create(unfinished)
        with place.transaction(change=True) as connection:
            create_tables(connection)
            yield connection
        place.engine.dispose()
        os.link(unfinished, file)
    except FileExistsError:
        raise AlreadyExists(f"{file} already exists") from None
    except OSError as error:
        raise CannotOpen(f"cannot make {file}: {error.strerror}; check the owner of its folder") from None
    finally:
        place.engine.dispose()
        unfinished.unlink(missing_ok=True)


def require_tables(place: Database) -> None:
    """Refuse a database that is not of this pxefast; a file of an older one is brought up to date first.

    Raises CannotOpen.
    """
    if isinstance(place, SQLite) and place.file is not None and not place.file.is_file():
        if (place.file.parent / "journal" / "audit.log").exists():
            raise CannotOpen(
                f"the site database {place.where} is gone, and the journal beside it is not: put the newest backup in "
                "its place, then run: pxefast reconcile"
            )
        raise CannotOpen(
            f"there is no site database at {place.where}; make one with: pxefast init --site-code XYZ"
        )
    with place.transaction(change=False) as connection:
        found = revision_of(connection)
    if found == HEAD:
        return
    if found is None and not isinstance(place, SQLite):
        raise CannotOpen(f"{place.where} holds no site yet; make one with: pxefast init --site-code XYZ")
    if found is None:
        raise CannotOpen(f"{place.where} is not a site database of pxefast; name another home with --home")
    if found not in REVISIONS:
        raise CannotOpen(
            f"{place.where} was made by a newer pxefast (its tables are {found}, not {HEAD}); install that one"
        )
    if not isinstance(place, SQLite):
        # The other distribution points of the hierarchy go by the old tables still.
        raise CannotOpen(
            f"{place.where} was made by an older pxefast (its tables are {found}, not {HEAD}); "
            "stop every service that uses it, then run: pxefast db upgrade"
        )
    upgrade_tables(place)


def upgrade_tables(place: Database) -> str | None:
    """Bring the tables up to date, all or nothing; the revision that they had, or None if they were new.

    A SQLite file is copied beside itself first.
    """
    with place.transaction(change=False) as connection:
        found = revision_of(connection)
    if found == HEAD:
        return None
    if found not in REVISIONS:
        raise CannotOpen(f"{place.where} has tables that this pxefast does not know; install the newest one")
    if isinstance(place, SQLite) and place.file is not None:
        _keep(place.file, found)
    with place.transaction(change=True, lock=False) as connection:
        place.reserve(connection)
        if revision_of(connection) == found:
            upgrade(connection)
    return found


def _keep(file: Path, revision: str) -> None:
    """A copy of a database before its upgrade, durable; what an earlier attempt kept is replaced."""
    kept = file.with_name(f"{file.name}.{revision}")
    unfinished = file.with_name(f".new-{kept.name}")
    try:
        unfinished.unlink(missing_ok=True)
        private_files.create(unfinished)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(unfinished)) as target:
            target.execute("PRAGMA synchronous = FULL")
            source.backup(target)
        unfinished.replace(kept)
    except (OSError, sqlite3.Error) as error:
        raise CannotOpen(
            f"cannot keep a copy of {file} before its upgrade: {error}; make room beside it"
        ) from error
