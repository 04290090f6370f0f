"""Which records of a journal are changes that operators made, and that a restored database lacks (R-77)."""

from __future__ import annotations

import pytest
from pxefast.site.audit import AuditRow
from pxefast.site.reconcile import lost_changes


def record(action: str, seq: int = 1) -> AuditRow:
    return AuditRow(seq, 1_700_000_000.0, "alice", action, "PS120001", "0" * 64)


@pytest.mark.parametrize(
    "action",
    [
        "deployment remove", "deployment disable", "device set", "collection remove", "setting set", "dp set",
        "duplicate-id add", "content package", "ledgerless change", "what a later version adds",
    ],
)  # fmt: skip
def test_what_an_operator_changed_is_a_lost_change(action: str) -> None:
    assert lost_changes([record(action)]) == [record(action)]


@pytest.mark.parametrize(
    "action",
    [
        "ledger claim", "ledger launch", "ledger hold", "journal begin", "dp host", "reconcile", "tune learn",
        "content validate",
    ],
)  # fmt: skip
def test_what_a_service_wrote_or_reconcile_did_is_none(action: str) -> None:
    assert lost_changes([record(action)]) == []


def test_lost_changes_keep_their_order() -> None:
    missing = [record("device set", 7), record("ledger claim", 8), record("deployment remove", 9)]
    assert [(row.seq, row.action) for row in lost_changes(missing)] == [
        (7, "device set"),
        (9, "deployment remove"),
    ]
