"""docs/conformance.md out of sentences.toml. `python -m tests.conformance.generate` writes it and docs/robustness.md
(`make conformance`).
"""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from . import robustness

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "conformance.md"

HEAD = """\
# Conformance

Made by `make conformance` from `tests/conformance/sentences.toml`; a test fails when it is stale.

Every sentence of Configuration Manager's page on PXE deployments that states behaviour, in our words; the rules that
carry it (CM-n, see ARCHITECTURE.md); the tests that show it; and whether they do.

"""


class Row(NamedTuple):
    """A sentence. `state` is `shown` or `later: ` and the work that brings it."""

    section: str
    says: str
    rules: list[str]
    tests: list[str]
    state: str
    note: str


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "sentences.toml").read_text(encoding="utf-8"))


def rows() -> list[Row]:
    """Every sentence, in the page's order."""
    return [
        Row(
            section["title"],
            row["says"],
            row["rules"],
            row["tests"],
            row.get("state", "shown"),
            row.get("note", ""),
        )
        for section in _file()["section"]
        for row in section["row"]
    ]


def decision_rules() -> list[str]:
    """The rules that concern what a machine is answered."""
    return list(_file()["decision_rules"])


@cache
def functions(file: str) -> frozenset[str]:
    """The names of a test file's functions; none of a file that is not there."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def page() -> str:
    """The whole document."""
    found = rows()
    shown = sum(row.state == "shown" for row in found)
    lines = [HEAD, f"{len(found)} sentences: {shown} shown, {len(found) - shown} by later work.\n"]
    section = ""
    for number, row in enumerate(found, start=1):
        if row.section != section:
            section = row.section
            lines.append(
                f"\n## {section}\n\n| # | What it says | Rules | Shown by | State |\n|---|---|---|---|---|\n"
            )
        says = f"{row.says} *{row.note}*" if row.note else row.says
        tests = "<br>".join(f"`{test.removeprefix('tests/').replace('.py::', ' :: ')}`" for test in row.tests)
        lines.append(f"| {number} | {says} | {', '.join(row.rules)} | {tests} | {row.state} |\n")
    return "".join(lines)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(rows())} sentences")
    robustness.PAGE.write_text(robustness.page(), encoding="utf-8")
    print(f"{robustness.PAGE.relative_to(ROOT)}: {len(robustness.rules())} rules")
