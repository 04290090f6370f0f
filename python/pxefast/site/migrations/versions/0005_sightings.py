"""Identity: which MAC addresses a GUID was seen with, and the MAC address that made a claim."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op
from pxefast.site.audit import AuditRow, person, sealed

revision = "0005"
down_revision = "0004"

_STATEMENTS = (
    "ALTER TABLE ledger ADD COLUMN mac VARCHAR(17)",
    """CREATE TABLE sighting (
    guid VARCHAR(36) NOT NULL,
    mac VARCHAR(17) NOT NULL,
    first_at FLOAT NOT NULL,
    last_at FLOAT NOT NULL,
    distribution_point VARCHAR(63) NOT NULL,
    CONSTRAINT pk_sighting PRIMARY KEY (guid, mac)
)""",
    "CREATE INDEX ix_sighting_last_at ON sighting (last_at)",
)


def upgrade() -> None:
    bind = op.get_bind()
    for statement in _STATEMENTS:
        bind.exec_driver_sql(statement)
    _told(bind)


def _told(bind: sa.Connection) -> None:
    """One record more of the audit chain; a database without a hierarchy is one that is being made."""
    head = bind.execute(sa.text("SELECT audit_seq, audit_hash FROM hierarchy")).first()
    if head is None:
        return
    seq = head.audit_seq + 1
    row = sealed(head.audit_hash, AuditRow(seq, time.time(), person(), "db upgrade", "0004 to 0005", ""))
    bind.execute(
        sa.text("INSERT INTO audit VALUES (:seq, :at, :actor, :action, :subject, :hash)"), row._asdict()
    )
    bind.execute(
        sa.text("UPDATE hierarchy SET revision = revision + 1, audit_seq = :seq, audit_hash = :hash"),
        {"seq": seq, "hash": row.hash},
    )
