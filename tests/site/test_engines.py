"""What makes a commit durable, and what is said when it is not (R-73, R-75, R-76)."""

import os
import signal
import threading
from pathlib import Path

import psycopg
import pytest
from pxefast.errors import CannotOpen, SiteError
from pxefast.site import audit, engines, schema
from pxefast.site.devices import NewDevice
from pxefast.site.store import Store
from pxefast.site.watch import Watcher
from sqlalchemy import select, text

from ..postgres import PASSWORD, Postgres
from .test_store import noticed

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:41 / /srv/nfs rw - nfs4 server:/srv rw
31 22 0:42 / /srv/odd\\040name rw - fuse.sshfs me@host: rw
32 30 254:1 / /srv/nfs/disk rw - xfs /dev/vdb rw
33 22 0:43 / /srv/share rw - cifs //server/share rw
"""


def unsafe(store: Store) -> dict[str, str]:
    return {item.name: item.text for item in store.check() if not item.ok}


def test_a_new_database_is_safe(store: Store) -> None:
    assert unsafe(store) == {}


@pytest.mark.parametrize(
    ("folder", "system", "safe"),
    [
        ("/srv", "ext4", True),
        ("/srv/nfs", "nfs4", False),
        ("/srv/nfs/deeper", "nfs4", False),
        ("/srv/nfs/disk/pxefast", "xfs", True),
        ("/srv/odd name/x", "fuse.sshfs", False),
        ("/srv/share", "cifs", False),
        ("/srv/shareholder", "ext4", True),
    ],
)
def test_a_file_on_another_hosts_disk_is_unsafe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, system: str, safe: bool
) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr(engines, "_MOUNTS", tmp_path / "mounts")
    place = engines.SQLite(tmp_path / "site.db", 5, new=True)
    with place.transaction(change=False) as connection:
        place.file = Path(folder, "site.db")
        (check,) = [item for item in place.check(connection, deep=False) if item.name == "file system"]
    place.engine.dispose()
    assert (check.value, check.ok) == (system, safe)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("PRAGMA synchronous = NORMAL", "synchronous"),
        ("PRAGMA synchronous = OFF", "synchronous"),
        ("PRAGMA journal_mode = DELETE", "journal_mode"),
    ],
)
def test_an_unsafe_setting_of_sqlite_is_named(tmp_path: Path, statement: str, named: str) -> None:
    with Store.create(tmp_path / "site.db", "PS1") as store:
        driver = store._place.engine.raw_connection()
        driver.cursor().execute(statement)
        driver.close()
        assert set(unsafe(store)) == {named}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "site.db"
    with Store.create(file, "PS1") as store:
        store.devices.add_many(
            [NewDevice(f"n{i}", (f"02:00:00:00:{i >> 8:02x}:{i & 255:02x}",)) for i in range(2000)]
        )
        with store.read() as connection:
            root = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_audit_at'"
            page = connection.exec_driver_sql(root).scalar_one()
    with file.open("r+b") as raw:
        raw.seek((page - 1) * 4096)
        raw.write(bytes(4096))
    with Store.open(file) as store:
        assert set(unsafe(store)) == {"integrity"}


@pytest.mark.parametrize("setting", ["synchronous_commit = off", "default_transaction_read_only = on"])
def test_an_unsafe_setting_of_postgresql_is_named(postgres: Postgres, pg: str, setting: str) -> None:
    Store.create(pg, "PS1").close()
    database = pg.rpartition("/")[2]
    postgres.execute(f"ALTER DATABASE {database} SET {setting}")
    with Store.open(pg) as store:
        (named,) = unsafe(store)
    assert named == {"s": "synchronous_commit", "d": "writable"}[setting[0]]


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_does_not_flush_is_named(postgres: Postgres, pg: str, setting: str) -> None:
    Store.create(pg, "PS1").close()
    postgres.execute(f"ALTER SYSTEM SET {setting} = off")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        with Store.open(pg) as store:
            # What the server was started with goes before its file.
            found = {item.name: item.value for item in store.check()}
            with store.read() as connection:
                assert found[setting] == connection.execute(text(f"SHOW {setting}")).scalar_one()
            if found[setting] == "off":
                assert setting in unsafe(store)
    finally:
        postgres.execute(f"ALTER SYSTEM RESET {setting}")
        postgres.execute("SELECT pg_reload_conf()")


def test_a_password_is_shown_nowhere(postgres: Postgres, pg: str) -> None:
    with Store.create(pg, "PS1") as store:
        assert store.where == pg.replace(f":{PASSWORD}", "")
    wrong = pg.replace(PASSWORD, "battery-staple")
    with pytest.raises(CannotOpen) as refused:
        Store.open(wrong)
    assert "battery-staple" not in str(refused.value)
    assert "~/.pgpass" in str(refused.value)
    with Store.open(postgres.socket_url(pg.rpartition("/")[2]) + f"&password={PASSWORD}") as store:
        assert PASSWORD not in store.where


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("postgresql://127.0.0.1:1/x", "check the server and the network"),
        ("postgresql://127.0.0.1/x?nonsense=1", "URL is wrong"),
        ("mysql://host/x", "postgresql://USER@HOST/NAME"),
    ],
)
def test_a_database_that_cannot_be_reached_is_said_with_what_to_do(where: str, said: str) -> None:
    with pytest.raises(CannotOpen, match=said):
        Store.open(where)


def test_a_database_that_is_not_there_or_is_empty_is_said_with_what_to_do(pg: str) -> None:
    with pytest.raises(CannotOpen, match="createdb"):
        Store.open(f"{pg}x")
    with pytest.raises(CannotOpen, match="pxefast init"):
        Store.open(pg)


def test_without_the_driver_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pxefast.site.postgresql", None)
    with pytest.raises(CannotOpen, match=r"pip install 'pxefast\[postgres\]'"):
        Store.open("postgresql://host/x")


def test_changes_of_all_connections_are_in_one_order(store: Store) -> None:
    """Each thread's read-then-write sees every one before it: nothing is lost, and the audit has no gap."""

    def change() -> None:
        with Store.open(store.address, 60) as other:
            for _ in range(5):
                with other.record() as connection:
                    h = schema.hierarchy
                    number = connection.execute(select(h.c.next_device)).scalar_one()
                    connection.execute(h.update().values(next_device=number + 1))
                    audit.append(connection, [("count", str(number))])

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    with store.read() as connection:
        assert connection.execute(select(schema.hierarchy.c.next_device)).scalar_one() == 21
        assert audit.verify(connection) is None
        rows = connection.execute(
            select(schema.audit.c.subject).where(schema.audit.c.action == "count")
        ).scalars()
        assert sorted(map(int, rows)) == list(range(1, 21))


def test_a_read_is_of_one_moment(store: Store) -> None:
    with store.read() as connection:
        before = connection.execute(select(schema.collection.c.name)).all()
        with Store.open(store.address) as other:
            other.collections.create("rack")
        assert connection.execute(select(schema.collection.c.name)).all() == before


def test_a_change_whose_commit_fails_is_said_to_be_unknown(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise psycopg.OperationalError("gone") if store.dialect == "postgresql" else sqlite_error()

    monkeypatch.setattr(store._place.engine.dialect, "do_commit", fail)
    with pytest.raises(CannotOpen, match="not known"):
        store.collections.create("rack")
    monkeypatch.undo()
    # The connection that failed is not used again.
    assert store.collections.create("rack").name == "rack"


def sqlite_error() -> Exception:
    import sqlite3

    return sqlite3.OperationalError("disk I/O error")


def test_a_server_that_is_paused_is_given_up_in_time(postgres: Postgres, pg: str) -> None:
    with Store.create(pg, "PS1", busy_seconds=0.5) as store:
        with store.read() as connection:
            worker = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        os.kill(worker, signal.SIGSTOP)
        try:
            with pytest.raises(CannotOpen, match="said nothing"), store.record():
                pass
        finally:
            os.kill(worker, signal.SIGCONT)
        with store.record():
            pass


def test_after_a_crash_of_the_server_changes_are_seen_again(postgres: Postgres, pg: str) -> None:
    with Store.create(pg, "PS1") as store:
        watcher = Watcher(store)
        postgres.kill()
        try:
            with pytest.raises(CannotOpen):
                while True:
                    watcher.changed()
            with pytest.raises(CannotOpen):
                store.collections.create("rack")
        finally:
            postgres.start()
        while True:
            try:
                if watcher.changed():
                    break
            except CannotOpen:
                continue
        assert store.collections.create("rack").name == "rack"
        assert noticed(watcher)
        watcher.close()


def test_who_waits_too_long_for_another_change_is_told_so(store: Store) -> None:
    with Store.open(store.address, 0.1) as other, store.record():  # noqa: SIM117  the lock is held, then waited for
        with pytest.raises(SiteError, match="busy"), other.record():
            pass
