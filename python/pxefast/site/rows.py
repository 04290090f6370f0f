"""All rows of a database, in an order in which each finds what it refers to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from pxefast.site import schema

__all__ = ["CHUNK", "TABLES", "copy_rows", "number_on", "read_rows"]

# Rows that are held at once.
CHUNK = 5000

TABLES = schema.metadata.sorted_tables


def read_rows(connection: Connection, table: Table) -> Iterator[Any]:
    """Every row of a table."""
    query = select(table).order_by(*table.primary_key.columns)
    with connection.execute(query.execution_options(yield_per=CHUNK)) as rows:
        yield from _parents_first(rows) if table is schema.site else rows


def copy_rows(source: Connection, target: Connection) -> None:
    """Everything but the audit, from one database into the empty tables of another."""
    for table in TABLES:
        if table is schema.audit:
            continue
        names = [column.name for column in table.columns]
        rows = read_rows(source, table)
        while part := list(islice(rows, CHUNK)):
            target.execute(insert(table), [dict(zip(names, row, strict=True)) for row in part])
    number_on(target)


def number_on(connection: Connection) -> None:
    """Let the numbers that PostgreSQL gives by itself go on after those that were brought along."""
    if connection.dialect.name != "postgresql":
        return
    for table in TABLES:
        column = table.autoincrement_column
        if column is not None:
            first = connection.execute(select(func.coalesce(func.max(column), 0) + 1)).scalar_one()
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            connection.execute(text(f"SELECT setval({sequence}, :first, false)"), {"first": first})


def _parents_first(sites: Iterable[Any]) -> Iterator[Any]:
    below: dict[str | None, list[Any]] = {}
    for row in sites:
        below.setdefault(row.parent, []).append(row)
    ready = below.pop(None, [])
    while ready:
        yield from ready
        ready = [child for row in ready for child in below.pop(row.code, ())]
