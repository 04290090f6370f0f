"""The database's history, one Alembic revision a change of its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection

__all__ = ["HEAD", "REVISIONS", "alembic_config", "upgrade"]

# Every revision, the newest last; here so that opening a database that has it does not load Alembic.
REVISIONS = ("0001", "0002")
HEAD = REVISIONS[-1]


def upgrade(connection: Connection, revision: str = HEAD) -> None:
    """Bring a database to a revision, inside the caller's transaction."""
    from alembic import command

    command.upgrade(alembic_config(connection), revision)


def alembic_config(connection: Connection) -> Any:
    """Alembic's settings for these revisions, on the caller's connection and transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config
