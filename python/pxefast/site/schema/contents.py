"""Which files of which boot image are where."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
)

from pxefast.site.schema.base import metadata


def _image() -> Column[Any]:
    return Column(
        "boot_image_id", ForeignKey("boot_image.id", ondelete="CASCADE"), primary_key=True, index=True
    )


# What was packaged into the content source: the newest version of an image is the one that is distributed. `manifest`
# is the SHA-256 of the manifest's bytes, all that a distribution point trusts; `revision` the image's at that time.
content_version = Table(
    "content_version",
    metadata,
    Column("boot_image_id", ForeignKey("boot_image.id", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False),
    Column("manifest", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("files", Integer, nullable=False),
    Column("packaged_at", Float, nullable=False),
)

# Which images a distribution point shall serve, and how far it is. Orders (`version`, and `attempt`, which each of them
# raises) are changes of the site; the rest is the point's own report, of which nobody is told.
content_assignment = Table(
    "content_assignment",
    metadata,
    Column("distribution_point", ForeignKey("distribution_point.name", ondelete="CASCADE"), primary_key=True),
    _image(),
    Column("version", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column(
        "state",
        String(7),
        CheckConstraint("state IN ('wanted', 'pulling', 'served', 'failed', 'damaged')", name="state"),
        nullable=False,
    ),
    # What it serves now, which may be older than what is wanted; NULL: nothing.
    Column("served_version", Integer),
    # Bytes.
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    # Why it failed or is damaged, for people.
    Column("why", Text),
    Column("changed_at", Float, nullable=False),
    Column("validated_at", Float),
)

# What a new member of a group of distribution points gets (CM-146).
group_content = Table(
    "group_content",
    metadata,
    Column("group_key", ForeignKey("distribution_point_group.key", ondelete="CASCADE"), primary_key=True),
    _image(),
)
