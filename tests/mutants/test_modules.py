"""The table of the mutation tester names modules and tests that exist."""

from __future__ import annotations

import ast
import tomllib

import pytest

from .run import ROOT, TABLE

MODULES: dict[str, list[str]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["modules"]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_and_the_tests_that_judge_it_exist(module: str) -> None:
    assert (ROOT / "python" / "pxefast" / module).is_file()
    assert MODULES[module]
    for test in MODULES[module]:
        assert (ROOT / test).is_file()


def test_every_explained_mutant_is_of_a_function_that_exists() -> None:
    for entry in tomllib.loads(TABLE.read_text(encoding="utf-8")).get("explained", []):
        assert entry["module"] in MODULES
        assert entry["why"].endswith(".")
        text = (ROOT / "python" / "pxefast" / entry["module"]).read_text(encoding="utf-8")
        names = {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
        assert entry["function"].rpartition(".")[2] in names
