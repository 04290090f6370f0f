"""This host's own network interfaces and identities, as the kernel tells them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pxefast.decide import normal_guid, normal_mac
from pxefast.decide.placeholders import is_placeholder
from pxefast.decide.records import usable_mac

__all__ = ["interface_mac", "own_identities", "own_macs"]

_NETWORK = Path("/sys/class/net")
_PRODUCT = Path("/sys/class/dmi/id/product_uuid")
_ETHERNET = "1"

# Interfaces without a device below them that are the host's own all the same, by DEVTYPE in `uevent`. Those of guests
# have another type or none: macvtap, macvlan, veth, and tun or tap.
_OF_THE_HOST = frozenset({"bond", "bridge", "vlan", "wlan"})


@lru_cache(64)
def interface_mac(name: str) -> str:
    """The MAC address of an interface; "" where it has none. An interface keeps it while pxefast runs."""
    return _mac(_NETWORK / name / "address") if name else ""


def own_identities(placeholders: frozenset[str] = frozenset()) -> list[str]:
    """Return the `mac:` and `guid:` identities of this host, which is never to be imaged (R-59).

    The GUID can be read by root alone. A placeholder GUID is that of every board of its make, and not this host's
    (D30); `placeholders` are those that the operator added.
    """
    found = [f"mac:{mac}" for mac in sorted(own_macs(_NETWORK))]
    guid = normal_guid(_text(_PRODUCT))
    return found if guid is None or is_placeholder(guid, placeholders) else [*found, f"guid:{guid}"]


def own_macs(network: Path) -> set[str]:
    """Return the MAC addresses of the host's own interfaces; `network` is the kernel's folder class/net.

    A network card has a device. A bond, bridge or VLAN interface of the host has none, but its type; where a bridge
    took its address from a port that is a guest's, the address is the guest's. In a bond, each card also has the
    permanent address that its firmware boots from.
    """
    cards: set[str] = set()
    host: set[str] = set()
    guests: set[str] = set()
    for folder in network.glob("*"):
        if _text(folder / "type") != _ETHERNET:
            continue
        mac = _mac(folder / "address")
        if (folder / "device").exists():
            cards |= {mac, _mac(folder / "bonding_slave" / "perm_hwaddr")}
        elif _device_type(folder) in _OF_THE_HOST:
            host.add(mac)
        else:
            guests.add(mac)
    return (cards | (host - guests)) - {""}


def _device_type(folder: Path) -> str:
    for line in _text(folder / "uevent").splitlines():
        if line.startswith("DEVTYPE="):
            return line.removeprefix("DEVTYPE=")
    return ""


def _mac(file: Path) -> str:
    mac = normal_mac(_text(file))
    return "" if mac is None or not usable_mac(mac) else mac


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
