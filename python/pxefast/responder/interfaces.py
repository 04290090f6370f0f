"""This host's own network interfaces and identities, as the kernel tells them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pxefast.decide import normal_guid, normal_mac

__all__ = ["interface_mac", "own_identities"]

_NETWORK = Path("/sys/class/net")
_PRODUCT = Path("/sys/class/dmi/id/product_uuid")
_NONE = "00:00:00:00:00:00"


@lru_cache(64)
def interface_mac(name: str) -> str:
    """The MAC address of an interface; "" where it has none. An interface keeps it while pxefast runs."""
    return _mac(_NETWORK / name / "address") if name else ""


def own_identities() -> list[str]:
    """The `mac:` and `guid:` identities of this host, which is never to be imaged (R-59).

    The GUID can be read by root alone.
    """
    macs = {_mac(folder / "address") for folder in _NETWORK.glob("*")}
    found = sorted(f"mac:{mac}" for mac in macs if mac)
    guid = normal_guid(_text(_PRODUCT))
    return [*found, f"guid:{guid}"] if guid else found


def _mac(file: Path) -> str:
    mac = normal_mac(_text(file))
    return "" if mac is None or mac == _NONE else mac


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
