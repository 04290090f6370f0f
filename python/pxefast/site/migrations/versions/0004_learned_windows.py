"""Learned windows: the largest TFTP window that machines of a model took without loss."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op
from pxefast.site.audit import AuditRow, person, sealed

revision = "0004"
down_revision = "0003"

_TABLE = """CREATE TABLE learned_window (
    model VARCHAR(63) NOT NULL,
    blocks INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    arrived INTEGER NOT NULL,
    gap_windows BIGINT NOT NULL,
    windows BIGINT NOT NULL,
    machine VARCHAR(63) NOT NULL,
    distribution_point VARCHAR(63) NOT NULL,
    learned_at FLOAT NOT NULL,
    CONSTRAINT pk_learned_window PRIMARY KEY (model)
)"""


def upgrade() -> None:
    bind = op.get_bind()
    bind.exec_driver_sql(_TABLE)
    _told(bind)


def _told(bind: sa.Connection) -> None:
    """One record more of the audit chain; a database without a hierarchy is one that is being made."""
    head = bind.execute(sa.text("SELECT audit_seq, audit_hash FROM hierarchy")).first()
    if head is None:
        return
    seq = head.audit_seq + 1
    row = sealed(head.audit_hash, AuditRow(seq, time.time(), person(), "db upgrade", "0003 to 0004", ""))
    bind.execute(
        sa.text("INSERT INTO audit VALUES (:seq, :at, :actor, :action, :subject, :hash)"), row._asdict()
    )
    bind.execute(
        sa.text("UPDATE hierarchy SET revision = revision + 1, audit_seq = :seq, audit_hash = :hash"),
        {"seq": seq, "hash": row.hash},
    )
