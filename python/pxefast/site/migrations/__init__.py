"""The database's history, one Alembic revision a change of its tables."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from pxefast.errors import CannotOpen
from pxefast.site.schema import metadata

__all__ = ["HEAD", "create_tables", "upgrade", "version"]

# The newest revision, here so that opening a database that has it does not load Alembic.
HEAD = "0002"


def version(connection: Connection) -> str | None:
    """The revision of a database; None if it is none of pxefast's."""
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
