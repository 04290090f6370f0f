"""What was handed out, and who did what."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from pxefast.site.schema.base import metadata

LIVE = ("CLAIMED", "LAUNCHED", "STARTED")

# What was armed and handed out. The newest generation counts; only a clear makes a new one; no row is deleted (I5, I6).
# `session` is secret from other machines, `token` from everyone but the boot environment; `launch` is the full name
# of the file whose last byte is the launch, NULL while that is not known; `transfer` the one allowed to finish it (I3);
# `peer` the machine's address; `owner` the distribution point that claimed.
ledger = Table(
    "ledger",
    metadata,
    Column("device_id", Integer, primary_key=True, autoincrement=False),
    Column("deployment_id", String(8), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column(
        "state",
        String(9),
        CheckConstraint(
            "state IN ('ARMED', 'CLAIMED', 'LAUNCHED', 'STARTED', 'DONE', 'FAILED', 'HOLD', 'CLEARED', 'WITHDRAWN')",
            name="state",
        ),
        nullable=False,
    ),
    Column("armed_at", Float, nullable=False),
    Column("returns", Integer, nullable=False),
    Column("session", String(32), unique=True),
    Column("token", String(32)),
    Column("owner", String(63)),
    Column("peer", String(15), index=True),
    Column("step", Integer),
    Column("xid", BigInteger),
    Column("claimed_at", Float, index=True),
    Column("stepped_at", Float),
    Column("launch", Text),
    Column("transfer", String(63)),
    Column("launched_at", Float),
    Column("reported_at", Float),
    # Why it is held or failed, for people.
    Column("why", Text),
    # The MAC address that claimed; "" for a request without a usable one, NULL where it is not known (D28).
    Column("mac", String(17)),
    # Who cleared or withdrew this generation, when, and the state that it had.
    Column("ended_at", Float),
    Column("ended_by", Text),
    Column("ended_from", String(9)),
    # One live session a machine, over all deployments (I2).
    Index(
        "ix_ledger_one_live",
        "device_id",
        unique=True,
        sqlite_where=text("state IN ('CLAIMED', 'LAUNCHED', 'STARTED')"),
        postgresql_where=text("state IN ('CLAIMED', 'LAUNCHED', 'STARTED')"),
    ),
    sqlite_with_rowid=False,
)

# Who did what, and when, each record's hash over itself and the one before it (D23). `seq` has no gaps.
# `subject` is a sentence for people; `details` holds its facts as a JSON object, and programs read only those (D39).
# It is NULL in records that have no facts for programs, and in all that were written before it existed.
audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("details", Text),
    Index("ix_audit_at", "at"),
)

# What a distribution point writes, durably, to find out whether there is room again (D40).
write_probe = Table(
    "write_probe",
    metadata,
    Column("distribution_point", String(63), primary_key=True),
    Column("data", Text, nullable=False),
)

# The distribution points whose journal knows of records that this database has lost: no point boots required
# deployments while there is a row (D38). `reconcile` on that point removes it.
journal_alarm = Table(
    "journal_alarm",
    metadata,
    Column("distribution_point", String(63), primary_key=True),
    Column("why", Text, nullable=False),
)
