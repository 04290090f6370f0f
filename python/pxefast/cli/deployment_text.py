"""Texts about the life of required deployments: what a removal ends, and which machines wait."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

from pxefast.cli.options import moment_text

if TYPE_CHECKING:
    from pxefast.site.blocked_devices import Behind
    from pxefast.site.removal import Removal

__all__ = ["behind_text", "launched_lines", "removal_text", "until_text"]


def until_text(until: float) -> str:
    """Return `until TIME`, or how the wait ends if time alone does not end it."""
    return "until it reports its end" if isinf(until) else f"until {moment_text(until)}"


def behind_text(item: Behind) -> str:
    """Return one device that waits, and behind what."""
    return f"{item.device} (behind {item.deployment} {until_text(item.until)})"


def removal_text(removal: Removal, verb: str) -> str:
    """Return what a removal ends, by kind of case; `verb` is `withdraw` or `withdrew`."""
    text = f"{verb} {removal.armed} armed, {removal.held} held and {len(removal.launched)} launched"
    return f"{text}; {removal.finished} finished stay as they are" if removal.finished else text


def launched_lines(removal: Removal) -> list[str]:
    """Return a line for each device that was launched and has not reported its end."""
    return [
        f"{item.device} was launched and has not reported its end; "
        f"other required deployments wait {until_text(item.until)}"
        for item in removal.launched
    ]
