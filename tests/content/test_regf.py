import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pxefast.content import regf
from pxefast.content.regf import Key, Kind, Value
from pxefast.errors import ContentError

from . import hives

LETTERS = st.characters(codec="ascii", exclude_characters="\\\0")
NAMES = st.text(LETTERS, max_size=40)


def unique(items: Any) -> tuple[Any, ...]:
    return tuple({item.name.upper(): item for item in items}.values())


VALUES = st.lists(st.builds(Value, NAMES, st.integers(0, 2**32 - 1), st.binary(max_size=600)), max_size=5)
KEYS = st.recursive(
    st.builds(Key, NAMES, VALUES.map(unique)),
    lambda below: st.builds(Key, NAMES, VALUES.map(unique), st.lists(below, max_size=6).map(unique)),
    max_leaves=30,
)
TREE = Key(
    "root",
    (
        Value.text("text", "Grüße \U0001f600"),
        Value("", Kind.BINARY, b""),
        Value("four", Kind.BINARY, b"1234"),
    ),
    (
        Key(
            "b", (Value.texts("list", ("one", "two")), Value.texts("none", ()), Value.number("n", 2**32 - 1))
        ),
        Key("A", keys=(Key("deep", (Value("five", Kind.BINARY, b"12345"),)),)),
    ),
)


def ordered(key: Key) -> Key:
    """As a hive has it: keys by upper-cased name."""
    below = sorted(key.keys, key=lambda below: below.name.upper())
    return Key(key.name, key.values, tuple(ordered(child) for child in below))


def sealed(hive: bytes | bytearray) -> bytes:
    """The hive with the checksum that its base block should have."""
    checksum = 0
    for word in struct.unpack_from("<127I", hive):
        checksum ^= word
    sum_ = {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(checksum, checksum)
    return bytes(hive[:508]) + struct.pack("<I", sum_) + bytes(hive[512:])


def patched(hive: bytes, at: int, layout: str, *values: Any) -> bytes:
    """The hive with something else at a byte of the file, and a right checksum."""
    changed = bytearray(hive)
    struct.pack_into(layout, changed, at, *values)
    return sealed(changed)


def cell(hive: bytes, magic: bytes, number: int = 0) -> int:
    """Where in the file a cell's content begins, by its first two bytes; the number-th from 0."""
    at = -1
    for _ in range(number + 1):
        at = hive.index(magic, at + 1)
    return at


@given(KEYS)
@settings(max_examples=60, deadline=None)
def test_any_tree_is_read_back_as_it_was_written_and_every_cell_has_its_owner(tree: Key) -> None:
    hive = regf.write(tree)
    assert regf.read(hive) == ordered(tree)
    hives.check(hive)


def test_values_of_every_size_around_the_edges_of_cells_and_bins_come_back() -> None:
    sizes = [*range(18), 4047, 4048, 4049, 4056, 4057, 4060, 4061, 4064, 4065, 8192, 16343, 16344]
    tree = Key("root", tuple(Value(str(size), Kind.BINARY, b"x" * size) for size in sizes))
    hive = regf.write(tree)
    assert regf.read(hive) == tree
    hives.check(hive)


def test_a_hive_depends_on_its_arguments_alone() -> None:
    assert regf.write(TREE) == regf.write(TREE)
    one, other = regf.write(TREE, 1), regf.write(TREE, 133_000_000_000_000_000)
    assert one != other
    assert regf.read(one) == regf.read(other) == ordered(TREE)
    hives.check(other)


@pytest.mark.parametrize("name", ["Grüße", "a\\b", "a\0b", "x" * 256])
def test_a_name_that_not_every_reader_would_find_again_is_refused(name: str) -> None:
    with pytest.raises(ContentError, match="cannot be a name"):
        regf.write(Key("root", keys=(Key(name),)))
    with pytest.raises(ContentError, match="cannot be a name"):
        regf.write(Key("root", (Value(name, 1, b""),)))


def test_what_does_not_fit_a_plain_hive_is_refused() -> None:
    with pytest.raises(ContentError, match="16344"):
        regf.write(Key("root", (Value("large", Kind.BINARY, bytes(16345)),)))
    many = Key("root", keys=tuple(Key(str(number)) for number in range(507)))
    assert len(regf.read(regf.write(many)).keys) == 507
    with pytest.raises(ContentError, match="507"):
        regf.write(Key("root", keys=(*many.keys, Key("more"))))


def test_other_readers_find_the_same_values(tmp_path: Path) -> None:
    file = tmp_path / "hive"
    file.write_bytes(regf.write(TREE))
    expected = {
        ((), "text"): (1, "Grüße \U0001f600\0".encode("utf-16-le")),
        ((), ""): (3, b""),
        ((), "four"): (3, b"1234"),
        (("A", "deep"), "five"): (3, b"12345"),
        (("b",), "list"): (7, "one\0two\0\0".encode("utf-16-le")),
        (("b",), "none"): (7, b"\0\0"),
        (("b",), "n"): (4, b"\xff\xff\xff\xff"),
    }
    assert hives.by_hivex(file) == expected
    # It takes a list so short that it lies in the value itself for no list at all.
    expected[("b",), "none"] = (7, b"")
    assert hives.by_python_registry(file) == expected


def lh(hive: bytes) -> bytes:
    """The same hive in the newer flavour: version 1.5, lists with hashes of names."""
    changed = bytearray(hive)
    struct.pack_into("<I", changed, 24, 5)
    at = 0
    while (at := hive.find(b"lf", at + 1)) >= 0:
        (size,) = struct.unpack_from("<i", hive, at - 4)
        (count,) = struct.unpack_from("<H", hive, at + 2)
        if size != -((4 + 4 + 8 * count + 7) & ~7):
            continue
        changed[at : at + 2] = b"lh"
        for number in range(count):
            (child,) = struct.unpack_from("<I", hive, at + 4 + 8 * number)
            (length,) = struct.unpack_from("<H", hive, 4096 + child + 4 + 72)
            value = 0
            for letter in hive[4096 + child + 4 + 76 :][:length].decode().upper():
                value = (value * 37 + ord(letter)) & 0xFFFFFFFF
            struct.pack_into("<I", changed, at + 8 + 8 * number, value)
    return sealed(changed)


def test_the_newer_flavour_is_read_the_same(tmp_path: Path) -> None:
    newer = lh(regf.write(TREE))
    assert regf.read(newer) == ordered(TREE)
    file = tmp_path / "hive"
    file.write_bytes(newer)
    assert (("A", "deep"), "five") in hives.by_python_registry(file)


def test_names_in_utf_16_are_read_and_broken_ones_do_not_end_us() -> None:
    hive = regf.write(Key("root", keys=(Key("abcd"),)))
    at = cell(hive, b"nk", 1)
    wide = patched(hive, at + 2, "<H", 0)
    assert regf.read(wide).keys[0].name == "\u6261\u6463"
    assert regf.read(patched(wide, at + 76, "<H", 0xD800)).keys[0].name == "\ufffd\u6463"


HIVE = regf.write(TREE)
ROOT = 4096 + 0x20 + 4
LIST = cell(HIVE, b"lf")
FIVE = HIVE.index(b"five") - 20

BROKEN = {
    "no hive": (b"MSWIM" + HIVE[5:], "does not begin with regf"),
    "empty": (b"", "does not begin with regf"),
    "cut in its base block": (HIVE[:4000], "ends at byte 4000"),
    "cut in its bins": (HIVE[:6000], "at byte 0x28"),
    "a wrong checksum": (HIVE[:100] + b"x" + HIVE[101:], "at byte 0x1fc"),
    "half written": (patched(HIVE, 4, "<I", 9), "being written"),
    "a version of the future": (patched(HIVE, 24, "<I", 7), "version 1.7"),
    "bins of no size": (patched(HIVE, 40, "<I", 0), "at byte 0x28"),
    "bins of an odd size": (patched(HIVE, 40, "<I", 100), "at byte 0x28"),
    "no bin": (patched(HIVE, 4096, "<4s", b"hxxx"), "at byte 0x1000: this is no bin"),
    "a bin of no size": (patched(HIVE, 4096 + 8, "<I", 0), "at byte 0x1000: this is no bin"),
    "a cell of no size": (patched(HIVE, 4096 + 32, "<i", 0), "at byte 0x1020"),
    "a cell beyond its bin": (patched(HIVE, 4096 + 32, "<i", -8192), "at byte 0x1020"),
    "a root that is no cell": (patched(HIVE, 36, "<I", 0x28), "at byte 0x1028"),
    "a root far away": (patched(HIVE, 36, "<I", 0xFFFFFFF8), "at byte 0x100000ff8"),
    "a root that is no key": (patched(HIVE, ROOT, "<2s", b"xx"), "at byte 0x1020: this is not a key"),
    "a key as its own child": (patched(HIVE, LIST + 4, "<I", 0x20), "at byte 0x1020: a key should be here"),
    "one key twice": (HIVE[:LIST + 4] + HIVE[LIST + 12 : LIST + 20] * 2 + HIVE[LIST + 20 :], "used elsewhere"),
    "an index of lists": (patched(HIVE, LIST, "<2s", b"ri"), "not the list of 2 keys"),
    "more keys than listed": (patched(HIVE, ROOT + 20, "<I", 3), "not the list of 3 keys"),
    "more values than fit": (patched(HIVE, ROOT + 36, "<I", 0xFFFFFFFF), "a list of values needs"),
    "a name beyond its cell": (patched(HIVE, ROOT + 72, "<H", 0xFFFF), "a name of 65535 bytes"),
    "too much in the value itself": (patched(HIVE, FIVE + 4, "<I", 0x80000005), "5 bytes are said to be"),
    "data beyond its cell": (patched(HIVE, FIVE + 4, "<I", 100), "needs 100 bytes, its cell holds 12"),
    "a big value": (patched(HIVE, FIVE + 4, "<I", 16345), "a value of 16345 bytes is not read"),
    "two keys of one name": (patched(HIVE, cell(HIVE, b"nk", 1) + 76, "<s", b"B"), "two things of one name"),
    "more than a store ever has": (HIVE + bytes(4 << 20), "no BCD store is that large"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_hive_is_refused_with_the_place(what: str) -> None:
    data, why = BROKEN[what]
    with pytest.raises(ContentError, match=why):
        regf.read(data)


def test_keys_nested_without_end_are_refused() -> None:
    tree = Key("leaf")
    for _ in range(31):
        tree = Key("k", keys=(tree,))
    assert regf.read(regf.write(tree))
    with pytest.raises(ContentError, match="32 deep"):
        regf.read(regf.write(Key("k", keys=(tree,))))
