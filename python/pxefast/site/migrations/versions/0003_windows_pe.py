"""Windows PE: kinds of boot images, RamDisk TFTP sizes at every level, variables of deployments, distributed content.

Columns are added to the tables that are there: their rows stay where they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from pxefast.site.audit import AuditRow, person, sealed

revision = "0003"
down_revision = "0002"

_KIND = "kind IN ('files', 'windows-pe')"
_COLUMNS = {
    "boot_image": (
        f"kind VARCHAR(10) DEFAULT 'files' NOT NULL CONSTRAINT ck_boot_image_kind CHECK ({_KIND})",
        "revision INTEGER DEFAULT 1 NOT NULL",
        "boot_ca VARCHAR(4) CONSTRAINT ck_boot_image_boot_ca CHECK (boot_ca IN ('2011', '2023'))",
        "boot_sdi TEXT",
        "tftp_block_size INTEGER",
        "tftp_window_size INTEGER",
        "tftp_variable_window BOOLEAN",
    ),
    "boundary_group": (
        "tftp_block_size INTEGER",
        "tftp_window_size INTEGER",
        "tftp_variable_window BOOLEAN",
    ),
    "distribution_point": ("ramdisk_tftp_variable_window BOOLEAN DEFAULT {false} NOT NULL",),
}


def upgrade() -> None:
    bind = op.get_bind()
    false = "false" if bind.dialect.name == "postgresql" else "0"
    for table, columns in _COLUMNS.items():
        for column in columns:
            bind.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column.format(false=false)}")
    for statement in _tables():
        bind.exec_driver_sql(statement)
    _told(bind)


def _tables() -> Iterator[str]:
    yield """CREATE TABLE deployment_variable (
    deployment_id VARCHAR(8) NOT NULL,
    key VARCHAR(127) NOT NULL,
    name VARCHAR(127) NOT NULL,
    value TEXT NOT NULL,
    secret BOOLEAN NOT NULL,
    CONSTRAINT pk_deployment_variable PRIMARY KEY (deployment_id, key),
    CONSTRAINT fk_deployment_variable_deployment_id FOREIGN KEY(deployment_id)
        REFERENCES deployment (id) ON DELETE CASCADE
)"""
    yield """CREATE TABLE content_version (
    boot_image_id VARCHAR(8) NOT NULL,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    manifest VARCHAR(64) NOT NULL,
    bytes BIGINT NOT NULL,
    files INTEGER NOT NULL,
    packaged_at FLOAT NOT NULL,
    CONSTRAINT pk_content_version PRIMARY KEY (boot_image_id, version),
    CONSTRAINT fk_content_version_boot_image_id FOREIGN KEY(boot_image_id)
        REFERENCES boot_image (id) ON DELETE CASCADE
)"""
    yield """CREATE TABLE content_assignment (
    distribution_point VARCHAR(63) NOT NULL,
    boot_image_id VARCHAR(8) NOT NULL,
    version INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    state VARCHAR(7) NOT NULL CONSTRAINT ck_content_assignment_state
        CHECK (state IN ('wanted', 'pulling', 'served', 'failed', 'damaged')),
    served_version INTEGER,
    done BIGINT NOT NULL,
    total BIGINT NOT NULL,
    why TEXT,
    changed_at FLOAT NOT NULL,
    validated_at FLOAT,
    CONSTRAINT pk_content_assignment PRIMARY KEY (distribution_point, boot_image_id),
    CONSTRAINT fk_content_assignment_distribution_point FOREIGN KEY(distribution_point)
        REFERENCES distribution_point (name) ON DELETE CASCADE,
    CONSTRAINT fk_content_assignment_boot_image_id FOREIGN KEY(boot_image_id)
        REFERENCES boot_image (id) ON DELETE CASCADE
)"""
    yield "CREATE INDEX ix_content_assignment_boot_image_id ON content_assignment (boot_image_id)"
    yield """CREATE TABLE group_content (
    group_key VARCHAR(127) NOT NULL,
    boot_image_id VARCHAR(8) NOT NULL,
    CONSTRAINT pk_group_content PRIMARY KEY (group_key, boot_image_id),
    CONSTRAINT fk_group_content_group_key FOREIGN KEY(group_key)
        REFERENCES distribution_point_group (key) ON DELETE CASCADE,
    CONSTRAINT fk_group_content_boot_image_id FOREIGN KEY(boot_image_id)
        REFERENCES boot_image (id) ON DELETE CASCADE
)"""
    yield "CREATE INDEX ix_group_content_boot_image_id ON group_content (boot_image_id)"
    yield "CREATE INDEX ix_boundary_subnet ON boundary (subnet)"


def _told(bind: sa.Connection) -> None:
    """One record more of the audit chain; a database without a hierarchy is one that is being made."""
    head = bind.execute(sa.text("SELECT audit_seq, audit_hash FROM hierarchy")).first()
    if head is None:
        return
    seq = head.audit_seq + 1
    row = sealed(head.audit_hash, AuditRow(seq, time.time(), person(), "db upgrade", "0002 to 0003", ""))
    bind.execute(
        sa.text("INSERT INTO audit VALUES (:seq, :at, :actor, :action, :subject, :hash)"), row._asdict()
    )
    bind.execute(
        sa.text("UPDATE hierarchy SET revision = revision + 1, audit_seq = :seq, audit_hash = :hash"),
        {"seq": seq, "hash": row.hash},
    )
