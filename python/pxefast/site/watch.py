"""A watcher that says when a snapshot is old."""

from __future__ import annotations

from pxefast.errors import CannotOpen
from pxefast.site.engines import Pulse
from pxefast.site.store import Store

__all__ = ["Watcher"]


class Watcher:
    """Notices changes that others made to the site, cheaply enough to ask many times a second.

    Make it before the snapshot: what changes in between is then noticed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pulse: Pulse | None = store.pulse()
        self._revision = store.revision()
        self._lost = ""

    @property
    def revision(self) -> int:
        """The revision of the site that the last call of `changed` found; the one at the beginning before that."""
        return self._revision

    def changed(self) -> bool:
        """True once for each change since the last call; claims are none. Never waits.

        Raises CannotOpen while the database cannot be reached; then each call tries again, and the one that reaches it
        says True.
        """
        try:
            if self._pulse is None:
                self._pulse = self._store.pulse()
            revision = self._pulse.revision()
        except CannotOpen as error:
            self.close()
            self._store.discard()
            self._lost = str(error)
            raise
        if self._lost:
            if revision is None:
                raise CannotOpen(self._lost)
            self._lost = ""
        elif revision is None or revision == self._revision:
            return False
        self._revision = revision
        return True

    def close(self) -> None:
        """Give back the connection."""
        if self._pulse is not None:
            self._pulse.close()
            self._pulse = None
