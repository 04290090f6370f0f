"""What is still there after a crash: bytes, and the names of files (D22)."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["place", "sync"]


def sync(path: Path) -> None:
    """Make the bytes of a file, or the names in a folder, durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(written: Path, target: Path) -> None:
    """Give a durable file its name, durably. Raises OSError."""
    if not target.parent.is_dir():
        target.parent.mkdir()
        sync(target.parent.parent)
    written.rename(target)
    sync(target.parent)
