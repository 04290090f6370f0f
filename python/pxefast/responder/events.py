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


# What the slow side of a transfer did with the time.
_SLOW_SIDES = {
    "server": "held here by a cap, a full socket or a gate",
    "network": "on the way, and in sending again what was lost there",
    "client": "waiting for its acknowledgments",
}


def transfer_facts(transfer: _native.Transfer, device: str | None = None, limit: int = 0) -> dict[str, Any]:
    """An ended transfer as its event tells it, `level` and `text` first; `device` is the one at its address.

    `limit` is the window that was learned for it, in blocks; 0: none. Times are seconds.
    """
    what = f"{transfer.peer} {transfer.name}: "
    if transfer.outcome == "size_probe":
        what += f"asked for its size, {transfer.size} bytes"
    else:
        what += _course(transfer, limit)
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
        "window_granted": transfer.window_granted,
        "window_learned": limit or None,
        "resent": transfer.resent,
        "timeouts": transfer.timeouts,
        "rewinds": transfer.rewinds,
        "windows": transfer.windows,
        "gap_windows": transfer.gap_windows,
        "gap_at": transfer.gap_at or None,
        "round_trip": _rounded(transfer.round_trip),
        "first_block": _rounded(transfer.first_block),
        "waited": {
            "server": _rounded(transfer.waited_server),
            "network": _rounded(transfer.waited_network),
            "client": _rounded(transfer.waited_client),
        },
        "slow_side": transfer.slow_side,
        "gated": transfer.gated,
    }


def _course(transfer: _native.Transfer, limit: int) -> str:
    """How a transfer went, for people: what was granted and sent, and where its time went."""
    seconds = transfer.seconds
    rate = transfer.bytes / 1e6 / seconds if seconds > 0 else 0.0
    learned = " (learned)" if limit and transfer.window_granted == limit else ""
    said = (
        f"{transfer.outcome.replace('_', ' ')}, "
        f"{transfer.bytes} of {transfer.size} bytes in {seconds:.3f} s ({rate:.1f} MB/s), "
        f"block {transfer.block_size} window {transfer.window_size}{learned}, {transfer.resent} resent"
    )
    if transfer.timeouts:
        said += f", {transfer.timeouts} timeout{'' if transfer.timeouts == 1 else 's'}"
    if transfer.round_trip is not None:
        said += f"; round trip {transfer.round_trip * 1000:.3g} ms"
    if transfer.first_block is not None:
        said += f", first block after {transfer.first_block * 1000:.3g} ms"
    if transfer.slow_side is None:
        return said
    waited: float = getattr(transfer, f"waited_{transfer.slow_side}")
    digits = 1 if seconds >= 10 else 3
    where = _SLOW_SIDES[transfer.slow_side]
    return f"{said}; slow side: {transfer.slow_side} ({waited:.{digits}f} of {seconds:.{digits}f} s {where})"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def line_of(event: Mapping[str, Any]) -> str:
    """An event as a person reads it: one line of ASCII, whatever it holds (R-99)."""
    return f"{event['time']} {event['level']:<7} {ascii_text(str(event['text']))}"


def ascii_text(text: str) -> str:
    """A text without anything that a terminal obeys."""
    # A backslash needs no escape: it is in every name that a Windows boot manager asks for.
    return text.encode("unicode_escape").decode("ascii").replace("\\\\", "\\")
