"""Two required deployments of one machine, explored whole: one never runs into the other, nor after its removal.

PXEFAST_LONG=1 takes larger bounds.
"""

from __future__ import annotations

import os

import pytest

from .lifecycle import Lifecycle, Variant

STRICT = {
    "two sessions": Lifecycle(sessions=2, generations=1),
    "two generations": Lifecycle(sessions=1, generations=2),
}


if os.environ.get("PXEFAST_LONG") == "1":
    # Too many states for each run.
    STRICT["two sessions in two generations"] = Lifecycle(sessions=2, generations=2)


@pytest.mark.parametrize("name", STRICT)
def test_a_launch_settles_and_a_removal_ends_it_without_a_second_launch(name: str) -> None:
    found = STRICT[name].explore()
    print(f"{name}: {found.states} states, all of them")
    assert found.violation is None, found.trace


# What each broken variant does, in the fewest steps. `0.1.0`: deployment 0, generation 1, session 0.
BROKEN: dict[Variant, tuple[str, str]] = {
    "rearm-on-remove": ("alive after its removal", "remove 0 > clear 0"),
    "settle-to-armed": (
        "armed after a launch",
        "claim 0 > reply 0.0.0 > read 0.0.0 > run 0.0.0 > time 0 > claim 1",
    ),
    "early-settle": (
        "claimed before another launch was settled",
        "claim 0 > reply 0.0.0 > read 0.0.0 > claim 1",
    ),
    "hold-settles": (
        "claimed before another launch was settled",
        "claim 0 > reply 0.0.0 > read 0.0.0 > sweep 0 > claim 1",
    ),
    "started-settles": (
        "claimed before another launch was settled",
        "claim 0 > reply 0.0.0 > read 0.0.0 > run 0.0.0 > started 0.0.0 > claim 1",
    ),
    "forget-withdrawn": (
        "claimed before another launch was settled",
        "claim 0 > reply 0.0.0 > read 0.0.0 > remove 0 > claim 1",
    ),
    "open-gate": ("launched after its removal", "claim 0 > reply 0.0.0 > remove 0 > read 0.0.0"),
    "late-start": (
        "launched before another launch was settled",
        (
            "claim 0 > reply 0.0.0 > read 0.0.0 > run 0.0.0 > time 0 > claim 1 > started 0.0.0 > boot "
            "> reply 1.0.0 > read 1.0.0"
        ),
    ),
}


@pytest.mark.parametrize("variant", BROKEN)
def test_the_model_finds_what_a_broken_lifecycle_does(variant: Variant) -> None:
    violation, trace = BROKEN[variant]
    found = Lifecycle(variant=variant).explore()
    print(f"{variant}: {found.violation}: {' > '.join(found.trace)}")
    assert (found.violation, " > ".join(found.trace)) == (violation, trace)
