"""Withdrawn cases: the ledger's state WITHDRAWN, and who ended a generation.

SQLite cannot change a check constraint, so the ledger is built anew there with every row. What deployments left behind
that were removed by an older pxefast becomes WITHDRAWN, as a removal does from now on: such a row held its machine.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op
from pxefast.site.audit import AuditRow, person, sealed

revision = "0006"
down_revision = "0005"

_STATES = "'ARMED', 'CLAIMED', 'LAUNCHED', 'STARTED', 'DONE', 'FAILED', 'HOLD', 'CLEARED', 'WITHDRAWN'"
_COLUMNS = (
    "device_id, deployment_id, generation, state, armed_at, returns, session, token, owner, peer, step, xid, "
    "claimed_at, stepped_at, launch, transfer, launched_at, reported_at, why, mac"
)
_SQLITE = (
    "ALTER TABLE ledger RENAME TO ledger_before",
    "DROP INDEX ix_ledger_claimed_at",
    "DROP INDEX ix_ledger_one_live",
    "DROP INDEX ix_ledger_peer",
    f"""CREATE TABLE ledger (
    device_id INTEGER NOT NULL,
    deployment_id VARCHAR(8) NOT NULL,
    generation INTEGER NOT NULL,
    state VARCHAR(9) NOT NULL CONSTRAINT ck_ledger_state CHECK (state IN ({_STATES})),
    armed_at FLOAT NOT NULL,
    returns INTEGER NOT NULL,
    session VARCHAR(32),
    token VARCHAR(32),
    owner VARCHAR(63),
    peer VARCHAR(15),
    step INTEGER,
    xid BIGINT,
    claimed_at FLOAT,
    stepped_at FLOAT,
    launch TEXT,
    transfer VARCHAR(63),
    launched_at FLOAT,
    reported_at FLOAT,
    why TEXT,
    mac VARCHAR(17),
    ended_at FLOAT,
    ended_by TEXT,
    ended_from VARCHAR(9),
    CONSTRAINT pk_ledger PRIMARY KEY (device_id, deployment_id, generation),
    CONSTRAINT uq_ledger_session UNIQUE (session)
) WITHOUT ROWID""",
    f"INSERT INTO ledger ({_COLUMNS}) SELECT {_COLUMNS} FROM ledger_before",
    "DROP TABLE ledger_before",
    "CREATE INDEX ix_ledger_claimed_at ON ledger (claimed_at)",
    "CREATE UNIQUE INDEX ix_ledger_one_live ON ledger (device_id) WHERE state IN ('CLAIMED', 'LAUNCHED', 'STARTED')",
    "CREATE INDEX ix_ledger_peer ON ledger (peer)",
)
_POSTGRESQL = (
    "ALTER TABLE ledger ALTER COLUMN state TYPE VARCHAR(9)",
    "ALTER TABLE ledger DROP CONSTRAINT ck_ledger_state",
    f"ALTER TABLE ledger ADD CONSTRAINT ck_ledger_state CHECK (state IN ({_STATES}))",
    "ALTER TABLE ledger ADD COLUMN ended_at FLOAT",
    "ALTER TABLE ledger ADD COLUMN ended_by TEXT",
    "ALTER TABLE ledger ADD COLUMN ended_from VARCHAR(9)",
)
# A claim whose launch file was never known may have run: it counts as launched when it was claimed.
_WITHDRAW = """UPDATE ledger SET
    launched_at = CASE WHEN state = 'CLAIMED' AND launch IS NULL THEN claimed_at ELSE launched_at END,
    ended_from = state,
    state = 'WITHDRAWN'
WHERE state IN ('ARMED', 'CLAIMED', 'LAUNCHED', 'STARTED', 'HOLD')
    AND NOT EXISTS (SELECT 1 FROM deployment WHERE deployment.id = ledger.deployment_id)"""


def upgrade() -> None:
    bind = op.get_bind()
    for statement in _POSTGRESQL if bind.dialect.name == "postgresql" else _SQLITE:
        bind.exec_driver_sql(statement)
    bind.exec_driver_sql(_WITHDRAW)
    _told(bind)


def _told(bind: sa.Connection) -> None:
    """One record more of the audit chain; a database without a hierarchy is one that is being made."""
    head = bind.execute(sa.text("SELECT audit_seq, audit_hash FROM hierarchy")).first()
    if head is None:
        return
    seq = head.audit_seq + 1
    row = sealed(
        head.audit_hash, AuditRow(seq, time.time(), person(), "db upgrade", f"{down_revision} to 0006", "")
    )
    bind.execute(
        sa.text("INSERT INTO audit VALUES (:seq, :at, :actor, :action, :subject, :hash)"), row._asdict()
    )
    bind.execute(
        sa.text("UPDATE hierarchy SET revision = revision + 1, audit_seq = :seq, audit_hash = :hash"),
        {"seq": seq, "hash": row.hash},
    )
