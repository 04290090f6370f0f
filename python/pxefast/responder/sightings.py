"""Sightings: the service notes which MAC address each SMBIOS GUID came with, and its keeper writes them down (D29)."""

from __future__ import annotations

from pxefast.decide import Request, Site
from pxefast.decide.placeholders import is_placeholder
from pxefast.decide.records import Device, swapped_guid, usable_mac
from pxefast.responder.view import View
from pxefast.site.sightings import REFRESH_SECONDS, Sighting, Sightings

__all__ = ["Witness"]

# Pairs whose last writing is remembered, and pairs that wait for the next writing.
_MOST_KNOWN = 65_536
_MOST_WAITING = 1_024


class Witness:
    """Collects sightings. `note` is the answering loop's and writes nothing; `follow` and `write` are the keeper's."""

    def __init__(self, sightings: Sightings, view: View) -> None:
        self._sightings = sightings
        self._view = view
        # When each pair was noted last; the oldest are forgotten first, and noted again.
        self._known: dict[tuple[str, str], float] = {}
        self._waiting: dict[tuple[str, str], float] = {}
        self._followed: Site | None = None

    def note(self, request: Request, site: Site) -> None:
        """Remember the pair of one request, for the decisions from now on and for the database."""
        guid, mac, now = request.guid, request.mac, request.now
        if guid is None or not mac:
            return
        pair = (guid, mac)
        if 0 <= now - self._known.get(pair, 0.0) <= REFRESH_SECONDS or len(self._waiting) >= _MOST_WAITING:
            return
        if not usable_mac(mac) or mac in site.duplicate_macs or is_placeholder(guid, site.placeholders):
            return
        self._known.pop(pair, None)
        self._known[pair] = self._waiting[pair] = now
        if len(self._known) > _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        _tell(site, pair, now)

    def follow(self) -> None:
        """Tell a snapshot that was loaded meanwhile what is not written yet."""
        site = self._view.site
        if site is not self._followed:
            for pair, at in list(self._waiting.items()):
                _tell(site, pair, at)
            self._followed = site

    def write(self) -> None:
        """Write the pairs that wait; raises what the database does, and tries them again then."""
        waiting = dict(self._waiting)
        if not waiting:
            return
        self._sightings.note([Sighting(guid, mac, at) for (guid, mac), at in waiting.items()])
        for pair, at in waiting.items():
            if self._waiting.get(pair) == at:
                del self._waiting[pair]


def _tell(site: Site, pair: tuple[str, str], at: float) -> None:
    """Let the decisions of this snapshot know of a sighting."""
    guid, mac = pair
    device: Device | None = site.devices_by_guid.get(guid) or site.devices_by_guid.get(swapped_guid(guid))
    if device is None:
        return
    seen = site.seen.get(device.id)
    if seen is None and mac in device.macs:
        return
    # A new dictionary: another thread may be reading the old one.
    site.seen[device.id] = {**(seen or {}), mac: at}
