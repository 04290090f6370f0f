"""The product against the reference, and what taking something away may change, on random sites (R-54)."""

import ast
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .reference import expected
from .worlds import DEPLOYMENTS, NOW, Worlds

SOURCE = Path(__file__).parents[2] / "python" / "pxefast" / "decide"
REQUESTS = 5  # a site


@pytest.fixture(scope="module")
def pairs(long: bool) -> int:
    """Of a site and a request."""
    return 1_000_000 if long else 100_000


def codes_of_the_product() -> set[str]:
    """Every code that a module of decide gives a reason."""
    found: set[str] = set()
    for file in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reason":
                found.add(ast.literal_eval(node.args[0]))
    return found


def compare(decide: ModuleType, seed: int, pairs: int) -> tuple[Counter[str], Counter[str]]:
    """Compare so many decisions with the reference; return how often each reason and each action occurred."""
    worlds = Worlds(decide, seed)
    reasons: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    for _ in range(pairs // REQUESTS):
        site, exclusions = worlds.site(), worlds.exclusions()
        for _ in range(REQUESTS):
            request = worlds.request(site)
            decision = decide.decide(request, site, exclusions)
            ought = expected(request, site, exclusions)
            said = [reason.code for reason in decision.reasons]
            answer = (
                decision.action,
                said[-1] if decision.boot_program is None or decision.action == "pending" else None,
                decision.device_id,
                decision.deployment,
                decision.boot_image,
                decision.boot_program,
                decision.launch_file,
            )
            assert answer == tuple(vars(ought).values()), f"seed {seed}: {said} {request} {site}"
            assert decision.claim == (decision.action == "boot") == bool(decision.identities)
            reasons.update(said)
            actions[decision.action] += 1
    return reasons, actions


def test_every_decision_is_that_of_the_reference_and_every_reason_occurs(
    decide: ModuleType, seed: int, pairs: int
) -> None:
    reasons, actions = compare(decide, seed, pairs)
    assert set(reasons) == codes_of_the_product() | {"halted"}
    assert min(actions[action] for action in ("boot", "prompt", "abort", "ignore")) > pairs // 100
    assert actions["pending"] > pairs // 1000


Taken = tuple[Any, Any]


def each_device(site: Any, change: Callable[[Any], Any]) -> Any:
    return replace(
        site,
        **{
            name: {key: change(device) for key, device in getattr(site, name).items()}
            for name in ("devices_by_mac", "devices_by_guid", "unknown")
        },
    )


def each_deployment(site: Any, name: str, **changes: Any) -> Any:
    def change(device: Any) -> Any:
        return replace(
            device,
            deployments=tuple(replace(d, **changes) if d.id == name else d for d in device.deployments),
        )

    return each_device(site, change)


def unarm(site: Any, name: str) -> Any:
    marks = site.marks.get(name, {})
    late = {
        number: mark if mark.armed_at > NOW else replace(mark, armed_at=NOW - 1e7)
        for number, mark in marks.items()
    }
    aged = each_deployment(site, name, created_at=NOW - 1e7)
    return replace(aged, marks={**site.marks, name: late})


def launched_everywhere(decide: ModuleType) -> dict[int, Any]:
    """Every machine was launched by a deployment that was removed since, and nobody reported its end."""
    mark = decide.Mark("PS120000", 1, "WITHDRAWN", NOW, NOW - 1e4, launched_at=NOW - 1e4, unreported=NOW - 1)
    return dict.fromkeys([*range(1, 4), *range(900, 904), 50, 51], mark)


# What forbids: whoever it concerns gets nothing.
FORBID: list[Callable[[ModuleType, Any, Any, Any, str], Taken]] = [
    lambda _, s, x, r, __: (s, replace(x, macs=x.macs | {r.mac})),
    lambda _, s, x, __, ___: (each_device(s, lambda device: replace(device, protected=True)), x),
    lambda _, s, x, r, __: (replace(s, own=s.own | {r.mac}), x),
    lambda _, s, x, __, ___: (replace(s, dp=replace(s.dp, allow_pxe_response=False)), x),
]
# What takes a required boot away, whereupon an available one may ask.
TAKE: list[Callable[[ModuleType, Any, Any, Any, str], Taken]] = [
    lambda d, s, x, __, ___: (s, replace(x, paused=d.Reason("halted", "", "D8"))),
    lambda _, s, x, __, name: (each_deployment(s, name, enabled=False), x),
    lambda _, s, x, __, name: (each_deployment(s, name, expires_at=NOW - 1), x),
    lambda _, s, x, __, name: (unarm(s, name), x),
    lambda _, s, x, __, ___: (replace(s, dp=replace(s.dp, unknown_computers=False)), x),
    lambda _, s, x, __, ___: (replace(s, policy=replace(s.policy, required_for_unknown=False)), x),
    lambda _, s, x, __, ___: (replace(s, policy=replace(s.policy, approve_new_members=True)), x),
    lambda _, s, x, __, ___: (replace(s, policy=replace(s.policy, launch_settles_hours=0)), x),
    lambda d, s, x, __, ___: (replace(s, launches=launched_everywhere(d)), x),
]


def test_taking_something_away_never_adds_a_boot(decide: ModuleType, seed: int, pairs: int) -> None:
    worlds = Worlds(decide, seed)
    changed: Counter[int] = Counter()
    for _ in range(pairs // REQUESTS // 2):
        site, exclusions = worlds.site(), worlds.exclusions()
        for _ in range(REQUESTS):
            request, name = worlds.request(site), worlds.random.choice(DEPLOYMENTS)
            before = decide.decide(request, site, exclusions)
            place = worlds.random.randrange(len(FORBID) + len(TAKE))
            less_site, less_exclusions = [*FORBID, *TAKE][place](decide, site, exclusions, request, name)
            after = decide.decide(request, less_site, less_exclusions)
            changed[place] += before != after
            about = f"seed {seed}, change {place}: {before} {after}"
            if place < len(FORBID):
                assert after.boot_program is None, about
            elif after.action == "boot":
                assert (before.action, before.deployment) == ("boot", after.deployment), about
                assert (before.boot_image, before.boot_program) == (after.boot_image, after.boot_program), (
                    about
                )
    assert len(changed) == len(FORBID) + len(TAKE)
    assert all(changed.values())


def test_the_source_and_the_compiled_modules_give_the_same_reasons_in_the_same_words(
    decide: ModuleType, seed: int, pairs: int
) -> None:
    from pxefast import decide as loaded

    ours, theirs = Worlds(decide, seed), Worlds(loaded, seed)
    for _ in range(pairs // REQUESTS // 20):
        one, other = ((w.site(), w.exclusions()) for w in (ours, theirs))
        for _ in range(REQUESTS):
            mine = decide.decide(ours.request(one[0]), *one)
            assert asdict(mine) == asdict(loaded.decide(theirs.request(other[0]), *other)), f"seed {seed}"
            assert all(re.fullmatch(r"(CM|T|R|W|F|D|I)-?\d+b?", reason.rule) for reason in mine.reasons)
