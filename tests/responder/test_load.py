"""How long a question waited is its own time, and nobody's questions make another machine wait (R-72, D15)."""

from __future__ import annotations

import json
import random
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from ..loopback.home import LOOPBACK, Home, Sections, write_files
from ..loopback.machine import DISCOVER, REQUEST, Client
from ..loopback.service import PATIENCE, Event, Service, eventually
from ..pump.native import Native

FILES = {"boot.efi": b"a boot program\n" * 20, "launch.bin": b"does all the work\n" * 20}
SENDER = "127.0.200.1"
IP_PKTINFO = 8
PACKETS_A_SECOND = 20_000
# What a test machine with other work may add to an answer.
GENEROUS_SECONDS = 1.0


class Known(NamedTuple):
    """A machine with a required deployment, at an address of its own."""

    mac: str
    guid: str
    address: str


class Fleet:
    """A running distribution point with as many machines as `machines`, each with one required deployment."""

    def __init__(self, folder: Path, machines: int, settings: Sections = LOOPBACK) -> None:
        self.machines = [
            Known(
                f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}",
                str(uuid.uuid5(uuid.NAMESPACE_DNS, f"fleet {number}")),
                f"127.0.{100 + (number >> 8)}.{number & 255}",
            )
            for number in range(1, machines + 1)
        ]
        home = self.home = Home(folder / "home", settings)
        home.answer()
        files = write_files(folder / "image", FILES)
        image = home.run("boot-image", "add", str(files), "--name", "work", "--arch", "x64", "--boot-program",
                         "uefi=boot.efi", "--launch-file", "launch.bin", "--quiet")  # fmt: skip
        home.run("content", "distribute", image)
        home.run("setting", "set", "budget_claims", "100000")
        names = [f"pc{number:04}" for number in range(1, machines + 1)]
        listed = folder / "devices.csv"
        rows = [f"{name},{one.mac},{one.guid}\n" for name, one in zip(names, self.machines, strict=True)]
        listed.write_text("name,mac,smbios-guid\n" + "".join(rows))
        home.run("device", "import-csv", str(listed))
        sequence = home.run("task-sequence", "create", "--name", "work", "--boot-image", image, "--quiet")
        home.run("collection", "create", "fleet")
        home.run("collection", "add", "fleet", *names)
        wanted = ["deployment", "create", "--task-sequence", sequence, "--collection", "fleet",
                  "--purpose", "required", "--make-available-to", "media-pxe", "--quiet"]  # fmt: skip
        outcome = home.command(*wanted)
        if confirm := re.search(r"--confirm ([0-9a-f]{12})", outcome.error):
            home.run(*wanted, "--confirm", confirm[1])
        else:
            assert outcome.code == 0, outcome
        self.service = Service(home)

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.service.stop()

    def client(self, number: int) -> Client:
        """The machine of this number, counted from 0."""
        mac, guid, address = self.machines[number]
        return Client(mac, guid, address)

    def refused(self) -> list[Event]:
        """The questions that got no answer since they were too late."""
        return [
            event
            for event in list(self.service.events)
            if event["event"] == "request" and any(why["code"] == "too_late" for why in event["reasons"])
        ]


def boot_seconds(fleet: Fleet, numbers: Sequence[int]) -> list[float]:
    """How long each of these machines waited for the answer that names its boot program; each asks once."""
    waited = []
    for number in numbers:
        with fleet.client(number) as client:
            client.socket.settimeout(PATIENCE)
            began = time.monotonic()
            xid = 0x30000000 + number
            client.socket.sendto(client.packet(REQUEST, xid), ("127.0.0.1", fleet.service.ports["boot"]))
            reply = client.socket.recv(65536)
            waited.append(time.monotonic() - began)
            assert reply[4:8] == xid.to_bytes(4, "big")
            assert reply[108:236].rstrip(b"\0"), "a boot program is named"
    return waited


def told(waited: Sequence[float]) -> str:
    return f"median {1000 * statistics.median(waited):.1f} ms, longest {1000 * max(waited):.1f} ms"


def test_machines_that_ask_without_a_pause_are_never_told_that_they_are_late(
    tmp_path: Path, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sixty-four machines of which each asks again as soon as it is answered: the port is never empty."""
    seconds = 60.0 if long else 6.0
    with Fleet(tmp_path, 64) as fleet, ExitStack() as stack, selectors.DefaultSelector() as selector:
        waiting: dict[int, tuple[Client, float]] = {}
        door = ("127.0.0.1", fleet.service.ports["boot"])

        def ask(number: int, client: Client) -> None:
            # The same boot, a second later each time: its newest question repeated (F-42).
            client.socket.sendto(client.packet(REQUEST, 0x40000000 + number), door)
            waiting[number] = (client, time.monotonic())

        for number in range(64):
            client = stack.enter_context(fleet.client(number))
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_READ, number)
            ask(number, client)
        answers, longest, end = 0, 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select(0.1):
                client, since = waiting[key.data]
                client.socket.recv(65536)
                answers, longest = answers + 1, max(longest, time.monotonic() - since)
                ask(key.data, client)
            late = min(since for _, since in waiting.values())
            assert time.monotonic() - late < PATIENCE, (
                f"a machine has no answer; refused: {fleet.refused()[:3]}"
            )
        assert fleet.refused() == []
    with capsys.disabled():
        print(
            f"\n64 machines without a pause: {answers / seconds:.0f} answers/s, longest {1000 * longest:.0f} ms"
        )


FLOOD = """
import itertools, json, socket, sys, time
packets = [bytes.fromhex(line) for line in json.load(sys.stdin)]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind((sys.argv[1], 0))
to, rate = ("127.0.0.1", int(sys.argv[2])), int(sys.argv[3])
print("floods", flush=True)
began, sent = time.monotonic(), 0
for packet in itertools.cycle(packets):
    while sent > rate * (time.monotonic() - began):
        time.sleep(0.001)
    try:
        sender.sendto(packet, to)
    except OSError:
        pass
    sent += 1
"""


@contextmanager
def flood(port: int, packets: Sequence[bytes]) -> Iterator[None]:
    """One sender that sends 20,000 packets a second to a port as long as this lasts."""
    with subprocess.Popen(
        [sys.executable, "-c", FLOOD, SENDER, str(port), str(PACKETS_A_SECOND)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        try:
            json.dump([packet.hex() for packet in packets], process.stdin)
            process.stdin.close()
            assert process.stdout.readline() == "floods\n"
            yield
        finally:
            process.kill()


def discovers(seed: int, count: int) -> list[bytes]:
    """DISCOVERs of machines that nobody knows."""
    numbers = random.Random(seed)
    packets = []
    with Client("02:ff:00:00:00:00", str(uuid.UUID(int=1))) as client:
        for number in range(count):
            client.mac = "02:fe:" + numbers.randbytes(4).hex(":")
            client.guid = str(uuid.UUID(bytes=numbers.randbytes(16)))
            packets.append(client.packet(DISCOVER, number))
    return packets


def test_a_flood_on_port_67_delays_no_boot_on_port_4011(
    tmp_path: Path, seed: int, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    boots = 200 if long else 40
    with Fleet(tmp_path, 3 * boots) as fleet:
        before = boot_seconds(fleet, range(boots))
        packets = discovers(seed, 2000)
        counted = fleet.service.counters()
        with flood(fleet.service.ports["dhcp"], packets):
            # Longer than a question may wait.
            eventually(
                lambda: fleet.service.counters()["dhcp.received"] - counted["dhcp.received"] > 50_000, 30
            )
            during = boot_seconds(fleet, range(boots, 2 * boots))
        after = boot_seconds(fleet, range(2 * boots, 3 * boots))
        now = fleet.service.counters()
        assert fleet.refused() == []
        assert now["dhcp.dropped.client_rate"] - counted["dhcp.dropped.client_rate"] > 25_000
    with capsys.disabled():
        print(f"\nboots before: {told(before)}; in the flood: {told(during)}; after: {told(after)}")
    assert max(during) < GENEROUS_SECONDS + 20 * max(before)


def test_in_a_flood_from_one_sender_another_machine_is_still_offered_a_boot(
    tmp_path: Path, seed: int
) -> None:
    with Fleet(tmp_path, 1) as fleet, fleet.client(0) as client:
        door = ("127.0.0.1", fleet.service.ports["dhcp"])
        with flood(door[1], discovers(seed, 2000)):
            client.socket.settimeout(0.5)
            for attempt in range(20):
                client.socket.sendto(client.packet(DISCOVER, 7, secs=attempt), door)
                try:
                    assert client.socket.recv(65536)[4:8] == (7).to_bytes(4, "big")
                    return
                except TimeoutError:
                    continue
        raise AssertionError("no offer for twenty questions")


def test_a_recorded_machine_is_heard_though_its_network_is_flooded_with_invented_addresses(
    tmp_path: Path, seed: int
) -> None:
    """T12: all come by one relay, whose limit the flood uses up; nine of ten of its questions are dropped."""
    with Fleet(tmp_path, 1) as fleet, Client("02:fd:00:00:00:01", str(uuid.UUID(int=9)), SENDER) as relay:
        door = ("127.0.0.1", fleet.service.ports["dhcp"])
        machine = fleet.machines[0]
        packets = [relayed(packet) for packet in discovers(seed, 4_000)]
        counted = fleet.service.counters()
        with flood(door[1], packets):
            eventually(
                lambda: (
                    fleet.service.counters()["dhcp.dropped.network_rate"]
                    > counted["dhcp.dropped.network_rate"] + 10_000
                ),
                30,
            )
            relay.mac, relay.guid = machine.mac, machine.guid
            for xid in range(1, 21):
                relay.socket.sendto(relayed(relay.packet(DISCOVER, 0x60000000 + xid)), door)

            def heard() -> bool:
                """Two of twenty are heard without the share."""
                events = list(fleet.service.events)
                xids = {
                    each["xid"]
                    for each in events
                    if each["event"] == "request" and each["mac"] == machine.mac
                }
                return len(xids) >= 10

            eventually(heard, what="half of what the recorded machine asked")
        assert fleet.service.counters()["dhcp.reserved"] > counted["dhcp.reserved"]


def relayed(packet: bytes) -> bytes:
    """The same packet as the relay at SENDER passes it on."""
    return packet[:24] + socket.inet_aton(SENDER) + packet[28:]


def test_a_machine_that_repeats_itself_before_it_is_heard_gets_one_answer(tmp_path: Path) -> None:
    with Fleet(tmp_path, 1) as fleet, fleet.client(0) as client:
        door = ("127.0.0.1", fleet.service.ports["dhcp"])
        before = fleet.service.counters()
        with fleet.service.suspended():
            for seconds in range(10):
                client.socket.sendto(client.packet(DISCOVER, 9, secs=seconds), door)
        event = fleet.service.event("request", lambda event: event["xid"] == "00000009")
        assert event["action"] == "boot"

        def counted() -> bool:
            after = fleet.service.counters()
            return after["dhcp.received"] - before["dhcp.received"] == 10

        eventually(counted, what="all ten packets")
        after = fleet.service.counters()
        taken = after["dhcp.questions"] - before["dhcp.questions"]
        assert after["dhcp.dropped.repeated"] - before["dhcp.dropped.repeated"] == 10 - taken
        assert len(client.received()) == taken < 10


def test_what_waited_for_two_seconds_in_the_kernel_is_not_answered_and_what_came_since_is(
    tmp_path: Path,
) -> None:
    """The port is not empty between them: each counts by its own time (R-72)."""
    with Fleet(tmp_path, 2) as fleet, fleet.client(0) as early, fleet.client(1) as late:
        ready, door = time.monotonic(), ("127.0.0.1", fleet.service.ports["boot"])
        # The service trusts the kernel's time once the port was empty a second after it was opened.
        eventually(lambda: time.monotonic() - ready > 2.0)
        with fleet.service.suspended():
            early.socket.sendto(early.packet(REQUEST, 0x51), door)
            sent = time.monotonic()
            eventually(lambda: time.monotonic() - sent > 2.2)
            late.socket.sendto(late.packet(REQUEST, 0x52), door)
        events = [fleet.service.event("request", lambda event, xid=xid: event["xid"] == xid)
                  for xid in ("00000051", "00000052")]  # fmt: skip
        assert events[0]["sent_to"] is None
        assert events[0]["reasons"][-1]["code"] == "too_late"
        assert events[1]["sent_to"] is not None
        assert early.received() == []


def test_a_socket_that_was_opened_before_the_service_is_trusted_only_once_it_was_empty(
    tmp_path: Path,
) -> None:
    """Nobody stamped what waited in it: the time at which it is read says nothing (R-72)."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as opened:
        opened.bind(("127.0.0.1", 0))
        # As systemd does with PassPacketInfo=.
        opened.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        with Client("02:00:00:00:00:07", str(uuid.UUID(int=7))) as client:
            client.socket.sendto(client.packet(REQUEST, 1), opened.getsockname())
            native = Native(tmp_path, {"a": b"a"}, {"a": "a"}, sockets={"boot": opened.fileno()})
            try:
                (question,) = native.server.wait(1000)
                assert question.heard == 0.0
                assert native.server.empty > 0.0, "it was emptied with that"
                client.socket.sendto(client.packet(REQUEST, 2), opened.getsockname())
                (question,) = native.server.wait(1000)
                now = time.clock_gettime(time.CLOCK_BOOTTIME)
                assert 0.0 < question.heard <= now
            finally:
                native.server.stop()
