"""docs/tftp-threats.md out of threats.toml and the docstrings of the tests: each rule, and what shows it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "tftp-threats.md"
ROOMS = ("tests/pump", "tests/tftp_alone", "tests/benches", "tests/firmware")
ENGINE = "native/engine"

HEAD = """\
# What a TFTP port meets

Made by `make conformance` from `tests/conformance/threats.toml` and what tests say of themselves; a test fails when it
is stale.

What is thrown at the TFTP port (R-n), and the tests that show what comes of it. Those of `engine` run on a clock of
their own; `PXEFAST_LONG=1` has the others do more of the same.

| Rule | What it says | Shown by |
|---|---|---|
"""


class Shown(NamedTuple):
    """A test, and the rules that its first words name."""

    test: str
    rules: tuple[str, ...]


def threats() -> dict[str, str]:
    """What each rule says."""
    text = (Path(__file__).parent / "threats.toml").read_text(encoding="utf-8")
    return {threat["rule"]: threat["says"] for threat in tomllib.loads(text)["threat"]}


def shown() -> list[Shown]:
    """Every test that shows a rule."""
    return [*_python(), *_rust()]


def _python() -> Iterator[Shown]:
    for file in sorted(file for room in ROOMS for file in (ROOT / room).glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                rules = _rules(ast.get_docstring(node) or "")
                yield Shown(f"{file.parent.name}/{file.stem} :: {node.name}", rules)


def _rust() -> Iterator[Shown]:
    for file in sorted((ROOT / ENGINE).glob("*.rs")):
        text = file.read_text(encoding="utf-8")
        for found in re.finditer(r"/// (R-.*)\n\s*#\[test\]\n\s*fn (\w+)", text):
            yield Shown(f"engine/{file.stem} :: {found[2]}", _rules(found[1]))


def _rules(words: str) -> tuple[str, ...]:
    first = re.match(r"R-\d+(?:, R-\d+)*", words)
    return tuple(first[0].split(", ")) if first else ()


def page() -> str:
    """The whole document."""
    tests = shown()
    lines = [HEAD]
    for rule, says in threats().items():
        by = "<br>".join(f"`{test.test}`" for test in tests if rule in test.rules)
        lines.append(f"| {rule} | {says} | {by} |\n")
    return "".join(lines)
