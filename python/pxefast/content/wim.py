"""What a Windows image (.wim) says of itself: its header and its XML, and whether a boot manager can start it.

The file may be anybody's: offsets are checked against the file's size, the XML is capped and may have no document type,
and whatever it says in words is made harmless for a terminal (B-29..B-34).
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID
from xml.parsers import expat

from pxefast import named_files
from pxefast.content.text import harmless
from pxefast.errors import ContentError

__all__ = ["Header", "Resource", "WimImage", "WimInfo", "read", "read_header"]

_HEADER = struct.Struct("<8sIIII16sHHI24s24s24sI24s60x")
_MAGIC = b"MSWIM\0\0\0"
_PIPABLE = b"WLPWM\0\0\0"
_LARGEST_XML = 16 << 20
# What boot managers read; 0xe00 is that of images with LZMS or solid resources.
_VERSION = 0x10D00
_COMPRESSED_RESOURCE = 0x4

_COMPRESSED, _WRITE_IN_PROGRESS = 0x2, 0x40
_RESOURCE_ONLY, _METADATA_ONLY, _SPLIT = 0x10, 0x20, 0x8
_COMPRESSIONS = {0x20000: "XPRESS", 0x40000: "LZX", 0x80000: "LZMS", 0x200000: "XPRESS2"}
# Beyond those that boot: old processors, so that their images are called by name (B-30).
_ARCHITECTURES = {0: "x86", 5: "arm", 6: "ia64", 9: "x64", 12: "arm64"}
_FIELDS = {
    "NAME",
    "DESCRIPTION",
    "TOTALBYTES",
    "WINDOWS/ARCH",
    "WINDOWS/EDITIONID",
    "WINDOWS/PRODUCTNAME",
    "WINDOWS/LANGUAGES/DEFAULT",
    "WINDOWS/LANGUAGES/LANGUAGE",
    "WINDOWS/VERSION/MAJOR",
    "WINDOWS/VERSION/MINOR",
    "WINDOWS/VERSION/BUILD",
    "WINDOWS/VERSION/SPBUILD",
}
# Real files have a few hundred elements, four levels deep, with lines of text.
_MOST_ELEMENTS, _DEEPEST, _LONGEST_TEXT, _MOST_TEXTS = 100_000, 32, 1024, 200


@dataclass(frozen=True)
class Resource:
    """Where something lies in the file, in bytes; `size` is what it takes there, `original` what it was."""

    offset: int
    size: int
    original: int
    flags: int


@dataclass(frozen=True)
class Header:
    """The header as it stands, of any WIM. `compression` is none, XPRESS, LZX, LZMS or XPRESS2; sizes are in bytes."""

    version: int
    flags: int
    compression: str
    chunk_size: int
    guid: UUID
    part: int
    parts: int
    images: int
    boot_index: int
    blobs: Resource
    xml: Resource
    boot: Resource
    pipable: bool

    def refusal(self) -> str | None:
        """Why no boot manager starts this image and what to do, or None (B-31, B-33)."""
        if self.parts != 1 or self.part != 1 or self.flags & _SPLIT:
            return (
                f"it is part {self.part} of {self.parts} of a split image; join all with wimlib-imagex join"
            )
        if self.flags & _WRITE_IN_PROGRESS:
            return "it was never finished being written; copy or make it again"
        if self.flags & (_RESOURCE_ONLY | _METADATA_ONLY):
            return "it holds only a part of an image; export the whole image with wimlib-imagex export"
        if self.pipable:
            return "it is pipable, for wimlib alone; write it anew with wimlib-imagex optimize FILE --not-pipable"
        if self.version != _VERSION or self.compression not in ("none", "XPRESS", "LZX"):
            return (
                f"it is compressed with {self.compression}, version {self.version:#x}, which no boot manager reads; "
                "write it anew with wimlib-imagex export FILE all NEW --compress=LZX --boot"
            )
        if self.boot_index == 0:
            return "none of its images is marked as the one that boots; wimlib-imagex info FILE N --boot marks one"
        if self.boot_index > self.images:
            return f"image {self.boot_index} should boot, and there are {self.images}; wimlib-imagex info FILE N --boot"
        return None


@dataclass(frozen=True)
class WimImage:
    """An image of the file, as its XML describes it; everything but `index` may be missing there.

    `architecture` is x86, x64, arm64, arm or ia64; None where the image does not say or nobody knows its number.
    """

    index: int
    name: str = ""
    description: str = ""
    architecture: str | None = None
    edition: str | None = None
    product: str | None = None
    version: str | None = None
    build: int | None = None
    languages: tuple[str, ...] = ()
    default_language: str | None = None
    total_bytes: int | None = None


@dataclass(frozen=True)
class WimInfo:
    """A WIM that a boot manager can start. `images` are in order; `boot_index` counts from 1."""

    version: int
    compression: str
    chunk_size: int
    boot_index: int
    guid: UUID
    images: tuple[WimImage, ...]

    @property
    def boot(self) -> WimImage:
        """The image that boots."""
        return self.images[self.boot_index - 1]


def read(path: Path) -> WimInfo:
    """A bootable image. Raises ContentError with what is wrong with the file and what to do about it."""
    with _opened(path) as (file, size):
        header = _header(file, size)
        why = header.refusal()
        if why is not None:
            raise ContentError(why)
        for name, place in (("list of files", header.blobs), ("metadata", header.boot), ("XML", header.xml)):
            if not place.size or place.offset + place.size > size:
                raise ContentError(
                    f"its {name} should be at byte {place.offset}, and it ends at {size}; copy it again"
                )
        images = _images(_xml(file, header.xml))
    if len(images) != header.images or any(image.index != n for n, image in enumerate(images, 1)):
        raise ContentError(
            f"{path}: its XML does not describe the {header.images} images that its header counts"
        )
    return WimInfo(
        header.version, header.compression, header.chunk_size, header.boot_index, header.guid, images
    )


def read_header(path: Path) -> Header:
    """The header of any WIM, bootable or not. Raises ContentError if it is none."""
    with _opened(path) as (file, size):
        return _header(file, size)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The file and its size; what is wrong with it is told with its name."""
    try:
        with named_files.open_regular(path) as file:
            yield file, os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ContentError(f"{path}: {error.strerror}") from None
    except ContentError as error:
        raise ContentError(f"{path}: {error}") from None


def _header(file: BinaryIO, size: int) -> Header:
    raw = file.read(_HEADER.size)
    pipable = raw[:8] == _PIPABLE
    if pipable and size >= _HEADER.size:
        # The one in front was written before anything was known (B-31).
        file.seek(size - _HEADER.size)
        raw = file.read(_HEADER.size)
    if raw[:8] not in (_MAGIC, _PIPABLE):
        raise ContentError("it is no Windows image (.wim)")
    if len(raw) < _HEADER.size:
        raise ContentError(f"it ends at byte {size}, inside its header; copy it again")
    _, length, version, flags, chunk, guid, part, parts, images, *rest = _HEADER.unpack(raw)
    blobs, xml, boot, boot_index, _ = rest
    if length != _HEADER.size:
        raise ContentError(f"its header is said to have {length} bytes, and {_HEADER.size} are known")
    return Header(
        version, flags, _compression(flags), chunk, UUID(bytes_le=guid), part, parts, images, boot_index,
        _resource(blobs), _resource(xml), _resource(boot), pipable,
    )  # fmt: skip


def _resource(raw: bytes) -> Resource:
    size, offset, original = struct.unpack("<QQQ", raw)
    return Resource(offset, size & (1 << 56) - 1, original, size >> 56)


def _compression(flags: int) -> str:
    if not flags & _COMPRESSED:
        return "none"
    found = [name for flag, name in _COMPRESSIONS.items() if flags & flag]
    return found[0] if len(found) == 1 else "an unknown method"


def _xml(file: BinaryIO, place: Resource) -> str:
    """The XML. No document type: with it, a few bytes may become gigabytes (B-32)."""
    if place.size > _LARGEST_XML:
        raise ContentError(f"its XML has {place.size} bytes; {_LARGEST_XML} at most are read")
    if place.flags & _COMPRESSED_RESOURCE or place.size != place.original:
        raise ContentError("its XML is compressed, which it never is")
    file.seek(place.offset)
    raw = file.read(place.size)
    if raw[:2] != b"\xff\xfe":
        raise ContentError("its XML is not UTF-16")
    try:
        text = raw[2:].decode("utf-16-le")
    except UnicodeDecodeError as error:
        raise ContentError(f"its XML is not UTF-16 at byte {error.start + 2}") from None
    if "<!DOCTYPE" in text:
        raise ContentError("its XML has a document type, which is not read")
    return text


def _images(text: str) -> tuple[WimImage, ...]:
    """The images that the XML describes, in order of their index."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ContentError(f"its XML is broken: {error}") from None
    return tuple(
        sorted((_image(index, found) for index, found in reader.images), key=lambda image: image.index)
    )


class _Reader:
    """Keeps the few texts that matter, so that no XML makes us large."""

    def __init__(self) -> None:
        self.images: list[tuple[int, dict[str, list[str]]]] = []
        self._path: list[str] = []
        self._elements = 0
        self._text = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or len(self._path) == _DEEPEST:
            raise ContentError(
                f"its XML has more than {_MOST_ELEMENTS} elements, or more than {_DEEPEST} levels"
            )
        self._path.append(name)
        self._text = ""
        if self._path == ["WIM", "IMAGE"]:
            self.images.append((_number(attributes.get("INDEX")) or 0, {}))

    def text(self, text: str) -> None:
        self._text = (self._text + text)[:_LONGEST_TEXT]

    def end(self, _name: str) -> None:
        field = "/".join(self._path[2:])
        if self._path[:2] == ["WIM", "IMAGE"] and field in _FIELDS:
            held = self.images[-1][1].setdefault(field, [])
            if len(held) < _MOST_TEXTS:
                held.append(harmless(self._text))
        self._path.pop()
        self._text = ""


def _image(index: int, found: dict[str, list[str]]) -> WimImage:
    first = {field: texts[0] for field, texts in found.items() if texts[0]}
    number = _number(first.get("WINDOWS/ARCH"))
    version = [
        _number(first.get(f"WINDOWS/VERSION/{part}")) for part in ("MAJOR", "MINOR", "BUILD", "SPBUILD")
    ]
    known = version[: version.index(None)] if None in version else version
    return WimImage(
        index,
        first.get("NAME", ""),
        first.get("DESCRIPTION", ""),
        None if number is None else _ARCHITECTURES.get(number),
        first.get("WINDOWS/EDITIONID"),
        first.get("WINDOWS/PRODUCTNAME"),
        ".".join(str(part) for part in known) or None,
        version[2],
        tuple(text for text in found.get("WINDOWS/LANGUAGES/LANGUAGE", ()) if text),
        first.get("WINDOWS/LANGUAGES/DEFAULT"),
        _number(first.get("TOTALBYTES")),
    )


def _number(text: str | None) -> int | None:
    """A decimal number of 64 bits, else None."""
    if text is None or not re.fullmatch(r"[0-9]{1,20}", text):
        return None
    number = int(text)
    return number if number < 1 << 64 else None
