"""What anybody's file may do to the readers of formats: nothing but one error of ours, and no more than it is large."""

from __future__ import annotations

import functools
import json
import os
import struct
from collections.abc import Callable, Iterator
from operator import xor
from pathlib import Path

from pxefast.cli.capture import Capture
from pxefast.content import bcd, bcd_store, regf, wim
from pxefast.content.regf import Key, Value
from pxefast.errors import ContentError, InputError

from ..content.bare_wim import XML, image

Target = Callable[[bytes], None]
CAPTURES = Path(__file__).parent.parent / "data" / "pcap"


def hive(data: bytes) -> None:
    """A hive as it is, and with a checksum that lets it in."""
    _hive(data)
    if len(data) >= 4096:
        words = struct.unpack_from("<127I", data)
        checksum = {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(found := functools.reduce(xor, words), found)
        _hive(data[:508] + struct.pack("<I", checksum) + data[512:])


def _hive(data: bytes) -> None:
    try:
        root = regf.read(data)
    except ContentError:
        return
    assert sum(_sizes(root)) <= len(data)
    try:
        again = regf.write(root)
    except ContentError:
        pass
    else:
        assert _sorted(regf.read(again)) == _sorted(root)
    try:
        store = bcd_store.describe(data)
    except ContentError:
        return
    assert json.loads(json.dumps(store.as_dict()))["objects"] is not None
    assert all(line.isprintable() for line in store.lines())


def _sizes(key: Key) -> Iterator[int]:
    yield 76
    yield from (20 + len(value.data) for value in key.values)
    for below in key.keys:
        yield from _sizes(below)


def _sorted(key: Key) -> Key:
    below = sorted(key.keys, key=lambda below: below.name.upper())
    return Key(key.name, key.values, tuple(_sorted(child) for child in below))


@functools.cache
def _file() -> int:
    return os.memfd_create("fuzz")


def _path(data: bytes) -> Path:
    """Of a file that holds this, until the next call."""
    os.ftruncate(_file(), 0)
    os.pwrite(_file(), data, 0)
    return Path(f"/proc/self/fd/{_file()}")


def wim_file(data: bytes) -> None:
    """A whole file."""
    path = _path(data)
    try:
        wim.read_header(path).refusal()
        info = wim.read(path)
    except ContentError as error:
        assert str(error).isprintable()
        return
    assert info.boot.index == info.boot_index
    for entry in info.images:
        texts = (entry.name, entry.description, entry.edition, entry.product, *entry.languages)
        assert all((text or "").isprintable() for text in texts)


def xml(data: bytes) -> None:
    """The XML of an image that is whole but for it; the bytes are UTF-8, so that small changes are small there, too."""
    wim_file(image(data.decode("utf-8", "replace")))


def capture(data: bytes) -> None:
    """A capture file: each packet in it is a datagram or counted as something else."""
    with Capture(_path(data), (67, 4011)) as read:
        try:
            found = list(read)
        except InputError as error:
            assert "is no capture" in str(error)
            return
    assert len(found) + sum(read.counts.values()) == 2 * read.counts["packets"]
    assert sum(len(datagram.payload) for datagram in found) <= len(data)


TARGETS: dict[str, Target] = {"hive": hive, "wim": wim_file, "xml": xml, "capture": capture}


def _block(kind: int, body: bytes) -> bytes:
    """Of a pcapng file."""
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


def seeds(target: str) -> list[bytes]:
    """Good files to begin with."""
    words = (
        "<NAME>PE</NAME><FLAGS>WindowsPE</FLAGS><TOTALBYTES>9</TOTALBYTES><WINDOWS><ARCH>9</ARCH><EDITIONID>a</EDITIONID>"
        "<LANGUAGES><LANGUAGE>en-US</LANGUAGE><DEFAULT>en-US</DEFAULT></LANGUAGES>"
        "<VERSION><MAJOR>10</MAJOR><MINOR>0</MINOR><BUILD>26100</BUILD><SPBUILD>1</SPBUILD></VERSION></WINDOWS>"
    )
    one = f'<WIM><IMAGE INDEX="1">{words}</IMAGE></WIM>'
    two = f'<WIM><IMAGE INDEX="1">{words}</IMAGE><IMAGE INDEX="2"/></WIM>'
    match target:
        case "hive":
            store = bcd.Ramdisk(r"\SMSImages\PS100005\boot.PS100005.wim", 4096, 1, True, "uefi")
            small = Key("r", (Value.text("a", "b"),), (Key("k", (Value.texts("l", ("x", "y")),)), Key("m")))
            return [bcd.build(store), regf.write(small), regf.write(Key("r", keys=(Key("Objects"),)))]
        case "wim":
            return [image(XML), image(one), image(two, 2, 2), b"WLPWM" + bytes(203) + image(one)[:208]]
        case "capture":
            files = [path.read_bytes()[:2000] for path in sorted(CAPTURES.glob("*.pcap"))]
            # The same packets as pcapng: a section, an interface, a block for each.
            section, interface = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), struct.pack("<HHI", 1, 0, 0)
            packet = files[0][40 : 40 + struct.unpack_from("<I", files[0], 32)[0]]
            enhanced = struct.pack("<5I", 0, 0, 9, len(packet), len(packet)) + packet
            ng = _block(0x0A0D0D0A, section) + _block(1, interface) + 3 * _block(6, enhanced)
            return [*files, ng]
        case _:
            return [
                XML.encode(),
                one.encode(),
                two.encode(),
                b"<!DOCTYPE a><WIM/>",
                b"<?xml version='1.0'?><a/>",
            ]
