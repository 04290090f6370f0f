"""What every command starts from: the home, its settings, its database and its library."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pxefast.errors import CannotOpen

if TYPE_CHECKING:
    from pxefast.cli.distribution import Distribution
    from pxefast.config import Settings
    from pxefast.content.library import Library
    from pxefast.site.store import Store
    from pxefast.site.witnesses import Witnesses

__all__ = ["Context", "default_home", "get"]


def default_home() -> Path:
    """/var/lib/pxefast for root, else a folder of the user's own."""
    if os.geteuid() == 0:
        return Path("/var/lib/pxefast")
    return Path("~/.local/share/pxefast").expanduser()


class Context:
    """A home and what is in it. Nothing is read before it is asked for."""

    def __init__(self, home: Path, config: Path | None) -> None:
        self.home = home
        self._config = config
        self._store: Store | None = None

    @property
    def config_file(self) -> Path:
        """The settings file: the one named on the command line, or the home's."""
        return self._config or self.home / "pxefast.toml"

    @property
    def database(self) -> Path | str:
        """The site database: the home's file, or the URL that the settings name."""
        return self.settings.database.url or self.home / "site.db"

    @property
    def content(self) -> Path:
        """The content library's folder."""
        return self.home / "content"

    @property
    def boot_images(self) -> Path:
        """The folder of customised boot images."""
        return self.home / "boot-images"

    def witnesses(self) -> Witnesses:
        """The journal of this home and what is kept beside it. Raises ConfigError or CannotOpen."""
        from pxefast.site.witnesses import Witnesses

        return Witnesses(self.home, self.settings.journal.folder)

    @cached_property
    def settings(self) -> Settings:
        """The settings; the defaults if the home has no file and none was named.

        Raises ConfigError or CannotOpen.
        """
        from pxefast import config

        if self._config is None and not self.config_file.exists():
            return config.Settings()
        return config.load(self.config_file)

    def store(self) -> Store:
        """The open site database. Raises CannotOpen where `init` was not run."""
        if self._store is None:
            self._store = self.open_store(self.settings.database.busy_seconds)
            self._tighten()
        return self._store

    def _tighten(self) -> None:
        """Let only the owner read a database that an older pxefast made, and say so."""
        from pxefast.cli.output import note
        from pxefast.site import private_files

        # Whoever may only read the home can change nothing, and is told nothing.
        if isinstance(self.database, Path) and os.access(self.home, os.W_OK):
            for text in private_files.tighten(self.database):
                note(text)

    def open_store(self, busy_seconds: float) -> Store:
        """The site database once more, with a patience of its own; whoever opens it closes it."""
        from pxefast.site.store import Store

        return Store.open(self.database, busy_seconds, self.settings.point.name)

    @cached_property
    def _library(self) -> Library:
        from pxefast.content.library import Library

        return Library(self.content)

    def library(self) -> Library:
        """The content library. Raises CannotOpen where `init` was not run."""
        return self._library

    def distribution(self) -> Distribution:
        """What this host can do about content. Raises CannotOpen or ConfigError."""
        from pxefast.cli.distribution import Distribution

        return Distribution(self.store(), self.library(), self.settings, self.home)

    def command(self, *arguments: str) -> list[str]:
        """What starts another pxefast with the same home and settings."""
        config = ["--config", str(self._config)] if self._config else []
        return [sys.executable, "-m", "pxefast", "--home", str(self.home), *config, *arguments]

    def close(self) -> None:
        """Close the database if it was opened."""
        if self._store is not None:
            self._store.close()
            self._store = None


def get(context: typer.Context) -> Context:
    """The Context of a running command. Raises CannotOpen for a home that this user may not look into."""
    found = context.find_object(Context)
    assert found is not None
    if not os.access(found.home, os.R_OK | os.X_OK) and _there(found.home):
        raise CannotOpen(
            f"cannot read {found.home}: Permission denied; run as its owner, or name another with --home"
        )
    return found


def _there(folder: Path) -> bool:
    """Whether the folder is, or may be, there."""
    try:
        folder.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True
