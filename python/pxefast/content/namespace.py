"""The names that files are served under: `SMSImages/<ID>/<name>`, in the publisher's spelling (CM-114).

The native side folds case and backslashes; no two names fold to the same, for the library refused that.
"""

from __future__ import annotations

from pxefast.content.library import Library
from pxefast.content.source import PREFIX

__all__ = ["boot_file", "build"]


def build(library: Library) -> list[tuple[str, str, int, bool]]:
    """Every published file: full name, its blob's path relative to the library's folder, size in bytes, gated."""
    return [
        (boot_file(image.id, file.name), file.blob, file.size, False)
        for image in library.published().values()
        for file in image.files
    ]


def boot_file(image_id: str, name: str) -> str:
    """The full name of an image's file, as a DHCP reply says it."""
    return f"{PREFIX}/{image_id}/{name}"
