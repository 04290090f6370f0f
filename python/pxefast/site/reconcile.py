"""What a journal remembers of the ledger and a restored database does not, and how it comes back: held (R-77)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from pxefast.site import schema
from pxefast.site.audit import AuditRow
from pxefast.site.ledger_rows import Rows, chunks
from pxefast.site.protocol import Row

__all__ = ["Lost", "find_lost", "restore_lost"]

# How much was given, so that the later word counts.
_GIVEN = ("ARMED", "CLAIMED", "LAUNCHED", "STARTED", "FAILED", "DONE", "HOLD")


class Lost(NamedTuple):
    """A case that the database has forgotten; `at` in Unix seconds."""

    device_id: int
    deployment: str
    generation: int
    state: str
    at: float
    identities: tuple[str, ...]


def find_lost(connection: Connection, records: Iterable[AuditRow]) -> list[Lost]:
    """What those records say was given that the ledger does not say."""
    newest: dict[tuple[int, str], Lost] = {}
    for record in records:
        found = _parsed(record)
        if found is None:
            continue
        key = found[:2]
        if key in newest and not found.identities:
            found = found._replace(identities=newest[key].identities)
        newest[key] = found
    rows = Rows(connection)
    rows.load_devices(device_id for device_id, _ in newest)
    return sorted(item for key, item in newest.items() if _is_lost(item, rows.get(*key)))


def restore_lost(connection: Connection, lost: Iterable[Lost], now: float) -> None:
    """Enter them as held, and never give their numbers to other machines."""
    rows = Rows(connection)
    items = list(lost)
    rows.load_devices(item.device_id for item in items)
    for item in items:
        why = f"the journal knew it as {item.state} and the database had lost it"
        row = rows.get(item.device_id, item.deployment)
        if row is not None and row.generation < item.generation:
            rows.put(row._replace(state="CLEARED"))
            row = None
        row = row or Row(item.device_id, item.deployment, item.generation, "HOLD", now)
        rows.put(row._replace(state="HOLD", why=why), "ledger hold", f"before={item.state}")
    rows.save()
    _keep_numbers(connection, items)


def _parsed(record: AuditRow) -> Lost | None:
    if not record.action.startswith("ledger "):
        return None
    fields = dict(word.partition("=")[::2] for word in record.subject.split(" "))
    try:
        return Lost(
            int(fields["device"]),
            fields["deployment"],
            int(fields["generation"]),
            fields["state"],
            record.at,
            tuple(text for text in fields.get("identities", "").split(",") if text),
        )
    except (KeyError, ValueError):
        return None


def _is_lost(item: Lost, row: Row | None) -> bool:
    if item.state not in _GIVEN or item.state == "ARMED":
        return False
    if row is None or row.generation < item.generation:
        return True
    return row.generation == item.generation and _GIVEN.index(row.state) < _GIVEN.index(item.state)


def _keep_numbers(connection: Connection, items: list[Lost]) -> None:
    h, d, m, n = (
        schema.hierarchy.c,
        schema.device.c,
        schema.device_mac.c,
        schema.hardware.c,
    )
    least = max((item.device_id for item in items), default=0) + 1
    connection.execute(update(schema.hierarchy).where(h.next_device < least).values(next_device=least))
    wanted = {identity: item.device_id for item in items for identity in item.identities}
    taken: set[str] = set()
    for part in chunks(wanted):
        taken.update(connection.execute(select(n.identity).where(n.identity.in_(part))).scalars())
        macs = [text[4:] for text in part if text.startswith("mac:")]
        taken.update(
            f"mac:{mac}" for mac in connection.execute(select(m.mac).where(m.mac.in_(macs))).scalars()
        )
        guids = [text[5:] for text in part if text.startswith("guid:")]
        taken.update(
            f"guid:{guid}" for guid in connection.execute(select(d.guid).where(d.guid.in_(guids))).scalars()
        )
    new = [{"identity": text, "device_id": number} for text, number in wanted.items() if text not in taken]
    if new:
        connection.execute(insert(schema.hardware), new)
