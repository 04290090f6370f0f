"""The tables of the site database, the same on SQLite and PostgreSQL.

`key` columns hold a name's case-folded form: names are unique whatever their case. Times are Unix seconds. Ledger rows
refer to devices and deployments without a foreign key, for they outlive both (I6).
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
    UniqueConstraint,
    text,
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

_ONE_ROW = "one_row"

# One row, locked first by every change: it puts all changes and all claims of a hierarchy into one order. `revision`
# counts what a running service must load; `audit_seq` and `audit_hash` are the head of the audit chain (D23); the
# budget's window begins no earlier than `budget_from`, and is tripped while `budget_tripped_at` is set (D6).
hierarchy = Table(
    "hierarchy",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name=_ONE_ROW), primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("next_device", Integer, nullable=False),
    Column("audit_seq", BigInteger, nullable=False),
    Column("audit_hash", String(64), nullable=False),
    Column("budget_from", Float, nullable=False),
    Column("budget_tripped_at", Float),
)

# Ids carry their site's code and the next free number.
site = Table(
    "site",
    metadata,
    Column("code", String(3), primary_key=True),
    Column("parent", ForeignKey("site.code")),
    Column("next_object", Integer, nullable=False),
    Column("next_deployment", Integer, nullable=False),
)

# Settings that are not at their default, as text.
setting = Table(
    "setting",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("value", Text, nullable=False),
)

distribution_point = Table(
    "distribution_point",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("site", ForeignKey("site.code"), nullable=False),
    Column("enable_pxe", Boolean, nullable=False),
    Column("allow_pxe_response", Boolean, nullable=False),
    # Names or MAC addresses parted by a blank; NULL means every interface, "" none.
    Column("interfaces", Text),
    Column("unknown_computers", Boolean, nullable=False),
    Column("response_delay", Integer, nullable=False),
    Column("listen_on_dhcp_port", Boolean, nullable=False),
    Column("mac_ignore_list_file", Text),
    Column("ramdisk_tftp_block_size", Integer, nullable=False),
    Column("ramdisk_tftp_window_size", Integer, nullable=False),
    Column("user_device_affinity", Integer, nullable=False),
)

# Identities (`mac:...`, `guid:...`) of the machines that pxefast itself runs on: never imaged.
own_identity = Table(
    "own_identity",
    metadata,
    Column("identity", String(41), primary_key=True),
    Column("distribution_point", String(63), primary_key=True),
)

# Unknown computer objects are numbered where Configuration Manager numbers them too: far above every device.
FIRST_UNKNOWN = 2046820352

# Ids come from `hierarchy.next_device` and are never used twice: no device inherits another's ledger rows. A row with
# `unknown_architecture` is a site's unknown computer object, which has no identity and never gets one (CM-92, CM-98).
device = Table(
    "device",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(63), nullable=False),
    Column("key", String(63), nullable=False, unique=True),
    Column("guid", String(36), unique=True),
    Column("site", ForeignKey("site.code"), nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("unknown_architecture", String(5)),
    UniqueConstraint("site", "unknown_architecture"),
)

device_mac = Table(
    "device_mac",
    metadata,
    Column("mac", String(17), primary_key=True),
    Column("device_id", ForeignKey("device.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
)

# Identities (`mac:...`, `guid:...`) of hardware without a device: removed, or booted as unknown. Imported (again), the
# hardware gets its number and its ledger rows.
hardware = Table(
    "hardware",
    metadata,
    Column("identity", String(41), primary_key=True),
    Column("device_id", Integer, nullable=False),
)

# Identities (`mac:...`, `guid:...`) that many machines share; the whole hierarchy's (CM-60).
duplicate_identity = Table(
    "duplicate_identity",
    metadata,
    Column("identity", String(41), primary_key=True),
)

collection = Table(
    "collection",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("name", String(127), nullable=False),
    Column("key", String(127), nullable=False, unique=True),
    Column("site", ForeignKey("site.code"), nullable=False),
)

# How a collection finds its members. `direct`: device_id; `include`, `exclude`: other_id; `query`: attribute and value.
collection_rule = Table(
    "collection_rule",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("collection.id", ondelete="CASCADE"), nullable=False, index=True),
    Column(
        "kind",
        String(7),
        CheckConstraint("kind IN ('direct', 'include', 'exclude', 'query')", name="kind"),
        nullable=False,
    ),
    Column("device_id", ForeignKey("device.id", ondelete="CASCADE"), index=True),
    Column("other_id", ForeignKey("collection.id"), index=True),
    # As long as the longest variable:NAME.
    Column("attribute", String(136)),
    Column("value", Text),
)

# The members that the rules yield, worked out anew by each change that may concern them.
collection_member = Table(
    "collection_member",
    metadata,
    Column("collection_id", ForeignKey("collection.id", ondelete="CASCADE"), primary_key=True),
    Column("device_id", ForeignKey("device.id", ondelete="CASCADE"), primary_key=True, index=True),
    sqlite_with_rowid=False,
)


def _variables(noun: str) -> Table:
    """`name` keeps its case, `key` is what is unique; a secret one never leaves over TFTP."""
    return Table(
        f"{noun}_variable",
        metadata,
        Column(f"{noun}_id", ForeignKey(f"{noun}.id", ondelete="CASCADE"), primary_key=True),
        Column("key", String(127), primary_key=True),
        Column("name", String(127), nullable=False),
        Column("value", Text, nullable=False),
        Column("secret", Boolean, nullable=False),
    )


device_variable = _variables("device")
collection_variable = _variables("collection")

boot_image = Table(
    "boot_image",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("name", String(127), nullable=False),
    Column("key", String(127), nullable=False, unique=True),
    Column("site", ForeignKey("site.code"), nullable=False),
    Column(
        "architecture",
        String(5),
        CheckConstraint("architecture IN ('x86', 'x64', 'arm64')", name="architecture"),
        nullable=False,
    ),
    Column("source", Text, nullable=False),
    Column("pxe_enabled", Boolean, nullable=False),
    # The latest file without which the work cannot begin; NULL: the boot program that the machine ends with.
    Column("launch_file", Text),
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
    Column("site", ForeignKey("site.code"), nullable=False),
    # NULL: it can be made available to clients only (CM-71).
    Column("boot_image_id", ForeignKey("boot_image.id"), index=True),
)

deployment = Table(
    "deployment",
    metadata,
    Column("id", String(8), primary_key=True),
    Column("site", ForeignKey("site.code"), nullable=False),
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
    # False: withdrawn for the moment, at once and reversibly.
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("available_at", Float),
    Column("expires_at", Float),
    # What a client in full Windows does; no part of the PXE once-guard (CM-76).
    Column(
        "rerun",
        String(16),
        CheckConstraint("rerun IN ('never', 'always', 'if-failed', 'if-succeeded')", name="rerun"),
        nullable=False,
    ),
)

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
        String(8),
        CheckConstraint(
            "state IN ('ARMED', 'CLAIMED', 'LAUNCHED', 'STARTED', 'DONE', 'FAILED', 'HOLD', 'CLEARED')",
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
audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("ix_audit_at", "at"),
)


def _group(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("name", String(127), nullable=False),
        Column("key", String(127), primary_key=True),
    )


def _points_of(group: Table, name: str) -> Table:
    """The distribution points in each group of a kind."""
    point = ForeignKey("distribution_point.name", ondelete="CASCADE")
    return Table(
        name,
        metadata,
        Column("group_key", ForeignKey(group.c.key, ondelete="CASCADE"), primary_key=True),
        Column("distribution_point", point, primary_key=True),
    )


distribution_point_group = _group("distribution_point_group")
distribution_point_group_member = _points_of(distribution_point_group, "distribution_point_group_member")
boundary_group = _group("boundary_group")
boundary_group_distribution_point = _points_of(boundary_group, "boundary_group_distribution_point")

# Subnets in CIDR form.
boundary = Table(
    "boundary",
    metadata,
    Column("group_key", ForeignKey("boundary_group.key", ondelete="CASCADE"), primary_key=True),
    Column("subnet", String(18), primary_key=True),
)
