"""A person picks an item of another PXE server's menu, and the firmware asks everybody for it (W-33)."""

from __future__ import annotations

import struct

import pytest

from ..loopback.machine import REQUEST
from ..loopback.point import Point


@pytest.mark.parametrize("item", [8, 0x8001])
def test_a_boot_item_of_another_servers_menu_is_not_answered_and_uses_no_boot(
    point: Point, item: int
) -> None:
    machine = point.machine("required")
    before = point.service.counters()["dhcp.dropped.boot_item"]
    wanted = ((43, b"\x47\x04" + struct.pack("!HH", item, 0) + b"\xff"),)
    packet = machine.packet(REQUEST, 0x72000000 + item, extra=wanted, ciaddr=machine.address[0])
    machine.socket.sendto(packet, (machine.server, point.service.ports["dhcp"]))
    assert machine.boot().file == point.name("boot.efi"), "its required boot was not used up"
    assert not machine.received()
    assert point.service.counters()["dhcp.dropped.boot_item"] == before + 1
