import struct
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pxefast.content import bcd, bcd_store, regf
from pxefast.content.bcd import Ramdisk
from pxefast.content.regf import Key, Value
from pxefast.errors import ContentError, Invalid
from pxefast.site.tftp_sizes import TftpSizes, check_sizes
from regipy.plugins.bcd.boot_entry_list import BootEntryListPlugin
from regipy.registry import RegistryHive

from . import hives

WIM = r"\SMSImages\PS100005\boot.PS100005.wim"
PE = Ramdisk(WIM, 4096, 16, False, "bios")
BOTH = [replace(PE, firmware=firmware, shape=shape) for firmware, shape in product(bcd.FIRMWARES, bcd.SHAPES)]

# No options object; then type 5, flags, size and nothing else (B-18).
BOOT = bytes.fromhex(f"{'00' * 16} 05000000 00000000 48000000 00000000 {'00' * 56}")
# Read off the table of B-19, for the file \sources\boot.wim and the options object of install media.
SOURCES = bytes.fromhex(
    f"""
    c8dc1976 fefa d911 b411 000476eba25f
    00000000 01000000 a0000000 00000000
    03000000 0000000000000000 0000000000000000 00000000
    01000000 78000000 05000000
    05000000 00000000 48000000 00000000 {"00" * 56}
    5c00 7300 6f00 7500 7200 6300 6500 7300 5c00 6200 6f00 6f00 7400 2e00 7700 6900 6d00 0000
    """
)

OPTIONS = "{68d9e51c-a129-4ee1-9725-2ab00a957daf}"
BOOTMGR = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
GLOBALS = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}"
DEBUGGER = "{4636856e-540f-4170-a130-a84776f4c654}"
EMS = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}"
LOADERS = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}"


def sz(text: str) -> tuple[int, bytes]:
    return 1, f"{text}\0".encode("utf-16-le")


def many(*texts: str) -> tuple[int, bytes]:
    return 7, "".join(f"{text}\0" for text in (*texts, "")).encode("utf-16-le")


def number(value: int) -> tuple[int, bytes]:
    return 3, value.to_bytes(8, "little")


def flag(value: bool) -> tuple[int, bytes]:
    return 3, bytes([value])


def ramdisk(path: str) -> bytes:
    """The bytes of a ramdisk element, by the offsets of the table."""
    name = f"{path}\0".encode("utf-16-le")
    element = bytearray(140) + name
    element[0:16] = UUID(OPTIONS).bytes_le
    struct.pack_into("<I", element, 0x14, 1)
    struct.pack_into("<I", element, 0x18, len(element) - 16)
    struct.pack_into("<I", element, 0x20, 3)
    struct.pack_into("<I", element, 0x38, 1)
    struct.pack_into("<I", element, 0x3C, 12 + 72 + len(name))
    struct.pack_into("<I", element, 0x40, 5)
    element[0x44 : 0x44 + 72] = BOOT[16:]
    return bytes(element)


def expected(store: Ramdisk, loader: str) -> hives.Fields:
    """Every value that must be in a store, by rule B-12 to B-22."""
    full = store.shape == "full"
    program = {"bios": "winload.exe", "uefi": "winload.efi"}[store.firmware]
    wim = 3, ramdisk(store.wim_path)
    objects: dict[str, tuple[int, dict[str, tuple[int, bytes]]]] = {
        BOOTMGR: (
            0x10100002,
            {
                "12000004": sz("Windows Boot Manager"),
                "12000005": sz("en-US"),
                "1200004a": sz(r"\SMSBoot\Fonts"),
                "23000003": sz(loader),
                "24000001": many(loader),
                "25000004": number(0),
            },
        ),
        OPTIONS: (
            0x30000000,
            {
                "12000004": sz("RAM disk options"),
                "31000003": (3, BOOT),
                "32000004": sz(r"\SMSBoot\boot.sdi"),
                "35000007": number(store.block_size),
                "35000008": number(store.window_size),
                "3600000b": flag(store.variable_window),
            },
        ),
        loader: (
            0x10200003,
            {
                "11000001": wim,
                "12000002": sz(rf"\windows\system32\boot\{program}"),
                "12000004": sz("Windows PE"),
                "12000005": sz("en-US"),
                "21000001": wim,
                "22000002": sz(r"\windows"),
                "26000010": flag(True),
                "26000022": flag(True),
                "250000c2": number(1),
                "260000b0": flag(False),
            },
        ),
    }
    if full:
        objects[BOOTMGR][1]["14000006"] = many(GLOBALS)
        objects[loader][1]["14000006"] = many(LOADERS)
        objects |= {
            GLOBALS: (0x20100000, {"14000006": many(DEBUGGER, EMS)}),
            DEBUGGER: (
                0x20100000,
                {"15000011": number(0), "15000013": number(1), "15000014": number(115200)},
            ),
            EMS: (0x20100000, {"16000020": flag(False)}),
            LOADERS: (0x20200003, {"14000006": many(GLOBALS)}),
        }
    fields: hives.Fields = {(("Description",), "KeyName"): sz("BCD00000000")}
    for guid, (kind, elements) in objects.items():
        fields[("Objects", guid, "Description"), "Type"] = 4, struct.pack("<I", kind)
        for element, held in elements.items():
            fields[("Objects", guid, "Elements", element), "Element"] = held
    return fields


def loader_of(file: Path) -> str:
    default = ("Objects", BOOTMGR, "Elements", "23000003"), "Element"
    return hives.by_python_registry(file)[default][1].decode("utf-16-le").rstrip("\0")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "boot.bcd"


def test_device_elements_are_byte_for_byte_those_of_windows() -> None:
    assert bytes(16) + bcd.boot_device() == BOOT
    install_media = UUID("7619dcc8-fafe-11d9-b411-000476eba25f")
    element = bcd.ramdisk_device(install_media, r"\sources\boot.wim")
    assert element == SOURCES
    assert len(element) == 176
    assert bcd.ramdisk_device(UUID(OPTIONS), WIM) == ramdisk(WIM)


@pytest.mark.parametrize("store", BOTH, ids=lambda store: f"{store.firmware}-{store.shape}")
def test_every_reader_finds_every_value_of_a_store(store: Ramdisk, file: Path) -> None:
    file.write_bytes(bcd.build(store))
    fields = expected(store, loader_of(file))
    assert hives.by_python_registry(file) == fields
    assert hives.by_regipy(file) == fields
    assert hives.by_hivex(file) == fields
    printed = hives.by_regtree(file)
    assert printed.keys() == fields.keys()
    for at, (kind, data) in fields.items():
        name, text = printed[at]
        match kind:
            case 1:
                assert (name, text) == ("REG_SZ", data.decode("utf-16-le").rstrip("\0"))
            case 3:
                # It prints the whole cell that the data lies in.
                assert name == "REG_BINARY"
                assert bytes.fromhex(text)[: len(data)] == data
            case 4:
                assert (name, int(text, 16)) == ("REG_DWORD", int.from_bytes(data, "little"))
            case _:
                assert name == "REG_MULTI_SZ"


def test_a_store_can_be_edited_by_a_tool_of_others_and_is_read_then(file: Path) -> None:
    file.write_bytes(bcd.build(PE))
    way = (rf"cd Objects\{OPTIONS}\Elements", "add 35000001", "cd 35000001")
    change = ("setval 1", "Element", "hex:3:07,00,00,00", "commit", "")
    commands = "\n".join((*way, *change))
    subprocess.run(["hivexsh", "-w", str(file)], input=commands, text=True, check=True)
    options = described(file.read_bytes())[OPTIONS]
    assert (options["ramdiskimageoffset"], options["ramdisktftpblocksize"]) == (7, 4096)


@pytest.mark.parametrize("store", BOTH, ids=lambda store: f"{store.firmware}-{store.shape}")
def test_every_cell_of_a_store_is_where_it_belongs(store: Ramdisk) -> None:
    data = bcd.build(store)
    assert hives.check(data) == (54 if store.shape == "full" else 34)
    assert len(data) == (16384 if store.shape == "full" else 12288)


def test_a_forensic_tool_lists_the_loader_of_a_store(file: Path) -> None:
    file.write_bytes(bcd.build(PE))
    hive = RegistryHive(str(file), hive_type="bcd")
    plugin = BootEntryListPlugin(hive, as_json=True)
    plugin.run()
    (entry,) = [entry for entry in plugin.entries if entry["type"] == "0x10200003"]
    assert entry["name"] == "Windows PE"
    assert entry["image_path"] == r"\windows\system32\boot\winload.exe"


def test_a_store_depends_on_its_arguments_alone() -> None:
    again = replace(PE)
    bcd.build.cache_clear()
    first = bcd.build(PE)
    bcd.build.cache_clear()
    assert bcd.build(again) == first


def test_bios_and_uefi_differ_in_the_loader_alone(file: Path) -> None:
    found = []
    for firmware in bcd.FIRMWARES:
        file.write_bytes(bcd.build(replace(PE, firmware=firmware)))
        found.append(set(hives.by_python_registry(file).items()))
    differing = {at[0][-1] for at, _ in found[0] ^ found[1]}
    assert differing == {"12000002"}


def test_block_and_window_have_the_ids_that_boot_managers_read(file: Path) -> None:
    file.write_bytes(bcd.build(replace(PE, block_size=1456, window_size=4, variable_window=True)))
    found = hives.by_python_registry(file)
    options = {at[0][-1]: data for at, (_, data) in found.items() if at[0][1:2] == (OPTIONS,)}
    assert options["35000007"].hex() == "b005000000000000"
    assert options["35000008"].hex() == "0400000000000000"
    assert options["3600000b"].hex() == "01"
    assert not {"36000007", "36000008"} & options.keys(), "what a public table calls them (B-17)"


SIZES = [
    (512, 1, True, True),
    (65464, 255, True, True),
    (65464, 65535, False, True),
    (511, 1, False, False),
    (65465, 1, False, False),
    (-1, 1, False, False),
    (4096, 0, False, False),
    (4096, 256, True, False),
    (4096, 65536, False, False),
]


@pytest.mark.parametrize(("block", "window", "variable", "good"), SIZES)
def test_sizes_that_no_boot_manager_can_use_are_refused_as_the_site_refuses_them(
    block: int, window: int, variable: bool, good: bool
) -> None:
    store = replace(PE, block_size=block, window_size=window, variable_window=variable)
    if good:
        bcd.build(store)
        check_sizes(TftpSizes(block, window, variable))
        return
    with pytest.raises(ContentError, match="cannot be used; give"):
        bcd.build(store)
    with pytest.raises(Invalid):
        check_sizes(TftpSizes(block, window, variable))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_path_arrives_as_it_was_given(tail: str) -> None:
    store = bcd.build(replace(PE, wim_path=f"\\{tail}"))
    hives.check(store)
    root = regf.read(store)
    element = root.find("Objects", "{d2a5f1c6-6b0e-4f0c-9a57-70786566e001}", "Elements", "11000001")
    assert element is not None
    assert element.values[0].data == ramdisk(f"\\{tail}")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("boot.wim", "must begin with a backslash"),
        ("", "must begin with a backslash"),
        ("\\SMSImages/boot.wim", "hold no slash"),
        ("\\" + "x" * 1024, "1024 characters at most"),
        ("\\a\0b", "without NUL"),
        ("\\\ud800", "no valid Unicode"),
    ],
)
def test_a_path_that_no_boot_manager_could_ask_for_is_refused(path: str, why: str) -> None:
    for field in ("wim_path", "sdi_path", "font_path"):
        with pytest.raises(ContentError, match=why):
            bcd.build(replace(PE, **{field: path}))


def described(store: bytes) -> dict[str, dict[str, Any]]:
    """Of each object its elements by bcdedit's name."""
    return {
        item.alias or item.id: {element.name: element.value for element in item.elements}
        for item in bcd_store.describe(store).objects
    }


def test_a_store_is_told_in_bcdedits_words() -> None:
    found = described(bcd.build(replace(PE, block_size=16384, variable_window=True)))
    assert found[OPTIONS] == {
        "description": "RAM disk options",
        "ramdisksdidevice": {"type": "boot"},
        "ramdisksdipath": r"\SMSBoot\boot.sdi",
        "ramdisktftpblocksize": 16384,
        "ramdisktftpwindowsize": 16,
        "ramdisktftpvarwindow": True,
    }
    loader = found[found["{bootmgr}"]["default"]]
    device = {
        "type": "ramdisk",
        "device": {"type": "boot"},
        "path": WIM,
        "image_base": 0,
        "image_size": 0,
        "image_offset": 0,
        "options": OPTIONS,
    }
    assert loader["device"] == loader["osdevice"] == device
    assert (loader["systemroot"], loader["winpe"], loader["bootmenupolicy"]) == (r"\windows", True, 1)
    assert found["{bootmgr}"]["displayorder"] == [found["{bootmgr}"]["default"]]
    text = "\n".join(bcd_store.describe(bcd.build(PE)).lines())
    assert "Windows Boot Loader\n-------------------\nidentifier" in text
    assert rf"11000001 device                  ramdisk=[boot]{WIM},{OPTIONS}" in text
    assert "35000007 ramdisktftpblocksize    4096" in text
    assert "26000022 winpe                   Yes" in text
    assert f"{GLOBALS} {{globalsettings}}" in text


def store_with(elements: dict[str, Value | None], kind: int = 0x10200003) -> bytes:
    keys = tuple(
        Key(name, () if value is None else (value._replace(name="Element"),))
        for name, value in elements.items()
    )
    below = (Key("Description", (Value.number("Type", kind),)), Key("Elements", keys=keys))
    return regf.write(Key("x", keys=(Key("Objects", keys=(Key("{x}", keys=below),)),)))


def only(element: str, data: bytes, kind: int = 3, of: int = 0x10200003) -> bcd_store.Element:
    store = bcd_store.describe(store_with({element: Value("", kind, data)}, of))
    return store.objects[0].elements[0]


def device(kind: int, body: str, options: str = "00" * 16) -> bytes:
    raw = bytes.fromhex(body)
    return bytes.fromhex(options) + struct.pack("<IIII", kind, 0, 16 + len(raw), 0) + raw


GPT = "11223344556677881122334455667788 00000000 00000000 aabbccddeeff00112233445566778899"
MBR = f"0000100000000000 0000000000000000 00000000 01000000 78563412 {'00' * 12}"

DEVICES = [
    (5, "00" * 56, "boot"),
    (6, GPT, "partition=44332211-6655-8877-1122-334455667788 on disk ddccbbaa-ffee-1100-2233-445566778899"),
    (6, MBR, "partition at byte 1048576 on disk 12345678"),
    (8, "0000000000000000000000000000", "locate=" + "00" * 14),
    (0, "01000000 00000000", "floppy=00000000"),
    (0, "06000000 aabb", "virtual disk=aabb"),
    (4, "", "udp="),
    (77, "00", "type 77=00"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "text"), DEVICES)
def test_devices_of_other_stores_are_told(kind: int, body: str, text: str) -> None:
    element = only("11000001", device(kind, body))
    assert element.kind == "device"
    lines = list(bcd_store.describe(store_with({"11000001": Value("", 3, device(kind, body))})).lines())
    assert lines[-1] == f"11000001 device                  {text}".rstrip()


def test_a_ramdisk_elsewhere_in_its_image_is_told() -> None:
    element = bytearray(ramdisk(WIM))
    struct.pack_into("<QI", element, 0x2C, 0x8C0000, 5)
    told = only("11000001", bytes(element)).value
    assert told == {**told, "image_size": 0x8C0000, "image_offset": 5, "path": WIM}  # type: ignore[dict-item]


def test_short_integers_and_empty_lists_of_install_media_are_read() -> None:
    assert only("250000c2", b"\x01").value == 1
    assert only("15000014", b"\x00\xc2\x01").value == 115200
    assert only("14000006", b"\0\0", 7).value == []
    assert only("1700000a", struct.pack("<QQ", 1, 2**63)).value == [1, 2**63]


@pytest.mark.parametrize(
    ("element", "kind", "data"),
    [
        ("15000014", 3, b""),
        ("15000014", 3, bytes(9)),
        ("15000014", 1, bytes(8)),
        ("16000020", 3, b""),
        ("1700000a", 3, bytes(9)),
        ("12000004", 3, b"abcd"),
        ("11000001", 3, b""),
        ("11000001", 3, bytes(31)),
        ("11000001", 3, ramdisk(WIM)[:-1]),
        ("11000001", 3, device(6, "00")),
        ("11000001", 3, device(0, "03000000")),
        ("1f000001", 3, b"\x01"),
    ],
)
def test_an_element_that_is_not_what_its_id_says_is_shown_as_its_bytes(
    element: str, kind: int, data: bytes
) -> None:
    told = only(element, data, kind)
    assert (told.id, told.kind, told.value) == (element, "raw", data.hex())


def test_a_ramdisk_in_a_ramdisk_is_not_followed() -> None:
    inner = ramdisk(WIM)[16:]
    outer = ramdisk(WIM)[:0x44]
    element = bytearray(outer + inner + b"\\\0\0\0")
    struct.pack_into("<I", element, 0x18, len(element) - 16)
    struct.pack_into("<I", element, 0x3C, len(element) - 0x38)
    told = only("11000001", bytes(element)).value
    assert isinstance(told, dict)
    assert told["device"]["type"] == "ramdisk"
    assert "path" not in told["device"]


def test_names_depend_on_what_the_object_is() -> None:
    guid = sz("{x}")[1]
    assert only("23000003", guid, 1, 0x10100002).name == "default"
    assert only("23000003", guid, 1, 0x10200002).name == "default", "as Windows Deployment Services type it"
    assert only("23000003", guid, 1, 0x10200003).name == "resumeobject"
    assert only("26000022", b"\x01", 3, 0x20200003).name == "winpe"
    assert only("2500dead", bytes(8)).name == "custom:2500dead"
    assert only("51000001", bytes(8)).name == "custom:51000001"


def test_words_of_a_store_cannot_command_a_terminal() -> None:
    told = only("12000004", sz("\x1b[2J evil \x9b2J\u202e")[1], 1)
    assert told.value == "\ufffd[2J evil \ufffd2J\ufffd"


def test_what_is_no_store_is_refused_with_its_name(file: Path) -> None:
    with pytest.raises(ContentError, match=r"boot\.bcd: No such file"):
        bcd_store.read(file)
    file.write_bytes(b"MZ")
    with pytest.raises(ContentError, match=r"boot\.bcd: it is no registry hive"):
        bcd_store.read(file)
    file.write_bytes(regf.write(Key("SOFTWARE")))
    with pytest.raises(ContentError, match=r"boot\.bcd: it is a registry hive, but no BCD store"):
        bcd_store.read(file)


def test_an_object_without_parts_and_an_element_without_value_are_still_listed() -> None:
    root = Key("x", keys=(Key("Objects", keys=(Key("{empty}"),)),))
    (found,) = bcd_store.describe(regf.write(root)).objects
    assert (found.id, found.kind, found.elements) == ("{empty}", "Unknown", ())
    (element, odd) = bcd_store.describe(store_with({"12000004": None, "odd": None})).objects[0].elements
    assert (element.kind, element.value, odd.id, odd.kind) == ("raw", "", "odd", "raw")
