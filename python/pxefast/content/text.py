"""Words out of files that anybody may have written."""

from __future__ import annotations

__all__ = ["harmless"]


def harmless(text: str) -> str:
    """The text without what a terminal would obey, and without blanks at its ends."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text.strip())
