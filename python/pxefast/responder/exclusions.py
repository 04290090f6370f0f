"""The exclusion list as a file that people edit while machines boot (CM-54 to CM-59, R-52, R-53).

It fails closed: a line that cannot be read never makes the list shorter. The last good list stays. The file is read by
a thread of its own, because a file system that hangs blocks whoever looks at it, in the kernel (D35).
"""

from __future__ import annotations

import threading
import time

from pxefast import named_files
from pxefast.decide import Exclusions, Reason, parse_exclusions
from pxefast.errors import ExclusionError
from pxefast.responder.exclusion_reader import ListReader, Look, Stamp

__all__ = ["FRESH_LIST_SECONDS", "LARGEST_LIST", "ExclusionFile", "held_by_list", "read"]

# Size in bytes: more than 100,000 lines with a comment each.
LARGEST_LIST = 8 << 20
# Time that a change of the site waits for a look at the list.
FRESH_LIST_SECONDS = 2.0
# Time after which a list that could not be looked at is not trusted.
_LATE_SECONDS = 2.0
_MOMENT_SECONDS = 0.5
# A thread that hangs is replaced after so long, then after twice as long, and so on.
_REPLACE_SECONDS = 5.0
_LONGEST_REPLACE_SECONDS = 60.0
# Threads that hang in the kernel cannot be ended; no more than so many are left behind.
_MOST_HANGING = 8


def read(file: str, seconds: float | None = named_files.DEADLINE_SECONDS) -> frozenset[str]:
    """Return the excluded MAC addresses.

    Raises ExclusionError for a file that cannot be read, or a line that is no MAC address.
    """
    try:
        return _parsed(file, named_files.read_bytes(file, LARGEST_LIST, seconds))
    except OSError as error:
        raise ExclusionError(file, 0, f"cannot be read: {error.strerror}") from None


def _parsed(file: str, content: bytes) -> frozenset[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ExclusionError(file, 0, "is not UTF-8 text; save it as UTF-8") from None
    return parse_exclusions(text, file)


def _look(file: str, known: Stamp) -> Look | None:
    """Return what the file holds now, or None if it has not changed since `known`. Raises Unsettled."""
    # The stamp is older than the text: an edit in between is seen at the next look.
    stamp = named_files.stamp(file)
    if stamp == known:
        return None
    try:
        return Look(stamp, _parsed(file, named_files.read_bytes(file, LARGEST_LIST, None)), None)
    except named_files.Unsettled:
        raise
    except OSError as error:
        return Look(stamp, frozenset(), ExclusionError(file, 0, f"cannot be read: {error.strerror}"))
    except ExclusionError as error:
        return Look(stamp, frozenset(), error)


class ExclusionFile:
    """The list that counts now, re-read when its file changes.

    `refresh` is called by one thread; everything else may be read by any thread.
    """

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._reader: ListReader | None = None
        self._hanging: list[ListReader] = []
        self._late_told = False
        self._replace_at = self._replace_seconds = 0.0
        self._forget()

    def _forget(self) -> None:
        self._exclusions = Exclusions()
        self._problem: str | None = None
        self._good = False
        self._error: ExclusionError | None = None
        self._news: list[tuple[str, str]] = []

    @property
    def exclusions(self) -> Exclusions:
        """Excluded MAC addresses, with the reason while required deployments are held."""
        found, late = self._exclusions, self._late()
        return Exclusions(found.macs, held_by_list(late)) if late and found.paused is None else found

    @property
    def problem(self) -> str | None:
        """Text for people: why the list that counts is not what its file says."""
        late = self._late()
        return f"exclusion list {late}; the last good list stays" if late else self._problem

    @property
    def hanging(self) -> int:
        """Number of threads that hang in the kernel and were left behind."""
        return sum(reader.alive for reader in self._hanging)

    def refresh(
        self, file: str | None, fresh: bool = False, seconds: float = FRESH_LIST_SECONDS
    ) -> list[tuple[str, str]]:
        """Follow the setting, and return the news since the last call, each with its level.

        Args:
            file: Path of the list; None if no list is configured.
            fresh: Wait for a look that begins after this call.
            seconds: Longest wait.

        Returns:
            Levels and texts to log.

        Raises:
            ExclusionError: The first list of all cannot be read: without a good one there is nothing to keep.
        """
        reader = self._reader
        if file is None:
            if reader is None:
                return []
            self._end(reader)
            with self._turn:
                self._reader = None
                self._forget()
            return [("info", "no exclusion list is configured any more")]
        if reader is None or reader.file != file:
            reader = self._begin(file)
            fresh = True
        if fresh and not self._late_told:
            reader.wait(seconds)
        self._look_after(reader)
        with self._turn:
            news, self._news = self._news, []
            if not self._good:
                late = self._late()
                if late is not None:
                    raise ExclusionError(file, 0, late.removeprefix(f"{file} "))
                if self._error is not None:
                    raise self._error
                raise ExclusionError(file, 0, "has not been read yet")
        return news

    def close(self) -> None:
        """End the reading thread, without waiting for it."""
        if self._reader is not None:
            self._reader.stop()

    def _begin(self, file: str) -> ListReader:
        if self._reader is not None:
            self._end(self._reader)
        with self._turn:
            self._late_told = False
            self._replace_seconds = _REPLACE_SECONDS
            self._replace_at = _clock() + self._replace_seconds
            self._reader = ListReader(file, _look, self._take)
        self._reader.start()
        return self._reader

    def _end(self, reader: ListReader) -> None:
        reader.stop()
        self._hanging = [other for other in (*self._hanging, reader) if other.alive]

    def _look_after(self, reader: ListReader) -> None:
        """Say once that the file is not read, and replace a thread that hangs: its mount may have been replaced."""
        if self._late() is None:
            if self._late_told:
                self._late_told = False
                self._news.append(("warning", f"exclusion list {reader.file} can be read again"))
            return
        if not self._late_told:
            # After a pause of the whole host every thread is late for a moment.
            reader.wait(_MOMENT_SECONDS)
            late = self._late()
            if late is None:
                return
            self._late_told = True
            self._news.append(("error", f"exclusion list {late}; the last good list stays"))
        if _clock() < self._replace_at or self.hanging >= _MOST_HANGING:
            return
        self._end(reader)
        with self._turn:
            self._reader = ListReader(reader.file, _look, self._take, reader.confirmed)
            self._replace_seconds = min(2 * self._replace_seconds, _LONGEST_REPLACE_SECONDS)
            self._replace_at = _clock() + self._replace_seconds
        self._reader.start()

    def _late(self) -> str | None:
        """Return why the list cannot be trusted: nobody could look at its file lately."""
        reader = self._reader
        if reader is None:
            return None
        seconds = _clock() - reader.confirmed
        if seconds <= _LATE_SECONDS:
            return None
        why = "it is written to all the time" if reader.unsettled else "its file system does not answer"
        return f"{reader.file} could not be read for {seconds:.0f} s: {why}"

    def _take(self, reader: ListReader, look: Look) -> None:
        """Take what a look found; of a thread that was replaced nothing counts any more."""
        with self._turn:
            if reader is not self._reader:
                return
            error = look.error
            if error is None and not look.macs and self._exclusions.macs:
                text = "is empty now; to exclude nobody run: pxefast dp set --no-mac-ignore-list-file"
                error = ExclusionError(reader.file, 0, text)
            before, self._error = self._problem, error
            if error is None:
                self._problem, self._good = None, True
                self._exclusions = Exclusions(look.macs)
                self._news.append(("info", f"exclusion list {reader.file} read: {len(look.macs)} excluded"))
            elif self._good:
                # A line that is wrong is a slip of the pen; a list that is gone may mean anything.
                paused = held_by_list(str(error)) if error.line == 0 else self._exclusions.paused
                self._problem = str(error)
                self._exclusions = Exclusions(self._exclusions.macs, paused)
                if before != self._problem:
                    self._news.append(("error", f"{error}; the last good list stays"))


def held_by_list(why: str) -> Reason:
    """Return the reason of required deployments that are held because nobody knows whom the list names."""
    return Reason("required_paused", f"required deployments are held: exclusion list {why}", "R-53")


def _clock() -> float:
    """Return seconds that also pass while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
