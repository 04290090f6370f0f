"""Distribution: boot images are packaged into the content source, and brought from there to this point.

It joins what the site knows (who is to have which version) with what content does (packaging, bringing, validating).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pxefast.content.depot import Depot
from pxefast.content.library import Library, Published
from pxefast.content.manifest import Manifest
from pxefast.content.package import STAMP, add_files, changed, seal
from pxefast.content.pull import pull
from pxefast.content.source import Progress, SourceFile, check_programs, scan, stamp
from pxefast.errors import ContentError, PxefastError
from pxefast.site.contents import AssignmentRow, VersionRow

if TYPE_CHECKING:
    from pxefast.config import Settings
    from pxefast.site.boot_images import BootImageRow
    from pxefast.site.store import Store

__all__ = ["Distribution", "Tell"]

# Called with one event: its kind, and what it is about.
Tell = Callable[[str, dict[str, Any]], None]

# How often the site is told how far a pull is: it is a write that machines' claims have to wait for.
_REPORT_SECONDS = 2.0


class Distribution:
    """What a host can do about content: package what it has the files of, and bring what is ordered for its point."""

    def __init__(self, store: Store, library: Library, settings: Settings, home: Path) -> None:
        self._store = store
        self._library = library
        self._depot = Depot(settings.content, home / "source")
        self._parallel = settings.content.parallel
        self._hours = settings.content.validate_hours

    def package(
        self, row: BootImageRow, *, verify: bool = False, progress: Progress | None = None
    ) -> tuple[VersionRow, str | None]:
        """The version to distribute: the newest, or a new one where the image has changed since.

        With it why it could not be compared with the image's own files, if so. `verify`: the content source is read,
        and what is damaged in it mended. Raises ContentError.
        """
        newest = self._store.contents.newest(row.id)
        obstacle = self._obstacle(row)
        if obstacle is not None:
            if newest is None:
                raise ContentError(
                    f"boot image {row.id} cannot be packaged here: {obstacle}; distribute it where its files are, "
                    "with a content source that can be written to"
                )
            self._manifest(newest)
            return newest, obstacle
        known = None
        if newest is not None:
            # A content source that has lost it gets it anew.
            with suppress(ContentError):
                known = self._manifest(newest)
            if (
                known
                and not verify
                and known.revision == row.revision
                and not changed(known.facts, row.source)
            ):
                return newest, None
        return self._package(row, newest, known, verify, progress), None

    def bring(self, image_id: str, progress: Progress | None = None) -> Published | None:
        """Bring what is ordered of an image for this point and serve it; None if somebody else has done it already.

        Raises ContentError, which the site is told too.
        """
        with self._library.arrival(image_id) as arrival:
            row = next(iter(self._store.contents.all(self._store.point, image_id)), None)
            if row is None or row.state == "served":
                return None
            contents = self._store.contents

            def report(done: int, total: int, _: str) -> None:
                # No pull fails for want of somebody to tell.
                with suppress(Exception):
                    contents.report(row, "pulling", done=done, total=total)

            report_now_and_then = _paced(report)

            def show(done: int, total: int, name: str) -> None:
                if progress is not None:
                    progress(done, total, name)
                report_now_and_then(done, total, name)

            contents.report(row, "pulling", done=0)
            try:
                manifest = self._manifest(contents.version(image_id, row.version))
                published = pull(arrival, self._depot, manifest, self._parallel, show)
            except PxefastError as error:
                contents.report(row, "failed", why=str(error))
                raise
            contents.report(
                row, "served", served_version=row.version, done=row.total, why=None, validated_at=time.time()
            )
            return published

    def validate(self, image_id: str, progress: Progress | None = None) -> list[str]:
        """Compare what is served of an image with its hashes; the names of damaged files.

        A damaged image is withdrawn: no machine boots from it any more. Raises ContentError where it is not served.
        """
        contents = self._store.contents
        with self._library.arrival(image_id):
            row = next(iter(contents.all(self._store.point, image_id)), None)
            published = self._library.published().get(image_id)
            if published is None:
                why = f"{image_id} is not served here; run: pxefast content distribute {image_id}"
                if row is not None and row.state == "served":
                    contents.report(row, "damaged", served_version=None, why="its files are gone")
                raise ContentError(why)
            damaged = self._library.damaged(published, progress)
            if damaged:
                self._library.withdraw(image_id)
            if row is not None and damaged:
                why = f"damaged: {', '.join(damaged)}"
                contents.report(row, "damaged", served_version=None, why=why)
            elif row is not None:
                contents.report(row, row.state, validated_at=time.time())
            return damaged

    def forget(self, image_id: str) -> None:
        """Delete every version of an image from the content source, if that can be written to. Raises ContentError."""
        if self._depot.writable:
            self._depot.prune(image_id, None, [])

    def work(self, tell: Tell, again: bool) -> bool:
        """Do everything that is ordered for this point and not done; whether all of it could be done.

        `again`: what has failed is tried again at once, and not only after a while.
        """
        rows = {row.boot_image_id: row for row in self._store.contents.all(self._store.point)}
        for image_id in self._store.contents.removals(self._store.point, self._library.surplus(rows)):
            self._library.remove(image_id)
            tell("removed", {"image": image_id})
        done = [self._work_off(row, tell, again) for row in rows.values()]
        return all(done)

    def _work_off(self, row: AssignmentRow, tell: Tell, again: bool) -> bool:
        about = {"image": row.boot_image_id, "version": row.version}
        try:
            if row.due(time.time()) or (again and row.state == "failed"):
                tell("begun", {**about, "bytes": row.total})
                show = _paced(
                    lambda done, total, _: tell("progress", {**about, "done": done, "total": total})
                )
                if self.bring(row.boot_image_id, show) is not None:
                    tell("served", about)
            elif row.unvalidated(time.time(), self._hours):
                damaged = self.validate(row.boot_image_id)
                tell("damaged" if damaged else "validated", {**about, "files": damaged})
                return not damaged
        except ContentError as error:
            tell("failed", {**about, "why": str(error)})
            return False
        return True

    def _obstacle(self, row: BootImageRow) -> str | None:
        """Why an image cannot be packaged here."""
        if not row.source.exists():
            return f"there is no {row.source} on this host"
        if not self._depot.writable:
            return f"the content source {self._depot.where} is read only"
        return None

    def _manifest(self, version: VersionRow) -> Manifest:
        return self._depot.manifest(version.boot_image_id, version.version, version.manifest)

    def _package(
        self,
        row: BootImageRow,
        newest: VersionRow | None,
        known: Manifest | None,
        verify: bool,
        progress: Progress | None,
    ) -> VersionRow:
        facts: dict[str, Any] = {STAMP: stamp(row.source)}
        with tempfile.TemporaryDirectory(prefix="pxefast-") as folder:
            files, more = _collected(row, Path(folder), progress)
            entries = add_files(files, self._depot, verify=verify, progress=progress)
        facts.update(more)
        same = known is not None and (known.files, known.revision, known.facts) == (
            entries,
            row.revision,
            facts,
        )
        if newest is not None and same:
            return newest
        number = newest.version + 1 if newest else 1
        now = time.time()
        packaged_at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        manifest = Manifest(
            row.id, number, row.revision, row.kind, row.architecture, packaged_at, facts, entries
        )
        new = VersionRow(
            row.id, number, row.revision, seal(manifest, self._depot), manifest.size, len(entries), now
        )
        wanted = self._store.contents.add_version(new)
        # The old version is on its way to nobody any more, or kept.
        self._depot.prune(row.id, number, wanted)
        return new


def _paced(call: Progress) -> Progress:
    """The same, called no more often than the site is to be told."""
    last = time.monotonic()

    def paced(done: int, total: int, name: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _REPORT_SECONDS:
            last = time.monotonic()
            call(done, total, name)

    return paced


def _collected(
    row: BootImageRow, folder: Path, progress: Progress | None
) -> tuple[list[SourceFile], dict[str, Any]]:
    """An image's files, some of which may be made in `folder`, and what is known of them."""
    if row.kind == "windows-pe":
        from pxefast.content.bootfiles import collect

        made = collect(row.source, row.id, row.architecture, row.boot_ca, row.boot_sdi, folder, progress)
        return made.files, made.facts
    files = scan(row.source)
    check_programs(row.id, row.programs, (file.name for file in files))
    return files, {}
