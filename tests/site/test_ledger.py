"""What the ledger gives, refuses and remembers, on every database that it may lie in."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from pxefast.site import schema
from pxefast.site.audit import read_records, verify
from pxefast.site.cases import Cases
from pxefast.site.devices import NewDevice
from pxefast.site.ledger import ClaimResult, Launch, Ledger, ReportResult
from pxefast.site.store import Store
from sqlalchemy import select

from .ledger_case import DEPLOYMENT, NAME, NOW, claim, code, launch, marked, one, states


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready, ready.point)


@pytest.fixture
def cases(ready: Store) -> Cases:
    return Cases(ready)


def test_the_first_claim_is_given_with_a_secret_session(ledger: Ledger) -> None:
    first, other = ledger.claim([claim(1), claim(2)])
    assert first.ok
    assert other.ok
    mark = marked(first)
    assert (mark.generation, mark.state, mark.claimed_at, mark.step, mark.xid) == (1, "CLAIMED", NOW, 1, 7)
    assert mark.returnable
    assert len(bytes.fromhex(mark.session)) == 16
    assert first.token is not None
    assert len({mark.session, marked(other).session, first.token, other.token}) == 4


def test_later_stages_and_repeats_get_the_same_answer_from_the_row(ledger: Ledger) -> None:
    first = one(ledger, claim(step=1, xid=7))
    again = one(ledger, claim(step=1, xid=7))
    assert again == first._replace(reason=again.reason)
    later = one(ledger, claim(step=2, xid=9, now=NOW + 20))
    assert code(again) == code(later) == "same_session"
    assert later.mark == replace(marked(first), step=2, xid=9, stepped_at=NOW + 20)
    assert later.token == first.token


def test_claims_of_one_batch_see_each_other(ledger: Ledger) -> None:
    results = ledger.claim([claim(xid=1, launch=None), claim(xid=2), claim(xid=1), claim(step=2, xid=3)])
    assert [(result.ok, code(result)) for result in results] == [
        (True, "claimed"),
        (False, "already_offered"),
        (True, "same_session"),
        (True, "same_session"),
    ]


def test_a_machine_that_restarts_before_its_launch_boots_again_in_the_same_session(ledger: Ledger) -> None:
    first = one(ledger, claim(step=3, xid=7))
    again = one(ledger, claim(step=0, xid=8, now=NOW + 300))
    assert (again.ok, code(again)) == (True, "same_session")
    assert marked(again).session == marked(first).session
    assert (marked(again).step, marked(again).xid) == (0, 8)


def test_a_machine_that_comes_back_later_without_a_launch_gets_a_new_session(
    ledger: Ledger, ready: Store
) -> None:
    sessions = set()
    for number in range(6):
        result = one(ledger, claim(xid=number + 1, now=NOW + number * 1000))
        assert result.ok
        assert marked(result).returns == number
        sessions.add(marked(result).session)
    assert len(sessions) == 6
    held = one(ledger, claim(xid=99, now=NOW + 6000))
    assert (held.ok, code(held)) == (False, "hold")
    assert "handed out 6 times" in held.reason.text
    assert states(ready)[0] == (1, 1, "HOLD")


def test_a_boot_whose_launch_file_is_not_known_is_offered_once(ledger: Ledger) -> None:
    assert one(ledger, claim(xid=7, launch=None)).ok
    refused = one(ledger, claim(xid=8, launch=None, now=NOW + 40))
    assert (refused.ok, code(refused)) == (False, "already_offered")
    assert refused.reason.text.startswith(
        "already offered: required deployment PS120001 runs once on a device"
    )
    assert one(ledger, claim(step=2, xid=9, now=NOW + 50)).ok, "iPXE's own stage tells the launch file"
    assert one(ledger, claim(step=0, xid=10, now=NOW + 60)).ok, "and from then on nothing can have run"


def test_a_launch_happens_once_and_to_one_transfer(ledger: Ledger, ready: Store) -> None:
    session = marked(one(ledger, claim())).session
    first = launch(ledger, transfer="t1")
    assert (first.ok, first.launched, first.session, first.device_id) == (True, True, session, 1)
    assert marked(first).state == "LAUNCHED"
    for transfer in ("t1", "t2"):
        for hint in (None, session):
            again = launch(ledger, transfer=transfer, session=hint)
            assert (again.ok, again.launched, code(again)) == (False, False, "already_offered")
    assert states(ready)[0] == (1, 1, "LAUNCHED")


def test_after_the_launch_every_request_of_the_machine_is_refused(ledger: Ledger) -> None:
    one(ledger, claim(step=1, xid=7))
    launch(ledger)
    for wish in (claim(step=1, xid=7), claim(step=3, xid=8), claim(xid=9, now=NOW + 86400)):
        refused = one(ledger, wish)
        assert (refused.ok, code(refused)) == (False, "already_offered")
        assert "launched 2023-11-14 22:13:21 UTC" in refused.reason.text


def test_a_batch_may_launch_and_claim_at_once(ledger: Ledger) -> None:
    one(ledger, claim(1))
    claims, launches = ledger.commit(
        [claim(1, xid=8), claim(2)], [Launch(None, "10.0.0.1", NAME, "t1", NOW + 1)]
    )
    assert launches[0].launched
    assert [result.ok for result in claims] == [False, True]


def test_an_earlier_stage_is_opened_and_launches_nothing(ledger: Ledger, ready: Store) -> None:
    image = ready.boot_images.add(
        "chain", "x64", Path("/nowhere"), {"uefi": "snponly.efi", "ipxe": "boot.ipxe"}
    )
    sequence = ready.task_sequences.create("chained", image.id)
    deployment = ready.deployments.create(sequence.id, "rack", "required", "media-pxe").id
    stage, last = f"SMSImages/{image.id}/snponly.efi", f"SMSImages/{image.id}/boot.ipxe"
    one(ledger, claim(1, deployment, launch=None))
    for _ in range(2):
        opened = launch(ledger, 1, stage)
        assert (opened.ok, opened.launched, code(opened)) == (True, False, "earlier_stage")
    assert not launch(ledger, 1, last).ok, "iPXE has not asked yet"
    one(ledger, claim(1, deployment, step=3, launch=last, xid=9))
    assert launch(ledger, 1, stage).ok
    assert launch(ledger, 1, last).launched
    assert not launch(ledger, 1, stage).ok, "after the launch nothing is opened"


def test_a_launch_needs_a_claim_and_its_machine(ledger: Ledger) -> None:
    assert code(launch(ledger)) == "no_session"
    session = marked(one(ledger, claim(1))).session
    assert code(launch(ledger, session="0" * 32)) == "no_session"
    assert code(launch(ledger, session=session, peer="10.0.0.9")) == "other_peer"
    assert code(launch(ledger, name="SMSImages/PS100002/other.efi")) == "not_launch_file"
    assert launch(ledger, session=session).launched


def test_an_address_belongs_to_the_machine_that_was_claimed_there_last(ledger: Ledger) -> None:
    first = marked(one(ledger, claim(1, peer="10.0.0.7"))).session
    one(ledger, claim(2, peer="10.0.0.7"))
    found = launch(ledger, peer="10.0.0.7")
    assert (found.launched, found.device_id) == (True, 2)
    assert launch(ledger, peer="10.0.0.7", session=first).device_id == 1, "its own session it still has"


def test_a_session_that_was_replaced_launches_nothing(ledger: Ledger) -> None:
    old = marked(one(ledger, claim(1))).session
    new = marked(one(ledger, claim(1, xid=8, now=NOW + 1000))).session
    assert new != old
    assert code(launch(ledger, session=old)) == "no_session"
    assert launch(ledger, session=new).launched


@pytest.mark.parametrize("door", ["claim", "launch"])
def test_what_is_withdrawn_protected_or_our_own_is_refused_at_once(
    ready: Store, ledger: Ledger, door: str
) -> None:
    """In the change itself, whatever snapshot the decision was made from."""

    def answer() -> str:
        return code(one(ledger, claim(1, xid=8)) if door == "claim" else launch(ledger, 1))

    one(ledger, claim(1))
    d = schema.deployment
    with ready.write("test", "disable") as connection:
        connection.execute(d.update().values(enabled=False))
    assert answer() == "withdrawn"
    with ready.write("test", "enable") as connection:
        connection.execute(d.update().values(enabled=True))
        connection.execute(schema.device.update().where(schema.device.c.id == 1).values(protected=True))
    assert answer() == "protected"
    with ready.write("test", "unprotect") as connection:
        connection.execute(schema.device.update().values(protected=False))
        connection.execute(
            schema.own_identity.insert().values(identity="mac:00:11:22:33:44:01", distribution_point="dp1")
        )
    assert answer() == "own_machine"
    with ready.write("test", "moved") as connection:
        connection.execute(schema.own_identity.delete())
    ready.collections.discard("rack", ["web01"])
    assert answer() == "withdrawn"
    ready.collections.add("rack", ["web01"])
    ready.dps.set(allow_pxe_response=False)
    assert answer() == "responses_not_allowed"
    ready.dps.set(allow_pxe_response=True)
    assert answer() == ("same_session" if door == "claim" else "launched")


def test_a_machine_of_another_site_is_not_given_it(ready: Store, ledger: Ledger) -> None:
    ready.sites.create("AB1", parent="PS1")
    with ready.write("test", "move") as connection:
        connection.execute(schema.device.update().where(schema.device.c.id == 1).values(site="AB1"))
    assert [code(result) for result in ledger.claim([claim(1), claim(2)])] == ["withdrawn", "claimed"]


def test_a_machine_that_joins_later_waits_for_approval(ready: Store, ledger: Ledger, cases: Cases) -> None:
    new = ready.devices.add(NewDevice("web03", ("00:11:22:33:44:03",)))
    ready.collections.add("rack", ["web03"])
    assert code(one(ledger, claim(new.id))) == "pending_approval"
    assert [(item.device, item.why) for item in cases.pending(DEPLOYMENT)] == [("web03", "new")]
    assert cases.approve(DEPLOYMENT, dry_run=True) == cases.pending(DEPLOYMENT)
    cases.approve(DEPLOYMENT, ["WEB03"])
    assert cases.pending(DEPLOYMENT) == []
    assert one(ledger, claim(new.id)).ok


def test_without_approvals_a_machine_that_joins_later_is_given_it(ready: Store, ledger: Ledger) -> None:
    ready.policy.set("approve_new_members", "no")
    new = ready.devices.add(NewDevice("web03", ("00:11:22:33:44:03",)))
    ready.collections.add("rack", ["web03"])
    assert one(ledger, claim(new.id)).ok


def test_arming_that_ran_out_is_refused_until_a_person_approves(
    ready: Store, ledger: Ledger, cases: Cases
) -> None:
    """R-63."""
    armed_a_day_ago(ready)
    now = time.time()
    assert code(one(ledger, claim(now=now))) == "arming_expired"
    assert [item.why for item in cases.pending(DEPLOYMENT)] == ["expired", "expired"]
    cases.approve(DEPLOYMENT, ["web01"])
    assert [result.ok for result in ledger.claim([claim(1, now=now), claim(2, now=now)])] == [True, False]
    ready.policy.set("armed_hours", "0")
    assert one(ledger, claim(2, now=now)).ok


def armed_a_day_ago(store: Store) -> None:
    with store.write("test", "a day passes") as connection:
        connection.execute(schema.ledger.update().values(armed_at=time.time() - 24 * 3600 - 60))


def test_the_budget_stops_every_required_boot_until_a_person_resets_it(ready: Store, ledger: Ledger) -> None:
    """R-62."""
    many = rack_of(ready, 53)
    results = ledger.claim([claim(number, now=NOW + i) for i, number in enumerate(many[:51])])
    assert [result.ok for result in results] == [True] * 50 + [False]
    assert code(results[50]) == "budget_exhausted"
    budget = ledger.budget(NOW + 60)
    assert (budget.claims, budget.used, budget.tripped_at) == (50, 50, NOW + 50)
    assert code(one(ledger, claim(many[51], now=NOW + 10_000))) == "budget_exhausted", "no time heals it"
    assert code(one(ledger, claim(many[0], step=2, now=NOW + 61))) == "budget_exhausted"
    assert launch(ledger, many[0], now=NOW + 62).launched, "what was counted goes on"
    ledger.reset_budget(NOW + 100)
    assert one(ledger, claim(many[51], now=NOW + 101)).ok
    assert ledger.budget(NOW + 102)[2:] == (1, NOW + 100, None)


def test_slow_claims_never_trip_the_budget_and_0_is_no_budget(ready: Store, ledger: Ledger) -> None:
    many = rack_of(ready, 120)
    ready.policy.set("budget_claims", "2")
    assert all(one(ledger, claim(number, now=NOW + i * 301)).ok for i, number in enumerate(many[:6]))
    ready.policy.set("budget_claims", "0")
    assert all(result.ok for result in ledger.claim([claim(number, now=NOW + 9000) for number in many[6:]]))


def rack_of(store: Store, count: int) -> list[int]:
    new = [NewDevice(f"n{i}", (f"02:00:00:00:{i >> 8:02x}:{i & 255:02x}",)) for i in range(count)]
    devices = store.devices.add_many(new)
    store.policy.set("approve_new_members", "no")
    store.collections.add("rack", [device.name for device in devices])
    return [device.id for device in devices]


def test_a_large_batch_is_one_change_with_all_its_answers(ready: Store, ledger: Ledger) -> None:
    ready.policy.set("budget_claims", "0")
    many = rack_of(ready, 1000)
    results = ledger.claim([claim(number, peer=f"10.1.{number >> 8}.{number & 255}") for number in many])
    assert all(result.ok for result in results)
    assert len({marked(result).session for result in results}) == 1000
    assert ledger.counts() == {"ARMED": 2, "CLAIMED": 1000}


def test_an_empty_batch_is_no_change(ledger: Ledger) -> None:
    assert ledger.commit([], []) == ([], [])


def second_deployment(store: Store) -> str:
    sequence = store.task_sequences.create("again", "PS100002")
    return store.deployments.create(sequence.id, "rack", "required", "media-pxe").id


def test_a_machine_has_one_live_session(ready: Store, ledger: Ledger) -> None:
    """I2: another deployment's claim that surely ran nothing makes way; one that may have run does not."""
    other = second_deployment(ready)
    one(ledger, claim(1, DEPLOYMENT))
    old = marked(one(ledger, claim(1, DEPLOYMENT))).session
    assert one(ledger, claim(1, other, xid=8)).ok
    assert code(launch(ledger, 1, session=old)) == "no_session"
    assert ledger.counts() == {"ARMED": 3, "CLAIMED": 1}

    one(ledger, claim(2, DEPLOYMENT, launch=None))
    assert code(one(ledger, claim(2, other, xid=8))) == "other_session"
    refused = one(ledger, claim(2, other, xid=8, now=NOW + 901))
    assert code(refused) == "waits_behind", "it may have run: time makes it launched"
    assert DEPLOYMENT in refused.reason.text
    settled = one(ledger, claim(2, other, xid=8, now=NOW + 4 * 3600))
    assert settled.ok


def test_after_a_launch_no_other_deployment_is_given_until_it_is_over(ready: Store, ledger: Ledger) -> None:
    """I4."""
    other = second_deployment(ready)
    first = one(ledger, claim(1, DEPLOYMENT))
    launch(ledger, 1)
    assert code(one(ledger, claim(1, other, xid=8))) == "waits_behind"
    report(ledger, first, "started")
    assert code(one(ledger, claim(1, other, xid=8))) == "waits_behind"
    assert code(one(ledger, claim(1, other, xid=8, now=NOW + 1e6))) == "waits_behind", "it is at work"
    report(ledger, first, "done")
    assert one(ledger, claim(1, other, xid=8)).ok


def test_a_launch_that_nobody_reports_settles_and_is_held_by_the_next_claim(
    ready: Store, ledger: Ledger
) -> None:
    """D34; one live row a device all the while (I2), and the old case is never armed again (I5)."""
    other = second_deployment(ready)
    first = one(ledger, claim(1, DEPLOYMENT))
    launch(ledger, 1, now=NOW)
    refused = one(ledger, claim(1, other, xid=8, now=NOW + 4 * 3600 - 1))
    assert (code(refused), ledger.counts()) == ("waits_behind", {"ARMED": 3, "LAUNCHED": 1})
    later = NOW + 4 * 3600
    assert one(ledger, claim(1, other, xid=8, now=later)).ok
    assert ledger.counts() == {"ARMED": 2, "CLAIMED": 1, "HOLD": 1}
    assert code(one(ledger, claim(1, DEPLOYMENT, xid=9, now=later + 1))) == "hold"
    # Its work reports its start after all: the other deployment is not launched into it.
    report(ledger, first, "started", now=later + 2)
    refused_launch = launch(ledger, 1, now=later + 3)
    assert (refused_launch.ok, code(refused_launch)) == (False, "waits_behind")
    report(ledger, first, "done", now=later + 4)
    assert launch(ledger, 1, now=later + 5).launched


def report(
    ledger: Ledger,
    claimed: ClaimResult,
    kind: Literal["started", "done", "failed"],
    now: float = NOW + 100,
) -> ReportResult:
    assert claimed.token is not None
    return ledger.report(marked(claimed).session, claimed.token, kind, "", now)


def test_reports_move_a_row_on_and_may_be_repeated(ledger: Ledger, ready: Store) -> None:
    claimed = one(ledger, claim())
    launch(ledger)
    for kind, state in (
        ("started", "STARTED"),
        ("started", "STARTED"),
        ("done", "DONE"),
        ("started", "DONE"),
    ):
        result = report(ledger, claimed, kind)  # type: ignore[arg-type]
        assert (result.ok, result.state, result.device_id) == (True, state, 1)
    assert report(ledger, claimed, "failed").reason.code == "contradicts"
    with ready.read() as connection:
        actions = [row.action for row in read_records(connection)]
    assert actions.count("ledger report") == 2


def test_a_report_needs_the_token_of_its_session(ledger: Ledger) -> None:
    claimed, other = ledger.claim([claim(1), claim(2)])
    assert other.token is not None
    for session, token in ((marked(claimed).session, other.token), ("0" * 32, other.token), ("", "")):
        assert ledger.report(session, token, "done", "", NOW).reason.code == "unknown_session"


def test_a_report_of_a_cleared_run_changes_nothing(ledger: Ledger, cases: Cases, ready: Store) -> None:
    claimed = one(ledger, claim())
    launch(ledger)
    cases.clear_device("web01")
    assert report(ledger, claimed, "done").reason.code == "cleared"
    assert states(ready)[:2] == [(1, 1, "CLEARED"), (1, 2, "ARMED")]


def test_the_sweep_holds_what_was_launched_and_says_nothing(ledger: Ledger, ready: Store) -> None:
    claimed, _ = ledger.claim([claim(1), claim(2, launch=None)])
    launch(ledger, 1)
    assert ledger.sweep(NOW + 900, 1800, 86400, 900) == []
    (unknown,) = ledger.sweep(NOW + 901, 1800, 86400, 900)
    assert (unknown.device_id, unknown.before, unknown.after) == (2, "CLAIMED", "LAUNCHED")
    held = ledger.sweep(NOW + 1802, 1800, 86400, 900)
    assert [(item.device_id, item.after) for item in held] == [(1, "HOLD"), (2, "HOLD")]
    assert code(one(ledger, claim(1, xid=9))) == "hold"
    assert report(ledger, claimed, "started").state == "STARTED", "a late report clears the alert"
    assert ledger.sweep(NOW + 9e9, None, None, 900) == []


def test_a_sweep_with_nothing_to_do_writes_nothing(ledger: Ledger, ready: Store) -> None:
    one(ledger, claim())
    with ready.read() as connection:
        before = read_records(connection)
    assert ledger.sweep(NOW + 10, 1800, 86400, 900) == []
    with ready.read() as connection:
        assert read_records(connection) == before


def unknown(ledger: Ledger, *identities: str, xid: int = 7) -> ClaimResult:
    return one(ledger, claim(None, identities=identities, xid=xid, peer="10.0.0.50"))


@pytest.fixture
def for_unknown(ready: Store) -> Store:
    ready.policy.set("required_for_unknown", "yes")
    ready.policy.set("approve_new_members", "no")
    names = [row.name for row in ready.devices.all()]
    with ready.read() as connection:
        v = schema.device.c
        names = list(connection.execute(select(v.name).where(v.unknown_architecture == "x64")).scalars())
    ready.collections.add("rack", names)
    return ready


def test_a_machine_without_a_record_boots_once_and_its_record_inherits_that(
    for_unknown: Store, ledger: Ledger
) -> None:
    first = unknown(ledger, "mac:02:00:00:00:00:09", "guid:00112233-4455-6677-8899-aabbccddeeff")
    assert first.ok
    assert first.device_id is not None
    found = unknown(ledger, "guid:33221100-5544-7766-8899-aabbccddeeff")
    assert found.device_id == first.device_id, "the same GUID in the other byte order"
    assert launch(ledger, first.device_id, peer="10.0.0.50").launched
    assert code(unknown(ledger, "mac:02:00:00:00:00:09", xid=8)) == "already_offered"
    device = for_unknown.devices.add(NewDevice("found", ("02:00:00:00:00:09",)))
    assert device.id == first.device_id
    assert unknown(ledger, "mac:02:00:00:00:00:09").reason.code == "withdrawn", "it is known now"
    for_unknown.collections.add("rack", ["found"])
    assert code(one(ledger, claim(device.id, xid=9))) == "already_offered"


def test_machines_without_a_record_need_the_setting_and_an_identity_of_their_own(
    for_unknown: Store, ledger: Ledger
) -> None:
    assert code(unknown(ledger)) == "no_identity"
    one_, two = (
        unknown(ledger, "mac:02:00:00:00:00:0a"),
        unknown(ledger, "guid:00000000-0000-0000-0000-0000000000bb"),
    )
    assert one_.device_id != two.device_id
    both = unknown(ledger, "mac:02:00:00:00:00:0a", "guid:00000000-0000-0000-0000-0000000000bb")
    assert code(both) == "identity_conflict"
    for_unknown.policy.set("required_for_unknown", "no")
    assert code(unknown(ledger, "mac:02:00:00:00:00:0c")) == "required_not_for_unknown"


def test_removing_and_importing_the_same_hardware_does_not_arm_it_again(ready: Store, ledger: Ledger) -> None:
    one(ledger, claim(1))
    launch(ledger, 1)
    removed = ready.devices.remove("web01")
    again = ready.devices.add(NewDevice("new-name", removed.macs))
    ready.collections.add("rack", ["new-name"])
    assert code(one(ledger, claim(again.id, xid=8))) == "already_offered"


def test_claims_are_no_change_that_a_snapshot_must_follow(ready: Store, ledger: Ledger, cases: Cases) -> None:
    def revision() -> int:
        with ready.read() as connection:
            return int(connection.execute(select(schema.hierarchy.c.revision)).scalar_one())

    before = revision()
    one(ledger, claim())
    launch(ledger)
    assert revision() == before
    cases.clear_device("web01")
    assert revision() == before + 1


def test_every_change_of_a_row_is_audited_with_it(ready: Store, ledger: Ledger, cases: Cases) -> None:
    one(ledger, claim(identities=("mac:00:11:22:33:44:01",)))
    launch(ledger)
    cases.clear_device("web01")
    with ready.read() as connection:
        ours = [row for row in read_records(connection) if row.action.startswith("ledger ")]
        assert verify(connection) is None
    assert [row.action for row in ours] == ["ledger claim", "ledger launch", "ledger clear"]
    assert "device=1 generation=1 state=CLAIMED" in ours[0].subject
    assert "identities=mac:00:11:22:33:44:01" in ours[0].subject
    assert "transfer=t1" in ours[1].subject
