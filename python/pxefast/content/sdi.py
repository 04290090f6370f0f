"""A boot.sdi of our own: an empty NTFS volume in the container that boot managers mount as the RAM disk's frame (B-43).

Experimental: the layout is that of Microsoft's file, but no Windows loader was seen to take a volume of mkntfs (B-44).
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from pxefast.errors import ContentError

__all__ = ["make_sdi"]

# In bytes, all three as in Microsoft's file.
_VOLUME_AT = 0x2000
_VOLUME_SIZE = 0x303C00
_SIZE = 0x306000
_DIRECTORY_AT = 0x400
_PAGES_AT, _CHECKSUM_AT, _HEADER_SIZE = 0x70, 0x1F8, 512
# type, attributes, offset, size, base; the base of a partition is its MBR type.
_RECORD = struct.Struct("<8sQQQQ24x")
_NTFS = 7
_SECTOR = "512"


def make_sdi(output: Path) -> None:
    """Write a boot.sdi of 3,170,304 bytes, the same bytes each time; what was there before is replaced at the end.

    Needs mkntfs. Raises ContentError.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".sdi-", dir=output.parent) as folder:
            whole = Path(folder) / "boot.sdi"
            whole.write_bytes(_packed(_volume(Path(folder) / "volume")))
            whole.replace(output)
    except OSError as error:
        raise ContentError(f"{output}: {error.strerror}") from None


def _volume(file: Path) -> bytes:
    """An empty NTFS volume."""
    # Debian keeps it where only root's PATH looks.
    program = shutil.which("mkntfs", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if program is None:
        raise ContentError(
            "mkntfs is not installed; apt install ntfs-3g, or take boot.sdi from Windows media"
        )
    with file.open("wb") as new:
        new.truncate(_VOLUME_SIZE)
    sizes = ("-c", _SECTOR, "-s", _SECTOR)
    # No times, so that nothing in it depends on when it was made.
    command = (program, "--force", "--quick", "--zero-time", *sizes, str(file))
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise ContentError(f"mkntfs failed: {(done.stderr or done.stdout).strip()}")
    return file.read_bytes()


def _packed(volume: bytes) -> bytes:
    header = bytearray(_VOLUME_AT)
    header[:8] = b"$SDI0001"
    struct.pack_into("<Q", header, _PAGES_AT, _VOLUME_AT // 4096)
    _RECORD.pack_into(header, _DIRECTORY_AT, b"PART", 0, _VOLUME_AT, _VOLUME_SIZE, _NTFS)
    # The empty slot behind the volume is where the wim would be in one file with it.
    _RECORD.pack_into(header, _DIRECTORY_AT + _RECORD.size, b"WIM", 0, _SIZE, 0, 0)
    header[_CHECKSUM_AT] = -sum(header[:_HEADER_SIZE]) % 256
    return (bytes(header) + volume).ljust(_SIZE, b"\0")
