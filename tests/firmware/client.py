"""A scripted PXE client: it says any MAC it likes, on 67 and on 4011, and hears every answer."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from typing import Literal

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.packet import Packet

from .net import CLIENT, PXE_SERVER, Namespace
from .process import GoneError

UEFI_X64 = 7
Door = Literal[67, 4011]


class Client:
    """One UDP socket on port 68. A MAC has one transaction id: every request is a repeat of its first."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
        self._socket.bind(("", 68))

    def ask(self, mac: str, guid: uuid.UUID, door: Door) -> None:
        """DISCOVER to 67 as a broadcast, or REQUEST to 4011 from an address that is already ours."""
        discover = door == 67
        header = BOOTP(
            chaddr=bytes.fromhex(mac.replace(":", "")),
            xid=int(mac.replace(":", "")[-8:], 16),
            flags="B" if discover else 0,
            ciaddr="0.0.0.0" if discover else CLIENT,
        )
        options = [
            ("message-type", "discover" if discover else "request"),
            (93, UEFI_X64.to_bytes(2, "big")),
            (94, bytes([1, 3, 0])),
            ("vendor_class_id", f"PXEClient:Arch:{UEFI_X64:05}:UNDI:003000".encode()),
            (97, b"\0" + guid.bytes_le),
            "end",
        ]
        to = ("255.255.255.255", 67) if discover else (PXE_SERVER, 4011)
        self._socket.sendto(bytes(header / DHCP(options=options)), to)

    def answers_until(self, mac: str, seconds: float) -> list[Packet]:
        """pxefast's answers as they come, up to the first one to `mac`. GoneError if that does not come."""
        answers = []
        for answer in self._answers(seconds):
            answers.append(answer)
            if answer.chaddr[:6].hex(":") == mac:
                return answers
        raise GoneError(f"no answer to {mac} within {seconds} s, but {[each.summary() for each in answers]}")

    def answers_within(self, seconds: float) -> list[Packet]:
        """All that pxefast says in this time."""
        return list(self._answers(seconds))

    def _answers(self, seconds: float) -> Iterator[Packet]:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                payload, (address, _) = self._socket.recvfrom(4096)
            except TimeoutError:
                return
            if address == PXE_SERVER:  # and not the DHCP server, which is heard here too
                yield BOOTP(payload)

    def close(self) -> None:
        self._socket.close()
