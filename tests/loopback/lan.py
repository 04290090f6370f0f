"""A network of two hosts with addresses that are not loopback's: pxefast's, and its clients'."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..firmware.net import Namespace
from .machine import pending

SERVER, CLIENT, OTHER = "192.0.2.1", "192.0.2.50", "192.0.2.51"
# Behind the client: what is sent to these addresses gets no answer, and no ICMP either.
SILENT = "10.20.0.0/16"
ETH_P_ALL, OUTGOING = 3, 4


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
        self.server.ip(f"route add {SILENT} via {CLIENT}")
        self.client.sysctl("net.ipv4.icmp_ratelimit", 0)

    @contextmanager
    def dropping(self, what: str) -> Iterator[None]:
        """Packets that match are lost as they come to a host, before its kernel puts fragments together."""
        chain = f"chain lost {{ type filter hook prerouting priority -450; {what} drop; }}"
        hosts = (self.client, self.server)
        for host in hosts:
            host.run("nft", f"add table ip lossy {{ {chain}; }}")
        try:
            yield
        finally:
            for host in hosts:
                host.run("nft", "delete table ip lossy")

    def close(self) -> None:
        self.client.close()
        self.server.close()


class Wire:
    """Every IPv4 packet of UDP that comes to the client's host, as it was on the wire."""

    def __init__(self, lan: Lan) -> None:
        with lan.client:
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
            self.socket.bind(("eth0", ETH_P_ALL))

    def packets(self) -> list[bytes]:
        """What came from the server so far."""
        seen = [(data, address) for data, address in pending(self.socket) if address[2] != OUTGOING]
        return [data for data, _ in seen if data[0] >> 4 == 4 and data[9] == socket.IPPROTO_UDP]


class Forger:
    """Sends UDP datagrams from a host, with any source."""

    def __init__(self, host: Namespace) -> None:
        with host:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def __enter__(self) -> Forger:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, source: tuple[str, int], to: tuple[str, int], payload: bytes) -> None:
        """The kernel fills in IP's length and checksum; a UDP checksum of 0 means that there is none."""
        addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0) + addresses
        udp = struct.pack("!HHHH", source[1], to[1], 8 + len(payload), 0)
        self._socket.sendto(ip + udp + payload, (to[0], 0))


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
