"""The database's history, one Alembic revision a change of its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect

from pxefast.site.schema import metadata

__all__ = ["HEAD", "REVISIONS", "alembic_config", "create_tables", "revision_of", "upgrade"]

# Every revision, the newest last; here so that opening a database that has it does not load Alembic.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
HEAD = REVISIONS[-1]


def revision_of(connection: Connection) -> str | None:
    """The revision of a database's tables; None if they are none of pxefast's."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def create_tables(connection: Connection) -> None:
    """Every table as it is now, in an empty database, inside the caller's transaction."""
    metadata.create_all(connection)
    connection.exec_driver_sql(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
        "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{HEAD}')")


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
