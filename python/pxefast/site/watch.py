"""A watcher that says when a snapshot is old."""

from __future__ import annotations

from pxefast.site.store import Store

__all__ = ["Watcher"]


class Watcher:
    """Notices changes that other connections made to the site, cheaply enough to ask many times a second.

    Make it before the snapshot: what changes in between is then noticed.
    """

    def __init__(self, store: Store) -> None:
        self._connection = store.watch()
        self._data_version = self._read("PRAGMA data_version")
        self._revision = self._read("SELECT revision FROM hierarchy")

    def changed(self) -> bool:
        """True once for each change since the last call; claims are none."""
        data_version = self._read("PRAGMA data_version")
        if data_version == self._data_version:
            return False
        self._data_version = data_version
        revision = self._read("SELECT revision FROM hierarchy")
        if revision == self._revision:
            return False
        self._revision = revision
        return True

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()

    def _read(self, statement: str) -> int:
        # In autocommit: an open read transaction would hide every change made after it began.
        return int(self._connection.execute(statement).fetchone()[0])
