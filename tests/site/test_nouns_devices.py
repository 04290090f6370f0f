"""What becomes of devices whose identifiers other records have, and of what was given to their hardware."""

from typing import Any

import pytest
from pxefast.errors import AlreadyExists, Invalid, NotFound
from pxefast.site import schema
from pxefast.site.devices import NewDevice
from pxefast.site.store import Store
from sqlalchemy import insert, select, update

MAC = "00:11:22:33:44:55"
OTHER = "00:11:22:33:44:66"
GUID = "11223344-5566-7788-99aa-bbccddeeff00"
SWAPPED = "44332211-6655-8877-99aa-bbccddeeff00"
SECOND_GUID = "21223344-5566-7788-99aa-bbccddeeff00"


@pytest.fixture
def two(store: Store) -> Store:
    """web01 by MAC and GUID, db01 by another MAC."""
    store.devices.add(NewDevice("web01", (MAC,), GUID))
    store.devices.add(NewDevice("db01", (OTHER,)))
    return store


def given(store: Store, device: int, state: str, deployment: str = "PS120001", **more: Any) -> None:
    """As if the ledger had this row."""
    row = {
        "device_id": device,
        "deployment_id": deployment,
        "generation": 1,
        "state": state,
        "armed_at": 0.0,
        "returns": 0,
    }
    with store.record() as connection:
        connection.execute(insert(schema.ledger).values({**row, **more}))


# conflicts


def test_a_conflict_is_refused_unless_something_else_is_asked_for(two: Store) -> None:
    with pytest.raises(AlreadyExists, match="MAC 00:11:22:33:44:55 belongs to device web01"):
        two.devices.add(NewDevice("web02", (MAC,)))
    two.policy.set("conflicting_records", "merge")
    assert two.devices.add(NewDevice("web02", (MAC,))).name == "web02"
    with pytest.raises(AlreadyExists):
        two.devices.add(NewDevice("web03", (MAC,)), on_conflict="block")


@pytest.mark.parametrize(
    "new",
    [
        NewDevice("renamed", (MAC, "00:11:22:33:44:99")),
        NewDevice("renamed", ("00:11:22:33:44:99",), GUID),
        NewDevice("renamed", ("00:11:22:33:44:99",), SWAPPED),
    ],
)
def test_merging_makes_one_record_of_two(two: Store, new: NewDevice) -> None:
    two.devices.variables.set("web01", "ROLE", "db")
    merged = two.devices.add(new, on_conflict="merge")
    assert (merged.id, merged.name, merged.macs) == (1, "renamed", (MAC, "00:11:22:33:44:99"))
    assert two.devices.get("renamed") == merged
    assert [item.value for item in two.devices.variables.all("renamed")] == ["db"]
    assert len(two.devices.all()) == 2


def test_merging_by_name_adds_the_identifiers(two: Store) -> None:
    merged = two.devices.add(NewDevice("DB01", ("00:11:22:33:44:99",), SECOND_GUID), on_conflict="merge")
    assert (merged.id, merged.macs, merged.guid) == (2, (OTHER, "00:11:22:33:44:99"), SECOND_GUID)


@pytest.mark.parametrize(
    "new", [NewDevice("x", (MAC, OTHER)), NewDevice("db01", (MAC,)), NewDevice("x", (OTHER,), GUID)]
)
def test_two_records_are_never_merged_into_one(two: Store, new: NewDevice) -> None:
    with pytest.raises(AlreadyExists, match="two records"):
        two.devices.add(new, on_conflict="merge")
    assert [item.name for item in two.devices.all()] == ["db01", "web01"]


def test_a_new_record_takes_the_identifiers_away_from_the_old_ones(two: Store) -> None:
    new = two.devices.add(NewDevice("web02", (MAC, OTHER), SWAPPED), on_conflict="new")
    assert (new.id, new.macs, new.guid) == (3, (MAC, OTHER), SWAPPED)
    for name in ("web01", "db01"):
        left = two.devices.get(name)
        assert (left.macs, left.guid) == ((), None)


def test_a_new_record_needs_a_name_of_its_own(two: Store) -> None:
    with pytest.raises(AlreadyExists, match="name db01"):
        two.devices.add(NewDevice("db01", (MAC,)), on_conflict="new")
    assert two.devices.get("web01").macs == (MAC,)


@pytest.mark.parametrize("on_conflict", ["block", "merge", "new"])
def test_two_lines_of_one_file_are_never_one_device(store: Store, on_conflict: Any) -> None:
    lines = [NewDevice("a", (MAC,), line=2), NewDevice("b", (MAC,), line=3)]
    with pytest.raises(AlreadyExists, match=r"t\.csv: line 3: MAC .* belongs to device a"):
        store.devices.add_many(lines, "t.csv", on_conflict)
    assert store.devices.all() == []


@pytest.mark.parametrize("on_conflict", ["merge", "new"])
@pytest.mark.parametrize(
    ("state", "becomes"),
    [("CLAIMED", "HOLD"), ("LAUNCHED", "HOLD"), ("STARTED", "HOLD"), ("DONE", "DONE"), ("FAILED", "FAILED"),
     ("HOLD", "HOLD"), ("ARMED", "ARMED")],
)  # fmt: skip
def test_what_hardware_was_given_it_was_given_under_another_record_too(
    two: Store, on_conflict: Any, state: str, becomes: str
) -> None:
    given(two, 1, state, session="5" * 32)
    if on_conflict == "merge":
        # The hardware is without a record meanwhile; another record takes it.
        two.devices.remove("web01")
        two.devices.add(NewDevice("db01", (MAC,)), on_conflict="merge")
        assert two.devices.states("db01") == {"PS120001": becomes}
    else:
        two.devices.add(NewDevice("web02", (MAC,)), on_conflict="new")
        assert two.devices.states("web02") == {"PS120001": becomes}


def test_a_given_deployment_is_not_given_again_because_another_record_was_armed(two: Store) -> None:
    given(two, 1, "DONE")
    given(two, 2, "ARMED")
    two.devices.remove("web01")
    two.devices.add(NewDevice("db01", (MAC,)), on_conflict="merge")
    assert two.devices.states("db01") == {"PS120001": "HOLD"}
    with two.read() as connection:
        (why,) = connection.execute(select(schema.ledger.c.why).where(schema.ledger.c.device_id == 2)).one()
    assert "device number 1" in why


def test_hardware_that_booted_without_a_record_keeps_its_number_when_it_is_imported(store: Store) -> None:
    with store.record() as connection:
        connection.execute(insert(schema.hardware).values(identity=f"guid:{SWAPPED}", device_id=1))
        connection.execute(update(schema.hierarchy).values(next_device=2))
    given(store, 1, "LAUNCHED")
    device = store.devices.add(NewDevice("web01", (MAC,), GUID))
    assert device.id == 1
    assert store.devices.states("web01") == {"PS120001": "LAUNCHED"}
    assert store.devices.add(NewDevice("web02", (OTHER,))).id == 2


def test_a_number_that_was_another_machines_is_not_given_to_a_new_one(two: Store) -> None:
    given(two, 1, "DONE")
    two.devices.remove("web01")
    with pytest.raises(AlreadyExists, match="another machine"):
        two.devices.add(NewDevice("new", ("00:11:22:33:44:99",), id=1))
    assert two.devices.add(NewDevice("again", (MAC,), id=1)).id == 1


def test_the_guid_of_a_changed_board_keeps_its_history(two: Store) -> None:
    given(two, 1, "DONE")
    two.devices.add(NewDevice("web01", (MAC,), SECOND_GUID), on_conflict="merge")
    assert two.devices.get("web01").guid == SECOND_GUID
    spare = two.devices.add(NewDevice("spare", (), GUID))
    assert spare.id != 1
    assert two.devices.states("spare") == {"PS120001": "DONE"}


# set, unknown computers, variables


def test_a_device_is_moved_renamed_and_protected(two: Store) -> None:
    two.sites.create("AAA")
    changed = two.devices.set("web01", site="aaa", protected=True, new_name="web1")
    assert (changed.name, changed.site, changed.protected) == ("web1", "AAA", True)
    assert two.devices.get("WEB1") == changed
    assert not two.devices.set("web1", protected=False).protected
    assert two.devices.set("web1", new_name="WEB1").name == "WEB1"


@pytest.mark.parametrize(
    ("change", "error"),
    [({"site": "ZZZ"}, NotFound), ({"new_name": "DB01"}, AlreadyExists), ({"new_name": "a b"}, Invalid)],
)
def test_a_change_that_cannot_be_changes_nothing(two: Store, change: Any, error: Any) -> None:
    before = two.devices.get("web01")
    with pytest.raises(error):
        two.devices.set("web01", protected=True, **change)
    assert two.devices.get("web01") == before


def test_unknown_computer_objects_are_not_changed_and_never_identified(store: Store) -> None:
    name = "x64 Unknown Computer (PS1)"
    for change in (
        lambda: store.devices.remove(name),
        lambda: store.devices.set(name, protected=True),
        lambda: store.devices.variables.set(name, "A", "b"),
        lambda: store.devices.add(NewDevice(name, (MAC,)), on_conflict="merge"),
        lambda: store.devices.add(NewDevice("x", (MAC,), id=store.devices.get(name).id), on_conflict="merge"),
    ):
        with pytest.raises(Invalid):
            change()
    unknown = store.devices.get(name)
    assert (unknown.macs, unknown.guid) == ((), None)
    assert store.devices.all() == []


@pytest.mark.parametrize(
    ("noun", "name"), [("devices", "web01"), ("collections", "rack"), ("deployments", "ps120001")]
)
def test_variables_are_set_listed_and_removed_whatever_their_case(ready: Store, noun: str, name: str) -> None:
    variables = getattr(ready, noun).variables
    variables.set(name, "Role", "web")
    variables.set(name.upper(), "ROLE", "db")
    variables.set(name, "Key", "abc", secret=True)
    assert variables.all(name) == [("Key", "abc", True), ("ROLE", "db", False)]
    variables.remove(name, "role")
    with pytest.raises(NotFound, match="variable list"):
        variables.remove(name, "role")
    assert [item.name for item in variables.all(name)] == ["Key"]


def test_a_secret_is_not_in_the_audit_trail(two: Store) -> None:
    two.devices.variables.set("web01", "Key", "hunter2", secret=True)
    with two.read() as connection:
        assert not [
            text for text in connection.execute(select(schema.audit.c.subject)).scalars() if "hunter2" in text
        ]


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "x"), ("a=b", "x"), ("a b", "x"), ("a", "x\ny"), ("a" * 128, ""), ("a", "x" * 4097)],
)
def test_a_variable_that_no_environment_could_carry_is_refused(two: Store, name: str, value: str) -> None:
    with pytest.raises(Invalid):
        two.devices.variables.set("web01", name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RamDiskTFTPBlockSize", "511"),
        ("ramdisktftpblocksize", "65465"),
        ("RamDiskTFTPBlockSize", "0x1000"),
        ("RamDiskTFTPBlockSize", ""),
        ("RamDiskTFTPWindowSize", "0"),
        ("RamDiskTFTPWindowSize", "-1"),
        ("RamDiskTFTPWindowSize", "9" * 4096),
        ("RamDiskTFTPVariableWindow", "perhaps"),
    ],
)
def test_a_size_that_no_boot_manager_could_use_is_refused_where_it_is_set(
    ready: Store, name: str, value: str
) -> None:
    for owner, noun in (
        ("web01", ready.devices),
        ("rack", ready.collections),
        ("PS120001", ready.deployments),
    ):
        with pytest.raises(Invalid, match=r"(?i)ramdisk"):
            noun.variables.set(owner, name, value)
    with pytest.raises(Invalid, match=r"(?i)ramdisk"):
        ready.devices.add(NewDevice("n", ("00:11:22:33:44:99",), variables=((name, value),)))


def test_a_size_cannot_be_secret_for_the_machine_is_told_it(ready: Store) -> None:
    with pytest.raises(Invalid, match="cannot be secret"):
        ready.devices.variables.set("web01", "RamDiskTFTPBlockSize", "4096", secret=True)


def test_a_deployment_takes_its_variables_with_it(ready: Store) -> None:
    ready.deployments.variables.set("PS120001", "Role", "db")
    ready.deployments.remove("PS120001")
    with ready.read() as connection:
        assert connection.execute(select(schema.deployment_variable)).all() == []
    with pytest.raises(NotFound, match="deployment"):
        ready.deployments.variables.set("PS120001", "Role", "db")


def test_an_import_puts_devices_into_collections_and_gives_them_variables(two: Store) -> None:
    two.collections.create("rack")
    two.collections.add_rule(two.collections.create("databases").name, "query", "variable:role=db")
    new = NewDevice("n", ("00:11:22:33:44:99",), collections=("Rack",), variables=(("Role", "db"),))
    two.devices.add(new)
    assert two.devices.collections("n") == ["All Systems", "databases", "rack"]
    with pytest.raises(NotFound, match=r"t\.csv: line 7: .*'nowhere'"):
        two.devices.add_many(
            [new._replace(name="m", macs=("00:11:22:33:44:98",), collections=("nowhere",), line=7)], "t.csv"
        )
