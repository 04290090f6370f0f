"""Content for this point, brought by a child process of low priority: what machines ask for meanwhile comes first.

The child is `pxefast content pull`. It may be killed at any moment, and ends when this process does.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Collection, Sequence
from typing import Any

from pxefast.content.library import Library
from pxefast.responder.audit import Audit
from pxefast.site.store import Store

__all__ = ["Courier"]

# How long a child that failed is not followed by another one.
_AGAIN_SECONDS = 10.0
_PATIENCE_SECONDS = 2.0

_LEVELS = {"failed": "error", "damaged": "error", "removed": "warning"}


class Courier:
    """Looks for work and has it done. `command` starts the child."""

    def __init__(
        self, command: Sequence[str], store: Store, library: Library, validate_hours: int, audit: Audit
    ) -> None:
        self._command = command
        self._store = store
        self._library = library
        self._hours = validate_hours
        self._audit = audit
        self._child: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._not_before = 0.0
        self._retired = False
        # What nobody ordered, and the revision of the site that says so.
        self._judged: tuple[frozenset[str], int] | None = None
        self._kept: set[str] = set()
        # What is being done, for the status.
        self.work: dict[str, Any] | None = None

    def tick(self) -> None:
        """Follow the child there is, or start one if there is work. Raises what a database or library raises."""
        if self._child is not None:
            self._follow(self._child)
        elif not self._retired and time.monotonic() >= self._not_before and self._due():
            self._start()

    def retire(self) -> None:
        """Start no child any more, and let the one there is end: what it brought stays. From any thread."""
        self._retired = True
        child = self._child
        if child is not None:
            child.terminate()

    def stop(self) -> None:
        """End the child."""
        child = self._child
        if child is None:
            return
        child.terminate()
        try:
            child.communicate(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()

    def _due(self) -> bool:
        """Whether something is to be brought, withdrawn or validated, and nobody is at it by hand."""
        rows, now = self._store.contents.all(self._store.point), time.time()
        ordered = {row.boot_image_id for row in rows}
        due = any(row.due(now) or row.unvalidated(now, self._hours) for row in rows)
        return (due or self._ordered_away(ordered)) and not self._library.busy

    def _ordered_away(self, ordered: Collection[str]) -> bool:
        """Return True where an image is to be served no more; tell once of those that nobody has ordered away."""
        surplus = self._library.surplus(ordered)
        if not surplus:
            return False
        judged = (frozenset(surplus), self._store.revision())
        if judged == self._judged:
            return False
        removals = self._store.contents.removals(self._store.point, surplus)
        for image in sorted(surplus.keys() - set(removals) - self._kept):
            self._kept.add(image)
            self._audit.tell(
                "warning",
                f"boot image {image} is published here and the database has no order for it, as after a restored "
                f"backup: it is kept; run: pxefast content distribute {image}",
            )
        if not removals:
            self._judged = judged
        return bool(removals)

    def _start(self) -> None:
        self._heard = b""
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._child.stdout is not None
        os.set_blocking(self._child.stdout.fileno(), False)

    def _follow(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        ended = child.poll() is not None
        while part := child.stdout.read():
            self._heard += part
        *lines, self._heard = self._heard.split(b"\n")
        for line in lines:
            self._tell(line.decode(errors="replace"))
        if ended:
            self.work = self._child = None
            child.stdin.close()
            child.stdout.close()
            if child.returncode:
                self._not_before = time.monotonic() + _AGAIN_SECONDS

    def _tell(self, line: str) -> None:
        try:
            about = json.loads(line)
            event, image = about.pop("event"), about["image"]
        except (ValueError, KeyError, TypeError, AttributeError):
            # What went wrong with the child itself.
            self._audit.tell("error", f"content: {line}")
            return
        self.work = {"event": event, **about}
        if event != "progress":
            self._audit.tell(
                _LEVELS.get(event, "info"), _sentence(event, image, about), content=event, **about
            )


def _sentence(event: str, image: str, about: dict[str, Any]) -> str:
    what = f"boot image {image}" + (f" version {about['version']}" if about.get("version") else "")
    return {
        "begun": f"{what}: its {about.get('bytes', 0):,} bytes are brought here",
        "served": f"{what} is served",
        "failed": f"{what} could not be brought here: {about.get('why')}",
        "removed": f"{what} is served no more, as ordered",
        "validated": f"{what}: every file is what was distributed",
        "damaged": f"{what} is damaged and served no more: {', '.join(about.get('files', ()))}; "
        f"run: pxefast content redistribute {image}",
    }.get(event, f"{what}: {event}")
