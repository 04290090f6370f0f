"""Devices out of a CSV file: with a header in any usual spelling, or each field known by what it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from pxefast import named_files
from pxefast.decide.records import normal_guid, normal_mac
from pxefast.errors import CannotOpen, Invalid
from pxefast.site.devices import NewDevice

__all__ = ["read_devices"]

# Column -> the spellings of its title, folded.
_TITLES = {
    "name": ("name", "computername", "computer", "device", "devicename", "hostname", "machinename"),
    "mac": ("mac", "macs", "macaddress", "macaddresses", "ethernetaddress"),
    "smbios-guid": ("smbiosguid", "guid", "uuid", "smbiosuuid", "smbiosid", "biosguid", "systemuuid"),
    "site": ("site", "sitecode"),
    "collection": ("collection", "collections", "collectionname"),
}
_COLUMN = {title: column for column, titles in _TITLES.items() for title in titles}
_VARIABLE = "variable:"
# A line with a name, two addresses, a GUID and variables is about 200 bytes: this is more than 500,000 devices.
_LARGEST_FILE = 128 << 20


def read_devices(file: Path) -> list[NewDevice]:
    """The devices of a file, each with its line.

    Several MAC addresses of a device are parted by a blank or a semicolon, several collections by a semicolon. Without
    a header a line is a name and, in any order, MAC addresses and a GUID, so that Configuration Manager's order is
    right as well. Raises CannotOpen, or Invalid that names file and line.
    """
    devices: list[NewDevice] = []
    header: Sequence[str] | None = None
    first = True
    for line, cells in _rows(file):
        if first:
            first = False
            if _is_header(cells):
                header = _header(cells, f"{file}: line {line}")
                continue
        where = f"{file}: line {line}"
        devices.append(
            _by_content(cells, line, where) if header is None else _by_column(header, cells, line, where)
        )
    if not devices:
        raise Invalid(f"{file} holds no device; write a line for each: name, MAC address, SMBIOS GUID")
    return devices


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, each with its number."""
    try:
        text = named_files.read_bytes(file, _LARGEST_FILE).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""))
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except OSError as error:
        raise CannotOpen(f"cannot read {file}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid(f"{file}: not a CSV file in UTF-8: {error}") from None


def _is_header(cells: Sequence[str]) -> bool:
    """A line that titles a column, and holds no identifier."""
    identifies = any(normal_mac(cell) or normal_guid(cell) for cell in cells)
    return not identifies and any(_folded(cell) in _COLUMN for cell in cells)


def _folded(title: str) -> str:
    return "".join(sign for sign in title.casefold() if sign.isalnum())


def _header(cells: Sequence[str], where: str) -> list[str]:
    header: list[str] = []
    for cell in cells:
        variable = cell.casefold().startswith(_VARIABLE)
        column = _VARIABLE + cell[len(_VARIABLE) :].strip() if variable else _COLUMN.get(_folded(cell))
        if column is None:
            raise Invalid(
                f"{where}: unknown column {cell!r}; expected {', '.join(_TITLES)} or {_VARIABLE}NAME"
            )
        if column in header:
            raise Invalid(f"{where}: column {column!r} is there twice")
        header.append(column)
    return header


def _by_column(header: Sequence[str], cells: Sequence[str], line: int, where: str) -> NewDevice:
    if len(cells) > len(header):
        raise Invalid(f"{where}: {len(cells)} columns; expected {', '.join(header)}")
    value = dict(zip(header, cells, strict=False))
    return NewDevice(
        value.get("name", ""),
        _several(value.get("mac", "")),
        value.get("smbios-guid") or None,
        site=value.get("site") or None,
        line=line,
        collections=tuple(name for part in value.get("collection", "").split(";") if (name := part.strip())),
        variables=tuple(
            (column.removeprefix(_VARIABLE), text)
            for column, text in value.items()
            if column.startswith(_VARIABLE) and text
        ),
    )


def _by_content(cells: Sequence[str], line: int, where: str) -> NewDevice:
    macs: list[str] = []
    guid = None
    for cell in cells[1:]:
        if not cell:
            continue
        if normal_guid(cell) is not None and guid is None:
            guid = cell
        elif all(normal_mac(part) for part in _several(cell)):
            macs += _several(cell)
        else:
            raise Invalid(
                f"{where}: {cell!r} is neither a MAC address nor a (second) SMBIOS GUID; expected name, then those"
            )
    return NewDevice(cells[0], tuple(macs), guid, line=line)


def _several(text: str) -> tuple[str, ...]:
    return tuple(text.replace(";", " ").split())
