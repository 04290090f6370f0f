"""What a hive must be, cell by cell, and how others read it; shares nothing with the product's reader (B-26, B-27)."""

from __future__ import annotations

import base64
import re
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from regipy.registry import RegistryHive
from Registry import Registry

# Path of keys below the root, name of the value -> its type and its raw bytes.
Fields = dict[tuple[tuple[str, ...], str], tuple[int, bytes]]


def check(data: bytes) -> int:
    """Assert that every byte of a hive is where it belongs; the number of its keys."""
    base = struct.unpack_from("<127I", data)
    checksum = 0
    for word in base:
        checksum ^= word
    assert struct.unpack_from("<I", data, 508)[0] == {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(checksum, checksum)
    assert data[:4] == b"regf"
    assert base[1] == base[2], "clean"
    assert base[5:9] == (1, 3, 0, 1)
    root, size = base[9:11]
    assert root == 0x20
    assert len(data) == 4096 + size
    cells = _cells(data[4096:])
    used: Counter[int] = Counter()
    keys = _check_key(data[4096:], cells, used, root, None)
    sk = {_u32(data[4096:], at + 4 + 44) for at in keys}
    for at in sk:
        content = cells[at]
        assert content[:2] == b"sk"
        assert struct.unpack_from("<II", content, 4) == (at, at), "the only descriptor is its own neighbour"
        assert _u32(content, 12) == len(keys), "counts who uses it"
        used[at] += 1
    assert used == dict.fromkeys(cells, 1), "every used cell has one owner"
    return len(keys)


def _u32(data: bytes, at: int) -> int:
    return struct.unpack_from("<I", data, at)[0]


def _cells(body: bytes) -> dict[int, bytes]:
    """Used cells by offset; free ones do not touch each other."""
    found = {}
    start = 0
    while start < len(body):
        assert body[start : start + 4] == b"hbin"
        own, size = struct.unpack_from("<II", body, start + 4)
        assert own == start
        assert size % 4096 == 0
        assert size > 0
        at, free = start + 32, False
        while at < start + size:
            (length,) = struct.unpack_from("<i", body, at)
            assert length % 8 == 0
            assert length != 0
            assert at + abs(length) <= start + size, "no cell crosses its bin"
            assert not (free and length > 0), "free neighbours are one cell"
            free = length > 0
            if length < 0:
                found[at] = body[at + 4 : at - length]
            at += abs(length)
        start += size
    assert start == len(body)
    return found


def _check_key(
    body: bytes, cells: dict[int, bytes], used: Counter[int], at: int, parent: int | None
) -> list[int]:
    used[at] += 1
    cell = cells[at]
    assert cell[:2] == b"nk"
    flags = struct.unpack_from("<H", cell, 2)[0]
    assert flags == (0x2C if parent is None else 0x20)
    if parent is not None:
        assert _u32(cell, 16) == parent
    below, key_list, count, value_list = (_u32(cell, offset) for offset in (20, 28, 36, 40))
    assert _u32(cell, 24) == 0
    assert _u32(cell, 32) == _u32(cell, 48) == 0xFFFFFFFF
    found, names = [at], []
    if below:
        used[key_list] += 1
        entries = cells[key_list]
        assert struct.unpack_from("<2sH", entries) == (b"lf", below)
        for number in range(below):
            child, hint = struct.unpack_from("<I4s", entries, 4 + 8 * number)
            name = _key_name(cells[child])
            assert hint == name[:4].encode().ljust(4, b"\0")
            names.append(name)
            found += _check_key(body, cells, used, child, at)
    else:
        assert key_list == 0xFFFFFFFF
    assert [name.upper() for name in names] == sorted(name.upper() for name in names)
    assert _u32(cell, 52) == max((2 * len(name) for name in names), default=0)
    _check_values(cells, used, cell, count, value_list)
    return found


def _key_name(cell: bytes) -> str:
    return cell[76 : 76 + struct.unpack_from("<H", cell, 72)[0]].decode("ascii")


def _check_values(
    cells: dict[int, bytes], used: Counter[int], cell: bytes, count: int, value_list: int
) -> None:
    longest_name = longest_data = 0
    if count:
        used[value_list] += 1
    else:
        assert value_list == 0xFFFFFFFF
    for number in range(count):
        at = _u32(cells[value_list], 4 * number)
        used[at] += 1
        value = cells[at]
        assert value[:2] == b"vk"
        name, size, data, _, flags, _ = struct.unpack_from("<HIIIHH", value, 2)
        assert flags == 1
        if size & 0x80000000:
            size &= 0x7FFFFFFF
            assert size <= 4
        else:
            assert 4 < size <= len(cells[data])
            used[data] += 1
        longest_name, longest_data = max(longest_name, 2 * name), max(longest_data, size)
    assert _u32(cell, 60) == longest_name
    assert _u32(cell, 64) == longest_data


def by_python_registry(path: Path) -> Fields:
    found: Fields = {}

    def walk(key: Any, names: tuple[str, ...]) -> None:
        for value in key.values():
            found[names, value.name().replace("(default)", "")] = value.value_type(), value.raw_data()
        for below in key.subkeys():
            walk(below, (*names, below.name()))

    walk(Registry.Registry(str(path)).root(), ())
    return found


def by_regipy(path: Path) -> Fields:
    """regipy gives values as what they mean; they are turned back into bytes here."""
    types = {"REG_SZ": 1, "REG_BINARY": 3, "REG_DWORD": 4, "REG_MULTI_SZ": 7}
    found: Fields = {}

    def data(value: Any) -> bytes:
        match value.value_type:
            case "REG_SZ":
                return f"{value.value}\0".encode("utf-16-le")
            case "REG_MULTI_SZ":
                return "".join(f"{text}\0" for text in (*value.value, "")).encode("utf-16-le")
            case "REG_DWORD":
                return struct.pack("<I", value.value)
            case _:
                return value.value if isinstance(value.value, bytes) else bytes.fromhex(value.value)

    def walk(key: Any, names: tuple[str, ...]) -> None:
        for value in key.iter_values(trim_values=False):
            found[names, value.name] = types[value.value_type], data(value)
        for below in key.iter_subkeys():
            walk(below, (*names, below.name))

    walk(RegistryHive(str(path)).root, ())
    return found


def by_hivex(path: Path) -> Fields:
    xml = subprocess.run(["hivexml", str(path)], capture_output=True, check=True).stdout
    found: Fields = {}

    def data(value: Any) -> tuple[int, bytes]:
        text = value.get("value", "")
        match value.get("type"):
            case "string":
                return 1, f"{text}\0".encode("utf-16-le")
            case "string-list":
                texts = (item.text or "" for item in value.findall("string"))
                return 7, "".join(f"{item}\0" for item in texts).encode("utf-16-le")
            case "int32":
                return 4, struct.pack("<I", int(text) & 0xFFFFFFFF)
            case _:
                return 3, base64.b64decode(text)

    def walk(node: Any, names: tuple[str, ...]) -> None:
        for value in node.findall("value"):
            found[names, value.get("key", "")] = data(value)
        for below in node.findall("node"):
            walk(below, (*names, below.get("name")))

    walk(ElementTree.fromstring(xml).find("node"), ())
    return found


def by_regtree(path: Path) -> dict[tuple[tuple[str, ...], str], tuple[str, str]]:
    """What Samba prints of each value: its type's name and its text. Lists it prints as (null)."""
    command = ["regtree", "--configfile=/dev/null", f"--file={path}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[tuple[tuple[str, ...], str], tuple[str, str]] = {}
    names: list[str] = []
    for line in lines:
        depth = len(line) - len(line.lstrip(" "))
        value = re.fullmatch(r" *(\w*) = (REG_\w+) : (.*)", line)
        if value:
            found[tuple(names[: depth - 1]), value[1]] = value[2], value[3]
        elif line.strip():
            names[depth - 1 :] = [line.strip()]
    return found
