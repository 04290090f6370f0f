"""What a BCD store says, whoever wrote it: objects, elements by bcdedit's names, device descriptors (B-13..B-20).

What cannot be understood is shown as the bytes that it is, so that one odd element does not hide the rest.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from pxefast import named_files
from pxefast.content import regf
from pxefast.content.bcd_names import ALIASES, element_name, object_kind
from pxefast.content.regf import Kind, Value
from pxefast.content.text import harmless
from pxefast.errors import ContentError

__all__ = ["BcdObject", "Device", "Element", "Store", "describe", "read"]

Device = Mapping[str, object]
Content = str | int | bool | list[str] | list[int] | Device

_LOCAL_KINDS = {0: "disk", 1: "floppy", 2: "cd", 3: "ramdisk", 5: "file", 6: "virtual disk"}
_HEADER = struct.Struct("<IIII")
_NO_OPTIONS = UUID(int=0)


@dataclass(frozen=True)
class Element:
    """A setting of an object: `id` in eight hexadecimal digits, bcdedit's `name`, and what it holds.

    `value` is of `kind`: device (a description), string, object, integer, boolean, objects or integers (lists), or raw
    (hexadecimal digits) where it is not what its id says.
    """

    id: str
    name: str
    kind: str
    value: Content


@dataclass(frozen=True)
class BcdObject:
    """An object: `id` in braces, bcdedit's `alias` for it or None, `type` in eight hexadecimal digits and in words."""

    id: str
    alias: str | None
    type: str
    kind: str
    elements: tuple[Element, ...]


@dataclass(frozen=True)
class Store:
    """A store: its key's name if it says one, and its objects in the file's order."""

    name: str | None
    objects: tuple[BcdObject, ...]

    def as_dict(self) -> dict[str, object]:
        """The same in lists, dicts and plain values."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The same as text, like bcdedit /enum all, with the element's id before its name."""
        for number, item in enumerate(self.objects):
            yield from ("",) * bool(number)
            yield item.kind
            yield "-" * len(item.kind)
            yield f"{'identifier':<33}{item.id}{f' {item.alias}' if item.alias else ''}"
            for element in item.elements:
                first, *more = _texts(element.value) or [""]
                yield f"{element.id} {element.name:<24}{first}".rstrip()
                yield from (f"{'':<33}{text}" for text in more)


def read(path: Path) -> Store:
    """What the store in a file says. Raises ContentError with the file's name."""
    try:
        return describe(named_files.read_bytes(path, regf.LARGEST_HIVE))
    except OSError as error:
        raise ContentError(f"{path}: {error.strerror}") from None
    except ContentError as error:
        raise ContentError(f"{path}: {error}") from None


def describe(data: bytes) -> Store:
    """What the store in a hive says. Raises ContentError if the hive is broken, with the offset, or holds no store."""
    root = regf.read(data)
    objects = root.find("Objects")
    if objects is None:
        raise ContentError("it is a registry hive, but no BCD store: it has no key Objects")
    description = root.find("Description")
    name = description and description.value("KeyName")
    return Store(_string(name) if name else None, tuple(_object(key) for key in objects.keys))


def _object(key: regf.Key) -> BcdObject:
    description, elements = key.find("Description"), key.find("Elements")
    kind = description and description.value("Type")
    number = int.from_bytes(kind.data[:4], "little") if kind else 0
    guid = harmless(key.name)
    return BcdObject(
        guid,
        ALIASES.get(guid.lower()),
        f"{number:08x}",
        object_kind(number),
        tuple(_element(element, number) for element in (elements.keys if elements else ())),
    )


def _element(key: regf.Key, object_type: int) -> Element:
    value = key.value("Element") or Value("Element", Kind.BINARY, b"")
    if not re.fullmatch("[0-9a-fA-F]{8}", key.name):
        return Element(harmless(key.name), "", "raw", value.data.hex())
    number = int(key.name, 16)
    kind, registry, reader = _FORMATS.get(number >> 24 & 0xF, ("raw", None, None))
    content = reader(value) if reader is not None and value.kind == registry else None
    if content is None:
        kind, content = "raw", value.data.hex()
    return Element(key.name.lower(), element_name(number, object_type), kind, content)


def _string(value: Value) -> str:
    return harmless(value.data.decode("utf-16-le", "replace").split("\0")[0])


def _strings(value: Value) -> list[str]:
    return [harmless(text) for text in value.data.decode("utf-16-le", "replace").split("\0") if text]


def _integer(value: Value) -> int | None:
    """Also of fewer than 8 bytes, as on install media (B-13)."""
    return int.from_bytes(value.data, "little") if 1 <= len(value.data) <= 8 else None


def _boolean(value: Value) -> bool | None:
    return any(value.data) if value.data else None


def _integers(value: Value) -> list[int] | None:
    return (
        [number for (number,) in struct.iter_unpack("<Q", value.data)] if len(value.data) % 8 == 0 else None
    )


def _device(value: Value) -> Device | None:
    """A device element: the id of an object with options for it, then the descriptor; None if it is none."""
    try:
        options = UUID(bytes_le=value.data[:16])
        found = _descriptor(value.data[16:], nested=False)
    except (struct.error, ValueError):
        return None
    return found if options == _NO_OPTIONS else {**found, "options": f"{{{options}}}"}


_FORMATS: Mapping[int, tuple[str, Kind, Callable[[Value], Content | None]]] = {
    1: ("device", Kind.BINARY, _device),
    2: ("string", Kind.SZ, _string),
    3: ("object", Kind.SZ, _string),
    4: ("objects", Kind.MULTI_SZ, _strings),
    5: ("integer", Kind.BINARY, _integer),
    6: ("boolean", Kind.BINARY, _boolean),
    7: ("integers", Kind.BINARY, _integers),
}


def _descriptor(data: bytes, nested: bool) -> dict[str, object]:
    """A device descriptor: type, flags, size, 0, and what the type says (B-20)."""
    kind, _, size, _ = _HEADER.unpack_from(data)
    if not _HEADER.size <= size <= len(data):
        raise ValueError(f"a descriptor of {size} bytes")
    body = data[_HEADER.size : size]
    match kind:
        case 0:
            return _local(body, nested)
        case 5:
            return {"type": "boot"}
        case 6:
            return _partition(body)
        case _:
            name = {2: "legacy partition", 4: "udp", 8: "locate"}.get(kind, f"type {kind}")
            return {"type": name, "data": body.hex()}


def _local(body: bytes, nested: bool) -> dict[str, object]:
    (kind,) = struct.unpack_from("<I", body)
    name = _LOCAL_KINDS.get(kind, f"local {kind}")
    if name != "ramdisk" or nested:
        return {"type": name, "data": body[4:].hex()}
    base, size, offset, _, length, source = struct.unpack_from("<QQIIII", body, 4)
    record = body[24 : 24 + length]
    # 5: a device, then a path on it (B-19).
    if source != 5 or len(record) < length:
        return {"type": name, "data": body[4:].hex()}
    parent = _descriptor(record[12:], nested=True)
    path = record[12 + _HEADER.unpack_from(record, 12)[2] :].decode("utf-16-le", "replace").split("\0")[0]
    image = {"image_base": base, "image_size": size, "image_offset": offset}
    return {"type": name, "device": parent, "path": harmless(path), **image}


def _partition(body: bytes) -> dict[str, object]:
    where, _, style, disk = struct.unpack_from("<16sII16s", body)
    if style == 0:
        return {"type": "partition", "partition": str(UUID(bytes_le=where)), "disk": str(UUID(bytes_le=disk))}
    offset, signature = int.from_bytes(where[:8], "little"), int.from_bytes(disk[:4], "little")
    return {"type": "partition", "offset": offset, "disk": f"{signature:08x}"}


def _texts(value: Content) -> list[str]:
    """A value as bcdedit prints it, a line an item."""
    match value:
        case bool():
            return ["Yes" if value else "No"]
        case list():
            return [_aliased(str(item)) for item in value]
        case Mapping():
            return [_device_text(value)]
        case _:
            return [_aliased(str(value))]


def _aliased(text: str) -> str:
    alias = ALIASES.get(text.lower())
    return f"{text} {alias}" if alias else text


def _device_text(device: Device) -> str:
    options = f",{device['options']}" if "options" in device else ""
    match device:
        case {"type": "ramdisk", "device": Mapping() as parent, "path": path}:
            return f"ramdisk=[{_device_text(parent)}]{path}{options}"
        case {"type": "partition", "partition": place, "disk": disk}:
            return f"partition={place} on disk {disk}{options}"
        case {"type": "partition", "offset": place, "disk": disk}:
            return f"partition at byte {place} on disk {disk}{options}"
        case {"type": name, "data": raw}:
            return f"{name}={raw}{options}"
        case _:
            return f"{device['type']}{options}"
