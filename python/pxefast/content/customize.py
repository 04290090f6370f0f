"""A Windows PE image with files of one's own: a changed copy, kept in the home and whole or not there at all.

    <home>/boot-images/<ID>-<revision>.wim

The image that it is made from is only read. What makes drivers load is a line in `startnet.cmd`: the driver store of
an image is changed by Microsoft's DISM alone.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pxefast import named_files
from pxefast.content import wim as wims
from pxefast.content import wimlib
from pxefast.content.durable import place, sync
from pxefast.errors import CannotOpen, ContentError

if TYPE_CHECKING:
    from pxefast.content.source import Progress

__all__ = ["Changes", "Copies", "starts_otherwise"]

_STARTNET = "Windows/System32/startnet.cmd"
_WINPESHL = "Windows/System32/winpeshl.ini"
_UNATTEND = "unattend.xml"
_DRIVERS = "Drivers"
# `wpeinit`, which startnet.cmd calls, sets up the network: its drivers must be loaded by then.
_LOAD_DRIVERS = b'@for /r "%SystemDrive%\\Drivers" %%i in (*.inf) do @drvload "%%i"\r\n'
_TEMPORARY = ".new-"
_READ_BYTES = 1 << 22
_LARGEST_SCRIPT = 1 << 20
# What no file name of Windows holds.
_FORBIDDEN = set('<>:"|?*')


class Changes(NamedTuple):
    """What to put into an image. `files`: where each is, and its path in the image; `trees`: folders for its root.

    `drivers`: folders with .inf files, which come into `Drivers` and are loaded at the start.
    """

    startnet: Path | None = None
    unattend: Path | None = None
    files: tuple[tuple[Path, str], ...] = ()
    trees: tuple[Path, ...] = ()
    drivers: tuple[Path, ...] = ()


class Copies:
    """The customised images of a home, made and removed inside `turn`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(
        self,
        image_id: str,
        revision: int,
        source: Path,
        changes: Changes,
        progress: Progress | None = None,
    ) -> Path:
        """The image's new WIM, durable under its name: `source` with the changes in its bootable image.

        Raises ContentError; then nothing changed. CannotOpen without wimlib-imagex.
        """
        info = wims.read(source)
        self._clear()
        target = self._folder / f"{image_id}-{revision}.wim"
        unfinished = self._folder / f"{_TEMPORARY}{target.name}"
        try:
            with tempfile.TemporaryDirectory(prefix="pxefast-") as scratch:
                files = _files(source, info.boot_index, changes, Path(scratch))
                _copy(source, unfinished, progress)
                wimlib.add(unfinished, info.boot_index, files, _named(progress, "adding files"))
            if wims.read(unfinished).boot_index != info.boot_index:
                raise ContentError(
                    f"{source}: the changed copy would boot another image; nothing was changed"
                )
            sync(unfinished)
            place(unfinished, target)
        except OSError as error:
            raise ContentError(f"cannot write {unfinished}: {error.strerror}") from None
        finally:
            unfinished.unlink(missing_ok=True)
        return target

    def sweep(self, image_id: str, kept: Sequence[Path] = ()) -> None:
        """Remove an image's copies but for those kept."""
        self._clear()
        for path in self._folder.glob(f"{image_id}-*.wim"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove what was left half written."""
        for path in self._folder.glob(f"{_TEMPORARY}*"):
            path.unlink(missing_ok=True)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """No other command makes or removes copies inside this block. Raises CannotOpen."""
        try:
            self._folder.mkdir(exist_ok=True)
            lock = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise CannotOpen(f"cannot write to {self._folder}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def starts_otherwise(wim: Path) -> bool:
    """Whether an image starts through winpeshl.ini, as Configuration Manager's do: startnet.cmd is not run then."""
    return _spelled(wimlib.paths(wim, wims.read(wim).boot_index), _WINPESHL) is not None


def _files(source: Path, index: int, changes: Changes, scratch: Path) -> list[tuple[Path, str]]:
    """What to add, in order. Raises ContentError for what is not there or cannot be in an image."""
    files = [(_existing(tree, folder=True), "") for tree in changes.trees]
    for driver in changes.drivers:
        folder = _existing(driver, folder=True)
        if not any(path.suffix.lower() == ".inf" for path in folder.rglob("*")):
            raise ContentError(f"{driver}: there is no .inf file in it; give a driver's unpacked folder")
        wanted = _in_image(f"{_DRIVERS}/{folder.name}")
        if any(known.lower() == wanted.lower() for _, known in files):
            raise ContentError(
                f"{driver}: another driver's folder has this name too, and one would take the other's place; rename it"
            )
        files.append((folder, wanted))
    if changes.startnet is not None:
        files.append((_existing(changes.startnet), _STARTNET))
    if changes.unattend is not None:
        files.append((_existing(changes.unattend), _UNATTEND))
    files += [(_existing(path), _in_image(wanted)) for path, wanted in changes.files]
    if changes.drivers:
        script = scratch / "startnet.cmd"
        script.write_bytes(_with_drivers(_startnet(source, index, files)))
        files.append((script, _STARTNET))
    return files


def _startnet(source: Path, index: int, files: Sequence[tuple[Path, str]]) -> bytes:
    """The startnet.cmd that the image would have: the last one given, else its own, else Windows PE's."""
    for path, wanted in reversed(files):
        below = [inside.relative_to(path).as_posix() for inside in path.rglob("*")] if wanted == "" else []
        found = _spelled(below, _STARTNET)
        if found is not None or wanted.lower() == _STARTNET.lower():
            return named_files.read_bytes(path / (found or ""), _LARGEST_SCRIPT)
    own = _spelled(wimlib.paths(source, index), _STARTNET)
    return b"wpeinit\r\n" if own is None else wimlib.read(source, index, own)


def _with_drivers(script: bytes) -> bytes:
    return script if _LOAD_DRIVERS.strip() in script else _LOAD_DRIVERS + script


def _spelled(paths: Sequence[str], wanted: str) -> str | None:
    return next((path for path in paths if path.lower() == wanted.lower()), None)


def _existing(path: Path, folder: bool = False) -> Path:
    found = path.resolve()
    if folder and not found.is_dir():
        raise ContentError(f"{path} is not a folder")
    if not folder and not found.is_file():
        raise ContentError(f"{path} is not a file")
    return found


def _in_image(wanted: str) -> str:
    """A path in an image with `/` and without a drive. Raises ContentError for one that Windows cannot have."""
    plain = wanted.replace("\\", "/")
    plain = plain[2:] if plain[1:2] == ":" else plain
    parts = [part for part in plain.split("/") if part]
    if not parts or any(part in (".", "..") or _FORBIDDEN & set(part) or min(part) < " " for part in parts):
        raise ContentError(f"{wanted!r} is no path in an image; write it as \\Windows\\System32\\name")
    return "/".join(parts)


def _copy(source: Path, target: Path, progress: Progress | None) -> None:
    done, total = 0, source.stat().st_size
    with named_files.open_regular(source) as reader, target.open("wb") as writer:
        while block := reader.read(_READ_BYTES):
            writer.write(block)
            done += len(block)
            if progress is not None:
                progress(done, total, "copying")


def _named(progress: Progress | None, what: str) -> Progress | None:
    return None if progress is None else lambda done, total, _: progress(done, total, what)
