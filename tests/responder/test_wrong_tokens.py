"""Who guesses a token five times waits a minute, and not for ever (R-91). The endpoint runs on a clock of the test."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pxefast.config import Report
from pxefast.decide import Reason
from pxefast.responder import reports as module
from pxefast.responder.reports import Reports
from pxefast.site.ledger import ReportResult

from .test_reports import Session, report

RIGHT, WRONG = Session("1" * 32, "right"), Session("1" * 32, "wrong")
ADDRESS, OTHER = "127.0.3.1", "127.0.3.2"


class Endpoint:
    """Reports on a free port, whose ledger knows one token. `clock.now` is what its lock-out goes by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = SimpleNamespace(now=time.monotonic())
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.clock.now, time=time.time))
        ledger = SimpleNamespace(report=self._decide)
        self.reports = Reports(
            Report(port=0), IPv4Address("127.0.0.1"), cast(Any, ledger), lambda _: None, lambda *_: None
        )
        self.service = SimpleNamespace(ports={"report": self.reports.port})
        self.reports.start()

    @staticmethod
    def _decide(session: str, token: str, kind: str, text: str, now: float) -> ReportResult:
        if token == RIGHT.token:
            return ReportResult(
                True, Reason("reported", "reported", "G3"), "accepted", 1, "PS120001", "STARTED"
            )
        return ReportResult(False, Reason("unknown_session", "no such session", "I2"), "no_session")

    def status(self, session: Session, address: str = ADDRESS) -> int:
        return report(cast(Any, self), session, "started", address=address).status


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    endpoint = Endpoint(monkeypatch)
    yield endpoint
    endpoint.reports.close()


def test_four_wrong_tokens_lock_nobody_out(endpoint: Endpoint) -> None:
    assert [endpoint.status(WRONG) for _ in range(4)] == [403] * 4
    assert endpoint.status(RIGHT) == 200


def test_five_wrong_tokens_lock_an_address_out_for_a_minute_and_no_longer(endpoint: Endpoint) -> None:
    assert [endpoint.status(WRONG) for _ in range(5)] == [403] * 5
    assert endpoint.status(RIGHT) == 429
    assert endpoint.status(RIGHT, OTHER) == 200, "only that address"
    endpoint.clock.now += 59.0
    assert endpoint.status(RIGHT) == 429
    endpoint.clock.now += 2.0
    assert endpoint.status(RIGHT) == 200


def test_who_is_locked_out_and_tries_on_is_not_locked_out_for_longer(endpoint: Endpoint) -> None:
    for _ in range(5):
        endpoint.status(WRONG)
    for _ in range(5):
        endpoint.clock.now += 10.0
        assert endpoint.status(WRONG) == 429
    endpoint.clock.now += 11.0
    assert endpoint.status(RIGHT) == 200


def test_wrong_tokens_that_lie_a_minute_apart_lock_nobody_out(endpoint: Endpoint) -> None:
    for _ in range(10):
        assert endpoint.status(WRONG) == 403
        endpoint.clock.now += 16.0
    assert endpoint.status(RIGHT) == 200
