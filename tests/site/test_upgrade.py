"""Databases of an older pxefast, and of a newer one."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from pxefast.errors import CannotOpen
from pxefast.site import audit, migrations, schema
from pxefast.site.engines import Database, SQLite, database
from pxefast.site.snapshot import load
from pxefast.site.store import Store
from pxefast.site.tables import upgrade_tables
from sqlalchemy import Connection, MetaData, select, text

GUID = "8a9f841d-4d9f-5e53-a833-734a9fbf87b5"
# A site as pxefast 0.1 kept it: web01 was claimed, cleared and claimed again, and given two deployments; web02 was
# cleared; web03 was given nothing; web04 was removed.
FIRST = f"""
INSERT INTO site VALUES (1, 'PS1', 17, 5, 4, 131075);
INSERT INTO distribution_point VALUES (1, 'PS1', 1, 1, 'eth0', 0, 0, 1, NULL, 4096, 16);
INSERT INTO audit VALUES (1, 1700000000.5, 'root', 'init', 'PS1'), (2, 1700000001, 'root', 'device import', 'web01');
INSERT INTO device VALUES (1, 'web01', 'web01', '{GUID}', 'PS1'), (2, 'web02', 'web02', NULL, 'PS1'),
  (3, 'web03', 'web03', NULL, 'PS1');
INSERT INTO device_mac VALUES ('00:11:22:33:44:01', 1, 0), ('00:11:22:33:44:02', 2, 0), ('00:11:22:33:44:03', 3, 0);
INSERT INTO retired_identity VALUES ('mac:00:11:22:33:44:04', 4);
INSERT INTO collection VALUES ('SMS000US', 'All Unknown Computers', 'all unknown computers'),
  ('PS100003', 'All Systems', 'all systems');
INSERT INTO collection_member VALUES ('PS100003', 1), ('PS100003', 2), ('PS100003', 3);
INSERT INTO boot_image VALUES ('PS100001', 'linux', 'linux', 'x64', '/image', 1);
INSERT INTO boot_program VALUES ('PS100001', 'uefi', 'grubx64.efi');
INSERT INTO task_sequence VALUES ('PS100002', 'install', 'install', 'PS100001');
INSERT INTO deployment VALUES ('PS120001', 'PS100002', 'PS100003', 'required', 'media-pxe'),
  ('PS120002', 'PS100002', 'PS100003', 'available', 'media-pxe');
INSERT INTO ledger VALUES (1, 'PS120001', 1, 'CLAIMED', 'aa', 1, 7, 1700000100, 1700000101),
  (1, 'PS120001', 2, 'CLAIMED', 'bb', 3, 8, 1700000200, 1700000202),
  (1, 'PS120000', 1, 'CLAIMED', 'cc', 1, 9, 1700000050, 1700000050),
  (2, 'PS120001', 1, 'CLAIMED', 'dd', 1, 7, 1700000100, 1700000101),
  (2, 'PS120001', 2, 'ARMED', NULL, NULL, NULL, NULL, NULL),
  (4, 'PS120001', 1, 'CLAIMED', 'ee', 1, 7, 1700000100, 1700000101);
"""
# A site as pxefast 0.2 kept it, with a row in each table but the audit.
SECOND = f"""
INSERT INTO site VALUES ('PS1', NULL, 9, 3);
INSERT INTO setting VALUES ('boot_image_of', 'any');
INSERT INTO distribution_point VALUES ('dp1', 'PS1', true, true, 'eth0', false, 0, true, '/list', 8192, 16, 2);
INSERT INTO own_identity VALUES ('mac:00:11:22:33:44:99', 'dp1');
INSERT INTO device VALUES (1, 'web01', 'web01', '{GUID}', 'PS1', true, NULL),
  (2046820352, 'x64 Unknown Computer (PS1)', 'x64 unknown computer (ps1)', NULL, 'PS1', false, 'x64');
INSERT INTO device_mac VALUES ('00:11:22:33:44:01', 1, 0);
INSERT INTO hardware VALUES ('mac:00:11:22:33:44:04', 4);
INSERT INTO duplicate_identity VALUES ('mac:00:11:22:33:44:05');
INSERT INTO collection VALUES ('SMS00001', 'All Systems', 'all systems', 'PS1'),
  ('PS100003', 'rack', 'rack', 'PS1');
INSERT INTO collection_rule VALUES (1, 'PS100003', 'direct', 1, NULL, NULL, NULL);
INSERT INTO collection_member VALUES ('PS100003', 1), ('SMS00001', 1);
INSERT INTO device_variable VALUES (1, 'role', 'Role', 'db', true);
INSERT INTO collection_variable VALUES ('PS100003', 'ramdisktftpblocksize', 'RamDiskTFTPBlockSize', '8192', false);
INSERT INTO boot_image VALUES ('PS100001', 'linux', 'linux', 'PS1', 'x64', '/image', true, 'initrd');
INSERT INTO boot_program VALUES ('PS100001', 'uefi', 'grubx64.efi');
INSERT INTO task_sequence VALUES ('PS100002', 'install', 'install', 'PS1', 'PS100001');
INSERT INTO deployment VALUES
  ('PS120001', 'PS1', 'PS100002', 'PS100003', 'required', 'media-pxe', true, 1.5, NULL, NULL, 'always');
INSERT INTO ledger VALUES (1, 'PS120001', 1, 'CLAIMED', 1.5, 2, 'aa', 'tt', 'dp1', '10.0.0.9', 3, 4294967295, 2.5,
  3.5, 'SMSImages/PS100001/initrd', NULL, NULL, NULL, NULL);
INSERT INTO distribution_point_group VALUES ('North', 'north');
INSERT INTO distribution_point_group_member VALUES ('north', 'dp1');
INSERT INTO boundary_group VALUES ('Cellar', 'cellar');
INSERT INTO boundary_group_distribution_point VALUES ('cellar', 'dp1');
INSERT INTO boundary VALUES ('cellar', '10.1.0.0/16');
"""


def first_tables(place: Database) -> None:
    with place.transaction(change=True, lock=False) as connection:
        migrations.upgrade(connection, "0001")


def second(place: Database) -> None:
    """Make a database of pxefast 0.2."""
    record = audit.sealed(audit.FIRST_HASH, audit.AuditRow(1, 0.5, "root", "init", "PS1 dp1", ""))
    with place.transaction(change=True, lock=False) as connection:
        migrations.upgrade(connection, "0002")
        head = {"hash": record.hash}
        connection.execute(text("INSERT INTO hierarchy VALUES (1, 7, 5, 1, :hash, 0, NULL)"), head)
        for statement in SECOND.split(";\n")[:-1]:
            connection.exec_driver_sql(statement)
        row = "INSERT INTO audit VALUES (:seq, :at, :actor, :action, :subject, :hash)"
        connection.execute(text(row), record._asdict())


def rows_of(connection: Connection) -> dict[str, list[dict[str, object]]]:
    """Every row of every table that there is."""
    tables = MetaData()
    tables.reflect(connection)
    return {
        table.name: [
            dict(row._mapping) for row in connection.execute(select(table).order_by(*table.primary_key))
        ]
        for table in tables.sorted_tables
        if table.name != "alembic_version"
    }


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A database of pxefast 0.1."""
    file = tmp_path / "site.db"
    place = SQLite(file, 5, new=True)
    first_tables(place)
    place.engine.dispose()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(FIRST)
    return file


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any tables."""
    place = (
        SQLite(tmp_path / "site.db", 5, new=True)
        if request.param == "sqlite"
        else database(request.getfixturevalue("pg"), 5)
    )
    yield place
    place.engine.dispose()


def checks(connection: Connection) -> dict[str, list[str]]:
    """What Alembic does not compare, of a SQLite database."""
    query = "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"
    return {
        name: sorted(re.findall(r"CONSTRAINT \w+ CHECK \(.*?\)\)?|WITHOUT ROWID", " ".join(sql.split())))
        for name, sql in connection.exec_driver_sql(query)
        if name != "alembic_version" and not name.startswith("sqlite_")
    }


def test_the_revisions_make_exactly_the_tables_of_a_new_database(empty: Database, tmp_path: Path) -> None:
    first_tables(empty)
    with empty.transaction(change=True, lock=False) as connection:
        migrations.upgrade(connection)
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        assert migrations.revision_of(connection) == migrations.HEAD
        if empty.dialect == "sqlite":
            with Store.create(tmp_path / "new.db", "PS1") as store, store.read() as other:
                assert checks(connection) == checks(other)


def test_a_new_database_is_of_the_newest_revision(store: Store) -> None:
    with store.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        config = migrations.alembic_config(connection)
    found = [item.revision for item in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == migrations.REVISIONS


def test_an_old_home_goes_on_as_it_was(first: Path) -> None:
    with Store.open(first) as store:
        assert store.code == "PS1"
        point = store.dps.get()
        assert (point.enable_pxe, point.interfaces, point.ramdisk_tftp_window_size) == (True, ("eth0",), 16)
        assert [device.name for device in store.devices.all()] == ["web01", "web02", "web03"]
        assert {row.name for row in store.collections.all()} == {
            "All Systems",
            "All Systems (PS100003)",
            "All Unknown Computers",
        }
        site = load(store, store.point, {"PS100001": {}}, 900)
        web03 = site.devices_by_mac["00:11:22:33:44:03"]
        assert [item.id for item in web03.deployments] == ["PS120002", "PS120001"]
        assert set(site.unknown) == {"x86", "x64", "arm64"}
        assert site.hardware == {"mac:00:11:22:33:44:04": 4}
        assert store.collections.create("new").id == "PS100004"
        assert store.deployments.create("PS100002", "new", "available", "media-pxe").id == "PS120003"


def test_what_was_given_stays_given_and_what_was_not_is_armed(first: Path) -> None:
    c = schema.ledger.c
    with Store.open(first) as store, store.read() as connection:
        rows = {
            (row.device_id, row.deployment_id, row.generation): row
            for row in connection.execute(select(schema.ledger))
        }
        live = connection.execute(select(c.device_id).where(c.state.in_(schema.LIVE))).scalars().all()
    assert {key: row.state for key, row in rows.items()} == {
        (1, "PS120001", 1): "CLEARED",
        (1, "PS120001", 2): "CLAIMED",
        (1, "PS120000", 1): "WITHDRAWN",
        (2, "PS120001", 1): "CLEARED",
        (2, "PS120001", 2): "ARMED",
        (3, "PS120001", 1): "ARMED",
        (4, "PS120001", 1): "CLAIMED",
    }
    claimed = rows[1, "PS120001", 2]
    assert (claimed.session, claimed.step, claimed.xid, claimed.claimed_at) == ("bb", 3, 8, 1_700_000_200)
    # Nothing is known of its launch file: it does not return by itself.
    assert claimed.launch is None
    assert sorted(live) == [1, 4]


def test_the_audit_becomes_a_chain_that_ends_with_the_upgrade(first: Path) -> None:
    with Store.open(first) as store, store.read() as connection:
        assert audit.verify(connection) is None
        rows = connection.execute(select(schema.audit).order_by(schema.audit.c.seq)).all()
    assert [(row.seq, row.at, row.action) for row in rows[:2]] == [
        (1, 1_700_000_000.5, "init"),
        (2, 1_700_000_001.0, "device import"),
    ]
    assert [(row.action, row.subject) for row in rows[2:]] == [
        ("db upgrade", f"{before} to {after}") for before, after in pairwise(migrations.REVISIONS)
    ]


def test_a_database_of_the_version_before_keeps_every_row(empty: Database) -> None:
    second(empty)
    with empty.transaction(change=False) as connection:
        before = rows_of(connection)
    assert [name for name, rows in before.items() if not rows] == []
    assert upgrade_tables(empty) == "0002"
    with empty.transaction(change=False) as connection:
        after = rows_of(connection)
        assert audit.verify(connection) is None
    told = [(row["seq"], row["action"], row["subject"]) for row in after["audit"][1:]]
    steps = list(pairwise(migrations.REVISIONS))[1:]
    assert told == [(seq, "db upgrade", f"{old} to {new}") for seq, (old, new) in enumerate(steps, start=2)]
    del after["audit"][1:]
    for table in ("audit", "hierarchy"):
        assert len(after[table]) == len(before[table])
    # A running snapshot is older than this.
    assert after["hierarchy"][0]["revision"] == 7 + len(steps)
    del before["hierarchy"]
    for name, rows in before.items():
        assert [{key: row[key] for key in rows[0]} for row in after[name]] == rows


def test_what_a_database_of_the_version_before_could_not_say_is_as_it_was_served(empty: Database) -> None:
    second(empty)
    upgrade_tables(empty)
    with Store.open(empty.address) as store:
        assert store.dps.get().ramdisk_tftp_variable_window is False
        with store.read() as connection:
            image = connection.execute(select(schema.boot_image)).one()
            group = connection.execute(select(schema.boundary_group)).one()
            for name in (
                "deployment_variable",
                "content_version",
                "content_assignment",
                "group_content",
                "learned_window",
                "sighting",
            ):
                assert connection.execute(select(schema.metadata.tables[name])).all() == [], name
    assert (image.kind, image.revision, image.boot_ca, image.boot_sdi) == ("files", 1, None, None)
    for row in (image, group):
        assert (row.tftp_block_size, row.tftp_window_size, row.tftp_variable_window) == (None, None, None)


def test_what_removed_deployments_left_is_withdrawn_and_all_else_is_kept(empty: Database) -> None:
    """D32: rows of removed deployments held their machines, and nothing but a clear could end them."""
    second(empty)
    columns = (
        "(device_id, deployment_id, generation, state, armed_at, returns, session, claimed_at, launched_at)"
    )
    with empty.transaction(change=True, lock=False) as connection:
        migrations.upgrade(connection, "0004")
        for number, (state, launched) in enumerate(
            [("ARMED", "NULL"), ("CLAIMED", "NULL"), ("LAUNCHED", "5.5"), ("HOLD", "5.5"), ("DONE", "5.5")], 2
        ):
            connection.exec_driver_sql(
                f"INSERT INTO ledger {columns} VALUES "
                f"({number}, 'PS120000', 1, '{state}', 1.5, 0, 's{number}', 4.5, {launched})"
            )
    assert upgrade_tables(empty) == "0004"
    with empty.transaction(change=False) as connection:
        rows = {row.device_id: row for row in connection.execute(select(schema.ledger))}
        assert audit.verify(connection) is None
    assert [rows[number].state for number in range(1, 7)] == ["CLAIMED", *["WITHDRAWN"] * 4, "DONE"]
    # The launch file of device 3 was never known: it may have run since it was claimed.
    assert [rows[number].launched_at for number in range(2, 7)] == [None, 4.5, 5.5, 5.5, 5.5]
    assert [rows[number].session for number in range(2, 7)] == [f"s{number}" for number in range(2, 7)]
    assert rows[1].transfer is None
    assert (rows[1].ended_at, rows[1].ended_by, rows[1].ended_from) == (None, None, None)


def test_a_copy_of_the_old_database_is_kept_beside_it(first: Path) -> None:
    Store.open(first).close()
    with closing(sqlite3.connect(first.with_name("site.db.0001"))) as kept:
        assert kept.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert kept.execute("SELECT count(*) FROM ledger").fetchone() == (6,)


def test_an_upgrade_that_fails_half_way_leaves_the_old_database(first: Path) -> None:
    with closing(sqlite3.connect(first)) as connection:
        # Two rows that cannot both be kept: the last table that is written refuses them.
        connection.execute("UPDATE ledger SET session = 'aa'")
        connection.commit()
    with pytest.raises(Exception, match="ledger"):
        Store.open(first)
    with closing(sqlite3.connect(first)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert connection.execute("SELECT count(*) FROM retired_identity").fetchone() == (1,)


def test_a_database_of_a_newer_pxefast_is_refused(store: Store) -> None:
    with store.record() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CannotOpen, match="newer pxefast"):
        Store.open(store.address)
    assert [item.name for item in store.check() if not item.ok] == ["schema"]


def test_a_shared_database_is_upgraded_only_when_it_is_told(pg: str) -> None:
    place = database(pg, 5)
    first_tables(place)
    with pytest.raises(CannotOpen, match="pxefast db upgrade"):
        Store.open(pg)
    assert upgrade_tables(place) == "0001"
    assert upgrade_tables(place) is None
    place.engine.dispose()
