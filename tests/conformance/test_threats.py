"""docs/tftp-threats.md says what the tests show, and every rule is shown by one."""

from __future__ import annotations

import pytest

from .threats import PAGE, page, shown, threats

RULES = [f"R-{number}" for number in range(20, 45)]


def test_the_document_is_what_rules_and_tests_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/tftp-threats.md is stale; run: make conformance"


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_shown_by_a_test(rule: str) -> None:
    assert threats()[rule].endswith(".")
    assert [test for test in shown() if rule in test.rules]


def test_no_test_names_a_rule_that_is_not_there() -> None:
    assert list(threats()) == RULES
    assert {rule for test in shown() for rule in test.rules} <= set(RULES)
