"""The tables of the site database.

`key` columns hold a name's case-folded form: names are unique whatever their case. Ledger rows refer to
devices and deployments without a foreign key, for they outlive both (I6).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

# One row. `revision` counts the changes a running service must load; the counters give the next free number.
site = Table(
    "site",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("code", String(3), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("next_device", Integer, nullable=False),
    Column("next_object", Integer, nullable=False),
    Column("next_deployment", Integer, nullable=False),
)

# One row.
distribution_point = Table(
    "distribution_point",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("site", String(3), nullable=False),
    Column("enable_pxe", Boolean, nullable=False),
    Column("allow_pxe_response", Boolean, nullable=False),
    # Names parted by a blank; NULL means every interface.
    Column("interfaces", Text),
    Column("unknown_computers", Boolean, nullable=False),
    Column("response_delay", Integer, nullable=False),
    Column("listen_on_dhcp_port", Boolean, nullable=False),
    Column("mac_ignore_list_file", Text),
    Column("ramdisk_tftp_block_size", Integer, nullable=False),
    Column("ramdisk_tftp_window_size", Integer, nullable=False),
)

# Ids come from `site.next_device` and are never used twice: no device inherits another's ledger rows.
device = Table(
    "device",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(63), nullable=False),
    Column("key", String(63), nullable=False, unique=True),
    Column("guid", String(36), unique=True),
    Column("site", String(3), nullable=False),
)

device_mac = Table(
    "device_mac",
    metadata,
    Column("mac", String(17), primary_key=True),
    Column("device_id", ForeignKey("device.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
)

# The identifiers of removed devices: the same hardware, imported again, gets its old number and its old
# ledger rows.
retired_identity = Table(
    "retired_identity",
    metadata,
    Column("identity", String(41), primary_key=True),
    Column("device_id", Integer, nullable=False),
)

collection = Table(
    "collection",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("name", String(127), nullable=False),
    Column("key", String(127), nullable=False, unique=True),
)

collection_member = Table(
    "collection_member",
    metadata,
    Column("collection_id", ForeignKey("collection.id", ondelete="CASCADE"), primary_key=True),
    Column("device_id", ForeignKey("device.id", ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)

boot_image = Table(
    "boot_image",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("name", String(127), nullable=False),
    Column("key", String(127), nullable=False, unique=True),
    Column(
        "architecture",
        String(5),
        CheckConstraint("architecture IN ('x86', 'x64', 'arm64')", name="architecture"),
        nullable=False,
    ),
    Column("source", Text, nullable=False),
    Column("pxe_enabled", Boolean, nullable=False),
)

boot_program = Table(
    "boot_program",
    metadata,
    Column("boot_image_id", ForeignKey("boot_image.id", ondelete="CASCADE"), primary_key=True),
    Column(
        "firmware",
        String(4),
        CheckConstraint("firmware IN ('bios', 'uefi', 'ipxe')", name="firmware"),
        primary_key=True,
    ),
    Column("file", Text, nullable=False),
)

task_sequence = Table(
    "task_sequence",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("name", String(127), nullable=False),
    Column("key", String(127), nullable=False, unique=True),
    Column("boot_image_id", ForeignKey("boot_image.id"), nullable=False, index=True),
)

deployment = Table(
    "deployment",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("task_sequence_id", ForeignKey("task_sequence.id"), nullable=False, index=True),
    Column("collection_id", ForeignKey("collection.id"), nullable=False, index=True),
    Column(
        "purpose",
        String(9),
        CheckConstraint("purpose IN ('required', 'available')", name="purpose"),
        nullable=False,
    ),
    Column(
        "audience",
        String(17),
        CheckConstraint(
            "audience IN ('clients', 'clients-media-pxe', 'media-pxe', 'media-pxe-hidden')", name="audience"
        ),
        nullable=False,
    ),
)

# What was handed out. The newest generation counts; only a clear makes a new one; no row is ever deleted (I5,
# I6).
ledger = Table(
    "ledger",
    metadata,
    Column("device_id", Integer, primary_key=True, autoincrement=False),
    Column("deployment_id", String(8), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column(
        "state", String(8), CheckConstraint("state IN ('ARMED', 'CLAIMED')", name="state"), nullable=False
    ),
    Column("session", String(32)),
    Column("step", Integer),
    Column("xid", BigInteger),
    # Unix seconds: of the claim, and of the newest stage's first request.
    Column("claimed_at", Float),
    Column("stepped_at", Float),
    sqlite_with_rowid=False,
)

# Who changed what, and when (Unix seconds).
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Index("ix_audit_at", "at"),
    sqlite_autoincrement=True,
)
