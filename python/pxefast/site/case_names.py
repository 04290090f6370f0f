"""Names of the machines of the ledger."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from pxefast.site import schema
from pxefast.site.devices import find_device
from pxefast.site.ledger_rows import chunks

__all__ = ["find_machine", "names_of"]


def find_machine(connection: Connection, name: str) -> int:
    """Return the number of a device, by its name, or of a machine without a record, by `mac:...` or `guid:...`.

    Raises NotFound.
    """
    h = schema.hardware.c
    query = select(h.device_id).where(h.identity == name.strip().lower())
    number = connection.execute(query).scalar_one_or_none()
    return find_device(connection, name).id if number is None else int(number)


def names_of(connection: Connection, device_ids: Collection[int]) -> dict[int, str]:
    """Devices by number as people know them; a machine without a record by its identities."""
    d, h = schema.device.c, schema.hardware.c
    names: dict[int, str] = {}
    for part in chunks(device_ids):
        for identity, number in connection.execute(
            select(h.identity, h.device_id).where(h.device_id.in_(part)).order_by(h.identity.desc())
        ):
            names[number] = f"{names[number]} {identity}" if number in names else identity
        names.update(
            (number, name) for number, name in connection.execute(select(d.id, d.name).where(d.id.in_(part)))
        )
    return names
