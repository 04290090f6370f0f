"""The whole site: a hierarchy, rules of collections, the states of the ledger, the audit chain.

Nearly every table has changed: all rows are read, all tables are made anew, and the rows written as they are now.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op
from pxefast.site.audit import FIRST_HASH, AuditRow, person, sealed

revision = "0002"
down_revision = "0001"

# An order in which each can be dropped.
_OLD = (
    "deployment",
    "task_sequence",
    "device_mac",
    "collection_member",
    "boot_program",
    "site",
    "retired_identity",
    "ledger",
    "distribution_point",
    "device",
    "collection",
    "boot_image",
    "audit",
)
_FIRST_UNKNOWN = 2046820352
_ALL_SYSTEMS, _ALL_UNKNOWN = "SMS00001", "SMS000US"
_NOT_KNOWN = "given before the upgrade to tables 0002; whether it ran is not known"

Row = dict[str, Any]
Rows = list[Row]


def upgrade() -> None:
    bind = op.get_bind()
    old = {
        name: [dict(row._mapping) for row in bind.execute(sa.text(f"SELECT * FROM {name}"))] for name in _OLD
    }
    for name in _OLD:
        op.drop_table(name)
    for statement in _tables(bind.dialect.name):
        bind.exec_driver_sql(statement)
    # A database without a site is one that is being made.
    for site in old["site"]:
        for name, rows in _new(site, old).items():
            _insert(bind, name, rows)


def _tables(dialect: str) -> Iterable[str]:
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    if dialect == "sqlite":
        text = text.replace("/* without rowid */", "WITHOUT ROWID")
    else:
        text = text.replace("INTEGER NOT NULL /* serial */", "SERIAL NOT NULL")
    return (statement for statement in text.split(";\n") if statement.strip())


def _insert(bind: sa.Connection, table: str, rows: Rows) -> None:
    if rows:
        names = ", ".join(rows[0])
        values = ", ".join(f":{name}" for name in rows[0])
        bind.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({values})"), rows)


def _new(site: Row, old: dict[str, Rows]) -> dict[str, Rows]:
    """The rows of every table, in an order in which each finds what it refers to."""
    now, code = time.time(), site["code"]
    here = {"site": code}
    point = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")[:63] or "dp"
    chain = _chain(old["audit"], now)
    devices = [{**row, **here, "protected": False, "unknown_architecture": None} for row in old["device"]]
    unknown = _unknown(code)
    known = {row["id"] for row in devices}
    members = [row for row in old["collection_member"] if row["collection_id"] != _ALL_UNKNOWN]
    built_in = [(_ALL_SYSTEMS, row["id"]) for row in devices] + [(_ALL_UNKNOWN, row["id"]) for row in unknown]
    return {
        "hierarchy": [
            {
                "id": 1,
                "revision": site["revision"] + 1,
                "next_device": site["next_device"],
                "audit_seq": chain[-1].seq,
                "audit_hash": chain[-1].hash,
                "budget_from": 0.0,
            }
        ],
        "site": [
            {
                "code": code,
                "parent": None,
                "next_object": site["next_object"],
                "next_deployment": site["next_deployment"],
            }
        ],
        "audit": [dict(zip(AuditRow._fields[:6], row, strict=False)) for row in chain],
        "distribution_point": [_point(row, point) for row in old["distribution_point"]],
        "device": [*devices, *unknown],
        "device_mac": old["device_mac"],
        "hardware": old["retired_identity"],
        "collection": _collections(old["collection"], code),
        "collection_rule": [{"kind": "direct", **row} for row in members],
        "collection_member": members
        + [{"collection_id": collection, "device_id": number} for collection, number in built_in],
        "boot_image": [
            {**row, **here, "pxe_enabled": bool(row["pxe_enabled"]), "launch_file": None}
            for row in old["boot_image"]
        ],
        "boot_program": old["boot_program"],
        "task_sequence": [{**row, **here} for row in old["task_sequence"]],
        "deployment": [
            {**row, **here, "enabled": True, "created_at": now, "rerun": "always"}
            for row in old["deployment"]
        ],
        "ledger": _ledger(old, members, known, point, now),
    }


def _point(row: Row, name: str) -> Row:
    switches = ("enable_pxe", "allow_pxe_response", "unknown_computers", "listen_on_dhcp_port")
    kept = {key: bool(value) if key in switches else value for key, value in row.items() if key != "id"}
    return {**kept, "name": name, "user_device_affinity": 0}


def _unknown(code: str) -> Rows:
    """The site's unknown computer objects."""
    rows = []
    for number, architecture in enumerate(("x86", "x64", "arm64"), _FIRST_UNKNOWN):
        name = f"{architecture} Unknown Computer ({code})"
        rows.append(
            {
                "id": number,
                "name": name,
                "key": name.casefold(),
                "guid": None,
                "site": code,
                "protected": False,
                "unknown_architecture": architecture,
            }
        )
    return rows


def _collections(old: Rows, code: str) -> Rows:
    """All Systems is built in now: a collection that was called so gets its id into its name."""
    rows = [{**row, "site": code} for row in old]
    for row in rows:
        if row["key"] == "all systems":
            row["name"] = f"{row['name']} ({row['id']})"
            row["key"] = row["name"].casefold()
    return [*rows, {"id": _ALL_SYSTEMS, "name": "All Systems", "key": "all systems", "site": code}]


def _ledger(old: dict[str, Rows], members: Rows, known: set[int], point: str, now: float) -> Rows:
    """What was claimed stays claimed, one a machine; members that were given nothing yet are armed now."""
    empty = dict.fromkeys(
        ("token", "peer", "launch", "transfer", "launched_at", "reported_at", "why", "owner"), None
    )
    rows = [{**empty, **row, "armed_at": row["claimed_at"] or now, "returns": 0} for row in old["ledger"]]
    newest: dict[tuple[int, str], int] = {}
    for row in rows:
        key = (row["device_id"], row["deployment_id"])
        newest[key] = max(newest.get(key, 0), row["generation"])
    live: set[int] = set()
    for row in sorted(rows, key=lambda row: row["claimed_at"] or 0.0, reverse=True):
        if row["state"] != "CLAIMED":
            continue
        row["owner"] = point
        if row["generation"] < newest[row["device_id"], row["deployment_id"]]:
            row["state"] = "CLEARED"
        elif row["device_id"] in live:
            row["state"], row["why"] = "HOLD", _NOT_KNOWN
        else:
            live.add(row["device_id"])
    blank = {**empty, **dict.fromkeys(("session", "step", "xid", "claimed_at", "stepped_at"), None)}
    for deployment in old["deployment"]:
        for member in members:
            key = (member["device_id"], deployment["id"])
            reached = (
                deployment["purpose"] == "required" and member["collection_id"] == deployment["collection_id"]
            )
            if reached and member["device_id"] in known and key not in newest:
                row = {"device_id": key[0], "deployment_id": key[1], "generation": 1, "state": "ARMED"}
                rows.append({**blank, **row, "armed_at": now, "returns": 0})
    return rows


def _chain(old: Rows, now: float) -> list[AuditRow]:
    head, chain = FIRST_HASH, []
    entries = [(row["at"], row["actor"], row["action"], row["subject"]) for row in old]
    for seq, entry in enumerate([*entries, (now, person(), "db upgrade", "0001 to 0002")], 1):
        row = sealed(head, AuditRow(seq, *entry, ""))
        chain.append(row)
        head = row.hash
    return chain
