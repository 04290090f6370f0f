"""The network: namespaces without names, bridges, veth pairs and taps, a relay's two legs.

lan, 10.77.0.0/24: .1 relay, .2 DHCP server, .3 pxefast, .9 scripted client, .100-.199 machines.
branch, 10.78.0.0/24: .1 relay, .100-.199 machines.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import Ether

CLONE_NEWNET = 0x40000000
RELAY, DHCP_SERVER, PXE_SERVER, CLIENT = "10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.9"
BRANCH_ROUTER, BROADCAST = "10.78.0.1", "10.77.0.255"
ROUTER_ADVERTISEMENT_PERIOD = 0.5

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _here() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


class Namespace:
    """A network namespace held by a descriptor alone. `with namespace:` puts the calling thread inside.

    It has no name that could clash, and the kernel frees it with its last program and this process,
    however that ends.
    """

    def __init__(self) -> None:
        outside = _here()
        _checked(_libc.unshare(CLONE_NEWNET), "new network namespace")
        self._fd = _here()
        self._outside: list[int] = []
        _checked(_libc.setns(outside, CLONE_NEWNET), "leave network namespace")
        os.close(outside)
        self.ip("link set dev lo up")

    def __enter__(self) -> None:
        outside = _here()
        _checked(_libc.setns(self._fd, CLONE_NEWNET), "enter network namespace")
        self._outside.append(outside)

    def __exit__(self, *error: object) -> None:
        outside = self._outside.pop()
        _checked(_libc.setns(outside, CLONE_NEWNET), "leave network namespace")
        os.close(outside)

    @property
    def path(self) -> str:
        """Where `ip link set ... netns` and `nsenter --net=` find it."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def run(self, *argv: str) -> None:
        with self:
            done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise OSError(f"`{' '.join(argv)}` failed: {done.stderr.strip() or done.stdout.strip()}")

    def ip(self, command: str) -> None:
        self.run("ip", *command.split())

    def sysctl(self, name: str, value: int) -> None:
        with self:
            Path("/proc/sys", *name.split(".")).write_text(str(value))

    def close(self) -> None:
        os.close(self._fd)


@dataclass
class Segment:
    """A bridge in a namespace: one subnet."""

    namespace: Namespace
    bridge: str
    ports: list[str] = field(default_factory=list, init=False)
    _taps: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.namespace.ip(f"link add {self.bridge} type bridge")
        self.namespace.ip(f"link set dev {self.bridge} up")

    def connect(self, other: Namespace, interface: str, address: str | None) -> None:
        """Give `other` a leg on this subnet."""
        port = f"to-{interface}-{other.path.rsplit('/', 1)[1]}"
        self.namespace.ip(f"link add {port} type veth peer name {interface} netns {other.path}")
        self.namespace.ip(f"link set dev {port} master {self.bridge} up")
        self.ports.append(port)
        if address:
            other.ip(f"address add {address} dev {interface}")
        other.ip(f"link set dev {interface} up")
        # Whole UDP checksums for QEMU, raw sockets and captures; and captures of the segmented packets.
        for namespace, end in ((other, interface), (self.namespace, port)):
            namespace.run("ethtool", "-K", end, "tx", "off")

    def tap(self) -> str:
        """A new tap on this subnet, for one QEMU that runs in `namespace`."""
        name = f"tap{self._taps}"
        self._taps += 1
        self.namespace.ip(f"tuntap add {name} mode tap")
        self.namespace.ip(f"link set dev {name} master {self.bridge} up")
        self.ports.append(name)
        return name


class Advertiser:
    """Says on a segment that an IPv6 router is there: QEMU's iPXE otherwise waits 16 s for one (F-43)."""

    def __init__(self, segment: Segment) -> None:
        frame = (
            Ether(src="02:00:00:00:00:01", dst="33:33:00:00:00:01")
            / IPv6(src="fe80::1", dst="ff02::1", hlim=255)
            / ICMPv6ND_RA(M=0, O=0, routerlifetime=0)
        )
        self._frame = bytes(frame)
        with segment.namespace:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.bind((segment.bridge, 0))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="router advertiser")
        self._thread.start()

    def _run(self) -> None:
        with self._socket:
            while not self._stop.wait(ROUTER_ADVERTISEMENT_PERIOD):
                with contextlib.suppress(OSError):
                    self._socket.send(self._frame)

    def end(self) -> None:
        self._stop.set()
        self._thread.join(5)


class Network:
    """The two subnets of the picture above."""

    def __init__(self) -> None:
        self.server, self.dhcp, self.relay, self.client = (Namespace() for _ in range(4))
        self.lan = Segment(Namespace(), "lan")
        self.branch = Segment(self.relay, "branch")
        self.lan.connect(self.server, "eth0", f"{PXE_SERVER}/24")
        self.lan.connect(self.dhcp, "eth0", f"{DHCP_SERVER}/24")
        self.lan.connect(self.client, "eth0", f"{CLIENT}/24")
        self.lan.connect(self.relay, "up", f"{RELAY}/24")
        self.relay.ip(f"address add {BRANCH_ROUTER}/24 dev branch")
        self.relay.sysctl("net.ipv4.ip_forward", 1)
        for namespace in (self.server, self.dhcp, self.client):
            namespace.ip(f"route add default via {RELAY}")

    def close(self) -> None:
        for namespace in (self.server, self.dhcp, self.client, self.relay, self.lan.namespace):
            namespace.close()
