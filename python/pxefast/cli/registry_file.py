r"""Values out of a .reg file, as `reg export` and Registry Editor write it: UTF-16, UTF-8 or ANSI.

Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\SMS\DP]
"ResponseDelay"=dword:00000004
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pxefast import named_files
from pxefast.errors import CannotOpen, InputError

__all__ = ["Value", "read"]

# An export of one key is a few KB; this is more than a whole machine's.
_LARGEST_FILE = 1 << 28
# Header -> the encoding of strings that are written as bytes.
_HEADERS = {"windows registry editor version 5.00": "utf-16-le", "regedit4": "cp1252"}
_MARKS = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", "utf-8"))
_NAMED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*=\s*(.*)')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:;.*)?')
_HEX = re.compile(r"hex(?:\(([0-9a-f]{1,8})\))?:(.*)")


class Value(NamedTuple):
    """A value of a key: `data` is text, a number, bytes, a list of text, or None where the file deletes it."""

    key: str
    name: str
    data: str | int | bytes | tuple[str, ...] | None
    line: int


def read(file: Path, wanted: Callable[[str], bool]) -> Iterator[Value]:
    """The values of the keys that are `wanted` (by lower-case name), in the file's order; others are passed over.

    Raises CannotOpen for a file that cannot be read, InputError, with line and key, for one that is not as it should.
    """
    lines = _logical(_text(file))
    header = next(((number, line) for number, line in lines if line), (1, ""))
    encoding = _HEADERS.get(header[1].lower())
    if encoding is None:
        raise InputError(
            f"{file}: line {header[0]}: no .reg file; it must begin with 'Windows Registry Editor Version 5.00' "
            "or REGEDIT4; write one with reg export"
        )
    key = ""
    for number, line in lines:
        if not line or line.startswith(";"):
            continue
        if line.startswith("["):
            key = _key(file, number, line, wanted)
        elif key:
            name, data = _value(line, encoding, f"{file}: line {number}: {key}")
            yield Value(key, name, data, number)


def _text(file: Path) -> str:
    try:
        content = named_files.read_bytes(file, _LARGEST_FILE)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise InputError(f"{file}: {error.strerror}; export the key SMS\\DP alone") from None
        raise CannotOpen(f"cannot read {file}: {error.strerror}") from None
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decoded(file, content[len(mark) :], encoding)
    if content[1:2] == b"\0":
        return _decoded(file, content, "utf-16-le")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return _decoded(file, content, "cp1252")


def _decoded(file: Path, content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start}: no text in {encoding}; export the key again") from None


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, those that end in a backslash joined with the next."""
    start, begun = 0, ""
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        line = raw.strip()
        start = start if begun else number
        # Only lists of bytes are continued: a string that ends in a backslash ends in a quote.
        if line.endswith("\\") and not line.startswith((";", "[")):
            begun += line[:-1]
            continue
        yield start, begun + line
        begun = ""
    if begun:
        yield start, begun


def _key(file: Path, number: int, line: str, wanted: Callable[[str], bool]) -> str:
    """The key that a section is of, or "" where it is passed over."""
    close = line.rfind("]")
    if close < 0:
        raise InputError(f"{file}: line {number}: the key {line!r} has no closing bracket")
    name = line[1:close]
    if not wanted(name.lstrip("-").lower()):
        return ""
    if name.startswith("-"):
        raise InputError(
            f"{file}: line {number}: {name[1:]}: the file deletes the key; there is nothing to import"
        )
    return name


def _value(line: str, encoding: str, where: str) -> tuple[str, str | int | bytes | tuple[str, ...] | None]:
    if line.startswith("@"):
        name, text = "", line[1:].lstrip().removeprefix("=").strip()
    else:
        named = _NAMED.fullmatch(line)
        if named is None:
            raise InputError(f'{where}: {line!r} is no value; write "Name"=...')
        name, text = _unescaped(named[1]), named[2].strip()
    where = f"{where}: {name or '@'}"
    string = _STRING.fullmatch(text)
    if string is not None:
        return name, _unescaped(string[1])
    text = text.split(";", 1)[0].strip().lower()
    if text == "-":
        return name, None
    if text.startswith("dword:"):
        try:
            return name, _dword(text.removeprefix("dword:"))
        except ValueError:
            raise InputError(
                f"{where}: {text!r} is no dword; write dword: and 1 to 8 hexadecimal digits"
            ) from None
    coded = _HEX.fullmatch(text)
    if coded is None:
        raise InputError(f"{where}: {text!r} is neither a string, dword: nor hex:")
    try:
        return name, _coded(int(coded[1] or "3", 16), coded[2], encoding)
    except ValueError:
        raise InputError(f"{where}: {text[:40]!r} is no list of bytes of its type") from None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _dword(digits: str) -> int:
    if not re.fullmatch(r"[0-9a-f]{1,8}", digits):
        raise ValueError
    return int(digits, 16)


def _coded(kind: int, text: str, encoding: str) -> str | int | bytes | tuple[str, ...]:
    """A value written as bytes, by its type: 1 and 2 text, 4 and b numbers, 7 a list of text. Raises ValueError."""
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    if any(not re.fullmatch(r"[0-9a-f]{1,2}", pair) for pair in pairs):
        raise ValueError
    data = bytes(int(pair, 16) for pair in pairs)
    if kind in (1, 2):
        return data.decode(encoding).split("\0", 1)[0]
    if kind == 7:
        return tuple(part for part in data.decode(encoding).split("\0") if part)
    if kind in (4, 0xB):
        if len(data) != (4 if kind == 4 else 8):
            raise ValueError
        return int.from_bytes(data, "little")
    return data
