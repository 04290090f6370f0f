"""The service's doors: its ports of DHCP, of the boot server and of TFTP."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pxefast.config import Settings
from pxefast.decide import DistributionPoint
from pxefast.errors import CannotBind

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["open_doors"]


def open_doors(settings: Settings, dp: DistributionPoint) -> _native.Server:
    """The native server, bound. Raises CannotBind."""
    from pxefast import _native

    dhcp = settings.dhcp
    named = _native.ServerSettings(
        address=str(settings.listen.address),
        dhcp_port=dhcp.port if dp.listen_on_dhcp_port else None,
        boot_port=dhcp.boot_port,
        accept_option82_without_giaddr=dhcp.option82_without_giaddr == "echo",
        **settings.tftp.limits(),
    )
    try:
        return _native.Server(named)
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "; a DHCP server on this host? then run: "
            "pxefast dp set --no-listen-on-dhcp-port; else end what uses the port, or change it in pxefast.toml",
            errno.EACCES: "; ports below 1024 need root or CAP_NET_BIND_SERVICE",
            errno.EADDRNOTAVAIL: "; no interface has this address: see [listen] in pxefast.toml",
        }.get(error.errno or 0, "")
        raise CannotBind(f"cannot bind {error.strerror or error}{advice}") from None
