"""Sites, distribution points, their groups, and what the whole hierarchy shares."""

from pathlib import Path
from typing import Any

import pytest
from pxefast.errors import AlreadyExists, InUse, Invalid, NotFound
from pxefast.site.devices import NewDevice
from pxefast.site.duplicates import duplicate_identity
from pxefast.site.store import Store

MAC = "00:11:22:33:44:55"
GUID = "11223344-5566-7788-99aa-bbccddeeff00"
SWAPPED = "44332211-6655-8877-99aa-bbccddeeff00"


def test_a_site_is_made_with_one_unknown_computer_an_architecture(store: Store) -> None:
    row = store.sites.create("aaa", "PS1")
    assert (row.code, row.parent) == ("AAA", "PS1")
    for architecture in ("x86", "x64", "arm64"):
        assert store.devices.get(f"{architecture} Unknown Computer (AAA)").site == "AAA"
    assert store.collections.get("All Unknown Computers").members == 6
    assert [site.code for site in store.sites.all()] == ["AAA", "PS1"]
    assert store.sites.get("ps1").distribution_points == (store.point,)


@pytest.mark.parametrize(
    ("code", "parent", "error"),
    [
        ("PS1", None, AlreadyExists),
        ("toolong", None, Invalid),
        ("SMS", None, Invalid),
        ("AAA", "BBB", NotFound),
    ],
)
def test_a_site_that_cannot_be_is_not_made(store: Store, code: str, parent: Any, error: Any) -> None:
    with pytest.raises(error):
        store.sites.create(code, parent)
    assert [site.code for site in store.sites.all()] == ["PS1"]


def test_ids_carry_the_code_of_the_site_that_things_are_made_for(store: Store) -> None:
    store.sites.create("AAA")
    image = store.boot_images.add("i", "x64", Path("/nowhere"), {"uefi": "a"}, site="aaa")
    sequence = store.task_sequences.create("t", image.id, site="AAA")
    collection = store.collections.create("c", site="AAA")
    deployment = store.deployments.create(sequence.id, "c", "available", "media-pxe", site="AAA")
    assert [image.id, sequence.id, collection.id] == ["AAA00001", "AAA00002", "AAA00003"]
    assert (deployment.id, deployment.site) == ("AAA20001", "AAA")
    assert store.collections.create("home").id == "PS100001"
    assert store.collections.create("other", "ZZZ00001").site == "PS1"
    assert store.devices.add(NewDevice("w", (MAC,), site="AAA")).site == "AAA"
    with pytest.raises(NotFound, match="no site 'BBB'"):
        store.collections.create("d", site="BBB")


def test_a_site_is_removed_when_nothing_belongs_to_it(store: Store) -> None:
    store.sites.create("AAA", "PS1")
    store.sites.create("BBB", "AAA")
    store.devices.add(NewDevice("w", (MAC,), site="AAA"))
    with pytest.raises(InUse, match="site BBB, device w"):
        store.sites.remove("AAA")
    store.devices.set("w", site="PS1")
    store.sites.remove("BBB")
    store.sites.remove("AAA")
    assert store.collections.get("All Unknown Computers").members == 3
    with pytest.raises(InUse, match="distribution point"):
        store.sites.remove("PS1")


def test_the_first_site_can_be_given_up(store: Store) -> None:
    store.sites.create("AAA")
    store.dps.set(site="AAA")
    store.sites.remove("PS1")
    assert store.collections.get("All Systems").site == "AAA"


# distribution points


def test_each_distribution_point_has_settings_of_its_own(store: Store) -> None:
    store.sites.create("AAA")
    made = store.dps.create("dp2", "AAA")
    assert (made.enable_pxe, made.allow_pxe_response, made.site) == (False, False, "AAA")
    store.dps.set("dp2", response_delay=4, user_device_affinity=2)
    assert store.dps.get("dp2").response_delay == 4
    assert store.dps.get().response_delay == 0
    assert [point.name for point in store.dps.all()] == [store.point, "dp2"]
    with pytest.raises(AlreadyExists):
        store.dps.create("dp2")
    with pytest.raises(NotFound, match="did you mean dp2"):
        store.dps.get("dp22")
    with pytest.raises(Invalid):
        store.dps.create("a b")


def test_a_distribution_point_is_removed_from_another(store: Store) -> None:
    store.dps.create("dp2")
    with pytest.raises(Invalid, match=store.point):
        store.dps.remove(store.point)
    store.dps.remove("dp2")
    assert [point.name for point in store.dps.all()] == [store.point]


def test_interfaces_are_names_or_mac_addresses_in_one_spelling(store: Store) -> None:
    point = store.dps.set(interfaces=("eth0", "00-11-22-33-44-55", "0011.2233.4455", "eth0"))
    assert point.interfaces == ("eth0", MAC)


# groups


def test_groups_of_distribution_points_are_kept(store: Store) -> None:
    store.dps.create("dp2")
    store.groups.create("North")
    assert store.groups.add("north", ["dp2", store.point, "dp2"]).distribution_points == tuple(
        sorted(["dp2", store.point])
    )
    assert store.groups.discard("north", [store.point]).distribution_points == ("dp2",)
    store.dps.remove("dp2")
    assert store.groups.get("NORTH").distribution_points == ()
    with pytest.raises(NotFound):
        store.groups.add("north", ["dp9"])
    with pytest.raises(AlreadyExists):
        store.groups.create("NORTH")
    store.groups.remove("north")
    assert store.groups.all() == []


def test_boundary_groups_hold_subnets_and_distribution_points(store: Store) -> None:
    store.boundaries.create("floor 3")
    row = store.boundaries.add("floor 3", [store.point], ["10.1.10.0/24", "10.1.2.0/24", "10.1.2.0/24"])
    assert row.subnets == ("10.1.2.0/24", "10.1.10.0/24")
    assert row.distribution_points == (store.point,)
    assert store.boundaries.discard("floor 3", subnets=["10.1.2.0/24"]).subnets == ("10.1.10.0/24",)
    assert [group.name for group in store.boundaries.all()] == ["floor 3"]


def test_a_boundary_group_says_some_sizes_and_leaves_others_to_the_next_level(store: Store) -> None:
    store.boundaries.create("floor 3")
    assert store.boundaries.get("floor 3").sizes == (None, None, None)
    assert store.boundaries.set_sizes("Floor 3", block_size=1456, variable_window=False).sizes == (
        1456,
        None,
        False,
    )
    assert store.boundaries.set_sizes("floor 3", block_size=None, window_size=300).sizes == (None, 300, False)
    with pytest.raises(Invalid, match="window size 300"):
        store.boundaries.set_sizes("floor 3", variable_window=True)
    with pytest.raises(Invalid, match="block size 100"):
        store.boundaries.set_sizes("floor 3", block_size=100)
    assert store.boundaries.all()[0].sizes == (None, 300, False)
    with pytest.raises(NotFound):
        store.boundaries.set_sizes("floor 4", block_size=1456)


@pytest.mark.parametrize("subnet", ["10.1.2.3/24", "10.1.2.0/33", "fd00::/64", "lan"])
def test_a_subnet_that_is_none_is_refused(store: Store, subnet: str) -> None:
    store.boundaries.create("g")
    with pytest.raises(Invalid, match="is not a subnet"):
        store.boundaries.add("g", subnets=["10.0.0.0/8", subnet])
    assert store.boundaries.get("g").subnets == ()


# duplicate identifiers


def test_duplicates_are_listed_once_in_any_spelling(store: Store) -> None:
    store.duplicates.add(duplicate_identity(mac="00-11-22-33-44-55"))
    store.duplicates.add(duplicate_identity(guid=GUID.upper()))
    assert store.duplicates.all() == [f"guid:{GUID}", f"mac:{MAC}"]
    for again in (duplicate_identity(mac="0011.2233.4455"), duplicate_identity(guid=SWAPPED)):
        with pytest.raises(AlreadyExists):
            store.duplicates.add(again)
    store.duplicates.remove(duplicate_identity(guid=SWAPPED))
    assert store.duplicates.all() == [f"mac:{MAC}"]
    with pytest.raises(NotFound):
        store.duplicates.remove(duplicate_identity(guid=GUID))


@pytest.mark.parametrize("wrong", [{"mac": "00:11"}, {"guid": "x"}])
def test_a_duplicate_must_be_an_identifier(wrong: Any) -> None:
    with pytest.raises(Invalid):
        duplicate_identity(**wrong)
