"""Names: checked on their way in, and looked up with a hint when nothing has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, select

from pxefast.errors import AlreadyExists, Invalid, NotFound
from pxefast.site import schema

__all__ = ["checked_name", "checked_variable", "chunks", "find", "listed", "missing", "new_name", "site_code"]

Item = TypeVar("Item")

# SQLite allows 999 variables in a statement where it is old.
_CHUNK = 900

_LONGEST_NAME = 127
_LONGEST_VALUE = 4096


def checked_name(noun: str, name: str) -> tuple[str, str]:
    """A name without blanks around it, and the key it is unique by. Raises Invalid."""
    name = name.strip()
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise Invalid(f"{noun} name {name!r} must be 1 to {_LONGEST_NAME} printable characters")
    return name, name.casefold()


def checked_variable(name: str, value: str) -> str:
    """The name without blanks around it. Raises Invalid for a name or value that no environment could carry."""
    name = name.strip()
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable() or any(sign in name for sign in "= "):
        raise Invalid(
            f"variable name {name!r} must be 1 to {_LONGEST_NAME} printable characters without = and blank"
        )
    if len(value) > _LONGEST_VALUE or any(sign in value for sign in "\0\r\n"):
        raise Invalid(f"the value of variable {name} must be one line of at most {_LONGEST_VALUE} characters")
    return name


def new_name(connection: Connection, table: Table, noun: str, name: str) -> tuple[str, str]:
    """The same for a name that nothing in `table` has yet. Raises AlreadyExists too."""
    name, key = checked_name(noun, name)
    if connection.execute(select(table.c.key).where(table.c.key == key)).first() is not None:
        raise AlreadyExists(f"{noun} {name!r} already exists")
    return name, key


def find(connection: Connection, table: Table, column: str, wanted: str, noun: str) -> Any:
    """The row whose `column` is `wanted`. Raises NotFound that names the nearest others."""
    row = connection.execute(select(table).where(table.c[column] == wanted)).first()
    if row is not None:
        return row
    raise missing(connection, table, "name" if column == "key" else column, wanted, noun)


def missing(connection: Connection, table: Table, column: str, wanted: str, noun: str) -> NotFound:
    """The error for a name or id that nothing has."""
    known = [str(value) for value in connection.execute(select(table.c[column])).scalars()]
    folded = {value.casefold(): value for value in known}
    near = [folded[value] for value in get_close_matches(wanted.casefold(), list(folded))]
    command = "dp" if noun == "distribution point" else noun.replace(" ", "-")
    hint = f"did you mean {' or '.join(near)}?" if near else f"see: pxefast {command} list"
    return NotFound(f"there is no {noun} {wanted!r}; {hint}")


def site_code(connection: Connection, wanted: str | None, default: str) -> str:
    """The code of the site that something new belongs to. Raises NotFound."""
    if wanted is None:
        return default
    return str(find(connection, schema.site, "code", wanted.strip().upper(), "site").code)


def listed(names: Iterable[str], most: int = 5) -> str:
    """The first few names, for a sentence."""
    known = list(names)
    more = len(known) - most
    return ", ".join(known[:most]) + (f" and {more} more" if more > 0 else "")


def chunks(items: Sequence[Item], most: int = _CHUNK) -> Iterator[Sequence[Item]]:
    """A long list in parts that fit one statement."""
    return (items[start : start + most] for start in range(0, len(items), most))
