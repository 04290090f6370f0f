"""Devices, what they are known by, and the collections that they are in."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from pxefast.site.schema.base import metadata, variables_of

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

# Which MAC addresses an SMBIOS GUID was seen with, and at which distribution point last (D29). A GUID is kept in one
# of its byte orders, the lesser text. `site.sightings` bounds the rows.
sighting = Table(
    "sighting",
    metadata,
    Column("guid", String(36), primary_key=True),
    Column("mac", String(17), primary_key=True),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False, index=True),
    Column("distribution_point", String(63), nullable=False),
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

device_variable = variables_of("device")

collection_variable = variables_of("collection")

# The largest TFTP window for machines of one model, and the transfer that taught it: of `granted` blocks some were lost
# in `gap_windows` of its `windows` windows, after `arrived` blocks at the least. A service only ever lowers `blocks`; a
# person takes the row away.
learned_window = Table(
    "learned_window",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("blocks", Integer, nullable=False),
    Column("granted", Integer, nullable=False),
    Column("arrived", Integer, nullable=False),
    Column("gap_windows", BigInteger, nullable=False),
    Column("windows", BigInteger, nullable=False),
    # A device's name, or a MAC address.
    Column("machine", String(63), nullable=False),
    Column("distribution_point", String(63), nullable=False),
    Column("learned_at", Float, nullable=False),
)
