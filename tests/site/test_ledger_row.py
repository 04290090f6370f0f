"""Launches whose end was not reported, by the state of their row, and when they settle (D34)."""

from __future__ import annotations

import math

import pytest
from pxefast.decide.records import State
from pxefast.site.ledger_row import Row, unreported_since

CLAIMED, LAUNCHED, REPORTED = 100.0, 200.0, 300.0


@pytest.mark.parametrize(
    ("state", "known", "launched", "reported", "since"),
    [
        ("ARMED", False, None, None, 0.0),
        ("CLAIMED", True, None, None, 0.0),
        ("CLAIMED", False, None, None, CLAIMED),
        ("CLAIMED", False, LAUNCHED, REPORTED, CLAIMED),
        ("LAUNCHED", True, LAUNCHED, None, LAUNCHED),
        ("LAUNCHED", True, LAUNCHED, REPORTED, REPORTED),
        ("LAUNCHED", True, LAUNCHED, CLAIMED, LAUNCHED),
        ("LAUNCHED", True, 0.5, None, 0.5),
        ("LAUNCHED", False, None, REPORTED, 0.0),
        ("STARTED", True, LAUNCHED, REPORTED, math.inf),
        ("STARTED", False, None, None, math.inf),
        ("DONE", True, LAUNCHED, REPORTED, 0.0),
        ("FAILED", True, LAUNCHED, REPORTED, 0.0),
        ("CLEARED", True, LAUNCHED, REPORTED, 0.0),
        ("HOLD", True, LAUNCHED, None, LAUNCHED),
        ("HOLD", True, None, None, 0.0),
        ("WITHDRAWN", True, LAUNCHED, REPORTED, REPORTED),
        ("WITHDRAWN", True, None, None, 0.0),
    ],
)
def test_the_newest_sign_of_a_launch_that_nobody_reported(
    state: State, known: bool, launched: float | None, reported: float | None, since: float
) -> None:
    assert unreported_since(state, known, CLAIMED, launched, reported) == since
    row = Row(
        1, "PS120001", 1, state, 1.0, claimed_at=CLAIMED, launch="a/b" if known else None,
        launched_at=launched, reported_at=reported,
    )  # fmt: skip
    assert row.mark.unreported == since
    assert row.settles_at(4) == (since + 4 * 3600.0 if since else 0.0)
    assert row.settles_at(0) == (math.inf if since else 0.0)


def test_a_claim_of_no_known_time_and_file_is_no_sign() -> None:
    assert unreported_since("CLAIMED", False, None, None, None) == 0.0
