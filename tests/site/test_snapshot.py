from pathlib import Path

from pxefast.site.devices import NewDevice
from pxefast.site.ledger import Claim, Ledger
from pxefast.site.snapshot import load
from pxefast.site.store import Store

NOW = 1_700_000_000.0


def test_a_snapshot_finds_devices_by_each_of_their_identifiers(store: Store) -> None:
    guid = "11223344-5566-7788-99aa-bbccddeeff00"
    device = store.devices.add(NewDevice("web01", ("00:11:22:33:44:55", "00:11:22:33:44:56"), guid))
    site = load(store, store.point, (), 900)
    assert site.devices_by_mac == {"00:11:22:33:44:55": device, "00:11:22:33:44:56": device}
    assert site.devices_by_guid == {guid: device}


def test_each_device_has_the_deployments_of_all_its_collections_highest_first(ready: Store) -> None:
    sequence = ready.task_sequences.all()[0]
    ready.collections.create("all")
    ready.collections.add("all", ["web01"])
    ready.deployments.create(sequence.id, "all", "available", "media-pxe-hidden")
    ready.devices.add(NewDevice("idle", ("00:11:22:33:44:99",)))
    site = load(ready, ready.point, (), 900)
    assert {key: [item.id for item in value] for key, value in site.deployments_by_device.items()} == {
        1: ["PS120002", "PS120001"],
        2: ["PS120001"],
    }
    newest = site.deployments_by_device[1][0]
    assert (newest.purpose, newest.audience, newest.boot_image_id) == (
        "available",
        "media-pxe-hidden",
        "PS100002",
    )


def test_an_image_is_distributed_only_if_the_library_has_it(ready: Store) -> None:
    ready.boot_images.add("other", "arm64", Path("/nowhere"), {"uefi": "a.efi"}, pxe_enabled=False)
    images = load(ready, ready.point, {"PS100002"}, 900).boot_images
    assert (images["PS100002"].distributed, images["PS100002"].pxe_enabled) == (True, True)
    assert (images["PS100004"].distributed, images["PS100004"].pxe_enabled) == (False, False)
    assert images["PS100002"].programs == {"uefi": "grubx64.efi"}


def test_marks_are_the_newest_claims_and_none_after_a_clear(ready: Store) -> None:
    ledger = Ledger(ready, ready.point)
    result = ledger.claim(
        [
            Claim(1, (), "PS120001", 1, 7, NOW, 900, None, None),
            Claim(2, (), "PS120001", 1, 8, NOW, 900, None, None),
        ]
    )
    ledger.clear_device("web02")
    assert load(ready, ready.point, (), 900).marks == {(1, "PS120001"): result[0].mark}


def test_a_snapshot_is_not_changed_by_what_comes_after(ready: Store) -> None:
    site = load(ready, ready.point, (), 900)
    ready.devices.remove("web01")
    ready.dp.set(allow_pxe_response=False)
    assert "00:11:22:33:44:01" in site.devices_by_mac
    assert site.dp.allow_pxe_response


def test_loading_takes_as_many_statements_for_a_thousand_devices_as_for_one(ready: Store) -> None:
    from sqlalchemy import event

    def statements() -> int:
        seen: list[str] = []

        def count(_c: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement)

        engine = ready._reader
        event.listen(engine, "before_cursor_execute", count)
        load(ready, ready.point, (), 900)
        event.remove(engine, "before_cursor_execute", count)
        return len(seen)

    before = statements()
    many = [NewDevice(f"n{i}", (f"02:00:00:00:{i >> 8:02x}:{i & 255:02x}",)) for i in range(1000)]
    ready.devices.add_many(many)
    ready.collections.add("rack", [device.name for device in many[:50]])
    assert statements() == before


def test_machines_without_a_record_have_the_deployments_to_all_unknown_computers(ready: Store) -> None:
    sequence = ready.task_sequences.all()[0]
    made = ready.deployments.create(sequence.id, "All Unknown Computers", "available", "media-pxe")
    site = load(ready, ready.point, (), 900)
    for architecture in ("x86", "x64", "arm64"):
        assert [item.id for item in site.unknown_deployments[architecture]] == [made.id]
    assert all(item.id != made.id for items in site.deployments_by_device.values() for item in items)
