"""What the tables of several nouns share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


def tftp_sizes() -> list[Column[Any]]:
    """RamDisk TFTP sizes of a level below the distribution point: NULL is "as the next level says" (B-23)."""
    return [
        Column("tftp_block_size", Integer),
        Column("tftp_window_size", Integer),
        Column("tftp_variable_window", Boolean),
    ]


def variables_of(noun: str) -> Table:
    """`name` keeps its case, `key` is what is unique; a secret one never leaves over TFTP."""
    return Table(
        f"{noun}_variable",
        metadata,
        Column(f"{noun}_id", ForeignKey(f"{noun}.id", ondelete="CASCADE"), primary_key=True),
        Column("key", String(127), primary_key=True),
        Column("name", String(127), nullable=False),
        Column("value", Text, nullable=False),
        Column("secret", Boolean, nullable=False),
    )
