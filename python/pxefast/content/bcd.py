"""BCD stores that make a boot manager fetch a wim into a RAM disk and start it (B-12..B-23)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from uuid import UUID

from pxefast.content.regf import Key, Value, write
from pxefast.errors import ContentError

__all__ = ["FIRMWARES", "SHAPES", "Ramdisk", "boot_device", "build", "ramdisk_device"]

Firmware = Literal["bios", "uefi"]
Shape = Literal["full", "minimal"]
FIRMWARES: tuple[Firmware, ...] = ("bios", "uefi")
SHAPES: tuple[Shape, ...] = ("full", "minimal")

BOOTMGR = UUID("9dea862c-5cdd-4e70-acc1-f32b344d4795")
GLOBAL_SETTINGS = UUID("7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e")
DEBUGGER_SETTINGS = UUID("4636856e-540f-4170-a130-a84776f4c654")
EMS_SETTINGS = UUID("0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9")
LOADER_SETTINGS = UUID("6efb52bf-1766-41db-a6b3-0ee5eff72bd7")
# The object that Windows Deployment Services write and that administrators tune (B-15).
RAMDISK_OPTIONS = UUID("68d9e51c-a129-4ee1-9725-2ab00a957daf")
# Ours; any will do as long as the boot manager's default names it.
LOADER = UUID("d2a5f1c6-6b0e-4f0c-9a57-70786566e001")

_LOADERS = {"bios": r"\windows\system32\boot\winload.exe", "uefi": r"\windows\system32\boot\winload.efi"}
_SMALLEST_BLOCK, _LARGEST_BLOCK = 512, 65464
# With a variable window the wished size is one byte behind each ACK (B-24).
_LARGEST_WINDOW, _LARGEST_VARIABLE_WINDOW = 65535, 255
_LONGEST_TEXT = 1024


@dataclass(frozen=True)
class Ramdisk:
    """What a store says. Paths are the boot manager's: backslashes, from the TFTP root, beginning with one.

    `block_size` is in bytes, `window_size` in blocks; with `variable_window` the client asks anew for each window.
    """

    wim_path: str
    block_size: int
    window_size: int
    variable_window: bool
    firmware: Firmware
    sdi_path: str = r"\SMSBoot\boot.sdi"
    font_path: str = r"\SMSBoot\Fonts"
    description: str = "Windows PE"
    locale: str = "en-US"
    shape: Shape = "full"


def _check_sizes(block_size: int, window_size: int, variable_window: bool) -> None:
    """Raise ContentError for sizes that a boot manager cannot use (B-23)."""
    if not _SMALLEST_BLOCK <= block_size <= _LARGEST_BLOCK:
        raise ContentError(
            f"a RamDisk TFTP block of {block_size} bytes cannot be used; give {_SMALLEST_BLOCK} to {_LARGEST_BLOCK}"
        )
    most = _LARGEST_VARIABLE_WINDOW if variable_window else _LARGEST_WINDOW
    if not 1 <= window_size <= most:
        raise ContentError(
            f"a RamDisk TFTP window of {window_size} blocks cannot be used; give 1 to {_LARGEST_VARIABLE_WINDOW}, "
            f"or up to {_LARGEST_WINDOW} without variable window"
        )


# A few images times a few sizes; each store is 8 to 16 KiB.
@lru_cache(maxsize=256)
def build(ramdisk: Ramdisk) -> bytes:
    """The store, the same bytes for the same argument. Raises ContentError for what cannot be put into one."""
    _check_sizes(ramdisk.block_size, ramdisk.window_size, ramdisk.variable_window)
    for path in (ramdisk.wim_path, ramdisk.sdi_path, ramdisk.font_path):
        if not path.startswith("\\") or "/" in path:
            raise ContentError(f"the path {path!r} must begin with a backslash and hold no slash")
    full = ramdisk.shape == "full"
    wim = ramdisk_device(RAMDISK_OPTIONS, ramdisk.wim_path)
    objects = [
        _object(
            BOOTMGR, 0x10100002,
            _text(0x12000004, "Windows Boot Manager"),
            _text(0x12000005, ramdisk.locale),
            _text(0x1200004A, ramdisk.font_path),
            *([_objects(0x14000006, GLOBAL_SETTINGS)] if full else []),
            _text(0x23000003, _braced(LOADER)),
            _objects(0x24000001, LOADER),
            _integer(0x25000004, 0),
        ),
        _object(
            RAMDISK_OPTIONS, 0x30000000,
            _text(0x12000004, "RAM disk options"),
            _binary(0x31000003, bytes(16) + boot_device()),
            _text(0x32000004, ramdisk.sdi_path),
            _integer(0x35000007, ramdisk.block_size),
            _integer(0x35000008, ramdisk.window_size),
            _boolean(0x3600000B, ramdisk.variable_window),
        ),
        _object(
            LOADER, 0x10200003,
            _binary(0x11000001, wim),
            _text(0x12000002, _LOADERS[ramdisk.firmware]),
            _text(0x12000004, ramdisk.description),
            _text(0x12000005, ramdisk.locale),
            *([_objects(0x14000006, LOADER_SETTINGS)] if full else []),
            _binary(0x21000001, wim),
            _text(0x22000002, r"\windows"),
            _boolean(0x26000010, True),
            _boolean(0x26000022, True),
            _integer(0x250000C2, 1),
            _boolean(0x260000B0, False),
        ),
    ]  # fmt: skip
    if full:
        objects += _shared_settings()
    description = Key("Description", (Value.text("KeyName", "BCD00000000"),))
    return write(Key("NewStoreRoot", keys=(description, Key("Objects", keys=tuple(objects)))))


def boot_device() -> bytes:
    """The descriptor of the device that the boot manager was loaded from: 72 bytes (B-18)."""
    return struct.pack("<IIII56x", 5, 0, 72, 0)


def ramdisk_device(options: UUID, path: str) -> bytes:
    """The element for a RAM disk made of the file `path` of the boot device (B-19)."""
    name = _utf16(path)
    source = struct.pack("<III", 1, 12 + 72 + len(name), 5) + boot_device() + name
    ramdisk = struct.pack("<IQQI", 3, 0, 0, 0) + source
    return options.bytes_le + struct.pack("<IIII", 0, 1, 16 + len(ramdisk), 0) + ramdisk


def _shared_settings() -> list[Key]:
    return [
        _object(GLOBAL_SETTINGS, 0x20100000, _objects(0x14000006, DEBUGGER_SETTINGS, EMS_SETTINGS)),
        _object(
            DEBUGGER_SETTINGS, 0x20100000,
            _integer(0x15000011, 0), _integer(0x15000013, 1), _integer(0x15000014, 115200),
        ),
        _object(EMS_SETTINGS, 0x20100000, _boolean(0x16000020, False)),
        _object(LOADER_SETTINGS, 0x20200003, _objects(0x14000006, GLOBAL_SETTINGS)),
    ]  # fmt: skip


def _object(guid: UUID, kind: int, *elements: Key) -> Key:
    return Key(
        _braced(guid),
        keys=(Key("Description", (Value.number("Type", kind),)), Key("Elements", keys=elements)),
    )


def _braced(guid: UUID) -> str:
    return f"{{{guid}}}"


def _utf16(text: str) -> bytes:
    if len(text) > _LONGEST_TEXT or "\0" in text:
        raise ContentError(
            f"{text[:80]!r} cannot be put into a store: {_LONGEST_TEXT} characters at most, without NUL"
        )
    try:
        return f"{text}\0".encode("utf-16-le")
    except UnicodeEncodeError:
        raise ContentError(f"{text[:80]!r} cannot be put into a store: it is no valid Unicode") from None


def _element(number: int, value: Value) -> Key:
    return Key(f"{number:08x}", (value,))


def _text(number: int, text: str) -> Key:
    return _element(number, Value("Element", 1, _utf16(text)))


def _objects(number: int, *guids: UUID) -> Key:
    return _element(number, Value.texts("Element", tuple(_braced(guid) for guid in guids)))


def _binary(number: int, data: bytes) -> Key:
    return _element(number, Value("Element", 3, data))


def _integer(number: int, value: int) -> Key:
    return _binary(number, struct.pack("<Q", value))


def _boolean(number: int, value: bool) -> Key:
    return _binary(number, bytes([value]))
