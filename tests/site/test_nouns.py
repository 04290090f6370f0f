from pathlib import Path

import pytest
from pxefast.decide import DistributionPoint
from pxefast.errors import AlreadyExists, InUse, Invalid, NotFound
from pxefast.site.devices import NewDevice
from pxefast.site.store import Store

MAC = "00:11:22:33:44:55"
GUID = "11223344-5566-7788-99aa-bbccddeeff00"


def test_a_device_is_kept_in_canonical_form(store: Store) -> None:
    device = store.devices.add(NewDevice("web01", ("00-11-22-33-44-55", "0011.2233.4456"), GUID.upper()))
    assert device.macs == (MAC, "00:11:22:33:44:56")
    assert device.guid == GUID
    assert device.site == "PS1"
    assert store.devices.get("WEB01") == device


@pytest.mark.parametrize(
    "device",
    [
        NewDevice("", (MAC,)),
        NewDevice("web 01", (MAC,)),
        NewDevice("-web01", (MAC,)),
        NewDevice("x" * 64, (MAC,)),
        NewDevice("web\n01", (MAC,)),
        NewDevice("web01"),
        NewDevice("web01", ("00:11:22",)),
        NewDevice("web01", ("00:00:00:00:00:00",)),
        NewDevice("web01", ("ff:ff:ff:ff:ff:ff",)),
        NewDevice("web01", ("01:00:5e:00:00:01",)),
        NewDevice("web01", (MAC,), "not-a-guid"),
        NewDevice("web01", (), "03000200-0400-0500-0006-000700080009"),
        NewDevice("web01", (), "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        NewDevice("web01", (MAC,), None, 0),
    ],
)
def test_a_device_that_could_not_be_told_apart_is_refused(store: Store, device: NewDevice) -> None:
    with pytest.raises(Invalid):
        store.devices.add(device)
    assert store.devices.all() == []


@pytest.mark.parametrize(
    "device",
    [
        NewDevice("WEB01", ("00:11:22:33:44:66",)),
        NewDevice("web02", (MAC,)),
        NewDevice("web02", ("00:11:22:33:44:66", MAC)),
        NewDevice("web02", ("00:11:22:33:44:66",), GUID),
        NewDevice("web02", ("00:11:22:33:44:66",), "44332211-6655-8877-99aa-bbccddeeff00"),
        NewDevice("web02", ("00:11:22:33:44:66",), None, 1),
    ],
)
def test_a_name_mac_guid_or_number_belongs_to_one_device(store: Store, device: NewDevice) -> None:
    store.devices.add(NewDevice("web01", (MAC,), GUID))
    with pytest.raises(AlreadyExists, match="web01"):
        store.devices.add(device)
    assert len(store.devices.all()) == 1


def test_many_devices_are_imported_all_or_none(store: Store) -> None:
    good = NewDevice("web01", (MAC,), line=2)
    bad = NewDevice("web02", (MAC,), line=3)
    with pytest.raises(
        AlreadyExists, match=r"machines\.csv: line 3: MAC 00:11:22:33:44:55 belongs to device web01"
    ):
        store.devices.add_many([good, bad], "machines.csv")
    assert store.devices.all() == []


def test_removing_a_device_takes_it_out_of_its_collections(ready: Store) -> None:
    assert ready.devices.collections("web01") == ["All Systems", "rack"]
    ready.devices.remove("web01")
    assert [device.name for device in ready.collections.members("rack")] == ["web02"]
    with pytest.raises(NotFound):
        ready.devices.get("web01")


def test_another_device_never_gets_a_removed_ones_number(ready: Store) -> None:
    removed = ready.devices.remove("web02")
    assert ready.devices.add(NewDevice("web03", ("00:11:22:33:44:03",))).id != removed.id


@pytest.mark.parametrize(
    "again",
    [
        NewDevice("renamed", ("00:11:22:33:44:01",)),
        NewDevice("web01", ("00:11:22:33:44:99", "00:11:22:33:44:01"), GUID),
    ],
)
def test_the_same_hardware_imported_again_is_the_same_device(ready: Store, again: NewDevice) -> None:
    removed = ready.devices.remove("web01")
    assert ready.devices.add(again).id == removed.id


def test_collections_hold_each_device_once(ready: Store) -> None:
    assert ready.collections.add("RACK", ["web01", "web01"]) == []
    assert ready.collections.get("rack").members == 2
    assert ready.collections.discard("rack", ["web01"]) == ["web01"]
    assert ready.collections.discard("rack", ["web01"]) == []
    assert ready.collections.add("rack", ["web01", "web01"]) == ["web01"]


def test_an_unknown_device_adds_none_of_them(ready: Store) -> None:
    ready.collections.create("other")
    with pytest.raises(NotFound):
        ready.collections.add("other", ["web01", "nobody"])
    assert ready.collections.members("other") == []


def test_names_are_unique_whatever_their_case(ready: Store) -> None:
    with pytest.raises(AlreadyExists):
        ready.collections.create("Rack")
    with pytest.raises(AlreadyExists):
        ready.boot_images.add("LINUX", "x64", Path("/nowhere"), {"uefi": "a"})
    with pytest.raises(AlreadyExists):
        ready.task_sequences.create("Install", "PS100002")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 128])
def test_names_are_printable(store: Store, name: str) -> None:
    with pytest.raises(Invalid):
        store.collections.create(name)


def test_what_is_in_use_is_not_removed_and_says_by_what(ready: Store) -> None:
    with pytest.raises(InUse, match="PS100003"):
        ready.boot_images.remove("PS100002")
    with pytest.raises(InUse, match="PS120001"):
        ready.task_sequences.remove("PS100003")
    with pytest.raises(InUse, match="PS120001"):
        ready.collections.remove("rack")


def test_what_is_no_longer_in_use_is_removed(ready: Store) -> None:
    ready.deployments.remove("ps120001")
    ready.task_sequences.remove("PS100003")
    ready.boot_images.remove("PS100002")
    ready.collections.remove("rack")
    assert ready.deployments.all() == ready.task_sequences.all() == ready.boot_images.all() == []
    assert [row.name for row in ready.collections.all()] == ["All Systems", "All Unknown Computers"]
    assert len(ready.devices.all()) == 2


def test_a_boot_image_needs_known_words(store: Store) -> None:
    with pytest.raises(Invalid, match="mips"):
        store.boot_images.add("a", "mips", Path("/nowhere"), {"uefi": "a"})  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="coreboot"):
        store.boot_images.add("a", "x64", Path("/nowhere"), {"coreboot": "a"})
    with pytest.raises(Invalid, match="at least one"):
        store.boot_images.add("a", "x64", Path("/nowhere"), {})


def test_a_boot_image_is_pxe_enabled_until_told_otherwise(ready: Store) -> None:
    assert ready.boot_images.get("PS100002").pxe_enabled
    ready.boot_images.set("PS100002", pxe_enabled=False)
    assert not ready.boot_images.get("PS100002").pxe_enabled


def test_a_new_distribution_point_is_safe(store: Store) -> None:
    assert store.dps.get() == DistributionPoint(
        name=store.point,
        site="PS1",
        enable_pxe=False,
        allow_pxe_response=False,
        interfaces=None,
        unknown_computers=False,
        response_delay=0,
        listen_on_dhcp_port=True,
        mac_ignore_list_file=None,
        ramdisk_tftp_block_size=4096,
        ramdisk_tftp_window_size=1,
        ramdisk_tftp_variable_window=False,
    )


@pytest.mark.parametrize("interfaces", [None, (), ("eth0",), ("eth0", "br-lan.7")])
def test_interfaces_come_back_as_they_were_set(store: Store, interfaces: tuple[str, ...] | None) -> None:
    assert store.dps.set(interfaces=interfaces).interfaces == interfaces
    assert store.dps.get().interfaces == interfaces


@pytest.mark.parametrize(
    "change",
    [
        {"response_delay": -1},
        {"ramdisk_tftp_block_size": 511},
        {"ramdisk_tftp_block_size": 65465},
        {"ramdisk_tftp_window_size": 0},
        {"ramdisk_tftp_window_size": 65536},
        {"ramdisk_tftp_window_size": 256, "ramdisk_tftp_variable_window": True},
        {"interfaces": ("eth0/1",)},
        {"interfaces": ("x" * 16,)},
    ],
)
def test_a_setting_out_of_range_is_refused(store: Store, change: dict[str, object]) -> None:
    before = store.dps.get()
    with pytest.raises(Invalid):
        store.dps.set(**change)
    assert store.dps.get() == before


def test_a_window_is_judged_together_with_whether_it_may_vary(store: Store) -> None:
    store.dps.set(ramdisk_tftp_window_size=256)
    with pytest.raises(Invalid, match="1 to 255 blocks with a variable window"):
        store.dps.set(ramdisk_tftp_variable_window=True)
    store.dps.set(ramdisk_tftp_window_size=255, ramdisk_tftp_variable_window=True)
    with pytest.raises(Invalid, match="window size 256"):
        store.dps.set(ramdisk_tftp_window_size=256)
    point = store.dps.set(ramdisk_tftp_window_size=256, ramdisk_tftp_variable_window=False)
    assert (point.ramdisk_tftp_window_size, point.ramdisk_tftp_variable_window) == (256, False)


def test_the_collection_of_unknown_computers_is_built_in(ready: Store) -> None:
    for change in (
        lambda: ready.collections.add("all unknown computers", ["web01"]),
        lambda: ready.collections.remove("All Unknown Computers"),
    ):
        with pytest.raises(Invalid, match="built in"):
            change()
    sequence = ready.task_sequences.all()[0]
    with pytest.raises(Invalid, match="without a record"):
        ready.deployments.create(sequence.id, "All Unknown Computers", "required", "media-pxe")
    ready.deployments.create(sequence.id, "All Unknown Computers", "available", "media-pxe")


def test_no_two_of_boot_image_task_sequence_and_collection_have_one_id(store: Store) -> None:
    image = store.boot_images.add("a", "x64", Path("/nowhere"), {"uefi": "a.efi"}, "PS100001")
    assert store.collections.create("rack").id == "PS100002"
    with pytest.raises(AlreadyExists, match="boot image PS100001"):
        store.task_sequences.create("install", image.id, "PS100001")
