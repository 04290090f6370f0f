"""Learned windows: machines of a model that lost blocks of a large TFTP window are given a smaller one (W-80, W-105).

A boot driver has room for so many packets and drops what comes beyond. How many is known to nobody, but every gap of a
transfer tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from pxefast.config import Tftp
from pxefast.decide import Reason, Request, Site
from pxefast.decide.bootimage import platform_of
from pxefast.errors import AlreadyExists, Invalid
from pxefast.responder.handed import Handed
from pxefast.responder.view import View
from pxefast.site.learned_windows import LearnedWindows, Lesson

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Gaps", "Limit", "Tuner", "limit_of", "lowered", "model_of"]

# So many windows with a gap, and so large a part of all.
_GAPS = 32
_PART = 4
# Of a ring that is full the gaps lie together: on average no further from a window's begin than this times the nearest.
_TOGETHER = 2

# Lessons that wait to be written.
_MOST = 64

Tell = Callable[..., None]


class Gaps(NamedTuple):
    """What one transfer of windows of `granted` blocks tells: in `gap_windows` of its `windows` a block was lost.

    Before these gaps `arrived` blocks came through at the least (gaps at a window's very begin aside), and `blocks` in
    all of these windows together.
    """

    granted: int
    windows: int
    gap_windows: int
    arrived: int
    blocks: int


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


def lowered(gaps: Gaps, least: int) -> int | None:
    """The window that a machine takes whole, as one transfer shows it, at least `least`; None: no smaller than it had.

    A driver with room for so many packets drops what comes beyond, in nearly every window and at about the same place:
    the largest power of two that always came through fits. A network that loses packets by chance loses them anywhere:
    then no window is to blame, and nothing is learned.
    """
    often = gaps.gap_windows >= _GAPS and gaps.gap_windows * _PART >= gaps.windows
    together = gaps.blocks <= _TOGETHER * gaps.arrived * gaps.gap_windows
    if not often or not together or gaps.arrived < 2:
        return None
    fits = max(1 << (gaps.arrived.bit_length() - 1), least)
    return fits if fits < gaps.granted else None


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


class Tuner:
    """Learns from ended transfers. `note` is the loop's, `write` the keeper's."""

    def __init__(self, settings: Tftp, windows: LearnedWindows, view: View, tell: Tell) -> None:
        self._least = settings.learned_window_min
        self._windows = windows
        self._view = view
        self._tell = tell
        self._lessons: dict[str, Lesson] = {}

    def note(self, transfer: _native.Transfer, known: Handed | None) -> None:
        """Look at one ended transfer; `known` is what was last answered to its address."""
        # A client that varies its window finds what fits by itself, and no answer could tell it (W-107).
        if known is None or known.model is None or transfer.variable_window:
            return
        model = known.model
        gaps = Gaps(
            transfer.window_granted,
            transfer.windows,
            transfer.gap_windows,
            transfer.gap_at,
            transfer.gap_blocks,
        )
        blocks = lowered(gaps, self._least)
        if blocks is None or blocks >= self._view.site.windows.get(model, gaps.granted):
            return
        waiting = self._lessons.get(model)
        if waiting is None and len(self._lessons) >= _MOST:
            return
        if waiting is None or blocks < waiting.blocks:
            self._lessons[model] = Lesson(
                model,
                blocks,
                gaps.granted,
                gaps.arrived,
                gaps.gap_windows,
                gaps.windows,
                known.device or known.mac,
            )

    def write(self) -> None:
        """Remember one lesson, which every distribution point then goes by; raises what the database does."""
        try:
            model, lesson = self._lessons.popitem()
        except KeyError:
            return
        try:
            self._windows.learn(lesson)
        except AlreadyExists:
            return
        except Exception as error:
            if not isinstance(error, Invalid):
                self._lessons.setdefault(model, lesson)
            raise
        self._tell(
            "warning",
            f"machines of model {model} get TFTP windows of at most {lesson.blocks} blocks from now on: "
            f"{lesson.machine} lost blocks in {lesson.gap_windows} of {lesson.windows} windows of {lesson.granted}, "
            f"after {lesson.arrived} blocks at the least; see: pxefast tune show",
            **lesson._asdict(),
        )
