"""The tables of the site database, the same on SQLite and PostgreSQL.

`key` columns hold a name's case-folded form: names are unique whatever their case. Times are Unix seconds. Ledger rows
refer to devices and deployments without a foreign key, for they outlive both (I6).
"""

from __future__ import annotations

from pxefast.site.schema.base import metadata
from pxefast.site.schema.contents import (
    content_assignment,
    content_version,
    group_content,
)
from pxefast.site.schema.machines import (
    FIRST_UNKNOWN,
    collection,
    collection_member,
    collection_rule,
    collection_variable,
    device,
    device_mac,
    device_variable,
    duplicate_identity,
    hardware,
    learned_window,
    sighting,
)
from pxefast.site.schema.points import (
    boundary,
    boundary_group,
    boundary_group_distribution_point,
    distribution_point,
    distribution_point_group,
    distribution_point_group_member,
    hierarchy,
    own_identity,
    setting,
    site,
)
from pxefast.site.schema.records import (
    LIVE,
    audit,
    journal_alarm,
    ledger,
    write_probe,
)
from pxefast.site.schema.work import (
    boot_image,
    boot_program,
    deployment,
    deployment_variable,
    task_sequence,
)

__all__ = [
    "FIRST_UNKNOWN",
    "LIVE",
    "audit",
    "boot_image",
    "boot_program",
    "boundary",
    "boundary_group",
    "boundary_group_distribution_point",
    "collection",
    "collection_member",
    "collection_rule",
    "collection_variable",
    "content_assignment",
    "content_version",
    "deployment",
    "deployment_variable",
    "device",
    "device_mac",
    "device_variable",
    "distribution_point",
    "distribution_point_group",
    "distribution_point_group_member",
    "duplicate_identity",
    "group_content",
    "hardware",
    "hierarchy",
    "journal_alarm",
    "learned_window",
    "ledger",
    "metadata",
    "own_identity",
    "setting",
    "sighting",
    "site",
    "task_sequence",
    "write_probe",
]
