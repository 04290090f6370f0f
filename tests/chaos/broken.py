"""Services that are wrong on purpose: the oracle must see it, or it proves nothing. And hurried ones, wrong clocks."""

from __future__ import annotations

import os
import random
import secrets
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

VARIANTS = {
    "forgets-claims": "I1",
    "answers-first": "I1",
    "open-gate": "I3",
    "forgets-launches": "I4",
}
"""Each variant, and an invariant that it breaks."""


def install(variants: str) -> None:
    """Make this process wrong in the named ways, parted by commas."""
    for variant in filter(None, variants.split(",")):
        name, _, value = variant.partition("=")
        if name == "clock":
            _clock(float(value))
        elif name == "sweeps":
            _sweeps(float(value))
        else:
            _break(variant)


def _break(variant: str) -> None:
    {
        "forgets-claims": _forgets_claims,
        "answers-first": _answers_first,
        "open-gate": _open_gate,
        "forgets-launches": _forgets_launches,
    }[variant]()


def _sweeps(started_seconds: float) -> None:
    """Sweep ten times a second, and hold what did not report its start so soon; a setting of its own in effect."""
    from pxefast.responder import keeper
    from pxefast.site.ledger import Ledger

    sweep = Ledger.sweep
    keeper._SWEEP_SECONDS = 0.1
    Ledger.sweep = lambda ledger, now, _, *more: sweep(  # type: ignore[method-assign]
        ledger, now, started_seconds, *more
    )


def _clock(seconds: float) -> None:
    """The wall clock is wrong by this; that is no defect of the service's."""
    import time

    right = time.time
    time.time = lambda: right() + seconds


def _forged(claims: Sequence[Any]) -> list[Any]:
    """What a ledger would say of these claims had it recorded them."""
    from pxefast.decide import Mark, Reason
    from pxefast.site.ledger import ClaimResult

    results = []
    for claim in claims:
        session = secrets.token_hex(16)
        mark = Mark(
            claim.deployment_id, 1, "CLAIMED", claim.now, claim.now, claim.step, claim.xid, session, claim.now, True
        )  # fmt: skip
        reason = Reason("claimed", "claimed nowhere", "I1")
        results.append(ClaimResult(True, reason, mark, claim.device_id, session))
    return results


def _forgets_claims() -> None:
    """Claims live in memory only."""
    from pxefast.site.ledger import Ledger

    commit = Ledger.commit
    Ledger.commit = lambda ledger, claims, launches, *_: (  # type: ignore[method-assign]
        _forged(claims),
        commit(ledger, (), launches)[1],
    )


def _answers_first() -> None:
    """The claim is written after the answer was sent, and each third time the service dies in between."""
    from pxefast.site.ledger import Ledger

    from . import failpoints

    commit = Ledger.commit
    waiting: list[tuple[Any, Any]] = []

    def later(ledger: Any, claims: Any, launches: Any, *_: object) -> Any:
        waiting.append((ledger, claims))
        return _forged(claims), commit(ledger, (), launches)[1]

    def then(*_: object) -> None:
        while waiting:
            if random.random() < 0.3:
                os.kill(os.getpid(), signal.SIGKILL)
            ledger, claims = waiting.pop()
            commit(ledger, claims, ())

    Ledger.commit = later  # type: ignore[method-assign]
    failpoints.wrap_server("answer", after=then)


def _open_gate() -> None:
    """The last block leaves without a record."""
    from pxefast.decide import Reason
    from pxefast.site.ledger import LaunchResult, Ledger

    commit = Ledger.commit
    opened = LaunchResult(True, Reason("launched", "launched nowhere", "I3"), True)
    Ledger.commit = lambda ledger, claims, launches, *_: (  # type: ignore[method-assign]
        commit(ledger, claims, ())[0],
        [opened for _ in launches],
    )


def _forgets_launches() -> None:
    """What was launched is decided and claimed once more."""
    from pxefast.responder import shape
    from pxefast.site.ledger import Ledger

    decide, commit = shape.decide, Ledger.commit

    def forgetful(ledger: Any, claims: Any, launches: Any, *_: object) -> Any:
        results, opened = commit(ledger, claims, launches)
        forged = _forged(claims)
        return [real if real.ok else made for real, made in zip(results, forged, strict=True)], opened

    def without_memory(request: Any, site: Any, exclusions: Any) -> Any:
        marks = {
            deployment: {
                device: replace(mark, state="ARMED", session="", claimed_at=0.0)
                for device, mark in of_devices.items()
            }
            for deployment, of_devices in site.marks.items()
        }
        return decide(request, replace(site, marks=marks, live={}, launches={}), exclusions)

    shape.decide = without_memory  # type: ignore[attr-defined]
    Ledger.commit = forgetful  # type: ignore[method-assign]
