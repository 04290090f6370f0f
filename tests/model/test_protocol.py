"""The protocol, explored whole: nothing is launched twice in a generation, and nothing launched is armed again.

PXEFAST_LONG=1 takes larger bounds.
"""

from __future__ import annotations

import pytest

from .protocol import Machine, Model
from .unreduced import Seen, Unreduced

STRICT = {
    "one machine": Model(sessions=6, generations=2),
    "a machine that takes late replies": Model(sessions=4, generations=3, xid_reuse=True),
    "found by the address alone": Model(sessions=3, generations=3, by_address=True, xid_reuse=True),
    "two machines": Model(machines=2, sessions=3, generations=2),
    "two machines that take late replies": Model(machines=2, sessions=2, generations=2, xid_reuse=True),
    "one address after another": Model(machines=2, sessions=2, generations=2, shared=True, xid_reuse=True),
    "one address, and nothing but it": Model(
        machines=2, sessions=2, generations=2, by_address=True, shared=True, late=False, xid_reuse=True
    ),
    "two addresses, and nothing but them": Model(
        machines=2, sessions=2, generations=2, by_address=True, xid_reuse=True
    ),
}
LONG = {
    "two machines, three generations": Model(machines=2, sessions=2, generations=3, xid_reuse=True),
    "three machines at one address": Model(
        machines=3, sessions=1, generations=2, by_address=True, shared=True, late=False, xid_reuse=True
    ),
}


@pytest.mark.parametrize("name", STRICT)
def test_nothing_is_launched_twice_whatever_is_lost_late_repeated_or_killed(name: str) -> None:
    found = STRICT[name].explore()
    print(f"{name}: {found.states} states, all of them")
    assert found.violation is None, found.trace


@pytest.mark.parametrize("name", LONG)
def test_nothing_is_launched_twice_in_larger_bounds(name: str, long: bool) -> None:
    model = LONG[name] if long else LONG[name]._replace(generations=1)
    found = model.explore()
    print(f"{name}: {found.states} states, all of them")
    assert found.violation is None, found.trace


# What each broken variant does, in the fewest steps.
BROKEN = {
    "answering first and recording later": (
        Model(variant="naive"),
        "second launch",
        "answer 0 > reply 0 > read 0 > launch 0 > boot 0 > answer 0 > reply 0 > read 0 > launch 0",
    ),
    "a claim without a launch barrier": (
        Model(variant="nob2"),
        "armed after a launch",
        "claim 0 > reply 0 > return 0 > read 0 > launch 0",
    ),
    "a claim without a launch barrier, to the end": (
        Model(variant="nob2"),
        "second launch",
        "claim 0 > reply 0 > read 0 > launch 0 > boot 0 > same 0 > reply 0 > read 0 > launch 0",
    ),
    "serving a launched file again to its own session": (
        Model(variant="reserve", xid_reuse=True),
        "second launch",
        "claim 0 > reply 0 > read 0 > launch 0 > boot 0 > reply 0 > read 0 > launch 0",
    ),
    "an address that belongs to two claims": (
        Model(machines=2, by_address=True, shared=True, late=False, variant="keep-address", symmetric=False),
        "launched by another",
        "claim 0 > boot 1 > claim 1 > reply 1 > read 1 > launch 1",
    ),
    "an address that changes hands while packets live": (
        Model(machines=2, by_address=True, shared=True, symmetric=False),
        "launched by another",
        "claim 0 > reply 0 > claim 1 > read 0 > launch 0",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_model_finds_what_a_broken_protocol_does(name: str) -> None:
    model, violation, trace = BROKEN[name]
    found = model.explore(violation)
    print(f"{name}: {found.violation}: {' > '.join(found.trace)}")
    assert found.violation is not None
    assert " > ".join(found.trace) == trace


def test_serving_again_is_seen_to_fail_only_where_a_machine_takes_late_replies() -> None:
    assert Model(variant="reserve").explore().violation is None


def test_a_session_named_in_the_file_needs_no_trust_in_addresses() -> None:
    assert (
        Model(machines=2, sessions=2, generations=2, shared=True, xid_reuse=True).explore().violation is None
    )


@pytest.mark.parametrize(
    "bounds",
    [Unreduced(boots=3), Unreduced(xid_reuse=True)],
    ids=["three boots", "late replies"],
)
def test_the_reduced_model_reaches_exactly_what_single_steps_and_dying_servers_reach(
    bounds: Unreduced,
) -> None:
    states, seen, twice = bounds.explore()
    print(f"step by step: {states} states, {len(seen)} seen from outside")
    assert not twice
    assert seen == reduced(bounds)


def test_it_does_so_over_a_clear(long: bool) -> None:
    bounds = Unreduced(boots=3 if long else 2, sessions=1, generations=2, xid_reuse=True)
    _, seen, twice = bounds.explore()
    assert not twice
    assert seen <= reduced(bounds)
    assert not long or seen == reduced(bounds)


def reduced(bounds: Unreduced) -> set[Seen]:
    """What the reduced model reaches in the same bounds, but for the boots, of which it has any number."""
    model = Model(1, bounds.sessions, bounds.generations, xid_reuse=bounds.xid_reuse)
    states = {(Machine(),)}
    todo = list(states)
    while todo:
        for _, after, _ in model.steps(todo.pop()):
            if after not in states:
                states.add(after)
                todo.append(after)
    rows, phases = ("ARMED", "CLAIMED", "LAUNCHED"), ("OFF", "PXE", "HAVE", "RUN")
    return {(rows[m.row], m.generation, m.sessions, phases[m.phase], m.told, m.runs) for (m,) in states}
