"""What the service decides from: swapped whole by the keeper's thread within a second of any change.

The loop that answers machines only ever takes what is there (`sight`); it never waits for a file or a database.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from pxefast.config import Settings
from pxefast.content import namespace
from pxefast.content.library import Library, Published
from pxefast.decide import Device, Exclusions, Mark, Reason, Site
from pxefast.errors import DatabaseReplaced, PxefastError
from pxefast.responder.exclusions import FRESH_LIST_SECONDS, ExclusionFile
from pxefast.responder.gated import gated_files
from pxefast.responder.halt import Halt
from pxefast.responder.heartbeat import Heartbeat, clock
from pxefast.responder.marks import older, put_mark
from pxefast.responder.overwritten_database import find_forgotten, forgotten
from pxefast.responder.pauses import database_replaced, no_database
from pxefast.responder.programs import distributed
from pxefast.site.snapshot import load
from pxefast.site.store import Store
from pxefast.site.watch import Watcher

__all__ = ["Sight", "View"]

Publish = Callable[[list[namespace.File]], None]
Tell = Callable[[str, str], None]
T = TypeVar("T")

# How long a database that failed is left alone before it is tried again.
_AGAIN_SECONDS = 1.0
# What a file system gets to show the first exclusion list.
_FIRST_LIST_SECONDS = 10.0


class Sight(NamedTuple):
    """What one batch of questions is decided from. `problem`: nothing is handed out, and why."""

    site: Site
    exclusions: Exclusions
    problem: Reason | None


class _Gone(PxefastError):  # noqa: N818  what it says
    """The database, and nothing else, cannot be read."""


class View:
    """The site, the published files, the exclusion list and the halt file as they are now.

    Raises CannotOpen, SiteError, ExclusionError when it cannot begin.
    """

    def __init__(
        self, store: Store, library: Library, settings: Settings, halt: Halt, publish: Publish, tell: Tell
    ) -> None:
        self._store = store
        self._library = library
        self._session_seconds = settings.session.seconds
        self._stale_seconds = settings.database.serve_stale_available_seconds
        self._halt = halt
        self._publish = publish
        self._tell = tell
        self._turn = threading.Lock()
        self._marks_meanwhile: list[tuple[int, Mark]] | None = None
        self._by_number: dict[int, Device] | None = None
        self._doubt: tuple[float, Reason] | None = None
        self._again = 0.0
        self._content_problem: str | None = None
        #: Life signs of the thread that calls `refresh`.
        self.heart = Heartbeat("pxefast-keeper")
        self.exclusion_file = ExclusionFile()
        self.gated: dict[str, str] = {}
        self.unreadable: str | None = None
        self.lost: Reason | None = None
        # For the life of this process: what a database file that was put in place of ours holds is not believed (D37).
        self.replaced: Reason | None = None
        # Proves by a durable write that claims can be recorded again; None in a dry run, which writes nothing (D40).
        self.prove: Callable[[], None] | None = None
        # Told by the keeper and the barrier: a broken journal, here or at another distribution point, a database with
        # unsafe settings, a disk without room, a spent budget.
        self.journal: Reason | None = None
        self.unsafe: Reason | None = None
        self.full: Reason | None = None
        self.alarm: Reason | None = None
        self.budget: Reason | None = None
        self._follow_machines: Callable[[bytes], None] | None = None
        self.loaded = time.time()
        self._confirmed = clock()
        self._watcher: Watcher | None = Watcher(store)
        # Of the site that decisions are made from: what was read is of this revision, or of a newer one.
        self.revision = self._watcher.revision
        self._stamp = library.stamp()
        published = library.published()
        self.site: Site = load(store, store.point, distributed(published), self._session_seconds)
        self.devices = _count(self.site)
        self._serve_files(self.site, published)
        self._read_exclusions(self.site, _FIRST_LIST_SECONDS)

    def follow_recorded_machines(self, follow: Callable[[bytes], None]) -> None:
        """Call `follow` now and after every change of the site, with the MAC addresses of all recorded machines."""
        self._follow_machines = follow
        follow(_packed_macs(self.site))

    # What the loop asks and says.

    def sight(self) -> Sight:
        """Everything as it is now; two system calls."""
        return Sight(
            self.site, Exclusions(self.exclusion_file.exclusions.macs, self.required_off()), self.problem()
        )

    def required_off(self) -> Reason | None:
        """Why no required deployment may be handed out now; the gravest of the reasons."""
        return self._halt.check() or self.held()

    def held(self) -> Reason | None:
        """The same without the halt files, which anybody can look at."""
        return self._off() or self.budget or self.exclusion_file.exclusions.paused

    def launches_off(self) -> Reason | None:
        """Why no launch file may be completed now. What the budget has let begin may go on."""
        return self._halt.check() or self._off() or self.exclusion_file.exclusions.paused

    def _off(self) -> Reason | None:
        gone = self.database_gone()
        return self.replaced or self.full or self.journal or self.alarm or self.unsafe or gone

    def problem(self) -> Reason | None:
        """Why nothing at all may be handed out (D10)."""
        if self.replaced is not None:
            return self.replaced
        if self.unreadable is not None:
            return Reason("site_unreadable", self.unreadable, "T18")
        stuck = self.heart.look()
        # Available deployments may go on without the database (D10); the exclusion list has a thread of its own.
        if stuck is not None and not (stuck.in_database and self._age() <= self._stale_seconds):
            return stuck.reason("nothing is handed out")
        if self.lost is None or self._age() <= self._stale_seconds:
            return None
        return self.lost

    def problems(self) -> list[str]:
        """Everything that is wrong, for people."""
        gone, file = self.database_gone(), self.exclusion_file.problem
        reasons = (self._halt.check(), self.full, self.journal, self.alarm, self.unsafe, gone, self.budget)
        texts = [reason.text for reason in reasons if reason]
        if (self.lost is not None or self.heart.look() is not None) and self.problem() is None:
            left = self._stale_seconds - self._age()
            texts.append(f"available deployments go on from a snapshot, for {left:.0f} s more")
        return [*texts, *(text for text in (self.unreadable, file) if text)]

    def doubt(self, error: Exception) -> None:
        """A write failed: nobody knows what the database holds.

        Required deployments are off until the keeper has read it anew, so that no other machine waits for it (R-73).
        """
        self._notice(error)
        reason = no_database(str(error) or type(error).__name__)
        with self._turn:
            self._doubt = (time.monotonic(), reason)
            self._again = time.monotonic() + _AGAIN_SECONDS

    def mark(self, device_id: int, mark: Mark) -> None:
        """The ledger's newest word on a device: the next decision must know it."""
        with self._turn:
            put_mark(self.site, device_id, mark)
            if self._marks_meanwhile is not None:
                self._marks_meanwhile.append((device_id, mark))

    def device(self, device_id: int | None) -> Device | None:
        """A device by its number."""
        if device_id is None:
            return None
        devices = self._by_number
        if devices is None:
            site = self.site
            every = (*site.devices_by_mac.values(), *site.devices_by_guid.values())
            devices = self._by_number = {device.id: device for device in every}
        return devices.get(device_id)

    def device_name(self, device_id: int | None) -> str | None:
        """A device's name by its number."""
        device = self.device(device_id)
        return None if device is None else device.name

    def _age(self) -> float:
        return clock() - self._confirmed

    def database_gone(self) -> Reason | None:
        """Why the database cannot be asked now, so that nobody waits for it (R-73)."""
        if self.replaced is not None:
            return self.replaced
        if self.lost is not None:
            return self.lost
        if self._doubt is not None:
            return self._doubt[1]
        stuck = self.heart.look()
        return None if stuck is None else stuck.reason("required deployments are off")

    # What the keeper does.

    def refresh(self) -> None:
        """Look for changes and follow them. What cannot be read is not trusted, and tried again each second."""
        began = clock()
        if time.monotonic() >= self._again:
            try:
                self._refresh_site()
            except _Gone as error:
                self._notice(error.__cause__)
                self._lose(str(error))
            except Exception as error:  # whatever it is
                self._content_problem = str(error) or type(error).__name__
                self._again = time.monotonic() + _AGAIN_SECONDS
        unreadable = self._content_problem
        self.heart.enter("exclusion list")
        try:
            self._read_exclusions(self.site)
        except PxefastError as error:
            unreadable = unreadable or str(error)
        self.unreadable = unreadable
        self.heart.beat(began)

    def _refresh_site(self) -> None:
        began = clock()
        self.heart.enter("database: recover")
        _ask(self._store.recover)
        self.heart.enter("content library")
        stamp = self._library.stamp()
        self.heart.enter("database: look for changes")
        content = stamp != self._stamp
        changed = _ask(self._changed)
        self._confirmed = began
        doubt = self._doubt
        mending = self.lost is not None or doubt is not None or self._content_problem is not None
        served = self._served
        if changed or content or mending:
            self._load()
            self._stamp = stamp
        if doubt is not None and self.prove is not None:
            try:
                self.prove()
            except Exception as error:  # whatever it is, nothing can be recorded yet
                self.doubt(error)
        with self._turn:
            if self._doubt is doubt:
                self._doubt = None
        self._content_problem = None
        self.lost = None
        if (changed or content) and not mending:
            self._tell(*(_content_news(served, self._served) if content else ("info", "the site changed")))

    def _changed(self) -> bool:
        if self._watcher is None:
            self._watcher = Watcher(self._store)
            return True
        return self._watcher.changed()

    def _notice(self, error: BaseException | None) -> None:
        if isinstance(error, DatabaseReplaced) and self.replaced is None:
            self.replaced = database_replaced(str(error))

    def _load(self) -> None:
        self.heart.enter("content library")
        published = self._library.published()
        with self._turn:
            self._marks_meanwhile = []
            # What is marked from here on may be younger than what is read below.
            known = {deployment_id: dict(marks) for deployment_id, marks in self.site.marks.items()}
        try:
            images = distributed(published)
            self.heart.enter("database: load the site")
            site = _ask(lambda: load(self._store, self._store.point, images, self._session_seconds))
            _ask(lambda: self._require_memory(known, site))
            self.devices = _count(site)
            self.heart.enter("boot files")
            # Before the first machine is sent to a file, its gate must be shut.
            self._serve_files(site, published)
            self.heart.enter("exclusion list")
            # Whom the list excludes must be known before what was deployed since.
            try:
                self._read_exclusions(site)
            except PxefastError as error:
                self.unreadable = str(error)
            if self._watcher is not None:
                self.revision = self._watcher.revision
            with self._turn:
                for device_id, mark in self._marks_meanwhile:
                    put_mark(site, device_id, mark)
                self.site, self._by_number, self.loaded = site, None, time.time()
            if self._follow_machines is not None:
                self._follow_machines(_packed_macs(site))
        finally:
            self._marks_meanwhile = None

    def _require_memory(self, known: Mapping[str, Mapping[int, Mark]], site: Site) -> None:
        # On PostgreSQL the journal says so, and another distribution point may reconcile.
        lost = find_forgotten(known, site, older) if self._store.dialect == "sqlite" else None
        if lost is not None:
            raise forgotten(self.device_name(lost[0]), lost[1])

    def _serve_files(self, site: Site, published: Mapping[str, Published]) -> None:
        # A gate stays: what was handed out from behind it may still be on its way.
        self.gated = {**self.gated, **_ask(lambda: gated_files(self._store, site, published))}
        self._publish(namespace.build(self._library, self.gated))
        self._served = {name: image.version for name, image in published.items()}

    def keep_gated(self, gated: Mapping[str, str]) -> None:
        """What a service before this one handed out from behind these gates may still be on its way."""
        if gated.keys() - self.gated.keys():
            self.gated = {**gated, **self.gated}
            self._publish(namespace.build(self._library, self.gated))

    def _lose(self, why: str) -> None:
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self.lost = no_database(why)
        self._again = time.monotonic() + _AGAIN_SECONDS

    def _read_exclusions(self, site: Site, seconds: float = FRESH_LIST_SECONDS) -> None:
        for level, text in self.exclusion_file.refresh(site.dp.mac_ignore_list_file, seconds=seconds):
            self._tell(level, text)

    def close(self) -> None:
        """Give back the watcher's connection, and end the thread that reads the exclusion list."""
        self.exclusion_file.close()
        if self._watcher is not None:
            self._watcher.close()


def _content_news(before: Mapping[str, int], now: Mapping[str, int]) -> tuple[str, str]:
    """Level and text of a change of the library; both say the version of each image that is served."""
    new = [
        f"{name} version {version}" for name, version in sorted(now.items()) if before.get(name) != version
    ]
    gone = sorted(set(before) - set(now))
    news = [f"now serves {', '.join(new)}"] if new else []
    news += [f"serves {', '.join(gone)} no more; see: pxefast content status"] if gone else []
    changed = "the content library changed"
    return "warning" if gone else "info", f"{changed}: {'; '.join(news)}" if news else changed


def _ask(database: Callable[[], T]) -> T:
    try:
        return database()
    except Exception as error:  # drivers have errors of many kinds
        raise _Gone(str(error) or type(error).__name__) from error


def _count(site: Site) -> int:
    return len({device.id for device in (*site.devices_by_mac.values(), *site.devices_by_guid.values())})


def _packed_macs(site: Site) -> bytes:
    """Return the MAC addresses of all recorded machines, six bytes each."""
    return bytes.fromhex("".join(site.devices_by_mac).replace(":", ""))
