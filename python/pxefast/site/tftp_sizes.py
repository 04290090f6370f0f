"""RamDisk TFTP sizes: how Windows' boot manager loads an image, and what may be set where (CM-41 to CM-46, B-23)."""

from __future__ import annotations

from typing import NamedTuple

from pxefast.errors import Invalid

__all__ = [
    "DEFAULTS",
    "LARGEST_VARIABLE_WINDOW",
    "VARIABLES",
    "TftpSizes",
    "check_sizes",
    "sizes_of_variable",
]

# A BCD store's limits; a TFTP request itself may ask for less (CM-46).
_BLOCK = (512, 65464)
_WINDOW = (1, 65535)
# What the one byte of each ACK can ask for (W-107).
LARGEST_VARIABLE_WINDOW = 255

_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class TftpSizes(NamedTuple):
    """What one level says; None leaves it to the next: device, collection, boot image, boundary group, point.

    `block_size` in bytes, `window_size` in blocks; with `variable_window` the boot manager says with each ACK how many
    blocks it wants next (W-107).
    """

    block_size: int | None = None
    window_size: int | None = None
    variable_window: bool | None = None


# What Configuration Manager documents; its stores' variable window is not known to be on (B-23).
DEFAULTS = TftpSizes(4096, 1, False)

# The variables of devices, deployments and collections that set one, by their folded names.
VARIABLES = {
    "ramdisktftpblocksize": "block_size",
    "ramdisktftpwindowsize": "window_size",
    "ramdisktftpvariablewindow": "variable_window",
}


def check_sizes(sizes: TftpSizes) -> None:
    """Raises Invalid for a size that no BCD store should carry."""
    block, window, variable = sizes
    if block is not None and not _BLOCK[0] <= block <= _BLOCK[1]:
        raise Invalid(f"RamDisk TFTP block size {block} must be {_BLOCK[0]} to {_BLOCK[1]} bytes")
    largest = LARGEST_VARIABLE_WINDOW if variable else _WINDOW[1]
    if window is not None and not _WINDOW[0] <= window <= largest:
        why = " with a variable window" if variable else ""
        raise Invalid(f"RamDisk TFTP window size {window} must be {_WINDOW[0]} to {largest} blocks{why}")


def sizes_of_variable(name: str, value: str) -> TftpSizes | None:
    """What a variable of a device, deployment or collection says; None if it is about something else.

    Raises Invalid.
    """
    field = VARIABLES.get(name.casefold())
    if field is None:
        return None
    text = value.strip().casefold()
    if field == "variable_window":
        if text not in _WORDS:
            raise Invalid(f"{name} {value!r} must be true or false")
        return TftpSizes(variable_window=_WORDS[text])
    if not (text.isascii() and text.isdecimal()):
        raise Invalid(f"{name} {value!r} must be a decimal number")
    # Nine digits are more than any size has; int() would take minutes for millions of them.
    size = int(text[:9])
    sizes = TftpSizes(block_size=size) if field == "block_size" else TftpSizes(window_size=size)
    check_sizes(sizes)
    return sizes
