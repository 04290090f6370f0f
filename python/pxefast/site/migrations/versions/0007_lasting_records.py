"""The facts of an audit record as JSON (D39), what a probe writes (D40), and points whose journal knows more (D38)."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op
from pxefast.site.audit import AuditRow, person, sealed

revision = "0007"
down_revision = "0006"

_STATEMENTS = (
    "ALTER TABLE audit ADD COLUMN details TEXT",
    """CREATE TABLE write_probe (
    distribution_point VARCHAR(63) NOT NULL,
    data TEXT NOT NULL,
    CONSTRAINT pk_write_probe PRIMARY KEY (distribution_point)
)""",
    """CREATE TABLE journal_alarm (
    distribution_point VARCHAR(63) NOT NULL,
    why TEXT NOT NULL,
    CONSTRAINT pk_journal_alarm PRIMARY KEY (distribution_point)
)""",
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
    seq, subject = head.audit_seq + 1, f"{down_revision} to {revision}"
    row = sealed(head.audit_hash, AuditRow(seq, time.time(), person(), "db upgrade", subject, ""))
    bind.execute(
        sa.text(
            "INSERT INTO audit (seq, at, actor, action, subject, hash)"
            " VALUES (:seq, :at, :actor, :action, :subject, :hash)"
        ),
        row._asdict(),
    )
    bind.execute(
        sa.text("UPDATE hierarchy SET revision = revision + 1, audit_seq = :seq, audit_hash = :hash"),
        {"seq": seq, "hash": row.hash},
    )
