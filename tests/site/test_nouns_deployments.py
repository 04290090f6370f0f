"""Whom a required deployment is armed for, and what has to be said before it is."""

from pathlib import Path
from typing import Any

import pytest
from pxefast.errors import AlreadyExists, Invalid, NotFound, Unconfirmed
from pxefast.site import schema
from pxefast.site.devices import NewDevice
from pxefast.site.store import Store
from sqlalchemy import select


@pytest.fixture
def rack(store: Store) -> Store:
    """Devices n00 to n29, all in collection `rack`, and task sequence PS100003."""
    devices = [NewDevice(f"n{number:02d}", (f"02:00:00:00:00:{number:02x}",)) for number in range(30)]
    store.devices.add_many(devices)
    store.collections.create("rack")
    store.collections.add("rack", [device.name for device in devices])
    image = store.boot_images.add("linux", "x64", Path("/nowhere"), {"uefi": "grubx64.efi"})
    store.task_sequences.create("install", image.id)
    return store


def deploy(store: Store, collection: str = "rack", purpose: Any = "required", **more: Any) -> Any:
    return store.deployments.create("PS100003", collection, purpose, "media-pxe", **more)


def small(store: Store, *devices: str) -> str:
    name = store.collections.create("small").name
    store.collections.add(name, devices)
    return name


def armed(store: Store, deployment: str) -> list[int]:
    k = schema.ledger.c
    with store.read() as connection:
        query = select(k.device_id).where(
            k.deployment_id == deployment, k.state == "ARMED", k.generation == 1
        )
        return sorted(connection.execute(query).scalars())


def test_a_required_deployment_is_armed_for_the_members_that_it_finds(rack: Store) -> None:
    row = deploy(rack, small(rack, "n01", "n02"))
    rack.collections.add("small", ["n03"])
    assert armed(rack, row.id) == [2, 3]
    status = rack.deployments.status(row.id)
    assert (status.members, status.pending, status.states) == (3, ["n03"], {"ARMED": 2})
    assert deploy(rack, "small", "available").id == "PS120002"
    assert armed(rack, "PS120002") == []


def test_nobody_waits_for_approval_where_that_is_switched_off(rack: Store) -> None:
    row = deploy(rack, small(rack, "n01"))
    rack.collections.add("small", ["n03"])
    rack.policy.set("approve_new_members", "no")
    assert rack.deployments.status(row.id).pending == []


def test_protected_devices_are_left_out_and_named(rack: Store) -> None:
    rack.devices.set("n02", protected=True)
    row = deploy(rack, small(rack, "n01", "n02"))
    assert armed(rack, row.id) == [2]
    status = rack.deployments.status(row.id)
    assert (status.protected, status.pending) == (["n02"], [])


@pytest.mark.parametrize("identity", ["mac:02:00:00:00:00:01", "guid:44332211-6655-8877-99aa-bbccddeeff00"])
def test_a_machine_that_pxefast_runs_on_is_refused_whatever_is_confirmed(rack: Store, identity: str) -> None:
    rack.devices.add(NewDevice("n01", (), "11223344-5566-7788-99aa-bbccddeeff00"), on_conflict="merge")
    rack.dps.set_own([identity])
    confirm = rack.deployments.plan("PS100003", small(rack, "n02"), "required", "media-pxe").hash
    for hash_ in (confirm, None):
        with pytest.raises(Invalid, match=r"n01.*R-59"):
            deploy(rack, confirm=hash_)
    assert rack.deployments.all() == []
    deploy(rack, purpose="available")


# confirmation


def test_many_machines_must_be_confirmed_by_the_hash_of_their_list(rack: Store) -> None:
    with pytest.raises(Unconfirmed, match=r"30 devices \(n00, n01, n02, n03, n04 and 25 more\)") as refused:
        deploy(rack)
    assert refused.value.list_hash in str(refused.value)
    assert rack.deployments.plan("PS100003", "rack", "required", "media-pxe").hash == refused.value.list_hash
    assert len(armed(rack, deploy(rack, confirm=refused.value.list_hash).id)) == 30


def test_a_changed_list_has_another_hash(rack: Store) -> None:
    before = rack.deployments.plan("PS100003", "rack", "required", "media-pxe").hash
    rack.collections.discard("rack", ["n00"])
    rack.collections.add("rack", [rack.devices.add(NewDevice("other", ("02:00:00:00:01:00",))).name])
    with pytest.raises(Unconfirmed, match="not the one that was confirmed"):
        deploy(rack, confirm=before)
    rack.collections.discard("rack", [f"n{number:02d}" for number in range(1, 20)])
    with pytest.raises(Unconfirmed):
        deploy(rack, confirm=before)
    assert rack.deployments.all() == []
    deploy(rack)


def test_the_hash_of_another_deed_confirms_nothing(rack: Store) -> None:
    rack.task_sequences.create("other", "PS100002", "PS1000FF")
    other = rack.deployments.plan("PS1000FF", "rack", "required", "media-pxe").hash
    with pytest.raises(Unconfirmed):
        deploy(rack, confirm=other)


def test_protected_devices_do_not_count(rack: Store) -> None:
    for number in range(10):
        rack.devices.set(f"n{number:02d}", protected=True)
    assert len(armed(rack, deploy(rack).id)) == 20


def test_how_many_need_a_confirmation_is_a_setting(rack: Store) -> None:
    rack.policy.set("confirm_above", "30")
    deploy(rack)
    rack.policy.set("confirm_above", "0")
    with pytest.raises(Unconfirmed):
        deploy(rack, small(rack, "n01"))


# limits


def test_every_device_is_no_target(rack: Store) -> None:
    with pytest.raises(Invalid, match="CM-81"):
        deploy(rack, "All Systems")
    deploy(rack, "All Systems", "available")


def test_unknown_machines_are_a_target_only_where_the_setting_says_so(rack: Store) -> None:
    mine = small(rack, "n01", "x64 Unknown Computer (PS1)")
    for name in ("All Unknown Computers", mine):
        with pytest.raises(Invalid, match=r"without a record.*required_for_unknown"):
            deploy(rack, name)
        deploy(rack, name, "available")
    rack.policy.set("required_for_unknown", "yes")
    assert len(armed(rack, deploy(rack, mine).id)) == 2
    assert len(armed(rack, deploy(rack, "All Unknown Computers").id)) == 3


def test_a_large_collection_is_warned_of_and_a_larger_one_refused(rack: Store) -> None:
    rack.policy.set("collection_default_size", "29")
    plan = rack.deployments.plan("PS100003", "rack", "required", "media-pxe")
    assert plan.warning is not None
    assert "30 members" in plan.warning
    rack.policy.set("collection_maximum_size", "29")
    with pytest.raises(Invalid, match=r"30 members.*CM-82"):
        deploy(rack, confirm=plan.hash)
    rack.policy.set("collection_maximum_size", "30")
    deploy(rack, confirm=plan.hash)


def test_a_task_sequence_without_a_boot_image_is_for_clients_only(rack: Store) -> None:
    sequence = rack.task_sequences.create("patch")
    assert sequence.boot_image_id is None
    with pytest.raises(Invalid, match="CM-71"):
        rack.deployments.create(sequence.id, "rack", "available", "media-pxe")
    row = rack.deployments.create(sequence.id, "rack", "available", "clients")
    with pytest.raises(Invalid, match="CM-71"):
        rack.deployments.set(row.id, audience="media-pxe")


# later


def test_a_deployment_is_changed_disabled_and_enabled(rack: Store) -> None:
    row = deploy(rack, small(rack, "n01"), available_at=1000.0, rerun="never")
    assert (row.enabled, row.available_at, row.expires_at, row.rerun) == (True, 1000.0, None, "never")
    changed = rack.deployments.set(row.id, audience="media-pxe-hidden", expires_at=2000.0, rerun="if-failed")
    assert changed == row._replace(audience="media-pxe-hidden", expires_at=2000.0, rerun="if-failed")
    assert rack.deployments.set(row.id, available_at=None).available_at is None
    assert not rack.deployments.enable(row.id.lower(), False).enabled
    assert rack.deployments.enable(row.id, True).enabled
    assert armed(rack, row.id) == [2]


@pytest.mark.parametrize("change", [{"audience": "all"}, {"rerun": "sometimes"}, {"expires_at": 999.0}])
def test_a_change_that_makes_no_sense_is_refused(rack: Store, change: Any) -> None:
    row = deploy(rack, small(rack, "n01"), available_at=1000.0)
    with pytest.raises(Invalid):
        rack.deployments.set(row.id, **change)
    with pytest.raises(NotFound):
        rack.deployments.set("PS1FFFFF", rerun="never")
    assert rack.deployments.get(row.id) == row


def test_no_deployment_inherits_the_history_of_another(rack: Store) -> None:
    deploy(rack, small(rack, "n01"), wanted_id="PS120002")
    rack.deployments.remove("PS120002")
    with pytest.raises(AlreadyExists, match="PS120002"):
        deploy(rack, "small", wanted_id="PS120002")
    assert [deploy(rack, "small").id for _ in range(2)] == ["PS120001", "PS120003"]
