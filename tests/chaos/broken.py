"""Services that are wrong on purpose: the oracle must see it, or it proves nothing."""

from __future__ import annotations

import secrets
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
        {
            "forgets-claims": _forgets_claims,
            "answers-first": _answers_first,
            "open-gate": _open_gate,
            "forgets-launches": _forgets_launches,
        }[variant]()


def _forged_claims(claims: Sequence[Any]) -> list[Any]:
    from pxefast.decide import Mark, Reason
    from pxefast.site.ledger import ClaimResult

    reason = Reason("claimed", "claimed nowhere", "I1")
    results = []
    for claim in claims:
        mark = Mark(
            claim.deployment_id, 1, "CLAIMED", claim.now, claim.now, claim.step, claim.xid,
            secrets.token_hex(16), claim.now, True,
        )  # fmt: skip
        result = ClaimResult._make([None] * len(ClaimResult._fields))
        named = {
            "ok": True,
            "reason": reason,
            "mark": mark,
            "device_id": claim.device_id,
            "token": mark.session,
        }
        results.append(result._replace(**{key: named[key] for key in named if key in ClaimResult._fields}))
    return results


def _forgets_claims() -> None:
    """Claims live in memory only."""
    from pxefast.site.ledger import Ledger

    Ledger.claim = lambda _, claims: _forged_claims(claims)  # type: ignore[assignment,method-assign,misc]


def _answers_first() -> None:
    """The claim is written after the answer was sent, and each third time the service dies in between."""
    import os
    import random
    import signal

    from pxefast.responder.reply import Answers
    from pxefast.site.ledger import Ledger

    claim, answer = Ledger.claim, Answers.answer
    waiting: list[tuple[Any, Any]] = []

    def later(ledger: Any, claims: Any) -> Any:
        waiting.append((ledger, claims))
        return _forged_claims(claims)

    def then(answers: Any, questions: Any) -> Any:
        answered = answer(answers, questions)
        while waiting:
            if random.random() < 0.3:
                os.kill(os.getpid(), signal.SIGKILL)
            ledger, claims = waiting.pop()
            claim(ledger, claims)
        return answered

    Ledger.claim = later  # type: ignore[method-assign]
    Answers.answer = then  # type: ignore[method-assign]


def _open_gate() -> None:
    """The last block leaves without a record."""
    from pxefast.site.ledger import LaunchResult, Ledger

    def launch(_: Any, launches: Sequence[Any]) -> list[Any]:
        results = []
        for each in launches:
            result = LaunchResult._make([None] * len(LaunchResult._fields))
            results.append(result._replace(ok=True, session=each.session))
        return results

    Ledger.launch = launch  # type: ignore[method-assign]


def _forgets_launches() -> None:
    """What was launched is decided and claimed once more."""
    from pxefast.responder import reply
    from pxefast.site.ledger import Ledger

    decide = reply.decide
    reply.decide = lambda request, site, exclusions: decide(  # type: ignore[attr-defined]
        request, replace(site, marks={}, live={}), exclusions
    )
    Ledger.claim = lambda _, claims: _forged_claims(claims)  # type: ignore[assignment,method-assign,misc]
