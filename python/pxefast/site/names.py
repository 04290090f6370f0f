"""Names: checked on their way in, and looked up with a hint when nothing has them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from sqlalchemy import Connection, Table, select

from pxefast.errors import Invalid, NotFound

__all__ = ["checked_name", "find", "missing"]


def checked_name(noun: str, name: str) -> tuple[str, str]:
    """A name without blanks around it, and the key it is unique by. Raises Invalid."""
    name = name.strip()
    if not 1 <= len(name) <= 127 or not name.isprintable():
        raise Invalid(f"{noun} name {name!r} must be 1 to 127 printable characters")
    return name, name.casefold()


def find(connection: Connection, table: Table, column: str, wanted: str, noun: str) -> Any:
    """The row whose `column` is `wanted`. Raises NotFound that names the nearest others."""
    row = connection.execute(select(table).where(table.c[column] == wanted)).first()
    if row is not None:
        return row
    raise missing(connection, table, "id" if column == "id" else "name", wanted, noun)


def missing(connection: Connection, table: Table, column: str, wanted: str, noun: str) -> NotFound:
    """The error for a name or id that nothing has."""
    known = [str(value) for value in connection.execute(select(table.c[column])).scalars()]
    folded = {value.casefold(): value for value in known}
    near = [folded[value] for value in get_close_matches(wanted.casefold(), list(folded))]
    hint = f"did you mean {' or '.join(near)}?" if near else f"see: pxefast {noun.replace(' ', '-')} list"
    return NotFound(f"there is no {noun} {wanted!r}; {hint}")
