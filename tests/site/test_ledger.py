import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from pxefast.errors import NotFound, SiteError
from pxefast.site import schema
from pxefast.site.devices import NewDevice
from pxefast.site.ledger import Claim, Cleared, Ledger
from pxefast.site.snapshot import load
from pxefast.site.store import Store
from pxefast.site.watch import Watcher

NOW = 1_700_000_000.0


def claim(
    device: int = 1, deployment: str = "PS120001", step: int = 1, xid: int = 7, now: float = NOW
) -> Claim:
    return Claim(device, deployment, step, xid, now, 900)


@pytest.fixture
def ledger(ready: Store) -> Ledger:
    return Ledger(ready)


def test_the_first_claim_is_given_with_a_secret_session(ledger: Ledger) -> None:
    one, other = ledger.claim([claim(1), claim(2)])
    assert one.ok
    assert other.ok
    assert one.mark is not None
    assert other.mark is not None
    assert (one.mark.generation, one.mark.claimed_at, one.mark.step, one.mark.xid) == (1, NOW, 1, 7)
    assert len(bytes.fromhex(one.mark.session)) == 16
    assert one.mark.session != other.mark.session


def test_another_boot_of_the_device_is_refused(ledger: Ledger) -> None:
    ledger.claim([claim(xid=7)])
    (result,) = ledger.claim([claim(xid=8)])
    assert (result.ok, result.reason.code) == (False, "already_offered")
    assert result.reason.text.startswith("already offered")


def test_later_stages_and_repeats_keep_the_session_and_move_the_mark_on(ledger: Ledger, ready: Store) -> None:
    (first,) = ledger.claim([claim(step=1, xid=7)])
    (repeat,) = ledger.claim([claim(step=1, xid=7)])
    (later,) = ledger.claim([claim(step=2, xid=9, now=NOW + 20)])
    (back,) = ledger.claim([claim(step=1, xid=7)])
    assert [result.ok for result in (repeat, later, back)] == [True, True, False]
    assert repeat.reason.code == later.reason.code == "same_session"
    assert first.mark is not None
    assert later.mark == replace(first.mark, step=2, xid=9, stepped_at=NOW + 20)
    assert load(ready, ready.point, (), 900).marks[1, "PS120001"] == later.mark


def test_a_session_ends_when_its_time_is_over(ledger: Ledger) -> None:
    ledger.claim([claim(step=1)])
    assert ledger.claim([claim(step=2, now=NOW + 900)])[0].ok
    assert not ledger.claim([claim(step=3, now=NOW + 901)])[0].ok


def test_claims_of_one_batch_see_each_other(ledger: Ledger) -> None:
    results = ledger.claim([claim(xid=1), claim(xid=2), claim(xid=1), claim(step=2, xid=3), claim(xid=1)])
    assert [result.ok for result in results] == [True, False, True, True, False]


def test_a_large_batch_is_one_transaction_with_all_its_answers(ready: Store, ledger: Ledger) -> None:
    many = [NewDevice(f"n{i}", (f"02:00:00:00:{i >> 8:02x}:{i & 255:02x}",)) for i in range(1000)]
    devices = ready.devices.add_many(many)
    ready.collections.add("rack", [device.name for device in devices])
    results = ledger.claim([claim(device.id, xid=device.id) for device in devices])
    assert all(result.ok for result in results)
    assert len({result.mark.session for result in results if result.mark}) == 1000
    assert len(load(ready, ready.point, (), 900).marks) == 1000


def test_an_empty_batch_is_no_transaction(ledger: Ledger, ready: Store) -> None:
    with ready.write("test", "holds the lock"):
        assert ledger.claim([]) == []


def test_a_withdrawn_deployment_is_refused_at_once(ready: Store, ledger: Ledger) -> None:
    ready.deployments.remove("PS120001")
    (result,) = ledger.claim([claim()])
    assert (result.ok, result.reason.code) == (False, "withdrawn")


def test_a_device_taken_out_of_the_collection_is_refused_at_once(ready: Store, ledger: Ledger) -> None:
    ready.collections.discard("rack", ["web01"])
    assert [result.ok for result in ledger.claim([claim(1), claim(2)])] == [False, True]


@pytest.mark.parametrize("switch", ["enable_pxe", "allow_pxe_response"])
def test_a_distribution_point_told_to_stop_claims_nothing(ready: Store, ledger: Ledger, switch: str) -> None:
    ready.dp.set(**{switch: False})
    (result,) = ledger.claim([claim()])
    assert not result.ok
    assert load(ready, ready.point, (), 900).marks == {}


def test_claims_are_no_change_that_a_snapshot_must_follow(ready: Store, ledger: Ledger) -> None:
    watcher = Watcher(ready)
    ledger.claim([claim()])
    assert not watcher.changed()
    ledger.clear_device("web01")
    assert watcher.changed()
    watcher.close()


def test_after_a_clear_the_device_boots_once_more(ledger: Ledger) -> None:
    (first,) = ledger.claim([claim(xid=1)])
    assert ledger.clear_device("WEB01") == [Cleared("web01", "PS120001")]
    (second,) = ledger.claim([claim(xid=2)])
    (third,) = ledger.claim([claim(xid=3)])
    assert (second.ok, third.ok) == (True, False)
    assert first.mark is not None
    assert second.mark is not None
    assert second.mark.generation == 2
    assert second.mark.session != first.mark.session


def test_clearing_twice_makes_one_generation(ledger: Ledger, ready: Store) -> None:
    ledger.claim([claim()])
    assert ledger.clear_device("web01")
    assert ledger.clear_device("web01") == []
    assert [row[2] for row in rows(ready)] == [1, 2]


def test_a_dry_run_clears_nothing(ledger: Ledger) -> None:
    ledger.claim([claim()])
    assert ledger.clear_device("web01", dry_run=True) == [Cleared("web01", "PS120001")]
    assert not ledger.claim([claim(xid=8)])[0].ok


def test_a_collection_clears_its_members_of_now(ready: Store, ledger: Ledger) -> None:
    ledger.claim([claim(1), claim(2)])
    ready.collections.create("half")
    ready.collections.add("half", ["web02"])
    assert ledger.clear_collection("half") == [Cleared("web02", "PS120001")]
    assert [result.ok for result in ledger.claim([claim(1, xid=8), claim(2, xid=8)])] == [False, True]


def test_clearing_something_unknown_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.clear_device("web03")
    with pytest.raises(NotFound):
        ledger.clear_collection("nothing")


def test_no_row_is_ever_deleted(ready: Store, ledger: Ledger) -> None:
    ledger.claim([claim(1), claim(2)])
    ledger.clear_collection("rack")
    before = rows(ready)
    ready.deployments.remove("PS120001")
    ready.devices.remove("web01")
    assert rows(ready) == before
    assert len(before) == 4


def test_removing_and_importing_the_same_hardware_does_not_arm_it_again(ready: Store, ledger: Ledger) -> None:
    ledger.claim([claim(1)])
    removed = ready.devices.remove("web01")
    again = ready.devices.add(NewDevice("new-name", removed.macs))
    ready.collections.add("rack", ["new-name"])
    assert not ledger.claim([claim(again.id, xid=8)])[0].ok


def test_hardware_that_was_two_devices_keeps_what_either_was_given(ready: Store, ledger: Ledger) -> None:
    ledger.claim([claim(1)])
    one, other = ready.devices.remove("web01"), ready.devices.remove("web02")
    joined = ready.devices.add(NewDevice("joined", (*one.macs, *other.macs)))
    ready.collections.add("rack", ["joined"])
    assert not ledger.claim([claim(joined.id, xid=8)])[0].ok


def test_a_locked_database_hands_out_nothing(ready: Store) -> None:
    with Store.open(ready.file, busy_seconds=0) as other, ready.write("test", "x"), pytest.raises(SiteError):
        Ledger(other).claim([claim()])
    assert load(ready, ready.point, (), 900).marks == {}


def test_threads_of_one_process_share_a_ledger(ready: Store, ledger: Ledger) -> None:
    results: list[bool] = []
    barrier = threading.Barrier(8)

    def run(xid: int) -> None:
        barrier.wait(30)
        results.extend(result.ok for result in ledger.claim([claim(xid=xid)]))

    threads = [threading.Thread(target=run, args=(xid,)) for xid in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [False] * 7 + [True]


# Another process: it opens the database, then claims what each line of its standard input says, and answers.
CLAIMER = """
import sys
from pathlib import Path
from pxefast.site.ledger import Claim, Ledger
from pxefast.site.store import Store
from pxefast.site.watch import Watcher

ledger = Ledger(Store.open(Path(sys.argv[1]), busy_seconds=60))
print("ready", flush=True)
for line in sys.stdin:
    device, xid = map(int, line.split())
    (result,) = ledger.claim([Claim(device, "PS120001", 1, xid, 1_700_000_000.0, 900)])
    print("yes" if result.ok else "no", flush=True)
"""


def start(file: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIMER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert say(process) == "ready"
    return process


def say(process: "subprocess.Popen[str]", line: str | None = None) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if line is not None:
        process.stdin.write(line + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate(timeout=30)


def test_of_processes_claiming_at_once_exactly_one_wins_each_time(ready: Store) -> None:
    rounds = 200
    many = [NewDevice(f"n{i}", (f"02:00:00:00:00:{i:02x}",)) for i in range(rounds)]
    devices = ready.devices.add_many(many)
    ready.collections.add("rack", [device.name for device in devices])
    processes = [start(ready.file) for _ in range(2)]
    try:
        for device in devices:
            for xid, process in enumerate(processes, start=1):
                assert process.stdin is not None
                process.stdin.write(f"{device.id} {xid}\n")
                process.stdin.flush()
            assert sorted(say(process) for process in processes) == ["no", "yes"]
    finally:
        for process in processes:
            end(process)
    assert len(load(ready, ready.point, (), 900).marks) == rounds


def test_a_claim_that_returned_survives_the_death_of_its_process(ready: Store) -> None:
    for xid, device in enumerate((1, 2), start=1):
        process = start(ready.file)
        try:
            assert say(process, f"{device} {xid}") == "yes"
            os.kill(process.pid, signal.SIGKILL)
        finally:
            end(process)
        assert (device, "PS120001") in load(ready, ready.point, (), 900).marks
        assert not Ledger(ready).claim([claim(device, xid=99)])[0].ok


def rows(store: Store) -> list[tuple[object, ...]]:
    c = schema.ledger.c
    with store.read() as connection:
        query = schema.ledger.select().order_by(c.device_id, c.deployment_id, c.generation)
        return [tuple(row) for row in connection.execute(query)]
