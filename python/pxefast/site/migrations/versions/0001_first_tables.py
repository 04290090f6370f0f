"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table of pxefast 0.1."""
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_at", "audit", ["at"], unique=False)
    op.create_table(
        "boot_image",
        sa.Column("id", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=127), nullable=False),
        sa.Column("key", sa.String(length=127), nullable=False),
        sa.Column("architecture", sa.String(length=5), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("pxe_enabled", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "architecture IN ('x86', 'x64', 'arm64')", name=op.f("ck_boot_image_architecture")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_boot_image")),
        sa.UniqueConstraint("key", name=op.f("uq_boot_image_key")),
    )
    op.create_table(
        "collection",
        sa.Column("id", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=127), nullable=False),
        sa.Column("key", sa.String(length=127), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_collection")),
        sa.UniqueConstraint("key", name=op.f("uq_collection_key")),
    )
    op.create_table(
        "device",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=63), nullable=False),
        sa.Column("guid", sa.String(length=36), nullable=True),
        sa.Column("site", sa.String(length=3), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("guid", name=op.f("uq_device_guid")),
        sa.UniqueConstraint("key", name=op.f("uq_device_key")),
    )
    op.create_table(
        "distribution_point",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(length=3), nullable=False),
        sa.Column("enable_pxe", sa.Boolean(), nullable=False),
        sa.Column("allow_pxe_response", sa.Boolean(), nullable=False),
        sa.Column("interfaces", sa.Text(), nullable=True),
        sa.Column("unknown_computers", sa.Boolean(), nullable=False),
        sa.Column("response_delay", sa.Integer(), nullable=False),
        sa.Column("listen_on_dhcp_port", sa.Boolean(), nullable=False),
        sa.Column("mac_ignore_list_file", sa.Text(), nullable=True),
        sa.Column("ramdisk_tftp_block_size", sa.Integer(), nullable=False),
        sa.Column("ramdisk_tftp_window_size", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_distribution_point_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_distribution_point")),
    )
    op.create_table(
        "ledger",
        sa.Column("device_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("deployment_id", sa.String(length=8), nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("session", sa.String(length=32), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("xid", sa.BigInteger(), nullable=True),
        sa.Column("claimed_at", sa.Float(), nullable=True),
        sa.Column("stepped_at", sa.Float(), nullable=True),
        sa.CheckConstraint("state IN ('ARMED', 'CLAIMED')", name=op.f("ck_ledger_state")),
        sa.PrimaryKeyConstraint("device_id", "deployment_id", "generation", name=op.f("pk_ledger")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "retired_identity",
        sa.Column("identity", sa.String(length=41), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("identity", name=op.f("pk_retired_identity")),
    )
    op.create_table(
        "site",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=3), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("next_device", sa.Integer(), nullable=False),
        sa.Column("next_object", sa.Integer(), nullable=False),
        sa.Column("next_deployment", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_site_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
    )
    op.create_table(
        "boot_program",
        sa.Column("boot_image_id", sa.String(length=8), nullable=False),
        sa.Column("firmware", sa.String(length=4), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["boot_image_id"],
            ["boot_image.id"],
            name=op.f("fk_boot_program_boot_image_id"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("firmware IN ('bios', 'uefi', 'ipxe')", name=op.f("ck_boot_program_firmware")),
        sa.PrimaryKeyConstraint("boot_image_id", "firmware", name=op.f("pk_boot_program")),
    )
    op.create_table(
        "collection_member",
        sa.Column("collection_id", sa.String(length=8), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collection.id"],
            name=op.f("fk_collection_member_collection_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_collection_member_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("collection_id", "device_id", name=op.f("pk_collection_member")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_collection_member_device_id"), "collection_member", ["device_id"], unique=False)
    op.create_table(
        "device_mac",
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("device_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_id"], ["device.id"], name=op.f("fk_device_mac_device_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mac", name=op.f("pk_device_mac")),
    )
    op.create_index(op.f("ix_device_mac_device_id"), "device_mac", ["device_id"], unique=False)
    op.create_table(
        "task_sequence",
        sa.Column("id", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=127), nullable=False),
        sa.Column("key", sa.String(length=127), nullable=False),
        sa.Column("boot_image_id", sa.String(length=8), nullable=False),
        sa.ForeignKeyConstraint(
            ["boot_image_id"], ["boot_image.id"], name=op.f("fk_task_sequence_boot_image_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_sequence")),
        sa.UniqueConstraint("key", name=op.f("uq_task_sequence_key")),
    )
    op.create_index(op.f("ix_task_sequence_boot_image_id"), "task_sequence", ["boot_image_id"], unique=False)
    op.create_table(
        "deployment",
        sa.Column("id", sa.String(length=8), nullable=False),
        sa.Column("task_sequence_id", sa.String(length=8), nullable=False),
        sa.Column("collection_id", sa.String(length=8), nullable=False),
        sa.Column("purpose", sa.String(length=9), nullable=False),
        sa.Column("audience", sa.String(length=17), nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collection.id"], name=op.f("fk_deployment_collection_id")
        ),
        sa.ForeignKeyConstraint(
            ["task_sequence_id"], ["task_sequence.id"], name=op.f("fk_deployment_task_sequence_id")
        ),
        sa.CheckConstraint("purpose IN ('required', 'available')", name=op.f("ck_deployment_purpose")),
        sa.CheckConstraint(
            "audience IN ('clients', 'clients-media-pxe', 'media-pxe', 'media-pxe-hidden')",
            name=op.f("ck_deployment_audience"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
    )
    op.create_index(op.f("ix_deployment_collection_id"), "deployment", ["collection_id"], unique=False)
    op.create_index(op.f("ix_deployment_task_sequence_id"), "deployment", ["task_sequence_id"], unique=False)
