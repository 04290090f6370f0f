"""Two machines with one GUID, and an excluded device behind another network card (D28, D29, D31)."""

from __future__ import annotations

import itertools
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..loopback.machine import Machine
from ..loopback.peer import DATA, Peer
from ..loopback.point import Point
from ..loopback.service import PATIENCE, eventually

FILES = {"boot.efi": b"for UEFI" * 200, "boot.0": b"for BIOS"}
PROGRAMS = {"uefi": "boot.efi", "bios": "boot.0"}
_others = itertools.count(1)


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    with Point(tmp_path_factory.mktemp("identity"), files=FILES, programs=PROGRAMS) as point_:
        yield point_


def clone(point: Point, guid: str, **more: Any) -> Machine:
    """A machine that nobody imported, at an address of its own, with the GUID of another one."""
    number = next(_others)
    return point.client(f"02:00:00:00:ee:{number:02x}", guid, **{"address": f"127.0.9.{number}", **more})


def completed(machine: Machine, name: str) -> bool:
    """Whether the machine gets a file to its last byte."""
    with Peer(machine.service.ports["tftp"], machine.address[0]) as peer:
        packet = peer.ask(name)
        while packet.opcode == DATA and len(packet.rest) == 512:
            peer.ack(packet.number)
            packet = peer.receive()
        return packet.opcode == DATA


def seen(point: Point, *macs: str) -> list[str]:
    """Those of the MAC addresses that the database has a sighting of."""
    marks = ", ".join("?" * len(macs))
    with closing(sqlite3.connect(point.home.database)) as connection:
        rows = connection.execute(f"SELECT mac FROM sighting WHERE mac IN ({marks}) ORDER BY mac", macs)
        return [row[0] for row in rows]


def only_a_guid(point: Point) -> str:
    """A device with a GUID and no MAC address, and a required deployment of its own; its GUID."""
    number = next(_others)
    guid, name = str(uuid.uuid5(uuid.NAMESPACE_URL, f"device {number}")), f"alone{number}"
    point.home.run("device", "import", "--name", name, "--smbios-guid", guid)
    point.home.deploy(point.image, [name])
    return guid


def test_a_clone_does_not_take_the_claim_of_the_machine_and_the_machine_is_launched(point: Point) -> None:
    point.home.run("setting", "set", "guid_alone", "allow")
    try:
        machine = point.machine()
        name = machine.boot().file
        assert name is not None
        other = clone(point, machine.guid)
        refused = eventually(lambda: (answer := other.request()).codes[-1] == "other_session" and answer)
        assert refused.reply is None
        assert other.discover().reply is None
        assert not completed(other, name)
        assert completed(machine, name)
    finally:
        point.home.run("setting", "reset", "guid_alone")


def test_a_clone_is_held_by_default_whether_it_comes_first_or_second(point: Point) -> None:
    machine = point.machine()
    other = clone(point, machine.guid)
    refused = other.request()
    assert refused.reply is None
    assert refused.codes[-1] == "guid_conflict"
    assert refused.event["device"] == "pc002"
    text = refused.event["reasons"][-1]["text"]
    assert f"pxefast device set pc002 --add-mac {other.mac}" in text
    name = machine.boot().file
    assert name is not None
    assert other.request().codes[-1] == "other_session"
    assert completed(machine, name)
    assert not completed(other, name)


def test_the_service_writes_each_pair_once_and_lists_the_suspects(point: Point) -> None:
    machine = point.machine()
    other = clone(point, machine.guid)
    for _ in range(3):
        machine.request()
        other.request()
    wanted = sorted([machine.mac, other.mac])
    eventually(lambda: seen(point, machine.mac, other.mac) == wanted, what="the sightings")
    suspects = json.loads(point.home.run("duplicate-id", "suspects", "--json"))
    (found,) = [suspect for suspect in suspects if suspect["guid"] == machine.guid]
    assert {row["mac"]: row["recorded"] for row in found["seen"]} == {machine.mac: True, other.mac: False}
    point.home.run("device", "set", found["device"], "--add-mac", other.mac)
    left = json.loads(point.home.run("duplicate-id", "suspects", "--json"))
    assert machine.guid not in [suspect["guid"] for suspect in left]


def test_a_device_with_a_guid_alone_boots_by_it_until_a_second_mac_is_seen(point: Point) -> None:
    guid = only_a_guid(point)
    first, second = clone(point, guid), clone(point, guid)
    eventually(lambda: first.discover().event["action"] == "boot", PATIENCE, "the new device")
    assert second.discover().codes[-1] == "guid_conflict"
    refused = first.request()
    assert refused.reply is None
    assert refused.codes[-1] == "guid_conflict"
    # What two commands said, and who had which card, survives the service: the table is read anew.
    eventually(lambda: len(seen(point, first.mac, second.mac)) == 2, what="the sightings")
    explained = json.loads(point.home.run("explain", "--mac", first.mac, "--smbios-guid", guid, "--json"))
    assert explained["action"] == "ignore"
    assert explained["reasons"][-1]["code"] == "guid_conflict"


@pytest.mark.parametrize("purpose", ["required", "available"])
def test_an_excluded_device_is_excluded_by_every_card_and_form_of_its_address(
    point: Point, tmp_path: Path, purpose: str
) -> None:
    machine = point.machine(purpose)
    second = clone(point, machine.guid)
    offered = machine.boot().file
    assert offered is not None
    listed = tmp_path / "never.txt"
    listed.write_text(f"{machine.mac}\n")
    point.home.run("dp", "set", "--mac-ignore-list-file", str(listed))
    try:
        eventually(lambda: machine.discover().codes[-1] == "excluded", PATIENCE, "the list")
        by_guid = second.packet(3, 0xE1000001, chaddr=uuid.UUID(machine.guid).bytes_le, hlen=16)
        for answer in (machine.request(), second.request(), second.ask("boot", by_guid)):
            assert answer.reply is None
            assert answer.codes[-1] == "excluded"
            assert machine.mac in answer.event["reasons"][-1]["text"]
        # What was offered before the list grew is not completed either.
        assert not completed(machine, offered)
    finally:
        point.home.run("dp", "set", "--no-mac-ignore-list-file")
    eventually(lambda: machine.discover().codes[-1] != "excluded", PATIENCE, "the list's end")
