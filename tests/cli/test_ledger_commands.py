"""What people see and do of the ledger, by the commands themselves."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pxefast.site.audit import append, person
from pxefast.site.journal import Journal
from pxefast.site.store import Store

pytestmark = pytest.mark.usefixtures("site")


def follow(home: Path) -> None:
    """What the service does before each destructive packet."""
    with Store.open(home / "site.db") as store:
        journal = Journal(home / "journal")
        journal.catch_up(store)
        journal.close()


def test_what_a_device_was_given_is_shown_with_its_time_and_never_with_its_secrets(
    started: Callable[[], None], run: Any, home: Path
) -> None:
    started()
    (case,) = run("device", "sessions", "web01", "--json").json
    assert (case["device"], case["deployment"], case["state"]) == ("web01", "PS120001", "LAUNCHED")
    assert (case["address"], case["launch_file"]) == ("192.0.2.7", "SMSImages/PS100001/grubx64.efi")
    assert case["launched_at"].endswith("Z")
    assert run("ledger", "show", "--deployment", "ps120001", "--json").json == [case]
    assert "LAUNCHED" in run("ledger", "show", "--device", "WEB01").out
    with closing(sqlite3.connect(home / "site.db")) as connection:
        session, token = connection.execute("SELECT session, token FROM ledger").fetchone()
    for shown in (("ledger", "show", "--json"), ("device", "sessions", "web01"), ("audit", "list", "--json")):
        out = run(*shown).out
        assert session not in out
        assert token not in out


def test_clear_says_what_was_and_the_second_clear_does_nothing(started: Callable[[], None], run: Any) -> None:
    started()
    assert run("deployment", "clear", "--device", "web01", "--dry-run").out == (
        "would let PS120001 on web01 (LAUNCHED) run again\n"
    )
    assert run("deployment", "clear", "--device", "web01", "--yes").out == (
        "cleared PS120001 on web01 (LAUNCHED)\n"
    )
    assert run("deployment", "clear", "--device", "web01", "--yes").out.startswith("nothing to clear")
    states = [case["state"] for case in run("device", "sessions", "web01", "--json").json]
    assert states == ["CLEARED", "ARMED"]


def test_a_removal_ends_its_cases_and_tells_what_was_launched(started: Callable[[], None], run: Any) -> None:
    """D32: nothing is left to clear, and nothing is armed."""
    started()
    planned = run("deployment", "remove", "PS120001", "--dry-run").out
    assert "would withdraw 0 armed, 0 held and 1 launched\n" in planned
    launched = "web01 was launched and has not reported its end; other required deployments wait until "
    assert launched in planned
    assert run("device", "sessions", "web01", "--json").json[0]["state"] == "LAUNCHED", (
        "a dry run ends nothing"
    )
    removed = run("deployment", "remove", "PS120001", "--yes").out
    assert removed.startswith("removed deployment PS120001\nwithdrew 0 armed, 0 held and 1 launched\n")
    assert launched in removed
    (case,) = run("device", "sessions", "web01", "--json").json
    assert (case["state"], case["ended_from"], case["ended_by"]) == ("WITHDRAWN", "LAUNCHED", person())
    shown = run("ledger", "show")
    assert "WITHDRAWN (launched)" in shown.out
    assert "1 rows: 1 WITHDRAWN (launched)" in shown.err
    nothing = run("deployment", "clear", "--device", "web01", "--yes").out
    assert nothing.startswith("nothing to clear: no required deployment blocks device web01\n")
    free = "pxefast deployment clear --device web01 --deployment PS120001"
    assert nothing.endswith(f"its deployment was removed; to clear it: {free}\n")


def test_a_launch_of_a_removed_deployment_is_let_go_by_its_id(started: Callable[[], None], run: Any) -> None:
    started()
    run("deployment", "remove", "PS120001", "--yes")
    made = run(
        "deployment", "create", "--task-sequence", "PS100003", "--collection", "rack 7", "--purpose", "required",
        "--make-available-to", "media-pxe",
    )  # fmt: skip
    assert "0 of its 1 devices will be given it" in made.err
    assert "1 wait behind another launch: web01 (behind PS120001 until " in made.err
    (verdict,) = run("explain", "--deployment", "PS120002", "--json").json
    assert (verdict["boots"], verdict["waits_behind"]) == (False, None), "the session's time is not over"
    assert run("deployment", "list", "--json").json[0]["blocked"] == 1
    assert "web01 (behind PS120001" in run("deployment", "show", "PS120002").out
    whom = ("deployment", "clear", "--device", "web01", "--deployment", "ps120001", "--yes")
    assert run(*whom).out == (
        "cleared PS120001 on web01 (WITHDRAWN), whose deployment was removed: nothing is armed\n"
    )
    free = run("explain", "--device", "web01", "--json").json
    assert (free["action"], free["deployment"]) == ("boot", "PS120002")
    assert run(*whom).out.startswith("nothing to clear")
    assert run("deployment", "clear", "--device", "web01", "--deployment", "PS129999").code == 1


def test_clear_lists_what_is_finished_and_clears_it_by_its_id_or_all(
    started: Callable[[], None], run: Any, home: Path
) -> None:
    """D33."""
    started()
    with closing(sqlite3.connect(home / "site.db")) as connection:
        connection.execute("UPDATE ledger SET state = 'DONE'")
        connection.commit()
    assert run("deployment", "clear", "--device", "web01", "--yes").out == (
        "nothing to clear: no required deployment blocks device web01\n"
        "not cleared: PS120001 on web01 (DONE): finished; it blocks nothing; to clear it: "
        "pxefast deployment clear --device web01 --deployment PS120001\n"
    )
    both = run("deployment", "clear", "--device", "web01", "--all", "--deployment", "PS120001")
    assert (both.code, "exclude each other" in both.err) == (2, True)
    assert run("deployment", "clear", "--collection", "rack 7", "--all", "--yes").out == (
        "cleared PS120001 on web01 (DONE)\n"
    )
    reasons = run("explain", "--device", "web01", "--json").json["reasons"]
    again = next(reason for reason in reasons if reason["code"] == "offered_again")
    assert f"cleared by {person()}" in again["text"]


def test_a_new_member_is_pending_until_it_is_approved(run: Any, done: Callable[..., str]) -> None:
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66")
    done("collection", "add", "rack 7", "web02")
    assert run("deployment", "pending", "PS120001", "--json").json == [
        {"device": "web02", "deployment": "PS120001", "why": "new"}
    ]
    assert "web02" in done("deployment", "approve", "PS120001", "--dry-run")
    assert done("deployment", "approve", "PS120001", "--device", "web02", "--yes") == (
        "armed web02 for PS120001"
    )
    assert run("deployment", "pending", "PS120001", "--json").json == []


def test_a_held_device_is_cleared_by_a_person(run: Any, done: Callable[..., str]) -> None:
    done("deployment", "hold", "PS120001", "--device", "web01", "--why", "disk is being copied")
    (case,) = run("device", "sessions", "web01", "--json").json
    assert (case["state"], case["why"]) == ("HOLD", "disk is being copied")
    done("deployment", "clear", "--device", "web01", "--yes")


def test_the_audit_is_listed_by_device_and_time(started: Callable[[], None], run: Any) -> None:
    started()
    actions = [row["action"] for row in run("audit", "list", "--device", "WEB01", "--json").json]
    assert {"device import", "collection add", "ledger claim", "ledger launch"} <= set(actions)
    assert "boot-image add" not in actions
    assert len(run("audit", "list", "--since", "1d", "--json").json) > len(actions)
    assert run("audit", "list", "--since", "2999-01-01", "--json").json == []
    refused = run("audit", "list", "--since", "yesterday")
    assert (refused.code, "2h" in refused.err or "3d" in refused.err) == (2, True)


def test_verify_names_the_first_record_that_was_changed(run: Any, home: Path) -> None:
    follow(home)
    good = run("audit", "verify")
    assert (good.code, "journal agrees" in good.out) == (0, True)
    with closing(sqlite3.connect(home / "site.db")) as connection:
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 3")
        connection.commit()
    bad = run("audit", "verify")
    assert (bad.code, "audit record 3" in bad.err) == (1, True)


def test_verify_compares_the_journal_with_the_database(
    run: Any, home: Path, done: Callable[..., str]
) -> None:
    follow(home)
    done("collection", "create", "a")
    follow(home)
    file = home / "journal" / "audit.log"
    file.write_bytes(file.read_bytes().replace(b'"collection create"', b'"collection delete"'))
    bad = run("audit", "verify")
    assert bad.code == 1
    assert "audit.log was changed" in bad.err


def test_the_budget_is_shown_and_reset(run: Any, home: Path, done: Callable[..., str]) -> None:
    assert run("budget", "show", "--json").json["tripped_at"] is None
    with closing(sqlite3.connect(home / "site.db")) as connection:
        connection.execute("UPDATE hierarchy SET budget_tripped_at = 1700000000")
        connection.commit()
    assert "since 2023-11-14" in done("budget", "show")
    done("budget", "reset")
    assert run("budget", "show", "--json").json["tripped_at"] is None


def test_reconcile_holds_what_a_restored_database_forgot(
    started: Callable[[], None], run: Any, home: Path, done: Callable[..., str], tmp_path: Path
) -> None:
    """R-77."""
    assert done("reconcile") == "the journal and the database agree"
    follow(home)
    shutil.copy(home / "site.db", tmp_path / "backup.db")
    started()
    follow(home)
    for file in home.glob("site.db*"):
        file.unlink()
    shutil.copy(tmp_path / "backup.db", home / "site.db")

    assert run("audit", "verify").code == 1
    found = run("reconcile", "--json").json
    assert [(item["device"], item["deployment"], item["state"]) for item in found["lost"]] == [
        ("web01", "PS120001", "LAUNCHED")
    ]
    assert "restored backup" in found["problem"]
    shown = run("reconcile", "--dry-run")
    assert "would hold PS120001 on web01, which was LAUNCHED" in shown.out
    assert run("audit", "verify").code == 1, "a dry run puts nothing right"
    assert "held PS120001 on web01" in done("reconcile", "--yes")
    assert run("audit", "verify").code == 0
    (case,) = run("device", "sessions", "web01", "--json").json
    assert case["state"] == "HOLD"
    assert (home / "journal" / "audit-1.log").exists()


def test_the_audit_of_a_device_is_found_by_its_facts_and_not_by_what_a_file_is_called(
    started: Callable[[], None], run: Any, done: Callable[..., str], home: Path
) -> None:
    started()
    done("device", "import", "--name", "web02", "--mac", "00:11:22:33:44:66")
    with Store.open(home / "site.db") as store:
        number = store.devices.get("web02").id
        with store.record() as connection:
            facts = {"device": 1, "deployment": "PS120001", "generation": 1, "state": "LAUNCHED"}
            text = f"deployment=PS120001 device=1 generation=1 state=LAUNCHED file=os device={number} web02"
            append(connection, [("ledger launch", text, facts)])
    listed = run("audit", "list", "--device", "web02", "--json").json
    assert [row["action"] for row in listed] == ["device import"]
    newest = run("audit", "list", "--device", "web01", "--json").json[-1]
    assert newest["details"] == facts


def test_init_after_a_loss_explains_instead_of_making_another_site(
    started: Callable[[], None], run: Any, home: Path, tmp_path: Path
) -> None:
    follow(home)
    for file in home.glob("site.db*"):
        file.unlink()
    lost = run("init", "--site-code", "PS1")
    assert lost.code == 3
    assert "has lost its database" in lost.err
    assert "pxefast reconcile" in lost.err
    assert not (home / "site.db").exists()
    assert "put the newest backup in its place" in run("device", "list").err
    assert not (home / "site.db").exists()
    (home / "journal").rename(tmp_path / "journal")
    assert run("init", "--site-code", "PS1").code == 0, "whoever wants to forget it can"


def test_reconcile_holds_what_is_armed_where_the_journal_is_missing(
    run: Any, home: Path, done: Callable[..., str]
) -> None:
    follow(home)
    shutil.rmtree(home / "journal")
    assert run("audit", "verify").code == 1
    found = run("reconcile", "--json").json
    assert "is missing" in found["problem"]
    assert [(item["device"], item["deployment"]) for item in found["armed"]] == [("web01", "PS120001")]
    assert run("reconcile", "--keep-armed", "--json").json["armed"] == []
    assert run("reconcile", "--keep-armed", "--hold-armed").code == 2
    assert "hold PS120001 on web01, which is ARMED" in done("reconcile", "--dry-run")
    assert "held PS120001 on web01" in done("reconcile", "--yes")
    assert run("device", "sessions", "web01", "--json").json[-1]["state"] == "HOLD"
    assert run("audit", "verify").code == 0
    assert done("reconcile") == "the journal and the database agree"
    done("deployment", "clear", "--device", "web01", "--yes")
    assert "held PS120001 on web01" in done("reconcile", "--hold-armed", "--yes"), "by a person's word alone"
