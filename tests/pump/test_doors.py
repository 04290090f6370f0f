"""Doors that a server is given, and gives on."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ..loopback.peer import Peer
from .native import Native

FILES = {"a": b"what is served"}


def udp(address: str = "127.0.0.1") -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, 0))
    return opened


def test_a_server_listens_on_the_doors_it_is_given_and_leaves_them_to_who_gave_them(tmp_path: Path) -> None:
    with closing(udp()) as tftp, closing(udp()) as boot:
        given = {"tftp": tftp.fileno(), "boot": boot.fileno()}
        native = Native(tmp_path, FILES, {"a": "a"}, sockets=given)
        try:
            assert native.server.ports["tftp"] == tftp.getsockname()[1]
            assert native.server.ports["boot"] == boot.getsockname()[1]
            assert set(native.server.sockets()) == set(native.server.ports) == {"dhcp", "boot", "tftp"}
            with Peer(native.door) as peer:
                assert peer.fetch("a") == FILES["a"]
        finally:
            native.server.stop()
        assert tftp.getsockname()[1] == native.door


def tcp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.bind(("127.0.0.1", 0))
    return opened


def unbound() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def connected() -> socket.socket:
    opened = udp()
    opened.connect(opened.getsockname())
    return opened


@pytest.mark.parametrize(
    ("name", "make", "why"),
    [
        ("tftp", tcp, '"tftp" is not usable: not a UDP socket of IPv4'),
        ("boot", unbound, '"boot" is not usable: bound to no port'),
        ("dhcp", connected, '"dhcp" is not usable: connected to one peer'),
        ("web", udp, '"web", which these settings do not listen on'),
    ],
)
def test_a_socket_of_no_use_as_a_door_is_refused_by_its_name(
    tmp_path: Path, name: str, make: Callable[[], socket.socket], why: str
) -> None:
    with closing(make()) as opened, pytest.raises(ValueError, match=why):
        Native(tmp_path, FILES, {"a": "a"}, sockets={name: opened.fileno()})
