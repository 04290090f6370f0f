"""What the service decides from, swapped whole within a second of any change, without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable

from pxefast.content import namespace
from pxefast.content.library import Library
from pxefast.decide import Site
from pxefast.responder.exclusions import ExclusionFile
from pxefast.site.snapshot import load
from pxefast.site.store import Store
from pxefast.site.watch import Watcher

__all__ = ["Published", "View"]

Published = list[tuple[str, str, int, bool]]

# How often changes are looked for, and what could not be read is tried again.
_SECONDS = 0.2
_AGAIN_SECONDS = 1.0


class View:
    """The site, the published files and the exclusion list as they are now.

    `problem` says why the site cannot be trusted at the moment: nothing is handed out then.
    """

    def __init__(
        self,
        store: Store,
        library: Library,
        session_seconds: float,
        publish: Callable[[Published], None],
        tell: Callable[[str, str], None],
    ) -> None:
        self._store = store
        self._library = library
        self._session_seconds = session_seconds
        self._publish = publish
        self._tell = tell
        self._watcher = Watcher(store)
        self._stamp = library.stamp()
        self._next = 0.0
        self.exclusion_file = ExclusionFile()
        self.problem: str | None = None
        self.loaded = time.time()
        self.site: Site = load(store, store.point, library.published(), session_seconds)
        publish(namespace.build(library))
        self._read_exclusions()

    def refresh(self) -> None:
        """Look for changes, at most five times a second."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _SECONDS
        try:
            self._refresh()
        except Exception as error:  # whatever it is, what cannot be read is not trusted
            if self.problem is None:
                self._tell("error", f"nothing is handed out until this is mended: {error}")
            self.problem = str(error) or type(error).__name__
            self._next = now + _AGAIN_SECONDS

    def _refresh(self) -> None:
        stamp = self._library.stamp()
        content, mending = stamp != self._stamp, self.problem is not None
        changed = self._watcher.changed() or content
        if changed or mending:
            if content:
                self._publish(namespace.build(self._library))
            self.site = load(self._store, self._store.point, self._library.published(), self._session_seconds)
            self._stamp = stamp
            self.loaded = time.time()
        self._read_exclusions()
        if mending:
            self.problem = None
            self._tell("warning", "all can be read again")
        if changed:
            self._tell("info", "the content library changed" if content else "the site changed")

    def _read_exclusions(self) -> None:
        news = self.exclusion_file.refresh(self.site.dp.mac_ignore_list_file)
        if news is not None:
            self._tell("error" if self.exclusion_file.problem else "info", news)

    def close(self) -> None:
        """Give back the watcher's connection."""
        self._watcher.close()
