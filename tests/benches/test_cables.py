"""The cables of the benches do what they are told, and over each of them pxefast's transfers come to their end."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise

import pytest

from benches.tftp import caps, loss
from benches.tftp.measure import Case, load, stage, wait_until_served
from benches.tftp.network import CLIENT, FIRST, SERVER, Quality, link
from benches.tftp.servers import SERVERS

from ..firmware.net import Namespace
from ..loopback.lan import lan_or_skip

COUNT = 4000
# Prints its port, then which datagrams came, in their order.
RECEIVER = f"""
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
receiver.bind(("{CLIENT}", 0))
receiver.settimeout(60)
print(receiver.getsockname()[1], flush=True)
came = []
try:
    while True:
        number = int(receiver.recv(100))
        if number < {COUNT}:
            came.append(number)
        else:
            receiver.settimeout(1)  # what was late comes behind it
except TimeoutError:
    print(*came)
"""


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    lan_or_skip().close()
    own = Namespace()
    with own:
        yield
    own.close()


def test_a_cable_loses_doubles_and_delays_what_it_was_told_to() -> None:
    with stage(1000) as here, link(here.programs / "link", 1000) as (clients, become):
        become(Quality(lost=10, doubled=5, late=5))
        command = [*clients.place, sys.executable, "-c", RECEIVER]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            assert receiver.stdout is not None
            port = int(receiver.stdout.readline())
            for number in range(COUNT):
                sender.sendto(b"%d" % number, (CLIENT, port))
            for _ in range(20):  # one of them arrives
                sender.sendto(b"%d" % COUNT, (CLIENT, port))
            came = [int(number) for number in receiver.stdout.readline().split()]
    lost, doubled = COUNT - len(set(came)), len(came) - len(set(came))
    late = sum(after < before for before, after in pairwise(came))
    assert 0.07 < lost / COUNT < 0.13
    assert 0.03 < doubled / COUNT < 0.07
    assert 0 < late < 0.1 * COUNT


def test_every_transfer_ends_well_where_packets_are_lost_doubled_and_late_both_ways() -> None:
    results = loss.measure(loss.QUICK)
    assert results.absent == {}
    assert len(results.samples) == len(loss.QUICK.qualities) * len(loss.QUICK.sizes) * len(loss.HABITS)
    for case, done in results.samples.items():
        assert (done.verified, done.wrong) == (loss.QUICK.clients, 0), (case, done)
    text = loss.text(loss.QUICK, results)
    assert "finished with right bytes: kept" in text
    assert len(text.splitlines()) == 1 + len(results.samples) + 2


def test_no_more_crosses_a_cable_than_the_cap_of_the_point_allows() -> None:
    with caps.narrow() as clients:
        (done,) = caps.measure(caps.QUICK, clients)
    assert 0 < done.rate <= 1.05 * done.cap.together, done


def test_a_thousand_slow_machines_that_begin_at_once_all_get_the_file() -> None:
    """T11: who is half open gives way to nobody, though a quarter of the places is for 1,024 of them."""
    count = 1100
    with (
        stage(100_000, address=SERVER) as here,
        link(here.programs / "link", 150_000) as (clients, _),
        SERVERS["pxefast"].run(here) as server,
    ):
        wait_until_served(here, server, "image.bin")
        told = load(here, server, "image.bin", Case(1456, 16), count, lambda: None, f"--sources={FIRST}/{count}",
                    place=clients.place)  # fmt: skip
    assert (told["verified"], told["wrong"]) == (count, 0), told
