"""The laboratory of one test module: network, DHCP server, relay, pxefast, and a capture of all it says."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import dhcpd
from .capture import Capture
from .machine import Firmware, Machine
from .net import Advertiser, Network, Segment
from .service import Service


@dataclass
class Lab:
    """Everything that runs; `folder` holds all its files."""

    folder: Path
    network: Network
    service: Service
    capture: Capture
    _machines: int = 0

    def machine(self, name: str, firmware: Firmware, segment: Segment) -> Machine:
        """A new machine on a subnet, known to the site as a device of its name."""
        self._machines += 1
        mac = f"52:54:00:10:20:{self._machines:02x}"
        guid = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        self.service.add_device(name, mac, guid)
        return Machine(name, firmware, mac, guid, segment.namespace, segment.tap())


@contextlib.contextmanager
def laboratory(folder: Path) -> Iterator[Lab]:
    """All of it but `service.start()`; whatever started ends with the context, in reverse order."""
    with contextlib.ExitStack() as stack:
        network = Network()
        stack.callback(network.close)
        stack.callback(dhcpd.start_server(network, folder).end)
        stack.callback(dhcpd.start_relay(network).end)
        # The LAN has an IPv6 router. The branch has none: iPXE falls 16 s behind (F-43), and is served still.
        stack.callback(Advertiser(network.lan).end)
        service = Service(network.server, folder / "home")
        stack.callback(lambda: (folder / "service.log").write_text(service.log))
        stack.callback(service.end)
        capture = Capture(network.server, "eth0", folder / "server.pcap")
        stack.callback(capture.end)
        yield Lab(folder, network, service, capture)
