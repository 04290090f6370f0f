"""docs/conformance.md is made of tests that are there, leaves out no rule of the decision, and is not stale."""

from __future__ import annotations

import re

import pytest

from .generate import PAGE, Row, decision_rules, functions, page, rows

ROWS = rows()
by_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says[:60])


def test_the_document_is_what_the_sentences_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/conformance.md is stale; run: make conformance"


@by_row
def test_every_test_that_a_row_names_is_there(row: Row) -> None:
    for test in row.tests:
        file, _, name = test.partition("::")
        assert name in functions(file), f"{test} does not exist"


@by_row
def test_a_row_is_shown_by_a_test_or_says_which_work_brings_it(row: Row) -> None:
    assert row.says.endswith(".")
    assert all(re.fullmatch(r"CM-\d+", rule) for rule in row.rules)
    assert row.rules
    if row.state == "shown":
        assert row.tests
    else:
        assert re.fullmatch(r"later: \w.+", row.state)
        assert not row.tests


def test_every_rule_of_the_decision_is_carried_by_a_row() -> None:
    carried = {rule for row in ROWS for rule in row.rules}
    assert [rule for rule in decision_rules() if rule not in carried] == []
