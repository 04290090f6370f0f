"""wimlib-imagex (Debian's wimtools) as a process of its own: what is in an image, taken out and put in (B-35)."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pxefast.content.text import harmless
from pxefast.errors import CannotOpen, ContentError

if TYPE_CHECKING:
    from pxefast.content.source import Progress

__all__ = ["add", "extract", "paths", "read"]

_PROGRAM = "wimlib-imagex"
_STEP = re.compile(rb"(\d+) (bytes|KiB|MiB|GiB|TiB) of (\d+) ")
_UNITS = {b"bytes": 1, b"KiB": 1 << 10, b"MiB": 1 << 20, b"GiB": 1 << 30, b"TiB": 1 << 40}
_READ_BYTES = 4096


def paths(wim: Path, index: int) -> list[str]:
    """Every path of an image of a WIM as it spells them, with `/` and without the first one.

    Raises ContentError where the WIM cannot be read, CannotOpen without wimlib-imagex.
    """
    listed = _run(wim, "dir", str(wim), str(index)).decode(errors="replace")
    return [line.removeprefix("/") for line in listed.split("\n") if line not in ("", "/")]


def read(wim: Path, index: int, path: str) -> bytes:
    """The bytes of one file of an image. Raises as `paths`."""
    return _run(wim, "extract", str(wim), str(index), f"/{path}", "--to-stdout")


def extract(
    wim: Path, index: int, wanted: Sequence[str], into: Path, progress: Progress | None = None
) -> dict[str, Path]:
    """Write files of an image below `into`, in their folders; path -> where it is, for those that arrived.

    A link arrives as a link: look before following. Raises as `paths`.
    """
    if wanted:
        places = [f"/{path}" for path in wanted]
        options = (f"--dest-dir={into}", "--preserve-dir-structure", "--no-acls", "--nullglob")
        _run(wim, "extract", str(wim), str(index), *places, *options, progress=progress)
    return {path: into / path for path in wanted if os.path.lexists(into / path)}


def add(wim: Path, index: int, files: Sequence[tuple[Path, str]], progress: Progress | None = None) -> None:
    """Put files and folders into an image, in place: where from, and the path in the image, "" for its root.

    Folders that are there already are filled, files are replaced, whatever their case, and nothing of what was replaced
    stays in the WIM. Raises as `paths`.
    """
    lines = [f"add --dereference {_quoted(str(source))} {_quoted(f'/{path}')}" for source, path in files]
    _run(wim, "update", str(wim), str(index), "--rebuild", lines=lines, progress=progress)


def _quoted(path: str) -> str:
    for quote in "\"'":
        if quote not in path and "\n" not in path:
            return f"{quote}{path}{quote}"
    raise ContentError(
        f"{path!r}: a name with both kinds of quotes or a line break cannot be added; rename it"
    )


def _run(wim: Path, *arguments: str, lines: Sequence[str] = (), progress: Progress | None = None) -> bytes:
    """Standard output, while the steps that it tells go to `progress`."""
    # A real image spells its folders as it likes, and a name may hold any letter.
    environment = {**os.environ, "WIMLIB_IMAGEX_IGNORE_CASE": "1", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as orders:
        orders.write("".join(f"{line}\n" for line in lines).encode())
        orders.seek(0)
        try:
            process = subprocess.Popen(
                [_PROGRAM, *arguments], stdin=orders, stdout=subprocess.PIPE, stderr=said, env=environment
            )
        except FileNotFoundError:
            raise CannotOpen(f"{_PROGRAM} is not installed; install it with: apt install wimtools") from None
        except OSError as error:
            raise CannotOpen(f"cannot run {_PROGRAM}: {error.strerror}") from None
        with process:
            output = _followed(process, progress)
        said.seek(0)
        if process.returncode:
            raise ContentError(f"{wim}: {_PROGRAM} says: {_reason(said.read().decode(errors='replace'))}")
        return output


def _followed(process: subprocess.Popen[bytes], progress: Progress | None) -> bytes:
    assert process.stdout is not None
    output = bytearray()
    while part := os.read(process.stdout.fileno(), _READ_BYTES if progress else 1 << 20):
        output += part
        if progress is not None:
            for step in _STEP.finditer(part):
                unit = _UNITS[step[2]]
                progress(int(step[1]) * unit, int(step[3]) * unit, "")
    return bytes(output)


def _reason(said: str) -> str:
    """What wimlib-imagex called an error, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("[ERROR] ") for line in lines if line.startswith("[ERROR] ")]
    return harmless((errors or lines or ["nothing"])[0])
