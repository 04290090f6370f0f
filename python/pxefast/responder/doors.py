"""The service's doors: its ports of DHCP, of the boot server and of TFTP, opened here or by somebody before."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from pxefast.config import Settings
from pxefast.decide import DistributionPoint
from pxefast.errors import CannotBind, CannotOpen
from pxefast.responder.takeover import Sockets

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["KINDS", "open_doors", "usable"]

#: What a service manager may open for the service, by name.
KINDS = {
    "dhcp": socket.SOCK_DGRAM,
    "boot": socket.SOCK_DGRAM,
    "tftp": socket.SOCK_DGRAM,
    "report": socket.SOCK_STREAM,
}


def open_doors(settings: Settings, dp: DistributionPoint, given: Sockets) -> _native.Server:
    """The native server with its ports: given ones where the settings say the same, else bound.

    Raises CannotBind, or CannotOpen where too few files may be open.
    """
    from pxefast import _native

    dhcp, tftp = settings.dhcp, settings.tftp
    if "dhcp" in given.fixed and not dp.listen_on_dhcp_port:
        raise CannotBind(
            "the DHCP port was opened for a distribution point that does not listen on it; run: "
            "systemctl disable --now pxefast-dhcp.socket, or: pxefast dp set --listen-on-dhcp-port"
        )
    address = str(settings.listen.address)
    ports = {
        "dhcp": dhcp.port if dp.listen_on_dhcp_port else None,
        "boot": dhcp.boot_port,
        "tftp": tftp.port,
    }
    named = _native.ServerSettings(
        address=address,
        dhcp_port=ports["dhcp"],
        boot_port=ports["boot"],
        accept_option82_without_giaddr=dhcp.option82_without_giaddr == "echo",
        **dhcp.limits(),
        **tftp.limits(),
    )
    sockets = {
        name: given.open[name]
        for name, port in ports.items()
        if port is not None and usable(given, name, address, port)
    }
    try:
        return _native.Server(named, sockets=sockets)
    except OSError as error:
        if error.errno == errno.EMFILE:
            raise CannotOpen(f"cannot serve: {error.strerror}") from None
        if error.errno in (errno.EAGAIN, errno.ENOMEM):
            # Threads need memory, and a place among the user's processes.
            raise CannotOpen(
                f"cannot start {error.strerror}; raise the limit of memory or of processes (MemoryMax= and TasksMax= "
                "of the unit; ulimit -v and -u)"
            ) from None
        advice = {
            errno.EADDRINUSE: "; a DHCP server on this host? then run: "
            "pxefast dp set --no-listen-on-dhcp-port; else end what uses the port, or change it in pxefast.toml",
            errno.EACCES: "; ports below 1024 need root, CAP_NET_BIND_SERVICE or systemd's socket units",
            errno.EADDRNOTAVAIL: "; no interface has this address: see [listen] in pxefast.toml",
        }.get(error.errno or 0, "")
        raise CannotBind(f"cannot bind {error.strerror or error}{advice}") from None


def usable(given: Sockets, name: str, address: str, port: int) -> bool:
    """Whether a socket is open that is bound where the settings say; port 0 is any."""
    if name not in given.open:
        return False
    with socket.socket(fileno=os.dup(given.open[name])) as found:
        bound = found.getsockname()
    return name in given.fixed or (bound[0] == address and port in (0, bound[1]))
