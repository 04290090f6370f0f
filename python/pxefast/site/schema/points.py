"""The hierarchy, its sites and settings, its distribution points and their groups."""

from __future__ import annotations

from typing import Any

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
    false,
)

from pxefast.site.schema.base import metadata, tftp_sizes

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
    Column("ramdisk_tftp_variable_window", Boolean, nullable=False, server_default=false()),
)

# Identities (`mac:...`, `guid:...`) of the machines that pxefast itself runs on: never imaged.
own_identity = Table(
    "own_identity",
    metadata,
    Column("identity", String(41), primary_key=True),
    Column("distribution_point", String(63), primary_key=True),
)


def _group(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("name", String(127), nullable=False),
        Column("key", String(127), primary_key=True),
        *columns,
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

boundary_group = _group("boundary_group", *tftp_sizes())

boundary_group_distribution_point = _points_of(boundary_group, "boundary_group_distribution_point")

# Subnets in CIDR form.
boundary = Table(
    "boundary",
    metadata,
    Column("group_key", ForeignKey("boundary_group.key", ondelete="CASCADE"), primary_key=True),
    Column("subnet", String(18), primary_key=True, index=True),
)
