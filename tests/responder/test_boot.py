"""One boot after another: who is answered, how, and how often."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from pxefast.responder.interfaces import own_identities

from ..loopback.home import LOOPBACK
from ..loopback.machine import ACK, OFFER, options
from ..loopback.peer import Peer
from ..loopback.point import Point
from ..loopback.service import SOON, eventually

BIOS_ARCHITECTURE = 0


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    """A distribution point that names the boot file in its offers, on every address of this host."""
    kinds = ("bios", "uefi_x86", "uefi_x64", "uefi_arm64", "ipxe")
    settings = {**LOOPBACK, "listen": {"address": "0.0.0.0"}, "dhcp.style": dict.fromkeys(kinds, "direct")}
    with Point(tmp_path_factory.mktemp("direct"), settings) as point:
        yield point


def test_an_offer_names_no_file_and_sends_the_client_to_the_boot_port(point: Point) -> None:
    machine = point.machine()
    offer = machine.discover()
    assert offer.reply is not None
    said = dict(options(offer.reply.original))
    assert said[53] == bytes([OFFER])
    assert offer.reply.siaddr == "127.0.0.1"
    assert offer.file == ""
    assert 43 not in said
    assert offer.source == ("127.0.0.1", point.service.ports["dhcp"])


def test_the_boot_port_names_the_boot_file_of_the_clients_firmware(point: Point) -> None:
    machine = point.machine()
    answer = machine.request()
    assert answer.reply is not None
    assert dict(options(answer.reply.original))[53] == bytes([ACK])
    assert answer.file == point.name("boot.efi")
    assert answer.reply.siaddr == "127.0.0.1"
    assert answer.source == ("127.0.0.1", point.service.ports["boot"])
    bios = point.machine(architecture=BIOS_ARCHITECTURE)
    assert bios.boot().file == point.name("boot.0")


def test_what_identifies_the_client_comes_back_byte_for_byte(point: Point) -> None:
    machine = point.machine()
    identifier = (61, b"\x01" + bytes.fromhex(machine.mac.replace(":", "")))
    item = (43, bytes([71, 4, 0x80, 0, 0, 0, 255]))
    asked = machine.packet(3, 0xABCD, extra=(identifier, item), ciaddr="127.0.0.2")
    answer = machine.ask("boot", asked)
    assert answer.reply is not None
    said = dict(options(answer.reply.original))
    assert said[61] == identifier[1]
    assert said[43] == item[1]
    assert said[97] == dict(options(asked))[97]
    assert answer.reply.ciaddr == "127.0.0.2"


def test_an_event_carries_what_scripts_are_promised(point: Point) -> None:
    machine = point.machine()
    event = machine.request(0x1234).event
    assert event["action"] == "boot"
    assert event["device"] == f"pc{int(machine.mac[-2:], 16):03}"
    assert event["deployment"].startswith("PS1")
    assert (event["boot_image"], event["boot_program"]) == (point.image, "boot.efi")
    assert all(set(reason) == {"code", "text", "rule"} for reason in event["reasons"])
    about = {"mac": machine.mac, "guid": machine.guid, "xid": "00001234", "architecture": "x64", "firmware": "uefi",
             "giaddr": None, "interface": "lo"}  # fmt: skip
    assert {key: event[key] for key in about} == about
    assert event["source"] == event["sent_to"] == "{}:{}".format(*machine.address)
    assert event["time"].endswith("Z")


def test_a_required_deployment_boots_once_and_a_repeat_of_the_question_gets_the_same_bytes(
    point: Point,
) -> None:
    machine = point.machine()
    first = machine.request(0x77)
    assert first.reply is not None
    for _ in range(3):
        again = machine.request(0x77)
        assert again.reply is not None
        assert again.reply.original == first.reply.original
        assert "same_session" in again.codes
    refused = machine.request(0x78)
    assert refused.reply is None
    assert refused.codes[-1] == "already_offered"
    assert refused.event["reasons"][-1]["text"].startswith("already offered")
    assert machine.discover().reply is None


def test_repeats_that_arrive_together_are_answered_alike(point: Point) -> None:
    machine = point.machine()
    packet = machine.packet(3, 0x99)
    before = point.service.counters()
    for _ in range(20):
        machine.socket.sendto(packet, ("127.0.0.1", point.service.ports["boot"]))
    eventually(lambda: point.service.counters()["dhcp.received"] - before["dhcp.received"] == 20)
    after = point.service.counters()
    dropped = after["dhcp.dropped.repeated"] - before["dhcp.dropped.repeated"]
    payloads = [payload for payload, _ in machine.received()]
    assert len(payloads) == 20 - dropped > 0, "one that waits is not answered twice"
    assert len(set(payloads)) == 1


def test_two_boots_of_one_machine_that_arrive_together_become_one(point: Point) -> None:
    machine = point.machine()
    after = len(point.service.events)
    for xid in range(0x200, 0x220):
        machine.socket.sendto(machine.packet(3, xid), ("127.0.0.1", point.service.ports["boot"]))
    point.service.event("request", lambda event: event["xid"] == "0000021f", after=after)
    assert len(machine.received()) == 1


def test_ipxe_loaded_by_the_firmware_goes_on_with_the_same_boot(point: Point) -> None:
    machine = point.machine()
    assert machine.boot().file == point.name("boot.efi")
    assert machine.boot().codes[-1] == "already_offered", "the firmware's program may have run"
    second = point.stage(machine, ipxe=True)
    answer = second.boot()
    assert answer.file == point.name("boot.ipxe")
    assert "same_session" in answer.codes
    again = machine.boot()
    assert again.file == point.name("boot.efi"), "until iPXE's program is through, nothing can have run"
    assert "same_session" in again.codes


def test_a_cleared_deployment_boots_once_more(point: Point) -> None:
    machine = point.machine()
    assert machine.boot().reply is not None
    assert machine.boot().reply is None
    name = machine.discover().event["device"]
    point.home.run("deployment", "clear", "--device", name, "--yes")
    eventually(lambda: machine.discover().reply, SOON, "the clearing")
    assert machine.boot().file == point.name("boot.efi")
    assert machine.boot().reply is None


def test_an_available_deployment_prompts_at_every_boot(point: Point) -> None:
    machine = point.machine("available")
    for _ in range(3):
        answer = machine.boot()
        assert answer.event["action"] == "prompt"
        assert answer.file == point.name("boot.efi")


def test_who_is_unknown_or_has_no_deployment_gets_silence_and_a_reason(point: Point) -> None:
    stranger = point.client("02:00:00:ff:ff:ff", "11111111-2222-3333-4444-555555555555")
    for answer in (stranger.discover(), stranger.request()):
        assert answer.reply is None
        assert answer.codes[-1] == "unknown_computers_off"
    idle = point.machine(None)
    for answer in (idle.discover(), idle.request()):
        assert answer.reply is None
        assert answer.codes[-1] == "no_deployment"


def test_another_architecture_never_gets_this_ones_program(point: Point) -> None:
    machine = point.machine()
    for architecture in (6, 11, 10, 16, 27, 65535):
        other = point.stage(machine, architecture=architecture)
        answer = other.boot()
        assert answer.reply is None
        assert answer.codes[-1] in ("no_boot_image", "unsupported_architecture"), architecture
    assert machine.boot().reply is not None, "none of them has used the boot up"


def test_a_direct_offer_names_the_file_and_is_the_boot(direct: Point) -> None:
    home, image = direct.home, direct.image
    home.device("direct", "02:00:00:00:01:01", "11111111-0000-0000-0000-000000000001")
    home.deploy(image, ["direct"])
    machine = direct.client("02:00:00:00:01:01", "11111111-0000-0000-0000-000000000001")
    offer = eventually(lambda: (answer := machine.discover(0x31)).reply and answer, SOON)
    folder, session, file = offer.file.rsplit("/", 2)
    assert (folder, file) == (f"SMSImages/{image}", "boot.efi")
    assert re.fullmatch("[0-9a-f]{32}", session), (
        "the client's address is not known yet: its files carry the session"
    )
    said = dict(options(offer.reply.original))
    assert (said[53], said[43]) == (bytes([OFFER]), bytes([6, 1, 8, 255]))
    again = machine.discover(0x31)
    assert again.reply is not None
    assert again.reply.original == offer.reply.original
    assert machine.discover(0x32).codes[-1] == "already_offered"


def test_the_answer_comes_from_the_address_that_was_asked(direct: Point) -> None:
    machine = direct.machine("available")
    for server in ("127.0.0.1", "127.0.0.77"):
        machine.server = server
        for answer, port in ((machine.discover(), "dhcp"), (machine.request(), "boot")):
            assert answer.source == (server, direct.service.ports[port])
            assert answer.reply is not None
            assert answer.reply.siaddr == server
            assert answer.event["server"] == server


def test_a_known_machine_with_nothing_to_do_is_told_to_go_on(point: Point) -> None:
    idle = point.machine(None, architecture=BIOS_ARCHITECTURE)
    offer = idle.discover()
    assert (offer.event["action"], offer.file) == ("abort", "")
    answer = idle.request()
    assert (answer.event["action"], answer.file) == ("abort", "SMSBoot/abort/abortpxe.com")
    ipxe = point.stage(idle, architecture=BIOS_ARCHITECTURE, ipxe=True)
    assert ipxe.boot().file == "SMSBoot/abort/abort.ipxe"
    with Peer(point.service.ports["tftp"]) as peer:
        assert peer.fetch("SMSBoot/abort/abort.ipxe") == b"#!ipxe\nexit\n"
        program = peer.fetch("smsboot\\ABORT\\abortpxe.com")
        assert len(program) < 200
        assert b"going on to the next boot device" in program
    point.home.run("halt")
    assert idle.request().reply is not None, "that harms nobody"
    point.home.run("halt", "--off")


def test_a_uefi_machine_with_nothing_to_do_goes_on_by_itself_whatever_the_setting(point: Point) -> None:
    idle = point.machine(None)
    assert idle.discover().event["action"] == "ignore"
    point.home.run("setting", "set", "no_deployment_uefi", "abort")
    try:
        refused = eventually(
            lambda: (answer := idle.request()).codes[-1] == "no_abort_program" and answer, SOON
        )
        assert refused.reply is None
    finally:
        point.home.run("setting", "reset", "no_deployment_uefi")


def test_the_host_that_pxefast_runs_on_is_never_booted(point: Point) -> None:
    own = [identity for identity in own_identities() if identity.startswith("mac:")]
    for identity in own:
        machine = point.client(identity[4:], "aaaaaaaa-0000-0000-0000-000000000001")
        assert machine.boot().reply is None
    with closing(sqlite3.connect(point.home.database)) as connection:
        known = {row[0] for row in connection.execute("SELECT identity FROM own_identity")}
    assert set(own) <= known
