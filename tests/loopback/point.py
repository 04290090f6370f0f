"""A distribution point that serves one boot image, and as many machines as a test asks for."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .home import LOOPBACK, Home, Sections, write_files
from .machine import Machine
from .service import SOON, Service, eventually

PROGRAMS = {"uefi": "boot.efi", "bios": "boot.0", "ipxe": "boot.ipxe"}
FILES = {file: f"the boot program for {firmware}\n".encode() for firmware, file in PROGRAMS.items()}


class Point:
    """A home with a boot image of `files`, and its running service. Use it in a `with`.

    `serve` starts the service of a home.
    """

    def __init__(
        self, folder: Path, settings: Sections = LOOPBACK, files: Mapping[str, bytes] = FILES,
        programs: Mapping[str, str] = PROGRAMS, init: Sequence[str] = (),
        serve: Callable[[Home], Service] = Service,
    ) -> None:  # fmt: skip
        self._stack = ExitStack()
        self._numbers = itertools.count(1)
        self.home = Home(folder / "home", settings, init)
        self.home.answer()
        self.image = self.home.publish(write_files(folder / "image", files), **programs)
        self.service = self._stack.enter_context(serve(self.home))

    def __enter__(self) -> Point:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def name(self, file: str) -> str:
        """The full name of a file of the image."""
        return f"SMSImages/{self.image}/{file}"

    def again(self) -> None:
        """Serve once more, after the service has ended. Machines of before do not know the new one's ports."""
        self.service = self._stack.enter_context(Service(self.home))

    def machine(self, purpose: str | None = "required", **more: Any) -> Machine:
        """A device that the service knows, at an address of its own.

        It has a deployment of the image to itself, for members that come later wait for approval; or none where
        `purpose` is None.
        """
        number = next(self._numbers)
        mac = f"02:00:00:00:{number // 256:02x}:{number % 256:02x}"
        guid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"machine {number}"))
        name = f"pc{number:03}"
        self.home.device(name, mac, guid)
        machine = self.client(mac, guid, **{"address": f"127.0.1.{number}", **more})
        if purpose is None:
            eventually(lambda: machine.discover().event["device"], SOON, "the new device")
        else:
            self.home.deploy(self.image, [name], purpose)
            # Not so often that the log samples what a stranger asks.
            eventually(lambda: machine.discover().event["deployment"], SOON, "the new deployment", pause=0.1)
        return machine

    def client(self, mac: str, guid: str, **more: Any) -> Machine:
        """Who asks with this identity, from 127.0.0.2 unless told."""
        return self._stack.enter_context(Machine(self.service, mac, guid, **more))

    def stage(self, machine: Machine, **more: Any) -> Machine:
        """Another stage of a machine's boot, such as iPXE's, at the same address."""
        return self.client(machine.mac, machine.guid, **{"address": machine.address[0], **more})
