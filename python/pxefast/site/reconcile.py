"""What a journal remembers of the ledger and a restored database does not, and how it comes back: held (R-77).

Records are read by their facts alone (D39). A record from before there were facts has only a sentence; it is read from
its beginning, which holds no word that an operator or a machine chose. What cannot be read is never passed over: the
caller is told, and holds everything that is armed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from pxefast.site import schema
from pxefast.site.arming import pending
from pxefast.site.audit import AuditRow
from pxefast.site.ledger_rows import Rows, chunks
from pxefast.site.policy import read_policy
from pxefast.site.protocol import Row

__all__ = [
    "Findings",
    "Lost",
    "case_of",
    "find_armed",
    "find_lost",
    "hold_armed",
    "lost_changes",
    "restore_lost",
]

# How much was given, so that the later word counts.
_GIVEN = ("ARMED", "CLAIMED", "LAUNCHED", "STARTED", "FAILED", "DONE", "HOLD", "WITHDRAWN")
# States that its work may have begun in: its launch keeps other deployments waiting (D34).
_MAY_RUN = ("LAUNCHED", "STARTED", "HOLD", "WITHDRAWN")

_ID = r"[A-Z0-9]{3}[0-9A-F]{5}"
_IDENTITY = r"(?:mac:[0-9a-f]{2}(?::[0-9a-f]{2}){5}|guid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
# A sentence from before there were facts; everything that somebody chose comes after `rest` begins.
_SENTENCE = re.compile(
    rf"deployment=(?P<deployment>{_ID}) device=(?P<device>[0-9]{{1,10}}) generation=(?P<generation>[0-9]{{1,10}}) "
    r"state=(?P<state>[A-Z]+)(?: session=[0-9a-f]{1,8})?(?: peer=[0-9.]{7,15})?(?: point=[^\s=]{1,63})?"
    r"(?: returns=[0-9]{1,10})?(?: (?P<rest>.*))?",
    re.DOTALL,
)
_IDENTITIES = re.compile(rf"identities=((?:{_IDENTITY}(?:,{_IDENTITY})*)?)")
# Records that are no change of what an operator wants: a service writes them, or they only copy or check files.
# Every other action counts as such a change, also one that a later version adds.
_NO_CHANGE = {"content validate", "dp host", "journal begin", "reconcile", "tune learn"}


class Lost(NamedTuple):
    """A case that the database has forgotten; `at` in Unix seconds."""

    device_id: int
    deployment: str
    generation: int
    state: str
    at: float
    identities: tuple[str, ...]


class Findings(NamedTuple):
    """The cases that the database has forgotten, and the ledger records that could not be read."""

    lost: list[Lost]
    unreadable: list[AuditRow]


def find_lost(connection: Connection, records: Iterable[AuditRow]) -> Findings:
    """What those records say was given that the ledger does not say."""
    newest: dict[tuple[int, str], Lost] = {}
    unreadable: list[AuditRow] = []
    for record in records:
        if not record.action.startswith("ledger "):
            continue
        found = case_of(record)
        if found is None:
            unreadable.append(record)
            continue
        key = found[:2]
        if key in newest and not found.identities:
            found = found._replace(identities=newest[key].identities)
        newest[key] = found
    rows = Rows(connection)
    rows.load_devices(device_id for device_id, _ in newest)
    lost = sorted(item for key, item in newest.items() if _is_lost(item, rows.get(*key)))
    return Findings(lost, unreadable)


def lost_changes(missing: Iterable[AuditRow]) -> list[AuditRow]:
    """Return the changes that operators made and that the database has lost, such as the removal of a deployment.

    Without such a change a machine may be imaged by a deployment that was taken from it.
    """
    return [row for row in missing if not row.action.startswith("ledger ") and row.action not in _NO_CHANGE]


def restore_lost(connection: Connection, lost: Iterable[Lost], now: float) -> None:
    """Enter them as held, and never give their numbers to other machines."""
    rows = Rows(connection)
    items = list(lost)
    rows.load_devices(item.device_id for item in items)
    for item in items:
        why = f"the journal knew it as {item.state} and the database had lost it"
        row = rows.get(item.device_id, item.deployment)
        if row is not None and row.generation >= item.generation:
            held = row._replace(state="HOLD", why=why)
        else:
            if row is not None:
                rows.put(row._replace(state="CLEARED"))
            held = Row(item.device_id, item.deployment, item.generation, "HOLD", now, why=why)
        if item.state in _MAY_RUN and held.launched_at is None:
            held = held._replace(launched_at=item.at)
        rows.put(held, "ledger hold", before=item.state)
    rows.save()
    _keep_numbers(connection, items)


def find_armed(connection: Connection) -> list[Row]:
    """Every case that a machine may still be given; of a deployment that needs no approval also its new members."""
    c, d = schema.ledger.c, schema.deployment.c
    query = select(schema.ledger).where(c.state.in_(("ARMED", "CLAIMED")))
    found = [Row(*row) for row in connection.execute(query.order_by(c.device_id, c.deployment_id))]
    if not read_policy(connection).decision.approve_new_members:
        required = connection.execute(
            select(d.id, d.created_at).where(d.purpose == "required").order_by(d.id)
        )
        for deployment, created in required.all():
            found += [
                Row(number, deployment, 1, "ARMED", created) for number in pending(connection, deployment)
            ]
    return found


def hold_armed(connection: Connection, armed: Iterable[Row], why: str) -> None:
    """Hold cases of which nobody knows whether they were given since, each until a person clears it."""
    rows = Rows(connection)
    items = list(armed)
    rows.load_devices(item.device_id for item in items)
    for item in items:
        row = rows.get(item.device_id, item.deployment_id) or item
        if row.state in ("ARMED", "CLAIMED"):
            rows.put(row._replace(state="HOLD", why=why), "ledger hold", before=row.state)
    rows.save()


def case_of(record: AuditRow) -> Lost | None:
    """The case that a ledger record is about; None if it cannot be read for sure."""
    fields = record.fields
    return _by_sentence(record) if fields is None else _by_fields(record, fields)


def _by_fields(record: AuditRow, fields: Mapping[str, Any]) -> Lost | None:
    device, deployment, generation, state = (
        fields.get(name) for name in ("device", "deployment", "generation", "state")
    )
    identities = fields.get("identities", [])
    # bool is an int.
    if type(device) is not int or type(generation) is not int or not isinstance(identities, list):
        return None
    if not isinstance(deployment, str) or state not in (*_GIVEN, "CLEARED"):
        return None
    return Lost(device, deployment, generation, state, record.at, tuple(str(text) for text in identities))


def _by_sentence(record: AuditRow) -> Lost | None:
    found = _SENTENCE.fullmatch(record.subject)
    if found is None or found["state"] not in (*_GIVEN, "CLEARED"):
        return None
    identities: tuple[str, ...] = ()
    if record.action == "ledger claim":
        # Every claim ends with the identities of its machine, and with nothing else.
        named = _IDENTITIES.fullmatch(found["rest"]) if found["rest"] else None
        if named is None:
            return None
        identities = tuple(text for text in named[1].split(",") if text)
    numbers = int(found["device"]), int(found["generation"])
    return Lost(numbers[0], found["deployment"], numbers[1], found["state"], record.at, identities)


def _is_lost(item: Lost, row: Row | None) -> bool:
    if item.state not in _GIVEN or item.state == "ARMED":
        return False
    if item.state == "WITHDRAWN" and row is not None and row.state in ("DONE", "FAILED", "HOLD"):
        # Its machine reported its end after the removal, or it is held already.
        return False
    if row is None or row.generation < item.generation:
        return True
    if row.generation > item.generation or row.state not in _GIVEN:
        return False
    return _GIVEN.index(row.state) < _GIVEN.index(item.state)


def _keep_numbers(connection: Connection, items: list[Lost]) -> None:
    if not items:
        return
    h, d, m, n = (
        schema.hierarchy.c,
        schema.device.c,
        schema.device_mac.c,
        schema.hardware.c,
    )
    least = max(item.device_id for item in items) + 1
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
