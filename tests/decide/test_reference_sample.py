"""A small sample of test_reference.py, short enough to be run for each mutant of the decision."""

from __future__ import annotations

from types import ModuleType

from .test_reference import compare


def test_a_sample_of_decisions_is_that_of_the_reference(decide: ModuleType, seed: int) -> None:
    _, actions = compare(decide, seed, 2500)
    assert set(actions) >= {"boot", "prompt", "abort", "ignore"}
