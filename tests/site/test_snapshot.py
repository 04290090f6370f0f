import time
from pathlib import Path

import pytest
from pxefast.decide.records import Site, swapped_guid
from pxefast.site import schema
from pxefast.site.devices import NewDevice
from pxefast.site.ledger import Claim, Launch, Ledger
from pxefast.site.snapshot import load
from pxefast.site.store import Store
from sqlalchemy import event, insert

NOW = 1_700_000_000.0
GUID = "8a9f841d-4d9f-5e53-a833-734a9fbf87b5"


def snapshot(store: Store, distributed: tuple[str, ...] = ()) -> Site:
    return load(store, store.point, {image: {} for image in distributed}, 900)


def deploy(store: Store, collection: str, purpose: str = "available") -> str:
    sequence = store.task_sequences.all()[0]
    return store.deployments.create(sequence.id, collection, purpose, "media-pxe").id  # type: ignore[arg-type]


def test_a_snapshot_finds_devices_by_each_of_their_identifiers(store: Store) -> None:
    store.devices.add(NewDevice("web01", ("00:11:22:33:44:01", "00:11:22:33:44:02"), GUID))
    store.devices.add(NewDevice("web02", ("00:11:22:33:44:03",)))
    site = snapshot(store)
    assert {mac: device.name for mac, device in site.devices_by_mac.items()} == {
        "00:11:22:33:44:01": "web01",
        "00:11:22:33:44:02": "web01",
        "00:11:22:33:44:03": "web02",
    }
    assert site.devices_by_mac["00:11:22:33:44:02"].macs == ("00:11:22:33:44:01", "00:11:22:33:44:02")
    assert {guid: device.name for guid, device in site.devices_by_guid.items()} == {GUID: "web01"}


def test_each_device_has_the_deployments_of_all_its_collections_highest_first(ready: Store) -> None:
    ready.collections.create("half")
    ready.collections.add("half", ["web01"])
    half = deploy(ready, "half")
    everybody = deploy(ready, "All Systems")
    site = snapshot(ready)
    one, other = site.devices_by_mac["00:11:22:33:44:01"], site.devices_by_mac["00:11:22:33:44:02"]
    assert [item.id for item in one.deployments] == [everybody, half, "PS120001"]
    assert [item.id for item in other.deployments] == [everybody, "PS120001"]
    newest = other.deployments[-1]
    assert (newest.boot_image_id, newest.purpose, newest.audience, newest.enabled) == (
        "PS100002",
        "required",
        "media-pxe",
        True,
    )


def test_devices_of_the_same_collections_share_their_deployments(ready: Store) -> None:
    site = snapshot(ready)
    one, other = site.devices_by_mac["00:11:22:33:44:01"], site.devices_by_mac["00:11:22:33:44:02"]
    assert one.deployments is other.deployments
    marks = site.marks["PS120001"]
    assert marks[1] is marks[2]


def test_the_preferred_deployment_is_the_devices_own_or_that_of_the_highest_collection(ready: Store) -> None:
    ready.collections.create("second")
    ready.collections.add("second", ["web01", "web02"])
    rows = [
        {"collection_id": row.id, "value": value}
        for row, value in ((ready.collections.get("rack"), "PS120009"), (ready.collections.get("second"), "ps12000a "))
    ]  # fmt: skip
    common = {"key": "smstspreferredadvertid", "name": "SMSTSPreferredAdvertID", "secret": False}
    with ready.write("test", "variables") as connection:
        connection.execute(insert(schema.collection_variable), [{**row, **common} for row in rows])
        connection.execute(insert(schema.device_variable).values(device_id=1, value="PS12000B", **common))
    site = snapshot(ready)
    assert site.devices_by_mac["00:11:22:33:44:01"].preferred == "PS12000B"
    assert site.devices_by_mac["00:11:22:33:44:02"].preferred == "PS12000A"


def test_an_image_is_distributed_only_if_the_library_has_it(ready: Store) -> None:
    ready.boot_images.add("other", "x64", Path("/nowhere"), {"uefi": "a.efi"})
    library = [row.id for row in ready.boot_images.all() if row.name == "other"]
    images = snapshot(ready, tuple(library)).boot_images
    assert {image.name: image.distributed for image in images.values()} == {"linux": False, "other": True}


def test_marks_are_the_newest_generations_and_live_is_what_a_machine_has_now(ready: Store) -> None:
    before = snapshot(ready)
    assert {number: mark.state for number, mark in before.marks["PS120001"].items()} == {
        1: "ARMED",
        2: "ARMED",
    }
    assert before.live == {}
    (result,) = Ledger(ready, ready.point).claim(
        [Claim(1, ("mac:00:11:22:33:44:01",), "PS120001", 1, 7, NOW, 900, None, None)]
    )
    after = snapshot(ready)
    assert after.marks["PS120001"][1] == result.mark
    assert after.live == {1: result.mark}
    with ready.write("test", "clear") as connection:
        connection.execute(
            schema.ledger.update().where(schema.ledger.c.state == "CLAIMED").values(state="CLEARED")
        )
        row = {
            "device_id": 1,
            "deployment_id": "PS120001",
            "generation": 2,
            "state": "ARMED",
            "armed_at": NOW,
        }
        connection.execute(insert(schema.ledger).values(**row, returns=0))
    cleared = snapshot(ready)
    assert (cleared.marks["PS120001"][1].generation, cleared.live) == (2, {})


def test_a_snapshot_is_not_changed_by_what_comes_after(ready: Store) -> None:
    site = snapshot(ready)
    ready.deployments.remove("PS120001")
    ready.devices.remove("web01")
    assert site.devices_by_mac["00:11:22:33:44:01"].deployments[0].id == "PS120001"


def test_machines_without_a_record_are_the_unknown_computers_of_the_points_own_site(ready: Store) -> None:
    ready.sites.create("ABC", ready.code)
    ready.dps.create("dp2", "ABC")
    made = deploy(ready, "All Unknown Computers")
    site, other = snapshot(ready), load(ready, "dp2", {}, 900)
    assert set(site.unknown) == set(other.unknown) == {"x86", "x64", "arm64"}
    assert site.unknown["x64"].name == "x64 Unknown Computer (PS1)"
    assert other.unknown["x64"].name == "x64 Unknown Computer (ABC)"
    assert [item.id for item in site.unknown["x64"].deployments] == [made]
    assert all(
        made not in [item.id for item in device.deployments] for device in site.devices_by_mac.values()
    )


def test_a_guid_that_nobody_is_known_by_is_left_out_in_both_byte_orders(store: Store) -> None:
    with store.write("test", "identities") as connection:
        for table, more in (
            (schema.duplicate_identity, {}),
            (schema.own_identity, {"distribution_point": "dp1"}),
        ):
            rows = [{"identity": text, **more} for text in (f"guid:{GUID}", "mac:00:11:22:33:44:55")]
            connection.execute(insert(table), rows)
    site = snapshot(store)
    assert site.duplicate_macs == {"00:11:22:33:44:55"}
    assert site.duplicate_guids == {GUID, swapped_guid(GUID)}
    assert site.own == {"00:11:22:33:44:55", GUID, swapped_guid(GUID)}


def test_a_setting_reaches_the_decision(store: Store) -> None:
    store.policy.set("schedules", "enforce")
    assert snapshot(store).policy.schedules == "enforce"


@pytest.mark.parametrize("number", [1, 300])
def test_loading_takes_as_many_statements_for_many_devices_as_for_one(store: Store, number: int) -> None:
    store.devices.add_many(
        [NewDevice(f"n{i}", (f"02:00:00:00:{i >> 8:02x}:{i & 255:02x}",)) for i in range(number)]
    )
    statements: list[str] = []

    def count(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    event.listen(store._place.engine, "before_cursor_execute", count)
    site = snapshot(store)
    event.remove(store._place.engine, "before_cursor_execute", count)
    assert len(site.devices_by_mac) == number
    # BEGIN is one for SQLite's driver.
    assert len([text for text in statements if text.startswith("SELECT")]) == 17


def test_a_snapshot_holds_the_unreported_launches_that_have_not_settled(ready: Store) -> None:
    """D34; also of a deployment that was removed since, and not of one that settled."""
    ledger, now = Ledger(ready, ready.point), time.time()
    for device, when in ((1, now), (2, now - 25 * 3600)):
        peer, name = f"10.0.0.{device}", "SMSImages/PS100002/grubx64.efi"
        wish = Claim(device, (), "PS120001", 1, 7, when, 900, name, peer)
        assert ledger.claim([wish])[0].ok
        assert ledger.launch([Launch(None, peer, name, f"t{device}", when)])[0].launched
    site = snapshot(ready)
    assert {number: mark.unreported for number, mark in site.launches.items()} == {1: now}
    assert set(site.live) == {1, 2}
    ready.deployments.remove("PS120001")
    site = snapshot(ready)
    assert {number: mark.state for number, mark in site.launches.items()} == {1: "WITHDRAWN"}
    assert site.live == {}
