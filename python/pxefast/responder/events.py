"""What events of every command have in common: how a transfer is told, and an event as a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["ascii_text", "line_of", "transfer_facts"]

# How a transfer ended that nobody needs to look at (F-50, W-89); GRUB stops each as it likes (F-54).
# A denied one has a `launch` event that says why.
_NORMAL_ENDS = {"complete", "unconfirmed", "size_probe", "aborted", "denied"}


def transfer_facts(transfer: _native.Transfer, device: str | None = None) -> dict[str, Any]:
    """An ended transfer as its event tells it, `level` and `text` first; `device` is the one at its address."""
    what = f"{transfer.peer} {transfer.name}: "
    if transfer.outcome == "size_probe":
        what += f"asked for its size, {transfer.size} bytes"
    else:
        rate = transfer.bytes / 1e6 / transfer.seconds if transfer.seconds > 0 else 0.0
        what += (
            f"{transfer.outcome.replace('_', ' ')}, "
            f"{transfer.bytes} of {transfer.size} bytes in {transfer.seconds:.3f} s ({rate:.1f} MB/s), "
            f"block {transfer.block_size} window {transfer.window_size}, {transfer.resent} resent"
        )
    return {
        "level": "info" if transfer.outcome in _NORMAL_ENDS else "warning",
        "text": what if device is None else f"{device} at {what}",
        "peer": transfer.peer,
        "name": transfer.name,
        "outcome": transfer.outcome,
        "size": transfer.size,
        "bytes": transfer.bytes,
        "seconds": round(transfer.seconds, 6),
        "block_size": transfer.block_size,
        "window_size": transfer.window_size,
        "resent": transfer.resent,
        "gated": transfer.gated,
    }


def line_of(event: Mapping[str, Any]) -> str:
    """An event as a person reads it: one line of ASCII, whatever it holds (R-99)."""
    return f"{event['time']} {event['level']:<7} {ascii_text(str(event['text']))}"


def ascii_text(text: str) -> str:
    """A text without anything that a terminal obeys."""
    # A backslash needs no escape: it is in every name that a Windows boot manager asks for.
    return text.encode("unicode_escape").decode("ascii").replace("\\\\", "\\")
