"""Windows PE in the hands of real firmware: it takes answers with options 252 and 243, and names with backslashes.

Where Windows' boot programs would be, the image has programs of the rig's own, which hash the image's wim and say so.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
import uuid
from dataclasses import dataclass

import pytest

from .. import wims
from ..bootmgr import chain, pxe
from ..bootmgr.chain import Door
from . import image
from .capture import Facts, read_by_scapy, read_by_tshark
from .lab import Lab
from .machine import Firmware, Machine, Start
from .net import CLIENT, PXE_SERVER

BOOT_SECONDS = 240
IMAGE = "PS1000AA"
FIRMWARES: list[Firmware] = ["bios", "uefi"]
PROGRAMS = {"bios": "pxeboot.n12", "uefi": "bootmgfw.efi"}


@dataclass(frozen=True)
class Floor:
    """The site, its machines by firmware, and the SHA-256 of the image that all of them boot."""

    lab: Lab
    machines: dict[str, Machine]
    deployment: str
    sha256: str
    wim: wims.Wim


@pytest.fixture(scope="module")
def floor(lab: Lab) -> Floor:
    lab.folder.joinpath("programs").mkdir()
    programs = image.windows_programs(IMAGE, lab.folder / "programs")
    wim = wims.make(lab.folder / "boot.wim", payload=5_000_000, over=programs)
    lab.service.run("boot-image", "add", str(wim.path), "--name", "Windows PE", "--id", IMAGE)
    lab.service.run("content", "distribute", IMAGE)
    machines = {name: lab.machine(f"windows-{name}", name, lab.network.lan) for name in FIRMWARES}
    names = [machine.name for machine in machines.values()]
    deployment = lab.service.deploy("windows", IMAGE, names, "required")
    lab.service.start()
    return Floor(lab, machines, deployment, hashlib.sha256(wim.path.read_bytes()).hexdigest(), wim)


@pytest.fixture(scope="module")
def started(floor: Floor) -> dict[str, tuple[bool, str]]:
    """Whether each machine came to the marker, and its console."""
    starts: dict[str, Start] = {}
    try:
        starts |= {name: machine.start(floor.lab.folder) for name, machine in floor.machines.items()}
        marker = rf"rig: booted {IMAGE}\s+rig: end"
        return {name: (start.reaches(marker, BOOT_SECONDS), start.console) for name, start in starts.items()}
    finally:
        for start in starts.values():
            start.end()


@pytest.mark.parametrize("firmware", FIRMWARES)
def test_firmware_starts_the_program_and_the_image_arrives_whole(
    floor: Floor, started: dict[str, tuple[bool, str]], firmware: Firmware
) -> None:
    reached, console = started[firmware]
    requests = floor.lab.service.requests(floor.machines[firmware].mac)
    assert reached, f"no marker; requests {requests}; console:\n{console}"
    # The console breaks its lines after 80 letters.
    assert re.search(rf"{floor.sha256}\s+/boot\.{IMAGE}\.wim", console)
    assert "PXEFAST_TOKEN=" in console
    # The BIOS machine's ROM is iPXE: it is told the program once, and never again (W-49).
    assert [request["door"] for request in requests if request["action"] == "boot"].count("request") == 1
    launches = [event for event in floor.lab.service.events if event["event"] == "launch"]
    assert [each["result"] for each in launches if each["mac"] == floor.machines[firmware].mac] == [
        "launched"
    ]


class Cable:
    """The scripted boot manager's, at the address of the scripted client."""

    server, tftp = PXE_SERVER, 69

    def port(self, door: Door, firmware: pxe.Firmware, address: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("", 68) if door == "dhcp" else (address, 4011))
        return sock

    def ask(self, door: Door, packet: bytes, sock: socket.socket) -> bytes | None:
        """Asked again every half second, as firmware does after seconds."""
        sock.settimeout(0.5)
        for _ in range(2 * BOOT_SECONDS):
            sock.sendto(packet, ("255.255.255.255", 67) if door == "dhcp" else (PXE_SERVER, 4011))
            with contextlib.suppress(TimeoutError):
                source = ""
                while source != PXE_SERVER:  # the DHCP server is heard here too
                    answer, (source, _) = sock.recvfrom(65536)
                return answer
        return None


@pytest.fixture(scope="module")
def scripted(floor: Floor, started: dict[str, tuple[bool, str]]) -> chain.Started:
    """A boot as Windows' own programs go on: a loader that waits for approval, then a variable window."""
    service, name = floor.lab.service, "scripted"
    mac, guid = "52:54:00:10:30:01", uuid.uuid5(uuid.NAMESPACE_OID, "scripted")
    service.run("setting", "set", "pending_machines", "poll")
    service.add_device(name, mac, str(guid))
    for key, value in (("BlockSize", "1456"), ("WindowSize", "4"), ("VariableWindow", "true")):
        service.run("device", "variable", "set", name, f"RamDiskTFTP{key}", value)
    service.run("collection", "add", "windows", name)
    files = {path.rpartition("/")[2].lower(): content for path, content in floor.wim.boot().items()}
    files[f"boot.{IMAGE.lower()}.wim"] = floor.wim.path.read_bytes()
    again = threading.Event()

    def approve(polls: int) -> None:
        if polls == 1:
            service.run("deployment", "approve", floor.deployment, "--device", name, "--yes")
        again.wait(0.05)

    machine = chain.Machine(Cable(), pxe.UEFI_X64, mac, guid, CLIENT, files, polled=approve)
    with floor.lab.network.client:
        started_ = machine.boot()
        assert machine.variables(started_.answer)["PXEFAST_DEVICE"] == name
    assert machine.programs == ["wdsmgfw.efi", "bootmgfw.efi"]
    return started_


def test_a_loader_waits_for_approval_and_the_boot_manager_varies_its_window(scripted: chain.Started) -> None:
    assert scripted.wim.granted.variable
    assert scripted.wim.largest_window > 4


@pytest.fixture(scope="module")
def answers(floor: Floor, scripted: chain.Started) -> list[Facts]:
    """Every answer that left, once tshark and scapy have read all packets alike and found no fault."""
    capture = floor.lab.capture
    capture.end()
    assert capture.dropped == 0
    seen, marks = read_by_tshark(capture.path)
    assert marks == []
    assert read_by_scapy(capture.path) == seen
    return [facts for facts in seen.values() if "xid" in facts]


@pytest.mark.parametrize("firmware", FIRMWARES)
def test_the_answer_that_firmware_took_names_the_store_the_variables_and_the_program(
    floor: Floor, answers: list[Facts], firmware: Firmware
) -> None:
    mac = floor.machines[firmware].mac
    (answer,) = {
        facts["file"]: facts for facts in answers if facts["chaddr"] == mac and facts["from port"] == 4011
    }.values()
    assert answer["file"] == f"SMSBoot\\{IMAGE}\\x64\\{PROGRAMS[firmware]}"
    options = {code: bytes.fromhex(value) for code, value in answer["options"]}
    assert options[252].startswith(b"\\SMSTemp\\")
    assert options[252].endswith(b".boot.bcd\0")
    assert options[243][0] == 1
    assert options[243][2:].rstrip(b"\0").endswith(b".boot.var")
    assert all(252 not in dict(facts["options"]) for facts in answers if facts["from port"] == 67)
