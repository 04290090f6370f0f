"""The database's history, one Alembic revision a change of its tables."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from pxefast.errors import CannotOpen

__all__ = ["HEAD", "upgrade"]

# The newest revision, here so that opening a database that has it does not load Alembic.
HEAD = "0001"


def upgrade(connection: Connection) -> None:
    """Bring a database to the newest revision, inside the caller's transaction. Raises CannotOpen."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise CannotOpen(
            f"the site database was made by another pxefast ({error}); install the newest one"
        ) from None
