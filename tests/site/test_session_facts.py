"""What a boot session is told: variables by their precedence, and TFTP sizes by the level that set them."""

from typing import Any

import pytest
from pxefast.site import schema, session_facts
from pxefast.site.session_facts import Ask, SessionFacts
from pxefast.site.store import Store
from sqlalchemy import event, insert, update

SIZES = ("block_size", "window_size", "variable_window")


def facts(
    store: Store,
    device: int | None = 1,
    deployment: str | None = "PS120001",
    address: str | None = None,
    relay: str | None = None,
) -> SessionFacts:
    ask = Ask(device, deployment, store.boot_images.all()[0].id, address, relay)
    with store.read() as connection:
        (found,) = session_facts.read(connection, store.point, [ask])
    return found


def values(found: SessionFacts) -> tuple[Any, ...]:
    return tuple(getattr(found, name).value for name in SIZES)


def set_row(store: Store, table: Any, **columns: object) -> None:
    """As an older or a broken pxefast might have."""
    with store.record() as connection:
        connection.execute(update(table).values(columns))


def set_variable(store: Store, noun: str, owner: object, name: str, value: str, secret: bool = False) -> None:
    row = {f"{noun}_id": owner, "key": name.casefold(), "name": name, "value": value, "secret": secret}
    with store.record() as connection:
        connection.execute(insert(schema.metadata.tables[f"{noun}_variable"]).values(row))


def collections(store: Store) -> list[str]:
    """Three collections of web01, the lowest id first."""
    for name in ("second", "third"):
        store.collections.create(name)
        store.collections.add(name, ["web01"])
    return sorted(row.id for row in store.collections.all() if row.name in ("rack", "second", "third"))


def test_the_documented_defaults_are_used_where_nobody_says_anything(ready: Store) -> None:
    found = facts(ready)
    assert values(found) == (4096, 1, False)
    assert found.block_size.source == "distribution point dp1"
    assert (found.variables, found.ignored) == ({}, ())


def test_a_device_hides_its_deployment_and_that_its_collections_of_which_the_highest_counts(
    ready: Store,
) -> None:
    low, middle, high = collections(ready)
    for name, owners in (
        ("A", {"device": 1, "deployment": "PS120001", "collection": high}),
        ("B", {"deployment": "PS120001", "collection": high}),
        ("C", {"collection": middle}),
    ):
        for noun, owner in owners.items():
            set_variable(ready, noun, owner, name if noun == "device" else name.lower(), f"{noun}-{owner}")
    set_variable(ready, "collection", low, "C", "never")
    set_variable(ready, "collection", low, "D", "low")
    found = facts(ready)
    assert {name: fact.value for name, fact in found.variables.items()} == {
        "A": "device-1",
        "b": "deployment-PS120001",
        "c": f"collection-{middle}",
        "D": "low",
    }
    assert found.variables["A"].source == "variable of the device"
    assert found.variables["b"].source == "variable of deployment PS120001"
    assert found.variables["c"].source == f"variable of collection {middle}"


def test_a_secret_variable_is_left_out_and_so_is_what_it_hides(ready: Store) -> None:
    set_variable(ready, "device", 1, "Password", "hidden", secret=True)
    set_variable(ready, "collection", collections(ready)[0], "PASSWORD", "also not for this machine")
    assert facts(ready).variables == {}


def test_variables_of_other_machines_and_deployments_are_not_told(ready: Store) -> None:
    set_variable(ready, "device", 2, "A", "of web02")
    set_variable(ready, "deployment", "PS120001", "B", "of the deployment")
    ready.collections.create("empty")
    set_variable(ready, "collection", ready.collections.get("empty").id, "C", "of nobody")
    assert facts(ready, deployment=None).variables == {}
    assert facts(ready, device=None, deployment=None).variables == {}


def test_each_size_comes_from_the_first_level_that_sets_it(ready: Store) -> None:
    """Device, collection, boot image, boundary group, distribution point; taken away one after the other."""
    ready.dps.set(ramdisk_tftp_block_size=1024, ramdisk_tftp_window_size=2, ramdisk_tftp_variable_window=True)
    ready.boundaries.create("Cellar")
    ready.boundaries.add("Cellar", subnets=["10.1.0.0/16"])
    set_row(ready, schema.boundary_group, tftp_block_size=2048)
    set_row(ready, schema.boot_image, tftp_block_size=3072, tftp_window_size=3)
    rack = ready.collections.get("rack").id
    set_variable(ready, "collection", rack, "RamDiskTFTPBlockSize", "5120")
    set_variable(ready, "collection", rack, "RamDiskTFTPVariableWindow", "no")
    set_variable(ready, "device", 1, "ramdisktftpBLOCKSIZE", "6144")
    found = facts(ready, address="10.1.2.3")
    assert values(found) == (6144, 3, False)
    image = ready.boot_images.all()[0].id
    for table, source, block in (
        (schema.device_variable, f"variable of collection {rack}", 5120),
        (schema.collection_variable, f"boot image {image}", 3072),
        (None, "boundary group Cellar (10.1.0.0/16)", 2048),
        (None, "distribution point dp1", 1024),
    ):
        if table is not None:
            with ready.record() as connection:
                connection.execute(table.delete())
        elif block == 2048:
            set_row(ready, schema.boot_image, tftp_block_size=None, tftp_window_size=None)
        else:
            ready.boundaries.remove("Cellar")
        assert facts(ready, address="10.1.2.3").block_size == (block, source)
    assert values(facts(ready)) == (1024, 2, True)


@pytest.mark.parametrize(
    ("address", "relay", "block"),
    [
        ("10.1.2.3", "10.9.0.1", 1500),
        ("10.1.3.3", "10.9.0.1", 1400),
        # The group with the longest prefix says nothing of blocks: the next one does.
        ("10.1.4.4", "", 1400),
        # In no boundary: the relay's.
        ("192.168.0.1", "10.9.0.1", 1300),
        ("", "10.9.0.1", 1300),
        ("192.168.0.1", "192.168.0.2", 4096),
        ("", "", 4096),
    ],
)
def test_the_longest_prefix_around_the_machine_counts_else_that_around_its_relay(
    ready: Store, address: str, relay: str, block: int
) -> None:
    for number, (name, subnet, size) in enumerate(
        (("wide", "10.1.0.0/16", 1400), ("narrow", "10.1.2.0/24", 1500), ("silent", "10.1.4.4/32", None))
    ):
        ready.boundaries.create(name)
        ready.boundaries.add(name, subnets=[subnet, f"172.16.{number}.0/24"])
        with ready.record() as connection:
            g = schema.boundary_group
            connection.execute(update(g).where(g.c.key == name).values(tftp_block_size=size))
    ready.boundaries.create("relays")
    ready.boundaries.add("relays", subnets=["10.9.0.0/24"])
    with ready.record() as connection:
        connection.execute(update(g).where(g.c.key == "relays").values(tftp_block_size=1300))
    assert facts(ready, address=address, relay=relay).block_size.value == block


def test_of_two_groups_with_one_subnet_the_first_by_name_counts(ready: Store) -> None:
    for name, size in (("b", 1400), ("a", 1300)):
        ready.boundaries.create(name)
        ready.boundaries.add(name, subnets=["10.1.0.0/16"])
        with ready.record() as connection:
            g = schema.boundary_group
            connection.execute(update(g).where(g.c.key == name).values(tftp_block_size=size))
    assert facts(ready, address="10.1.0.1").block_size == (1300, "boundary group a (10.1.0.0/16)")


def test_what_an_older_database_holds_out_of_range_is_told_and_the_next_level_counts(ready: Store) -> None:
    set_variable(ready, "device", 1, "RamDiskTFTPBlockSize", "big")
    set_variable(ready, "device", 1, "RamDiskTFTPWindowSize", "9" * 4000)
    set_variable(ready, "device", 1, "RamDiskTFTPVariableWindow", "true", secret=True)
    set_variable(ready, "collection", ready.collections.get("rack").id, "RamDiskTFTPBlockSize", "8192")
    set_row(ready, schema.boot_image, tftp_window_size=0)
    set_row(ready, schema.distribution_point, ramdisk_tftp_block_size=8)
    found = facts(ready)
    assert values(found) == (8192, 1, False)
    assert len(found.ignored) == 5
    assert any("variable of the device: RamDiskTFTPBlockSize 'big'" in line for line in found.ignored)
    assert any("secret" in line for line in found.ignored)
    assert any("distribution point dp1: RamDisk TFTP block size 8 must be" in line for line in found.ignored)
    set_row(ready, schema.collection_variable, value="nothing")
    assert facts(ready).block_size == (4096, "the default")


def test_a_variable_window_is_never_larger_than_one_byte_can_say(ready: Store) -> None:
    set_row(ready, schema.boot_image, tftp_window_size=1000)
    assert values(facts(ready)) == (4096, 1000, False)
    set_row(ready, schema.distribution_point, ramdisk_tftp_variable_window=True)
    found = facts(ready)
    assert values(found) == (4096, 255, True)
    assert "1000" in found.window_size.source


def test_a_machine_without_a_record_reads_the_variables_of_the_unknown_computers_collections(
    ready: Store,
) -> None:
    unknown = schema.FIRST_UNKNOWN + 1
    set_variable(ready, "collection", "SMS000US", "A", "unknown")
    assert facts(ready, device=unknown).variables["A"].value == "unknown"


def test_many_machines_at_once_are_told_what_each_is_told_by_itself(ready: Store) -> None:
    collections(ready)
    ready.boundaries.create("Cellar")
    ready.boundaries.add("Cellar", subnets=["10.1.2.0/24"])
    ready.boundaries.set_sizes("Cellar", block_size=1456)
    ready.devices.variables.set("web01", "A", "of web01")
    ready.devices.variables.set("web02", "RamDiskTFTPWindowSize", "7")
    ready.collections.variables.set("rack", "B", "of both")
    ready.collections.variables.set("second", "B", "of web01")
    ready.deployments.variables.set("PS120001", "C", "of the deployment")
    image = ready.boot_images.all()[0].id
    asks = [
        Ask(device, deployment, wanted, address, relay)
        for device in (1, 2, None)
        for deployment in ("PS120001", None)
        for wanted in (image, None, "PS1FFFFF")
        for address in (None, "10.1.2.3", "10.2.2.3")
        for relay in (None, "10.1.2.1")
    ] * 3
    with ready.read() as connection:
        together = session_facts.read(connection, ready.point, asks)
        assert together == [session_facts.read(connection, ready.point, [ask])[0] for ask in asks]
        assert session_facts.read(connection, ready.point, []) == []
    told = {facts.block_size.value for facts in together}
    assert told == {1456, 4096}
    assert {facts.variables.get("A") is None for facts in together} == {True, False}


def test_an_image_that_no_sizes_are_for_has_the_defaults_and_no_complaints(ready: Store) -> None:
    ready.dps.set(ramdisk_tftp_block_size=8192)
    set_variable(ready, "device", 1, "RamDiskTFTPBlockSize", "big")
    with ready.read() as connection:
        (found,) = session_facts.read(connection, ready.point, [Ask(1, "PS120001", None, "10.1.2.3")])
    assert (values(found), found.ignored) == ((4096, 1, False), ())


def test_sessions_ask_the_database_three_times_whatever_there_is_and_once_without_sizes(ready: Store) -> None:
    statements: list[str] = []
    listener = (ready._place.engine, "before_cursor_execute", lambda *words: statements.append(words[2]))
    event.listen(*listener)
    with ready.read() as connection:
        statements.clear()
        asks = [
            Ask(number, "PS120001", "PS100003", f"10.1.2.{number}", "10.1.2.1") for number in range(1, 65)
        ]
        session_facts.read(connection, "dp1", asks)
        asked = tuple(statements)
        statements.clear()
        session_facts.read(connection, "dp1", [ask._replace(image_id=None) for ask in asks])
        assert (len(asked), len(statements)) == (3, 1)
        event.remove(*listener)
        if ready.dialect == "sqlite":
            for statement in asked:
                some = ("1",) * statement.count("?")
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", some).all()
                assert [row for row in plan if "SCAN" in row[3] and "CONSTANT" not in row[3]] == []
