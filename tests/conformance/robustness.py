"""docs/robustness.md out of robustness.toml and the docstrings of tests: each rule, its tests, and what is missing."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "robustness.md"
TESTS = ROOT / "tests"
NATIVE = ROOT / "native"

SHOWN, PARTLY, NOT_YET, NEVER = "shown", "in part", "not done yet", "does not apply"

HEAD = """\
# Robustness

Made by `make conformance` from `tests/conformance/robustness.toml` and from what tests say of themselves. A test fails
when this page is stale, when a rule is missing, or when a test that is named here does not exist.

Each rule (R-n) is a fault or an attack and what must come of it. "Shown" means that the named tests try the whole rule.
"In part" means that they do not; the last column says what is missing. Numbers that are
not listed do not exist. `PXEFAST_LONG=1` makes many tests try more. [testing.md](testing.md) says how to run them.

"""
TITLES = {
    "R-1": "Packets to the DHCP ports",
    "R-20": "TFTP",
    "R-50": "Decisions: which machine may be imaged",
    "R-70": "Durability and several servers",
    "R-90": "Host, process, HTTP and secrets",
}
TABLE = """\
| Rule | What it says | State | Shown by | Figure, and what is missing |
|---|---|---|---|---|
"""


class Rule(NamedTuple):
    """A rule. `tests` are those that the file names; `gap` is what no test shows, "" where nothing is missing."""

    number: str
    says: str
    tests: tuple[str, ...]
    figure: str
    gap: str
    state: str


class Shown(NamedTuple):
    """A test as `PATH::NAME`, and the rules that its docstring begins with."""

    test: str
    rules: tuple[str, ...]


def rules() -> list[Rule]:
    """Return every rule in the order of the file, with its state."""
    text = (Path(__file__).parent / "robustness.toml").read_text(encoding="utf-8")
    found = []
    for entry in tomllib.loads(text)["rule"]:
        gap, tests = entry.get("gap", ""), tuple(entry.get("tests", ()))
        state = entry.get("state", PARTLY if gap else SHOWN)
        found.append(Rule(entry["rule"], entry["says"], tests, entry.get("figure", ""), gap, state))
    return found


def shown() -> tuple[Shown, ...]:
    """Return every test of the project, with the rules that its docstring names."""
    return (*_python(), *_rust())


@cache
def existing() -> frozenset[str]:
    """Return every test of the project as `PATH::NAME`."""
    return frozenset(each.test for each in shown())


def shown_by(rule: Rule) -> list[str]:
    """Return the tests that show a rule: those that the file names, then those whose docstring does."""
    by_docstring = [each.test for each in shown() if rule.number in each.rules]
    return list(dict.fromkeys((*rule.tests, *by_docstring)))


@cache
def _python() -> tuple[Shown, ...]:
    return tuple(
        Shown(f"{file.relative_to(ROOT)}::{node.name}", _named(ast.get_docstring(node) or ""))
        for file in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@cache
def _rust() -> tuple[Shown, ...]:
    return tuple(_rust_tests())


def _rust_tests() -> Iterator[Shown]:
    for file in sorted(NATIVE.rglob("*.rs")):
        text = file.read_text(encoding="utf-8")
        for found in re.finditer(r"((?:[ \t]*///.*\n)*)[ \t]*#\[test\]\n(?:\s*#\[.*\]\n)*\s*fn (\w+)", text):
            words = found[1].strip().removeprefix("///").strip()
            yield Shown(f"{file.relative_to(ROOT)}::{found[2]}", _named(words))


def _named(words: str) -> tuple[str, ...]:
    """The rules that a docstring begins with."""
    first = re.match(r"R-\d+b?(?:, R-\d+b?)*", words)
    return tuple(first[0].split(", ")) if first else ()


def page() -> str:
    """Return the whole document."""
    found = rules()
    counts = Counter(rule.state for rule in found)
    said = [f"{counts[state]} {state}" for state in (SHOWN, PARTLY, NOT_YET, NEVER)]
    lines = [HEAD, f"{len(found)} rules: {', '.join(said)}.\n"]
    for rule in found:
        if rule.number in TITLES:
            lines.append(f"\n## {TITLES[rule.number]}\n\n{TABLE}")
        by = "<br>".join(f"`{_short(test)}`" for test in shown_by(rule))
        notes = "<br>".join(text for text in (rule.figure, f"*{rule.gap}*" if rule.gap else "") if text)
        lines.append(f"| {rule.number} | {rule.says} | {rule.state} | {by} | {notes} |\n")
    return "".join(lines)


def _short(test: str) -> str:
    path, _, name = test.partition("::")
    return f"{path.removeprefix('tests/')} :: {name}"
