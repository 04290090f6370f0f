"""Clients without an address, and relays: where answers go (W-11, W-50 to W-52, RFC 3046, RFC 8357)."""

from __future__ import annotations

import pytest

from ..loopback.lan import CLIENT, OTHER, SERVER, Lan
from ..loopback.machine import DISCOVER, Machine, options
from ..loopback.point import Point
from ..loopback.service import eventually

CIRCUIT = b"\x01\x06Gi0/12\x02\x06\x02\x00\x00\x11\x22\x33\x97\x00\xff\x00"


@pytest.fixture(scope="module")
def client(lan: Lan, lan_point: Point) -> Machine:
    """A machine that boots as often as it likes; nothing is known of it but its device."""
    mac, guid = "02:00:00:00:09:01", "99999999-0000-0000-0000-000000000001"
    lan_point.home.device("relayed", mac, guid)
    lan_point.home.deploy(lan_point.image, ["relayed"], "available")
    with lan.client:
        machine = lan_point.client(mac, guid, address="", port=68)
    machine.server = "255.255.255.255"
    eventually(lambda: machine.discover().reply)
    return machine


def other_port(lan: Lan, client: Machine, port: int, address: str = CLIENT) -> Machine:
    """A port that asks for the client: a relay's, or a later program's of its own."""
    with lan.client:
        machine = Machine(client.service, client.mac, client.guid, address=address, port=port)
    machine.server = SERVER
    return machine


def test_a_client_without_address_is_answered_by_broadcast_from_our_own(client: Machine) -> None:
    for flags in (0, 0x8000):
        offer = client.discover(flags=flags)
        assert offer.reply is not None
        assert offer.event["sent_to"] == "255.255.255.255:68"
        assert offer.source == (SERVER, 67)
        assert offer.reply.siaddr == SERVER
        assert offer.event["interface"] == "eth0"


@pytest.mark.parametrize("port", [1068, 4011])
def test_the_boot_port_answers_to_the_port_that_asked(lan: Lan, client: Machine, port: int) -> None:
    with other_port(lan, client, port) as machine:
        answer = machine.request(ciaddr=CLIENT)
        assert answer.source == (SERVER, 4011)
        assert answer.event["sent_to"] == f"{CLIENT}:{port}"
        assert answer.reply is not None
        assert answer.reply.siaddr == SERVER


def test_a_relays_answer_goes_to_its_port_67_with_option_82_last_and_unchanged(
    lan: Lan, client: Machine
) -> None:
    for circuit in (CIRCUIT, b"", b"\x01", b"\xff" * 200):
        with other_port(lan, client, 67) as agent:
            asked = agent.packet(DISCOVER, 0x51, extra=((82, circuit),), giaddr=CLIENT, hops=1, flags=0)
            answer = agent.ask("dhcp", asked)
            assert answer.event["sent_to"] == f"{CLIENT}:67"
            assert answer.source == (SERVER, 67)
            assert answer.reply is not None
            assert answer.reply.giaddr == CLIENT
            assert answer.reply.flags == "B", "a relay has no other way to a client without address"
            assert options(answer.reply.original)[-1] == (82, circuit)
            assert answer.event["relay_agent"] == circuit.hex()
            assert answer.event["giaddr"] == CLIENT


def test_a_relay_behind_another_port_is_answered_on_67_unless_it_asks_for_its_own(
    lan: Lan, client: Machine
) -> None:
    with other_port(lan, client, 1067) as agent, other_port(lan, client, 67) as standard:
        packet = agent.packet(DISCOVER, 0x61, extra=((82, CIRCUIT),), giaddr=CLIENT, hops=1)
        agent.socket.sendto(packet, (SERVER, 67))
        assert eventually(standard.received)
        assert not agent.received()
        own_port = CIRCUIT + b"\x13\x00"
        answer = agent.ask(
            "dhcp", agent.packet(DISCOVER, 0x62, extra=((82, own_port),), giaddr=CLIENT, hops=1)
        )
        assert answer.event["sent_to"] == f"{CLIENT}:1067"
        assert answer.reply is not None
        assert options(answer.reply.original)[-1] == (82, own_port)
        assert not standard.received()


@pytest.mark.parametrize("giaddr", [SERVER, "127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.1"])
def test_a_relay_that_cannot_be_gets_no_answer(lan: Lan, client: Machine, giaddr: str) -> None:
    with other_port(lan, client, 67) as agent:
        answer = agent.discover(giaddr=giaddr)
        assert answer.reply is None
        assert answer.codes == ["no_destination"]


def test_a_relay_that_is_not_listed_is_refused(lan: Lan, lan_point: Point, client: Machine) -> None:
    home = lan_point.home
    lan_point.service.end()
    home.configure({"log": {"format": "json"}, "dhcp": {"relays": [f"{CLIENT}/32", "10.0.0.0/8"]}})
    with lan.server:
        lan_point.again()
    client.service = lan_point.service
    with other_port(lan, client, 67) as listed, other_port(lan, client, 67, OTHER) as unlisted:
        assert listed.discover(giaddr=CLIENT).reply is not None
        refused = unlisted.discover(giaddr=OTHER)
        assert refused.reply is None
        assert refused.codes == ["relay_not_listed"]
    assert client.discover().reply is not None, "who needs no relay is not asked for one"
