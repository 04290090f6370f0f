"""What a boot store says: two libraries must read the same; then followed as a boot manager does (B-12 to B-23)."""

from __future__ import annotations

import io
import struct
import tempfile
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from regipy.registry import NKRecord, RegistryHive
from Registry.Registry import Registry, RegistryKey

BOOT_MANAGER = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
BOOT_MANAGER_TYPES = (0x10100002, 0x10200002)
LOADER_TYPE, OPTIONS_TYPE = 0x10200003, 0x30000000
# The boot device: no options, then a descriptor of 72 bytes (B-18).
BOOT_DEVICE = struct.pack("<IIII", 5, 0, 0x48, 0) + bytes(56)
NO_OPTIONS = bytes(16)

Tree = dict[str, object]
Elements = Mapping[str, object]


class Entry(NamedTuple):
    """What there is to boot: paths as the store spells them; sizes None where the boot manager has its own."""

    application: str | None
    description: str
    wim: str
    sdi: str
    fonts: str | None
    block: int | None
    window: int | None
    variable: bool
    timeout: int | None


def decode(data: bytes) -> Tree:
    """Keys and values of a hive; python-registry and regipy must read the same."""
    first = _first(Registry(io.BytesIO(data)).root())
    with tempfile.NamedTemporaryFile(suffix=".bcd") as file:
        file.write(data)
        file.flush()
        second = _second(RegistryHive(file.name).root)
    assert first == second, "python-registry and regipy differ"
    return first


def follow(data: bytes) -> Entry:
    """From the boot manager to its default, by its device to the options, as bootmgr goes."""
    objects = decode(data)["Objects"]
    assert isinstance(objects, dict)

    def object_(guid: str, *types: int) -> Elements:
        found = objects[guid]
        assert found["Description"]["Type"] in types, f"{guid} is {found['Description']}"
        return {name: element["Element"] for name, element in found["Elements"].items()}

    manager = object_(BOOT_MANAGER, *BOOT_MANAGER_TYPES)
    default = manager["23000003"]
    assert isinstance(default, str)
    if "24000001" in manager:
        assert manager["24000001"] == [default]
    loader = object_(default, LOADER_TYPE)
    device = loader["11000001"]
    assert loader["21000001"] == device, "it starts from where it is loaded"
    assert isinstance(device, bytes)
    guid, wim = ramdisk(device)
    options = object_(guid, OPTIONS_TYPE)
    assert options["31000003"] == NO_OPTIONS + BOOT_DEVICE
    assert flag(loader["26000022"]), "it is WinPE"
    sdi, fonts, application = options["32000004"], manager.get("1200004a"), loader.get("12000002")
    description = loader["12000004"]
    assert isinstance(sdi, str)
    assert isinstance(description, str)
    assert isinstance(fonts, str | None)
    assert isinstance(application, str | None)
    assert "36000007" not in options, "the ids that Microsoft's page misprints (B-17)"
    assert "36000008" not in options
    return Entry(
        application, description, wim, sdi, fonts, number(options.get("35000007")), number(options.get("35000008")),
        "3600000b" in options and flag(options["3600000b"]), number(manager.get("25000004")),
    )  # fmt: skip


def ramdisk(element: bytes) -> tuple[str, str]:
    """The options object and the path in a ramdisk device element (B-19)."""
    guid = "{" + str(uuid.UUID(bytes_le=element[:16])) + "}"
    kind, flags, length, zero, medium = struct.unpack_from("<5I", element, 16)
    assert (kind, flags, length, zero, medium) == (0, 1, len(element) - 16, 0, 3)
    base, size, offset, version, path_length, path_kind = struct.unpack_from("<QQ4I", element, 0x24)
    assert (base, size, offset, version, path_kind) == (0, 0, 0, 1, 5)
    path = element[0x8C:]
    assert path_length == 12 + 72 + len(path)
    assert element[0x44:0x8C] == BOOT_DEVICE
    text = path.decode("utf-16-le")
    assert text.endswith("\0")
    assert "\0" not in text[:-1]
    return guid, text[:-1]


def number(value: object) -> int | None:
    """An integer element, which may be short (B-13)."""
    if value is None:
        return None
    assert isinstance(value, bytes)
    return int.from_bytes(value, "little")


def flag(value: object) -> bool:
    assert value in (b"\0", b"\1"), value
    return value == b"\1"


def _first(key: RegistryKey) -> Tree:
    values = {value.name(): _plain(value.value()) for value in key.values()}
    return values | {child.name(): _first(child) for child in key.subkeys()}


def _second(key: NKRecord) -> Tree:
    values = {value.name: _plain(value.value) for value in key.iter_values(trim_values=False)}
    return values | {child.name: _second(child) for child in key.iter_subkeys()}


def _plain(value: object) -> object:
    """Both libraries' ways to say a value, as one."""
    if isinstance(value, list):
        return [text for text in value if text]
    return value.rstrip("\0") if isinstance(value, str) else value
