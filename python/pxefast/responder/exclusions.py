"""The exclusion list as a file that people edit while machines boot (CM-54 to CM-59, R-52, R-53).

It fails closed: a line that cannot be read never makes the list shorter. The last good list stays.
"""

from __future__ import annotations

from pathlib import Path

from pxefast.decide import Exclusions, Reason, parse_exclusions
from pxefast.errors import ExclusionError

__all__ = ["ExclusionFile", "held_by_list", "read"]

Stamp = tuple[int, int, int] | None


def read(file: str) -> frozenset[str]:
    """The excluded MAC addresses.

    Raises ExclusionError for a file that cannot be read, or a line that is no MAC.
    """
    try:
        text = Path(file).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ExclusionError(file, 0, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ExclusionError(file, 0, "is not UTF-8 text; save it as UTF-8") from None
    return parse_exclusions(text, file)


class ExclusionFile:
    """The list that counts now, re-read when its file changes."""

    def __init__(self) -> None:
        self.exclusions = Exclusions()
        self.problem: str | None = None
        self._file: str | None = None
        self._stamp: Stamp = None

    def refresh(self, file: str | None) -> str | None:
        """Look at the file again. Returns what to tell people when something changed, else None.

        Raises ExclusionError only for the first list of all: without a good one there is nothing to keep.
        """
        if file is None:
            changed = self._file is not None
            self._file, self._stamp, self.problem, self.exclusions = None, None, None, Exclusions()
            return "no exclusion list is configured any more" if changed else None
        stamp = _stamp(file)
        if (file, stamp) == (self._file, self._stamp):
            return None
        first = self._file is None
        before = self.problem
        # The stamp is older than the text: an edit in between is seen at the next look.
        self._file, self._stamp = file, stamp
        try:
            macs = read(file)
            if not macs and self.exclusions.macs:
                raise ExclusionError(
                    file, 0, "is empty now; to exclude nobody run: pxefast dp set --no-mac-ignore-list-file"
                )
        except ExclusionError as error:
            if first:
                self._file = None
                raise
            # A line that is wrong is a slip of the pen; a list that is gone may mean anything.
            paused = held_by_list(str(error)) if error.line == 0 else self.exclusions.paused
            self.problem = str(error)
            self.exclusions = Exclusions(self.exclusions.macs, paused)
            return None if before == self.problem else f"{error}; the last good list stays"
        self.problem = None
        self.exclusions = Exclusions(macs)
        return f"exclusion list {file} read: {len(macs)} excluded"


def held_by_list(why: str) -> Reason:
    """The exclusion list is gone: whom it named nobody knows."""
    return Reason("required_paused", f"required deployments are held: exclusion list {why}", "R-53")


def _stamp(file: str) -> Stamp:
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
