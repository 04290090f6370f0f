"""The launch barrier from outside: a launch file's last byte leaves once, and the ledger knew before (B2, I3, I4)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..loopback.home import LOOPBACK, write_files
from ..loopback.machine import Machine
from ..loopback.peer import DATA, ERROR, Packet, Peer
from ..loopback.point import Point
from ..loopback.service import SOON, eventually

BOOT = bytes(range(256)) * 12
IMAGE = b"the image" * 1000
FILES = {"boot.efi": BOOT, "boot.0": b"for BIOS", "big.wim": IMAGE}
PROGRAMS = {"uefi": "boot.efi", "bios": "boot.0"}


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    """An image whose boot program is all that it needs, so that it is its launch file."""
    with Point(tmp_path_factory.mktemp("gates"), files=FILES, programs=PROGRAMS) as point_:
        yield point_


def fetched(machine: Machine, name: str) -> Packet:
    """Ask for a file and acknowledge all that comes: the last packet, which may be an error."""
    with Peer(machine.service.ports["tftp"], machine.address[0]) as peer:
        packet = peer.ask(name)
        while packet.opcode == DATA and len(packet.rest) == 512:
            peer.ack(packet.number)
            packet = peer.receive()
        if packet.opcode == DATA:
            peer.ack(packet.number)
        return packet


def launch(point: Point, machine: Machine, after: int) -> dict[str, Any]:
    """The next launch event of an address."""
    return point.service.event(
        "launch", lambda event: event["peer"].startswith(f"{machine.address[0]}:"), after=after
    )


def now(point: Point) -> int:
    return len(point.service.events)


def state(point: Point, machine: Machine) -> str:
    """What the ledger says of a machine, as another program reads it."""
    with closing(sqlite3.connect(point.home.database)) as connection:
        rows = "SELECT state FROM ledger JOIN device_mac USING (device_id) WHERE device_mac.mac = ? ORDER BY generation"
        return str(list(connection.execute(rows, (machine.mac,)))[-1][0])


def test_who_asks_from_the_address_of_a_boot_under_way_gets_nothing_until_it_has_launched(
    point: Point,
) -> None:
    victim, other, prompted = point.machine(), point.machine(), point.machine("available")
    name = victim.boot().file
    assert name is not None
    for liar in (other, prompted):
        answer = point.client(liar.mac, liar.guid, address=victim.address[0]).request()
        assert answer.reply is None
        assert answer.codes[-1] == "address_in_use"
    assert (state(point, victim), state(point, other)) == ("CLAIMED", "ARMED")
    fetched(victim, name)
    assert (state(point, victim), state(point, other)) == ("LAUNCHED", "ARMED")
    assert victim.discover().reply is None
    heir = point.client(other.mac, other.guid, address=victim.address[0])
    assert heir.request().file == name, "the address may be another's now"


def test_of_two_machines_that_ask_from_one_address_at_once_one_is_claimed(point: Point) -> None:
    first, second = point.machine(), point.machine()
    liar = point.client(second.mac, second.guid, address=first.address[0])
    after = now(point)
    for number, (machine, xid) in enumerate(((first, 0xA1), (liar, 0xA2)) * 4):
        # A host name each, so that none is a mere repeat of the one before.
        packet = machine.packet(3, xid, extra=((12, b"host%d" % number),))
        machine.socket.sendto(packet, ("127.0.0.1", point.service.ports["boot"]))
    point.service.event("request", lambda event: event["xid"] == "000000a2", after=after, count=4)
    assert sorted((state(point, first), state(point, second))) == ["ARMED", "CLAIMED"]


def test_a_machine_that_got_the_last_byte_is_launched_and_never_served_again(point: Point) -> None:
    machine, after = point.machine(), now(point)
    name = machine.boot().file
    assert name is not None
    assert fetched(machine, name).rest == BOOT[-(len(BOOT) % 512) or len(BOOT) :]
    event = launch(point, machine, after)
    assert (event["result"], event["file"], event["mac"]) == ("launched", name, machine.mac)
    assert event["device"].startswith("pc")
    assert event["deployment"].startswith("PS1")
    assert state(point, machine) == "LAUNCHED"
    for answer in (machine.discover(), machine.request()):
        assert answer.reply is None
        assert answer.codes[-1] == "already_offered"
        assert "launched" in answer.event["reasons"][-1]["text"]
    refused = fetched(machine, name)
    assert (refused.opcode, refused.number) == (ERROR, 2)
    assert launch(point, machine, point.service.events.index(event) + 1)["result"] == "refused"


def test_a_machine_whose_transfer_was_cut_boots_again_by_itself(point: Point) -> None:
    machine = point.machine()
    for _ in range(2):
        name = machine.boot().file
        assert name is not None
        with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
            assert peer.ask(name).opcode == DATA
            for block in range(1, len(BOOT) // 512 - 1):
                peer.ack(block)
                assert peer.receive().number == block + 1
        assert state(point, machine) == "CLAIMED"
    again = machine.boot()
    assert again.file == name
    assert "same_session" in again.codes
    assert fetched(machine, name).opcode == DATA
    assert state(point, machine) == "LAUNCHED"
    assert machine.boot().reply is None


def test_who_was_never_offered_a_launch_file_does_not_get_its_last_byte(point: Point) -> None:
    point.machine()
    stranger, after = point.client("02:00:00:ff:00:01", "ffffffff-0000-0000-0000-000000000001"), now(point)
    refused = fetched(stranger, point.name("boot.efi"))
    assert (refused.opcode, refused.number) == (ERROR, 2)
    event = launch(point, stranger, after)
    assert (event["result"], event["reasons"][0]["code"], event["level"]) == (
        "refused",
        "no_session",
        "warning",
    )
    assert fetched(stranger, point.name("big.wim")).opcode == DATA, "other files are free to read"


def test_an_available_deployment_of_the_same_image_needs_no_ledger(point: Point) -> None:
    point.machine()
    machine = point.machine("available")
    for _ in range(2):
        after, name = now(point), machine.boot().file
        assert name is not None
        assert fetched(machine, name).opcode == DATA
        event = launch(point, machine, after)
        assert (event["result"], event["reasons"][0]["code"]) == ("opened", "available_deployment")


def test_what_is_no_boot_program_of_a_required_deployment_has_no_gate(tmp_path: Path) -> None:
    with Point(tmp_path, files=FILES, programs=PROGRAMS) as point:
        point.machine("available")
        stranger = point.client("02:00:00:ff:00:01", "ffffffff-0000-0000-0000-000000000001")
        assert fetched(stranger, point.name("boot.efi")).opcode == DATA
        required = point.machine()
        eventually(lambda: fetched(stranger, point.name("boot.efi")).opcode == ERROR, SOON, "the gate")
        assert fetched(required, required.boot().file or "").opcode == DATA


def test_a_declared_launch_file_is_the_launch_and_what_comes_before_it_is_free(point: Point) -> None:
    files = write_files(point.home.folder.parent / "declared", FILES)
    image = point.home.publish(files, **PROGRAMS)
    point.home.run("boot-image", "set", image, "--launch-file", "big.wim")
    mac, guid = "02:00:00:01:00:01", "dddddddd-0000-0000-0000-000000000001"
    point.home.device("declared", mac, guid)
    point.home.deploy(image, ["declared"])
    machine = point.client(mac, guid, address="127.0.2.1")
    name = f"SMSImages/{image}/boot.efi"
    eventually(lambda: machine.boot().file, SOON, "the deployment")
    assert fetched(machine, name).opcode == DATA
    assert fetched(machine, name).opcode == DATA
    assert state(point, machine) == "CLAIMED"
    assert fetched(machine, f"SMSImages/{image}/big.wim").opcode == DATA
    assert state(point, machine) == "LAUNCHED"


def test_ipxes_program_is_the_launch_and_the_firmwares_is_not(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        machine = point.machine()
        after = now(point)
        assert fetched(machine, machine.boot().file or "").opcode == DATA
        assert launch(point, machine, after)["result"] == "opened"
        ipxe = point.stage(machine, ipxe=True)
        after = now(point)
        assert fetched(ipxe, ipxe.boot().file or "").opcode == DATA
        assert launch(point, machine, after)["result"] == "launched"
        assert machine.boot().reply is None
        assert ipxe.boot().reply is None


def test_a_machine_without_address_is_known_by_the_session_in_its_files_names(tmp_path: Path) -> None:
    settings = {**LOOPBACK, "dhcp.style": {"uefi_x64": "direct"}}
    with Point(tmp_path, settings, FILES, PROGRAMS) as point:
        for purpose, result in (("required", "launched"), ("available", "opened")):
            machine, after = point.machine(purpose), now(point)
            name = machine.discover(0x77).file
            assert name is not None
            assert machine.discover(0x77).file == name
            session = name.split("/")[2]
            assert fetched(machine, re.sub(session, "0" * 32, name)).opcode == ERROR, "another session"
            after = now(point)
            with Peer(point.service.ports["tftp"], "127.0.9.9") as peer:
                assert peer.ask(name).opcode == DATA, "whatever address it has got meanwhile"
            elsewhere = point.stage(machine, address="127.0.9.9")
            assert fetched(elsewhere, name).opcode == DATA
            assert launch(point, elsewhere, after)["result"] == result


def test_after_a_restart_the_gate_is_as_shut_as_before(tmp_path: Path) -> None:
    with Point(tmp_path, files=FILES, programs=PROGRAMS) as point:
        machine = point.machine()
        name = machine.boot().file
        assert name is not None
        point.home.run("device", "remove", machine.discover().event["device"], "--yes")
        point.service.end()
        point.again()
        machine.service = point.service
        assert fetched(machine, name).opcode == ERROR, "its deployment no longer reaches it"


def test_the_boot_environment_finds_its_session_beside_its_files(point: Point) -> None:
    machine = point.machine()
    answer = machine.boot()
    said = fetched(machine, "session.env")
    assert said.opcode == DATA
    values = dict(line.split("=", 1) for line in said.rest.decode().splitlines())
    assert values["PXEFAST_DEVICE"] == answer.event["device"]
    assert values["PXEFAST_DEPLOYMENT"] == answer.event["deployment"]
    assert values["PXEFAST_REPORT_URL"] == (
        f"http://127.0.0.1:{point.service.ports['report']}/session/{values['PXEFAST_SESSION']}"
    )
    assert re.fullmatch("[0-9a-f]{32}", values["PXEFAST_TOKEN"])
    other = point.machine()
    assert fetched(other, "session.env").opcode == ERROR
