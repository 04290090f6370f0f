"""Registry hives (regf), as BCD stores are: a writer of one plain flavour, and a strict reader of what others wrote.

A hive is a base block of 4096 bytes, then bins; a bin is a header, then cells back to back; keys, lists and values
are cells that point at each other (B-4..B-10). Offsets inside count from the first bin, those in errors from the
file's start.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import reduce
from operator import xor
from typing import NamedTuple, NoReturn

from pxefast.errors import ContentError

__all__ = ["LARGEST_HIVE", "Key", "Kind", "Value", "read", "write"]

_BLOCK = 4096
_BIN_HEADER = 32
_NONE = 0xFFFFFFFF
# Larger data needs a chain of cells (`db`), which no BCD store has (B-9).
_LARGEST_DATA = 16344
# One list cell of a bin; more needs an index of lists, which no BCD store has.
_MOST_KEYS = (_BLOCK - _BIN_HEADER - 8) // 8
_LONGEST_NAME = 255
# A BCD store has 8 to 100 KiB and four levels; what is read may be anything.
LARGEST_HIVE = 4 << 20
_DEEPEST = 32

_BASE = struct.Struct("<4sIIQIIIIIII64s")
_KEY = struct.Struct("<2sHQ15IHH")
_VALUE = struct.Struct("<2sHIIIHH")
_ONE_BYTE_KEY_NAME = 0x20
_ONE_BYTE_VALUE_NAME = 1
_ROOT = 0x0C
_INLINE = 0x80000000

# Owner and group Administrators; they and SYSTEM may do everything, inherited by keys below (B-10).
_ADMINISTRATORS = bytes.fromhex("01020000 00000005 20000000 20020000")
_SYSTEM = bytes.fromhex("01010000 00000005 12000000")
_ALL_ACCESS = struct.Struct("<BBHI")


class Kind(IntEnum):
    """What a value is, as far as BCD stores use it; other numbers exist."""

    SZ = 1
    BINARY = 3
    DWORD = 4
    MULTI_SZ = 7


class Value(NamedTuple):
    """A value of a key: `kind` is a `Kind` or another number, `data` the raw bytes."""

    name: str
    kind: int
    data: bytes

    @classmethod
    def text(cls, name: str, text: str) -> Value:
        """REG_SZ."""
        return cls(name, Kind.SZ, f"{text}\0".encode("utf-16-le"))

    @classmethod
    def texts(cls, name: str, texts: tuple[str, ...]) -> Value:
        """REG_MULTI_SZ; without any text it is a single NUL (B-13)."""
        return cls(name, Kind.MULTI_SZ, "".join(f"{text}\0" for text in (*texts, "")).encode("utf-16-le"))

    @classmethod
    def number(cls, name: str, number: int) -> Value:
        """REG_DWORD."""
        return cls(name, Kind.DWORD, struct.pack("<I", number))


@dataclass(frozen=True)
class Key:
    """A key with everything below it. Names are unique in their key, whatever their case."""

    name: str
    values: tuple[Value, ...] = ()
    keys: tuple[Key, ...] = ()

    def find(self, *path: str) -> Key | None:
        """The key at the end of a path of names below this one, whatever their case; None without it."""
        if not path:
            return self
        below = next((key for key in self.keys if key.name.lower() == path[0].lower()), None)
        return below and below.find(*path[1:])

    def value(self, name: str) -> Value | None:
        """The value of that name, whatever its case."""
        return next((value for value in self.values if value.name.lower() == name.lower()), None)


def write(root: Key, written_at: int = 0) -> bytes:
    """A hive of version 1.3 with `lf` lists, as Windows' own BCD tools write it (B-4): equal arguments, equal bytes.

    `written_at` is a FILETIME, 100 ns since 1601. Raises ContentError for names that are not ASCII and data beyond
    16344 bytes.
    """
    bins = _Bins(written_at)
    offset = bins.reserve(_key_size(root))
    security = bins.add(_security(sum(1 for _ in _all(root))))
    # The only descriptor is its own neighbour.
    bins.fill(security, struct.pack("<II", security, security), 4)
    _write_key(bins, root, offset, 0, security, _ROOT)
    body = bins.close()
    base = _BASE.pack(b"regf", 1, 1, written_at, 1, 3, 0, 1, offset, len(body), 1, b"")
    base = base.ljust(508, b"\0")
    return (base + struct.pack("<I", _checksum(base))).ljust(_BLOCK, b"\0") + body


def _all(key: Key) -> Iterator[Key]:
    yield key
    for below in key.keys:
        yield from _all(below)


def _checksum(base: bytes) -> int:
    total: int = reduce(xor, struct.unpack_from("<127I", base))
    return {0: 1, _NONE: _NONE - 1}.get(total, total)


def _security(users: int) -> bytes:
    entries = b"".join(
        _ALL_ACCESS.pack(0, 2, _ALL_ACCESS.size + len(sid), 0x000F003F) + sid
        for sid in (_ADMINISTRATORS, _SYSTEM)
    )
    acl = struct.pack("<BBHHH", 2, 0, 8 + len(entries), 2, 0) + entries
    sids = 20 + len(acl)
    descriptor = struct.pack("<BBHIIII", 1, 0, 0x8004, sids, sids + len(_ADMINISTRATORS), 0, 20)
    descriptor += acl + _ADMINISTRATORS * 2
    return struct.pack("<2sHIIII", b"sk", 0, 0, 0, users, len(descriptor)) + descriptor


class _Bins:
    """Cells, one after the other in bins; none lies across two."""

    def __init__(self, written_at: int) -> None:
        self._body = bytearray()
        self.written_at = written_at
        self._room = 0

    def reserve(self, size: int) -> int:
        """The offset of a new cell for `size` bytes, all zero."""
        whole = (size + 4 + 7) & ~7
        if whole > self._room:
            self._finish()
            length = (whole + _BIN_HEADER + _BLOCK - 1) // _BLOCK * _BLOCK
            stamp = 0 if self._body else self.written_at
            self._body += struct.pack("<4sIIQQI", b"hbin", len(self._body), length, 0, stamp, 0)
            self._room = length - _BIN_HEADER
        offset = len(self._body)
        self._body += struct.pack("<i", -whole).ljust(whole, b"\0")
        self._room -= whole
        return offset

    def fill(self, offset: int, content: bytes, start: int = 0) -> None:
        """Write into a cell."""
        self._body[offset + 4 + start : offset + 4 + start + len(content)] = content

    def add(self, content: bytes) -> int:
        """The offset of a new cell that holds `content`."""
        offset = self.reserve(len(content))
        self.fill(offset, content)
        return offset

    def close(self) -> bytes:
        """All bins."""
        self._finish()
        return bytes(self._body)

    def _finish(self) -> None:
        """The rest of the newest bin is one free cell."""
        if self._room:
            self._body += struct.pack("<i", self._room).ljust(self._room, b"\0")
            self._room = 0


def _ascii(name: str) -> bytes:
    if not name.isascii() or "\0" in name or "\\" in name or len(name) > _LONGEST_NAME:
        raise ContentError(
            f"{name[:80]!r} cannot be a name in a hive; give {_LONGEST_NAME} ASCII characters at most, no \\ or NUL"
        )
    return name.encode()


def _key_size(key: Key) -> int:
    return _KEY.size + len(_ascii(key.name))


def _write_key(bins: _Bins, key: Key, offset: int, parent: int, security: int, flags: int = 0) -> None:
    if len(key.keys) > _MOST_KEYS:
        raise ContentError(f"the key {key.name} has {len(key.keys)} keys below it; {_MOST_KEYS} fit")
    values = [_write_value(bins, value) for value in key.values]
    value_list = bins.add(struct.pack(f"<{len(values)}I", *values)) if values else _NONE
    below = sorted(key.keys, key=lambda below: below.name.upper())
    offsets = [bins.reserve(_key_size(child)) for child in below]
    entries = (struct.pack("<I4s", at, _ascii(child.name)) for at, child in zip(offsets, below, strict=True))
    key_list = bins.add(struct.pack("<2sH", b"lf", len(below)) + b"".join(entries)) if below else _NONE
    name = _ascii(key.name)
    header = _KEY.pack(
        b"nk", _ONE_BYTE_KEY_NAME | flags, bins.written_at, 0, parent, len(below), 0, key_list, _NONE,
        len(values), value_list, security, _NONE,
        max((2 * len(child.name) for child in below), default=0), 0,
        max((2 * len(value.name) for value in key.values), default=0),
        max((len(value.data) for value in key.values), default=0), 0, len(name), 0,
    )  # fmt: skip
    bins.fill(offset, header + name)
    for at, child in zip(offsets, below, strict=True):
        _write_key(bins, child, at, offset, security)


def _write_value(bins: _Bins, value: Value) -> int:
    name, size = _ascii(value.name), len(value.data)
    if size > _LARGEST_DATA:
        raise ContentError(
            f"the value {value.name} has {size} bytes; a hive of ours holds {_LARGEST_DATA} at most"
        )
    if size > 4:
        at = bins.add(value.data)
    else:
        size, at = size | _INLINE, int.from_bytes(value.data, "little")
    return bins.add(_VALUE.pack(b"vk", len(name), size, at, value.kind, _ONE_BYTE_VALUE_NAME, 0) + name)


def read(data: bytes) -> Key:
    """The root key of a hive of version 1.3 (`lf`) to 1.6 (`lh`), with everything below it.

    Nothing is believed: an offset must be a cell's, and each cell is used once, so that there is no cycle and the
    result is no larger than the file. Raises ContentError with the offset in the file.
    """
    if len(data) > LARGEST_HIVE:
        raise ContentError(f"it has more than {LARGEST_HIVE} bytes; no BCD store is that large")
    if data[:4] != b"regf":
        raise ContentError("it is no registry hive: it does not begin with regf")
    if len(data) < _BLOCK:
        raise ContentError(f"it ends at byte {len(data)}, inside its base block; copy it again")
    _, first, second, _, major, minor, kind, form, root, size, _, _ = _BASE.unpack_from(data)
    if struct.unpack_from("<I", data, 508)[0] != _checksum(data):
        _refuse(508, "the checksum of the base block is wrong")
    if first != second:
        _refuse(4, "it was being written when it was copied; unload it first, or use bcdedit /export")
    if (major, kind, form) != (1, 0, 1) or not 3 <= minor <= 6:
        _refuse(20, f"version {major}.{minor}, type {kind}, format {form} is not read; 1.3 to 1.6 are")
    if size % _BLOCK or not 0 < size <= len(data) - _BLOCK:
        _refuse(40, f"{size} bytes of bins are not what the file holds; copy it again")
    return _Cells(memoryview(data)[_BLOCK : _BLOCK + size]).key(root, 1)


def _refuse(offset: int, why: str) -> NoReturn:
    raise ContentError(f"at byte {offset:#x}: {why}")


@dataclass
class _Cells:
    """The cells of a hive by offset, each given out once."""

    body: memoryview
    unused: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.unused = {}
        start = 0
        while start < len(self.body):
            magic, own, size = struct.unpack_from("<4sII", self.body, start)
            if magic != b"hbin" or own != start or size % _BLOCK or not 0 < size <= len(self.body) - start:
                _refuse(_BLOCK + start, "this is no bin")
            self._walk(start + _BIN_HEADER, start + size)
            start += size

    def _walk(self, offset: int, end: int) -> None:
        while offset < end:
            (size,) = struct.unpack_from("<i", self.body, offset)
            if size % 8 or not 0 < abs(size) <= end - offset:
                _refuse(_BLOCK + offset, f"a cell of {abs(size)} bytes does not fit its bin")
            if size < 0:
                self.unused[offset] = -size - 4
            offset += abs(size)

    def take(self, offset: int, size: int, what: str, magic: bytes = b"") -> memoryview:
        """The content of a used cell, of `size` bytes at least."""
        held = self.unused.pop(offset, None)
        if held is None:
            _refuse(
                _BLOCK + offset, f"{what} should be here, but this is no cell, or one that is used elsewhere"
            )
        if held < size:
            _refuse(_BLOCK + offset, f"{what} needs {size} bytes, its cell holds {held}")
        content = self.body[offset + 4 : offset + 4 + held]
        if content[: len(magic)] != magic:
            _refuse(_BLOCK + offset, f"this is not {what}")
        return content

    def key(self, offset: int, depth: int) -> Key:
        """The key in a cell, with everything below it."""
        if depth > _DEEPEST:
            _refuse(_BLOCK + offset, f"keys are nested more than {_DEEPEST} deep")
        cell = self.take(offset, _KEY.size, "a key", b"nk")
        _, flags, *numbers, name_length, _ = _KEY.unpack_from(cell)
        below, key_list, count, value_list = numbers[3], numbers[5], numbers[7], numbers[8]
        name = _name(cell, _KEY.size, name_length, bool(flags & _ONE_BYTE_KEY_NAME), offset)
        values = tuple(self.value(at) for at in self._value_offsets(value_list, count))
        keys = tuple(self.key(at, depth + 1) for at in self._key_offsets(key_list, below))
        for names in ([value.name for value in values], [key.name for key in keys]):
            if len({name.lower() for name in names}) < len(names):
                _refuse(_BLOCK + offset, "the key has two things of one name")
        return Key(name, values, keys)

    def _value_offsets(self, at: int, count: int) -> tuple[int, ...]:
        if not count:
            return ()
        return struct.unpack_from(f"<{count}I", self.take(at, 4 * count, "a list of values"))

    def _key_offsets(self, at: int, count: int) -> tuple[int, ...]:
        if not count:
            return ()
        cell = self.take(at, 4, "a list of keys")
        magic, entries = struct.unpack_from("<2sH", cell)
        if magic not in (b"lf", b"lh") or entries != count or len(cell) < 4 + 8 * count:
            _refuse(_BLOCK + at, f"this is not the list of {count} keys that it should be")
        return struct.unpack_from(f"<{2 * count}I", cell, 4)[::2]

    def value(self, offset: int) -> Value:
        """The value in a cell."""
        cell = self.take(offset, _VALUE.size, "a value", b"vk")
        _, name_length, size, at, kind, flags, _ = _VALUE.unpack_from(cell)
        name = _name(cell, _VALUE.size, name_length, bool(flags & _ONE_BYTE_VALUE_NAME), offset)
        if size & _INLINE:
            size -= _INLINE
            if size > 4:
                _refuse(_BLOCK + offset, f"{size} bytes are said to be in the value itself, where 4 fit")
            return Value(name, kind, bytes(cell[8 : 8 + size]))
        if size > _LARGEST_DATA:
            _refuse(
                _BLOCK + offset,
                f"a value of {size} bytes is not read; {_LARGEST_DATA} is the most in a BCD store",
            )
        return Value(name, kind, bytes(self.take(at, size, "a value's data")[:size]) if size else b"")


def _name(cell: memoryview, start: int, length: int, one_byte: bool, offset: int) -> str:
    raw = bytes(cell[start : start + length])
    if len(raw) < length:
        _refuse(_BLOCK + offset, f"a name of {length} bytes goes beyond its cell")
    return raw.decode("latin-1") if one_byte else raw.decode("utf-16-le", "replace")
