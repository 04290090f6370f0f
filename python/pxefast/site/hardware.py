"""Numbers for machines without a record, so that "once" holds for them too. A later import inherits them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, insert, select, update

from pxefast.decide.records import Reason, swapped_guid
from pxefast.site import schema
from pxefast.site.ledger_rows import chunks

__all__ = ["Hardware"]

_TWO = Reason(
    "identity_conflict", "the machine's MAC and SMBIOS GUID belong to two machines that booted before", "R-56"
)
_KNOWN = Reason(
    "withdrawn", "the machine was imported a moment ago; it is answered at its next request", "I1"
)
_NAMELESS = Reason("no_identity", "the machine has no MAC and no SMBIOS GUID that are its own", "T17")


class Hardware:
    """The numbers of those machines whose identities (`mac:..`, `guid:..`) are asked for in one change."""

    def __init__(self, connection: Connection, identities: Sequence[str]) -> None:
        self._connection = connection
        every = _both_orders(identities)
        self._imported = _imported(connection, every)
        self._numbers: dict[str, int] = {}
        h = schema.hardware.c
        for part in chunks(every):
            query = select(h.identity, h.device_id).where(h.identity.in_(part))
            self._numbers.update((identity, number) for identity, number in connection.execute(query))

    def number(self, identities: Sequence[str]) -> int | Reason:
        """The machine's number, a new one if it has none, or why it gets none. Remembers what identifies it."""
        if not identities:
            return _NAMELESS
        every = _both_orders(identities)
        if not self._imported.isdisjoint(every):
            return _KNOWN
        found = {self._numbers[identity] for identity in every if identity in self._numbers}
        if len(found) > 1:
            return _TWO
        number = found.pop() if found else self._next()
        new = [identity for identity in identities if identity not in self._numbers]
        if new:
            rows = [{"identity": identity, "device_id": number} for identity in new]
            self._connection.execute(insert(schema.hardware), rows)
            self._numbers.update(dict.fromkeys(new, number))
        return number

    def _next(self) -> int:
        counter = schema.hierarchy.c.next_device
        number = int(self._connection.execute(select(counter)).scalar_one())
        self._connection.execute(update(schema.hierarchy).values(next_device=number + 1))
        return number


def _both_orders(identities: Collection[str]) -> list[str]:
    swapped = (f"guid:{swapped_guid(text[5:])}" for text in identities if text.startswith("guid:"))
    return [*identities, *swapped]


def _imported(connection: Connection, identities: Collection[str]) -> set[str]:
    """Those that belong to devices with a record."""
    found: set[str] = set()
    for prefix, column in (("mac:", schema.device_mac.c.mac), ("guid:", schema.device.c.guid)):
        wanted = [text.removeprefix(prefix) for text in identities if text.startswith(prefix)]
        for part in chunks(wanted):
            query = select(column).where(column.in_(part))
            found.update(f"{prefix}{text}" for text in connection.execute(query).scalars())
    return found
