"""A Windows image without content: a header, then XML. Each field may be what no tool would write."""

from __future__ import annotations

import struct

_HEADER = struct.Struct("<8sIIII16sHHI24s24s24sI24s60x")
XML = '<WIM><IMAGE INDEX="1"/></WIM>'


def resource(offset: int, size: int, flags: int = 2, original: int | None = None) -> bytes:
    """Where something lies in the file."""
    return struct.pack("<QQQ", size | flags << 56, offset, size if original is None else original)


def image(text: str | bytes = XML, images: int = 1, boot_index: int = 1, **changed: bytes) -> bytes:
    """A file with this XML, or with these bytes in its place; `changed` are resources: blobs, xml, boot."""
    raw = text if isinstance(text, bytes) else b"\xff\xfe" + text.encode("utf-16-le", "surrogatepass")
    places = {
        "blobs": resource(0, 50),
        "xml": resource(_HEADER.size, len(raw)),
        "boot": resource(0, 50),
        **changed,
    }
    fields = (b"MSWIM\0\0\0", _HEADER.size, 0x10D00, 0x40002, 32768, bytes(16), 1, 1, images)
    return _HEADER.pack(*fields, places["blobs"], places["xml"], places["boot"], boot_index, bytes(24)) + raw
