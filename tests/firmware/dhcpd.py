"""A DHCP server that gives addresses and nothing else, and a relay that asks it and pxefast."""

from __future__ import annotations

from pathlib import Path

from .net import BRANCH_ROUTER, DHCP_SERVER, PXE_SERVER, RELAY, Network
from .process import Program

CONFIG = f"""
authoritative;
ping-check false;
default-lease-time 3600;
max-lease-time 3600;
subnet 10.77.0.0 netmask 255.255.255.0 {{ range 10.77.0.100 10.77.0.199; option routers {RELAY}; }}
subnet 10.78.0.0 netmask 255.255.255.0 {{ range 10.78.0.100 10.78.0.199; option routers {BRANCH_ROUTER}; }}
"""


def start_server(network: Network, folder: Path) -> Program:
    """ISC dhcpd, listening when this returns."""
    config, leases = folder / "dhcpd.conf", folder / "dhcpd.leases"
    config.write_text(CONFIG)
    leases.touch()
    argv = ["dhcpd", "-4", "-d", "-f", "--no-pid", "-cf", str(config), "-lf", str(leases), "eth0"]
    program = Program(argv, network.dhcp)
    program.err.wait_for(r"^Server starting service", 15)
    return program


def start_relay(network: Network) -> Program:
    """ISC dhcrelay with option 82, towards the DHCP server and pxefast."""
    argv = ["dhcrelay", "-4", "-d", "-a", "--no-pid", "-iu", "up", "-id", "branch", DHCP_SERVER, PXE_SERVER]
    program = Program(argv, network.relay)
    program.err.wait_for(r"^Sending on +Socket/", 15)
    return program
