"""Learned windows: machines of a model that lost blocks of a large TFTP window are given a smaller one (W-80, W-105).

A boot driver has room for so many packets and drops what comes beyond. How many is known to nobody, but every gap of a
transfer tells.
"""

from __future__ import annotations

from typing import NamedTuple

from pxefast.decide import Reason, Request, Site
from pxefast.decide.bootimage import platform_of

__all__ = ["Limit", "limit_of", "lowered", "model_of"]

# So many windows with a gap, and so large a part of all: chance does not repeat itself like this, a full ring does.
_GAPS = 8
_PART = 4


class Limit(NamedTuple):
    """The largest window, in blocks, for machines of a model; 0: as large as they ask for."""

    model: str | None = None
    blocks: int = 0

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the window is limited, for people; nothing where it is not."""
        if not self.blocks:
            return ()
        text = (
            f"it is given TFTP windows of at most {self.blocks} blocks, for machines of model {self.model} lost blocks "
            "of larger ones; see: pxefast tune show"
        )
        return (Reason("learned_window", text, "W-105"),)


def lowered(granted: int, windows: int, gap_windows: int, arrived: int, least: int) -> int | None:
    """The largest window that a machine takes, as one transfer shows it; None where it shows no other than it had.

    Of `windows` windows of `granted` blocks, `gap_windows` were acknowledged up to a lost block, after `arrived` blocks
    at the least. A ring that is full drops what comes after as many blocks as it holds, in nearly every window: the
    largest power of two that always arrived is safe. A network that loses any block loses the first ones as well: where
    fewer than `least` arrived, no ring is to blame, and no window would help.
    """
    if gap_windows < _GAPS or gap_windows * _PART < windows or arrived < least:
        return None
    fits = max(1 << (arrived.bit_length() - 1), least)
    return fits if fits < granted else None


def model_of(request: Request, site: Site) -> str | None:
    """Which machines have the same drivers, as far as their requests tell: `<OUI>/<architecture>-<firmware>/<class>`.

    The class is that of option 60, PXEClient, or iPXE, which brings drivers of its own. None where the MAC address or
    the platform is not known.
    """
    platform = platform_of(request, site.policy)
    if platform is None or not request.mac:
        return None
    brings = "iPXE" if request.ipxe else "PXEClient"
    return f"{request.mac[:8]}/{platform.architecture}-{platform.firmware}/{brings}"


def limit_of(request: Request, site: Site) -> Limit:
    """The window that whoever asks is given at most."""
    model = model_of(request, site)
    return Limit(model, 0 if model is None else site.windows.get(model, 0))
