"""A distribution point that serves Windows PE, as its administrator sets it up, and machines on its loopback cable.

The one file beside the tests that knows the product: by its commands, its events and its ports.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .. import wims
from ..loopback.home import LOOPBACK, Home, Sections
from ..loopback.service import SOON, Event, Service, eventually
from .chain import Door, EndedError, Machine
from .pxe import UEFI_X64, Firmware
from .tftp import PATIENCE, Client


class Cable:
    """Packets to a service and back; its events say for sure where no answer comes."""

    def __init__(self, service: Service, server: str = "127.0.0.1") -> None:
        self.service, self.server = service, server
        self.tftp: int = service.ports["tftp"]
        self.events: list[Event] = []

    def port(self, door: Door, firmware: Firmware, address: str) -> socket.socket:
        """Where a machine asks from: a free port of its address."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, 0))
        return sock

    def send(self, door: Door, packet: bytes, sock: socket.socket) -> None:
        sock.sendto(packet, (self.server, self.service.ports[door]))

    def ask(self, door: Door, packet: bytes, sock: socket.socket) -> bytes | None:
        xid, after = packet[4:8].hex(), len(self.service.events)
        self.send(door, packet, sock)
        mac = packet[28:34].hex(":")
        event = self.service.event(
            "request", lambda event: event["xid"] == xid and event["mac"] == mac, after=after
        )
        self.events.append(event)
        if event["sent_to"] is None:
            return None
        sock.settimeout(PATIENCE)
        answer, source = sock.recvfrom(65536)
        assert source == (self.server, self.service.ports[door]), "from the port that was asked (W-12, W-13)"
        return answer


class Lan(Cable):
    """A real network: broadcasts, and the ports that everybody has (W-11, W-12)."""

    def port(self, door: Door, firmware: Firmware, address: str) -> socket.socket:
        """Port 68; UEFI asks the boot server from 4011."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if door == "dhcp":
            sock.bind(("", 68))
        else:
            sock.bind((address, 4011 if firmware.kind == "uefi" else 68))
        return sock

    def send(self, door: Door, packet: bytes, sock: socket.socket) -> None:
        to = "255.255.255.255" if door == "dhcp" else self.server
        sock.sendto(packet, (to, self.service.ports[door]))


class Site:
    """A home, its Windows PE images and, in a `with`, its running service."""

    def __init__(self, folder: Path, settings: Sections = LOOPBACK) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._numbers = itertools.count(1)
        self.home = Home(folder / "home", settings)
        self.home.answer()
        # More boots than a careful site allows in ten minutes.
        self.home.run("setting", "set", "budget_claims", "0")
        self.images: dict[str, wims.Wim] = {}

    def __enter__(self) -> Site:
        self.service = self._stack.enter_context(Service(self.home))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def again(self) -> None:
        """End the service and start it once more; machines have a new cable then."""
        self.service.stop()
        self.service = self._stack.enter_context(Service(self.home))

    @property
    def cable(self) -> Cable:
        """A cable to the service."""
        return Cable(self.service)

    def image(self, wim: wims.Wim, *more: str, distribute: bool = True) -> str:
        """Add an image; its id."""
        name = f"{wim.path.stem} {next(self._numbers)}"
        identity = self.home.run("boot-image", "add", str(wim.path), "--name", name, *more, "--quiet")
        if distribute:
            self.home.run("content", "distribute", identity)
        self.images[identity] = wim
        return identity

    def expected(self, image: str, ca: str = "2011") -> Mapping[str, bytes]:
        """Each byte that an image's machines must get, by the file's name."""
        wim = self.images[image]
        files = {name.rpartition("/")[2].lower(): content for name, content in wim.boot(ca).items()}
        return {**files, f"boot.{image.lower()}.wim": wim.path.read_bytes()}

    def machine(
        self, firmware: Firmware, image: str, purpose: str | None = "required", expect: str | None = None,
        **more: Any,
    ) -> Machine:  # fmt: skip
        """A device at an address of its own, with a deployment of the image, or none; known to the service."""
        number = next(self._numbers)
        mac, guid = f"02:00:00:00:01:{number:02x}", uuid.uuid5(uuid.NAMESPACE_DNS, f"windows {number}")
        name = f"win{number:03}"
        self.home.device(name, mac, str(guid))
        if purpose is not None:
            self.home.deploy(image, [name], purpose)
        self.settle()
        # Where a deployment is required nobody sits at the keyboard (CM-72).
        more = {"key": purpose == "available", **more}
        return self.at(number, firmware, self.expected(expect or image), mac, guid, **more)

    def at(
        self, number: int, firmware: Firmware, expected: Mapping[str, bytes], mac: str, guid: uuid.UUID, **more: Any
    ) -> Machine:  # fmt: skip
        """A machine at the address of this number."""
        return Machine(self.cable, firmware, mac, guid, f"127.0.3.{number}", expected, **more)

    @property
    def stranger(self) -> Client:
        """Somebody at an address that no machine has."""
        return Client(("127.0.0.1", self.service.ports["tftp"]), "127.0.4.1")

    def settle(self) -> None:
        """Wait until the service follows all that was changed: a device that comes now is known."""
        number = next(self._numbers)
        mac, guid = f"02:00:00:00:02:{number:02x}", uuid.uuid5(uuid.NAMESPACE_DNS, f"sentinel {number}")
        self.home.device(f"sentinel{number}", mac, str(guid))
        sentinel = self.at(number, UEFI_X64, {}, mac, guid)

        def known() -> bool:
            with contextlib.suppress(EndedError):
                sentinel.ask_firmware()
            return bool(sentinel.line.events[-1]["device"])

        eventually(known, SOON, "the newest device")

    def states(self, machine: Machine, name: str | None = None) -> list[str]:
        """Where each case of one machine stands in the ledger."""
        device = name or self.name(machine)
        rows = json.loads(self.home.run("ledger", "show", "--device", device, "--json"))
        return [row["state"] for row in rows]

    def launches(self, machine: Machine) -> int:
        """How often the last byte of its launch file was let go for it."""
        # Events come in order: that of a question asked now is behind all that there were.
        with contextlib.suppress(EndedError):
            self.at(1, UEFI_X64, {}, "02:00:00:00:03:01", uuid.UUID(int=0)).ask_firmware()
        return sum(
            event["event"] == "launch" and event["mac"] == machine.mac and event["result"] == "launched"
            for event in self.service.events
        )

    def name(self, machine: Machine) -> str:
        """The device that a machine is."""
        return f"win{int(machine.mac[-2:], 16):03}"
