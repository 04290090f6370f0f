"""docs/robustness.md has every rule, names tests that exist, and says where a rule is not shown."""

from __future__ import annotations

import re

import pytest

from .robustness import (
    NEVER,
    NOT_YET,
    PAGE,
    PARTLY,
    ROOT,
    SHOWN,
    Rule,
    existing,
    page,
    rules,
    shown,
    shown_by,
)

NUMBERS = [
    f"R-{number}"
    for first, last in ((1, 44), (50, 64), (70, 85), (90, 110))
    for number in range(first, last + 1)
]
NUMBERS.insert(NUMBERS.index("R-81") + 1, "R-81b")
RULES = rules()


def test_the_page_is_what_the_rules_and_the_tests_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/robustness.md is stale; run: make conformance"


def test_every_rule_is_on_the_page_once_and_in_order() -> None:
    assert [rule.number for rule in RULES] == NUMBERS
    assert re.findall(r"^\| (R-\d+b?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE) == NUMBERS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.number)
def test_a_rule_is_shown_by_tests_that_exist_or_says_what_is_missing(rule: Rule) -> None:
    assert rule.says.endswith(".")
    assert not rule.gap or rule.gap.endswith(".")
    assert rule.state in (SHOWN, PARTLY, NOT_YET, NEVER)
    missing = [test for test in shown_by(rule) if test not in existing()]
    assert missing == []
    if rule.state in (SHOWN, PARTLY):
        assert shown_by(rule)
    else:
        assert rule.gap
        assert not shown_by(rule), "a test shows it: say what is still missing, without a state"


def test_no_test_names_a_rule_that_is_not_there() -> None:
    named = {number for each in shown() for number in each.rules}
    assert named <= set(NUMBERS)


def test_the_page_is_linked_from_the_first_page() -> None:
    assert "(docs/robustness.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
