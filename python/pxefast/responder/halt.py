"""The stop switch: while one of its files exists, no required deployment is handed out (D8, R-60).

Files and nothing else, so that it works when the database, the network and pxefast itself do not.
"""

from __future__ import annotations

from pathlib import Path

from pxefast import named_files
from pxefast.decide import Reason
from pxefast.errors import CannotOpen

__all__ = ["EVERYWHERE", "Halt"]

# Stops every distribution point of this host.
EVERYWHERE = Path("/run/pxefast/HALT")
_LONGEST_WHY = 256
_LARGEST_FILE = 4096


class Halt:
    """The files that stop one distribution point: the host's, its home's, and the one that its settings name."""

    def __init__(self, home: Path, named: str = "") -> None:
        self.own = Path(named) if named else home / "run" / "HALT"
        self._files = list(dict.fromkeys((self.own, home / "run" / "HALT", EVERYWHERE)))

    def check(self) -> Reason | None:
        """Why required deployments are stopped, or None; a system call a file, asked before each packet that matters.

        A file that cannot be looked at may be there.
        """
        for file in self._files:
            try:
                file.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                return _halted(f"{file} cannot be looked at: {error.strerror}")
            return _halted(f"{file} exists{_why(file)}; to go on run: pxefast halt --off")
        return None

    def on(self, why: str) -> None:
        """Stop. Raises CannotOpen."""
        try:
            self.own.parent.mkdir(parents=True, exist_ok=True)
            self.own.write_text(f"{why}\n" if why else "", encoding="utf-8")
        except OSError as error:
            raise CannotOpen(
                f"cannot write {self.own}: {error.strerror}; or run: touch {EVERYWHERE}"
            ) from None

    def off(self) -> None:
        """Take this distribution point's own files away. Raises CannotOpen."""
        for file in self._files:
            if file == EVERYWHERE:
                continue
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise CannotOpen(f"cannot remove {file}: {error.strerror}") from None


def _halted(text: str) -> Reason:
    return Reason("halted", f"required deployments are stopped: {text}", "D8")


def _why(file: Path) -> str:
    try:
        # In the calling thread: the file system has just answered. A FIFO or a longer text has no reason to say.
        said = named_files.read_bytes(file, _LARGEST_FILE, None)[:_LONGEST_WHY].decode("utf-8", "replace")
    except OSError:
        return ""
    line = " ".join(said.split())
    return f" ({line})" if line else ""
