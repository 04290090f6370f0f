"""Duplicate hardware identifiers: left out of identification, in the whole hierarchy (CM-60 to CM-65)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from pxefast.decide.records import normal_guid, normal_mac, swapped_guid
from pxefast.errors import AlreadyExists, Invalid, NotFound
from pxefast.site import schema

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["Duplicates", "duplicate_identity"]


class Duplicates:
    """The list of a hierarchy. An identity is `mac:` or `guid:` and the identifier in canonical form."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, identity: str) -> None:
        """Put an identifier on the list. Raises AlreadyExists."""
        with self._store.write("duplicate-id add", identity) as connection:
            there = select(_COLUMN).where(_COLUMN.in_(_spellings(identity)))
            if connection.execute(there).first() is not None:
                raise AlreadyExists(f"{_words(identity)} is already on the list of duplicates")
            connection.execute(insert(schema.duplicate_identity).values(identity=identity))

    def all(self) -> list[str]:
        """The identities, in order."""
        with self._store.read() as connection:
            return sorted(connection.execute(select(_COLUMN)).scalars())

    def remove(self, identity: str) -> None:
        """Take an identifier off the list: it identifies machines again. Raises NotFound."""
        with self._store.write("duplicate-id remove", identity) as connection:
            gone = delete(schema.duplicate_identity).where(_COLUMN.in_(_spellings(identity)))
            if connection.execute(gone).rowcount == 0:
                raise NotFound(
                    f"{_words(identity)} is not on the list of duplicates; see: pxefast duplicate-id list"
                )


def duplicate_identity(mac: str | None = None, guid: str | None = None) -> str:
    """The identity of a MAC address or a GUID in any usual spelling. Raises Invalid."""
    if mac is not None:
        canonical = normal_mac(mac)
        if canonical is None:
            raise Invalid(f"{mac!r} is not a MAC address; write it as 01:23:45:67:89:ab or alike")
        return f"mac:{canonical}"
    canonical = normal_guid(guid or "")
    if canonical is None:
        raise Invalid(f"{guid!r} is not an SMBIOS GUID; write it as 8-4-4-4-12 hexadecimal digits")
    return f"guid:{canonical}"


_COLUMN = schema.duplicate_identity.c.identity


def _spellings(identity: str) -> tuple[str, ...]:
    """A GUID in both of its byte orders is one identifier (W-30)."""
    kind, _, value = identity.partition(":")
    return (identity, f"guid:{swapped_guid(value)}") if kind == "guid" else (identity,)


def _words(identity: str) -> str:
    kind, _, value = identity.partition(":")
    return f"{'MAC' if kind == 'mac' else 'SMBIOS GUID'} {value}"
