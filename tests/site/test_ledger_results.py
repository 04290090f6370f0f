"""All that the ledger returns of reports and sweeps, what it audits of them, and what it counts."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pxefast.decide.records import Reason
from pxefast.site import schema
from pxefast.site.audit import AuditRow, read_records
from pxefast.site.cases import Cases
from pxefast.site.ledger import Launch, Ledger, ReportResult, Swept
from pxefast.site.session_facts import Ask
from pxefast.site.store import Store
from sqlalchemy import select, update

from .ledger_case import DEPLOYMENT, NAME, NOW, claim, code, launch, marked, one
from .test_ledger import second_deployment

HOUR = 3600.0


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready, ready.point)


def audited(store: Store, action: str) -> list[AuditRow]:
    with store.read() as connection:
        return [row for row in read_records(connection) if row.action == action]


def stored(store: Store, *columns: str) -> Any:
    """Those columns of web01's row."""
    c = schema.ledger.c
    with store.read() as connection:
        return connection.execute(select(*(c[name] for name in columns)).where(c.device_id == 1)).one()


NOBODY = ReportResult(
    False,
    Reason("unknown_session", "there is no such session, or the token is not its own", "I2"),
    "no_session",
)


def test_a_report_without_its_session_or_token_is_told_nothing_of_the_row(
    ready: Store, ledger: Ledger
) -> None:
    first, other = ledger.claim([claim(1), claim(2)])
    session, token = marked(first).session, first.token or ""
    tries = [("0" * 32, token), ("", ""), (session, other.token or ""), (session, ""), (session, token + "0")]
    for guess in (*tries, (session, "\N{LATIN SMALL LETTER E WITH ACUTE}")):
        assert ledger.report(*guess, "done", "", NOW) == NOBODY
    with ready.record() as connection:
        connection.execute(update(schema.ledger).values(token=None))
    assert ledger.report(session, token, "done", "", NOW) == NOBODY
    assert ledger.report(session, "", "done", "", NOW) == NOBODY, "a session without a token takes no report"
    assert stored(ready, "state", "reported_at") == ("CLAIMED", None)


def test_a_session_that_was_replaced_meanwhile_takes_no_report(
    ready: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its token and the change itself."""
    first = one(ledger, claim(1))
    record = ready.record

    def replaced() -> Any:
        with record() as connection:
            connection.execute(update(schema.ledger).values(session=None))
        return record()

    monkeypatch.setattr(ready, "record", replaced)
    assert ledger.report(marked(first).session, first.token or "", "done", "", NOW + 9) == NOBODY
    assert stored(ready, "state") == ("CLAIMED",)


def test_a_report_is_returned_with_its_row_and_audited_with_its_kind(ready: Store, ledger: Ledger) -> None:
    first = one(ledger, claim(1))
    launch(ledger, 1)
    session, token = marked(first).session, first.token or ""
    result = ledger.report(session, token, "started", "", NOW + 100)
    assert result[:3] == (True, Reason("reported", f"{DEPLOYMENT} is reported started", "G3"), "accepted")
    assert result[3:6] == (1, DEPLOYMENT, "STARTED")
    assert result.mark is not None
    assert (result.mark.state, result.mark.session) == ("STARTED", session)
    again = ledger.report(session, token, "started", "", NOW + 101)
    assert again == result, "the same report again is the same answer"
    (record,) = audited(ready, "ledger report")
    assert record.fields == {
        "deployment": DEPLOYMENT,
        "device": 1,
        "generation": 1,
        "state": "STARTED",
        "session": session[:8],
        "peer": "10.0.0.1",
        "point": "dp1",
        "report": "started",
    }
    assert record.subject == (
        f"deployment={DEPLOYMENT} device=1 generation=1 state=STARTED session={session[:8]} peer=10.0.0.1 point=dp1 "
        "report=started"
    )
    failed = ledger.report(session, token, "failed", "disk full", NOW + 200)
    assert (failed.ok, failed.result, failed.state) == (True, "accepted", "FAILED")
    contradicts = ledger.report(session, token, "done", "", NOW + 300)
    assert (contradicts.ok, contradicts.result, contradicts.state) == (False, "refused", "FAILED")
    assert contradicts.reason.code == "contradicts"
    assert contradicts[3:5] == (1, DEPLOYMENT)
    assert stored(ready, "state", "reported_at", "why") == ("FAILED", NOW + 200, "disk full")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("two\nlines\tand a \x1b[31mcolour", "two lines and a  [31mcolour"),
        ("  spaces \n", "spaces"),
        ("x" * 501, "x" * 500),
        ("", None),
    ],
)
def test_what_a_boot_environment_says_is_kept_as_one_line_of_at_most_500_characters(
    ready: Store, ledger: Ledger, text: str, why: str | None
) -> None:
    first = one(ledger, claim(1))
    launch(ledger, 1)
    assert ledger.report(marked(first).session, first.token or "", "failed", text, NOW + 9).ok
    assert stored(ready, "why") == (why,)


def test_a_late_start_counts_unless_another_session_of_the_machine_is_live(
    ready: Store, ledger: Ledger
) -> None:
    """I2."""
    silent = one(ledger, claim(1))
    launch(ledger, 1)
    ledger.sweep(NOW + HOUR, 1800, 86400, 900)
    other = second_deployment(ready)
    alone = ledger.report(marked(silent).session, silent.token or "", "started", "", NOW + 2 * HOUR)
    assert alone.state == "STARTED", "the other deployment only waits for its first boot"
    Cases(ready).hold("web01", DEPLOYMENT, "by a test")
    assert one(ledger, claim(1, other, xid=8, now=NOW + 7 * HOUR)).ok
    late = ledger.report(marked(silent).session, silent.token or "", "started", "", NOW + 8 * HOUR)
    assert (late.state, late.reason.code) == ("HOLD", "reported")
    done = ledger.report(marked(silent).session, silent.token or "", "done", "", NOW + 9 * HOUR)
    assert done.state == "DONE"


def test_a_sweep_returns_and_audits_each_row_that_time_moves_on(ready: Store, ledger: Ledger) -> None:
    ledger.claim([claim(1), claim(2, launch=None)])
    launch(ledger, 1, now=NOW)
    assert ledger.sweep(NOW + 900, 1800, 86400, 900) == []
    (unknown,) = ledger.sweep(NOW + 901, None, None, 900)
    assert unknown[:5] == (2, DEPLOYMENT, "CLAIMED", "LAUNCHED", None)
    assert ledger.sweep(NOW + 1800, 1800, None, 900) == []
    held = ledger.sweep(NOW + 1801, 1800, None, 900)
    why = "launched, and nothing reported its start"
    assert [item[:5] for item in held] == [
        (1, DEPLOYMENT, "LAUNCHED", "HOLD", why),
        (2, DEPLOYMENT, "LAUNCHED", "HOLD", why),
    ]
    assert [(item.mark.state, item.mark.why) for item in held] == [("HOLD", why)] * 2
    assert isinstance(held[0], Swept)
    records = [record.fields or {} for record in audited(ready, "ledger sweep")]
    assert [(each["device"], each["before"], each["state"]) for each in records] == [
        (2, "CLAIMED", "LAUNCHED"),
        (1, "LAUNCHED", "HOLD"),
        (2, "LAUNCHED", "HOLD"),
    ]
    assert "before=LAUNCHED" in audited(ready, "ledger sweep")[1].subject


def test_a_sweep_with_nothing_to_do_begins_no_change(
    ready: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No claim waits for it."""
    ledger.claim([claim(1), claim(2)])
    monkeypatch.setattr(ready, "record", None)
    assert ledger.sweep(NOW + 10, 1800, 86400, 900) == []


def test_a_sweep_holds_work_that_reports_no_end_and_a_claim_that_came_back_too_often(
    ready: Store, ledger: Ledger
) -> None:
    ready.policy.set("max_returns", "1")
    first, _ = ledger.claim([claim(1), claim(2)])
    launch(ledger, 1)
    assert ledger.report(marked(first).session, first.token or "", "started", "", NOW + 10).ok
    assert one(ledger, claim(2, xid=8, now=NOW + 1000)).ok
    assert ledger.sweep(NOW + 2000, None, 2000, 1000) == []
    (worn,) = ledger.sweep(NOW + 2001, None, 2000, 1000)
    assert worn[:5] == (2, DEPLOYMENT, "CLAIMED", "HOLD", "it was handed out 2 times and never launched")
    (silent,) = ledger.sweep(NOW + 2011, None, 2000, 1000)
    assert silent[:5] == (1, DEPLOYMENT, "STARTED", "HOLD", "started, and nothing reported its end")


def test_launches_are_decided_before_the_claims_of_one_change_and_each_answer_has_its_place(
    ready: Store, ledger: Ledger
) -> None:
    ask = Ask(1, DEPLOYMENT, "PS100002")
    first, second = ledger.claim([claim(1)._replace(ask=ask), claim(2)])
    assert first.facts is not None
    assert first.facts.block_size == (4096, "distribution point dp1")
    assert second.facts is None
    claims, launches = ledger.commit(
        [claim(1, xid=8)._replace(ask=ask), claim(2)._replace(ask=ask), claim(2)],
        [Launch(None, "10.0.0.1", NAME, "t1", NOW + 1), Launch(None, "10.0.0.9", NAME, "t2", NOW + 1)],
    )
    assert [(each.ok, each.launched, each.reason.code) for each in launches] == [
        (True, True, "launched"),
        (False, False, "no_session"),
    ]
    assert [(each.ok, each.reason.code, each.facts is not None) for each in claims] == [
        (False, "already_offered", False),
        (True, "same_session", True),
        (True, "same_session", False),
    ]


def test_facts_are_those_of_each_claims_own_machine(ready: Store, ledger: Ledger) -> None:
    ready.devices.variables.set("web01", "Who", "first")
    ready.devices.variables.set("web02", "Who", "second")
    results = ledger.claim([claim(n)._replace(ask=Ask(n, DEPLOYMENT, None)) for n in (2, 1)])
    found = [each.facts.variables["Who"].value for each in results if each.facts is not None]
    assert found == ["second", "first"]


def test_a_claim_or_launch_of_an_excluded_card_is_refused_in_the_change_itself(
    ready: Store, ledger: Ledger
) -> None:
    one(ledger, claim(1))
    listed = frozenset({"00:11:22:33:44:01"})
    claims, launches = ledger.commit(
        [claim(1), claim(2)], [Launch(None, "10.0.0.1", NAME, "t1", NOW)], listed
    )
    assert [code(each) for each in (*claims, *launches)] == ["excluded", "claimed", "excluded"]
    nothing, (launched,) = ledger.commit((), [Launch(None, "10.0.0.1", NAME, "t1", NOW + 1)])
    assert (nothing, code(launched)) == ([], "launched")


def test_the_newest_claim_of_a_batch_decides_what_the_budget_counts(ready: Store, ledger: Ledger) -> None:
    ready.policy.set("budget_claims", "1")
    seconds = ledger.budget(NOW).seconds
    one(ledger, claim(1))
    results = ledger.claim([claim(1), claim(2, now=NOW + seconds + 1)])
    assert [(each.ok, code(each)) for each in results] == [(True, "same_session"), (True, "claimed")]


def test_the_service_counts_cases_waits_live_sessions_and_the_budget(ready: Store, ledger: Ledger) -> None:
    second_deployment(ready)
    now = time.time()
    ledger.claim([claim(1, now=now), claim(2, now=now)])
    launch(ledger, 1, now=now)
    assert ledger.counts() == {"ARMED": 2, "CLAIMED": 1, "LAUNCHED": 1}
    assert ledger.blocked() == 1, "the second deployment of web01 waits"
    assert [(number, mark.state) for number, mark in ledger.live()] == [(1, "LAUNCHED"), (2, "CLAIMED")]
    Cases(ready).hold("web01", DEPLOYMENT, "by a test")
    assert [number for number, _ in ledger.live()] == [2]
    assert {(number, mark.state) for number, mark in ledger.live([1])} == {
        (1, "HOLD"),
        (1, "ARMED"),
        (2, "CLAIMED"),
    }
    before = time.time()
    budget = ledger.budget()
    assert budget.used == 2
    assert before <= budget.since + budget.seconds <= time.time()
    assert ledger.budget(now + 10 * budget.seconds).used == 0
    ledger.reset_budget()
    budget = ledger.budget()
    assert (budget.used, budget.tripped_at) == (0, None)
    assert before <= budget.since <= time.time()
    (record,) = audited(ready, "budget reset")
    assert record.subject == ""
