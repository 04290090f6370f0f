"""A network of two hosts with addresses that are not loopback's: pxefast's, and its clients'."""

from __future__ import annotations

import os
import shutil

import pytest

from ..firmware.net import Namespace

SERVER, CLIENT, OTHER = "192.0.2.1", "192.0.2.50", "192.0.2.51"


class Lan:
    """Enter `server` or `client` to open a socket or to start a program there."""

    def __init__(self) -> None:
        self.server, self.client = Namespace(), Namespace()
        self.server.ip(f"link add eth0 type veth peer name eth0 netns {self.client.path}")
        self.server.ip(f"address add {SERVER}/24 dev eth0")
        for address in (CLIENT, OTHER):
            self.client.ip(f"address add {address}/24 dev eth0")
        for host in (self.server, self.client):
            host.ip("link set dev eth0 up")
            host.ip("route add default dev eth0")

    def close(self) -> None:
        self.client.close()
        self.server.close()


def lan_or_skip() -> Lan:
    """Skip with the reason where this cannot be had."""
    why = None
    if os.geteuid() != 0:
        why = "network namespaces need root"
    elif not shutil.which("ip"):
        why = "ip is missing: apt-get install iproute2"
    else:
        try:
            return Lan()
        except OSError as error:
            why = f"no network namespaces: {error}"
    pytest.skip(why)
