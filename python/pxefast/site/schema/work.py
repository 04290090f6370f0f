"""Boot images, task sequences and deployments."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    text,
)

from pxefast.site.schema.base import metadata, tftp_sizes, variables_of

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
    # A folder, or the `.wim` file of a windows-pe image.
    Column("source", Text, nullable=False),
    Column("pxe_enabled", Boolean, nullable=False),
    # The latest file without which the work cannot begin; NULL: the boot program that the machine ends with.
    Column("launch_file", Text),
    Column(
        "kind",
        String(10),
        CheckConstraint("kind IN ('files', 'windows-pe')", name="kind"),
        nullable=False,
        server_default="files",
    ),
    # Raised by every change of what would be served: what was packaged before it needs redistribution.
    Column("revision", Integer, nullable=False, server_default=text("1")),
    # Whose signature the boot programs carry (B-40); NULL: 2011 where the image holds both.
    Column("boot_ca", String(4), CheckConstraint("boot_ca IN ('2011', '2023')", name="boot_ca")),
    # A boot.sdi of the administrator's own; NULL: the image's (B-41).
    Column("boot_sdi", Text),
    *tftp_sizes(),
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

deployment_variable = variables_of("deployment")
