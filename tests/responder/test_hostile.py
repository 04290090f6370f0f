"""What must not be answered, or must not hurt: R-1 to R-13 on the ports of DHCP and of the boot server."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from ..loopback.home import CROWDED, Sections
from ..loopback.machine import DISCOVER, REQUEST, Machine, checked
from ..loopback.point import Point
from ..loopback.service import eventually, moved

Bytes = Callable[[bytes], bytes]

# F5 load balancers ask this of UDP ports (KB3073881).
PROBE = b"default send string"
CLASS = b"PXEClient:Arch:00007:UNDI:003000"
EXCLUDED = "02:00:00:ee:ee:ee"
EXCLUDED_GUID = str(uuid.UUID(int=0xEE))
# The options that are read.
READ = (43, 50, 52, 53, 54, 55, 57, 60, 61, 77, 82, 93, 94, 97, 175, 255)


def put(at: int, *values: int) -> Bytes:
    """A change: these bytes from `at` on."""
    return lambda packet: packet[:at] + bytes(values) + packet[at + len(values) :]


def with_options(*parts: bytes) -> Bytes:
    """A change: nothing after the cookie but these."""
    return lambda packet: packet[:240] + b"".join(parts)


def option(code: int, value: bytes) -> bytes:
    return bytes([code, len(value)]) + value


PXE = option(53, b"\1") + option(60, CLASS) + option(93, b"\0\7") + option(94, b"\1\3\0")


def question(message_type: int = 1, **replaced: bytes | None) -> bytes:
    """PXE options, some of them others (`o60=b"x"`) or left out (`o60=None`)."""
    values: dict[str, bytes | None] = {
        "o53": bytes([message_type]), "o60": CLASS, "o93": b"\0\7", "o94": b"\1\3\0", **replaced,
    }  # fmt: skip
    return (
        b"".join(option(int(key[1:]), value) for key, value in values.items() if value is not None) + b"\xff"
    )


# What each of these does to a good DISCOVER, and the counter that must tell of it.
DROPPED: dict[str, tuple[Bytes, str]] = {
    "R-2 a load balancer's probe": (lambda _: PROBE, "malformed.truncated"),
    "R-3 another cookie": (put(236, 0, 1, 2, 3), "malformed.bad_cookie"),
    "R-3 a reply": (put(0, 2), "dropped.reply_op"),
    "R-3 neither request nor reply": (put(0, 3), "malformed.bad_op"),
    "R-3 no Ethernet": (put(1, 6), "dropped.hardware"),
    "R-3 no hardware address": (put(2, 0), "dropped.hardware"),
    "R-3 seven bytes of hardware address": (put(2, 7), "dropped.hardware"),
    "R-3 sixteen of them and no GUID": (
        lambda packet: put(2, 16)(with_options(PXE, b"\xff")(packet)),
        "dropped.hardware",
    ),
    "R-3 255 of them": (put(2, 255), "malformed.bad_hardware_length"),
    "R-4 no option at all": (lambda packet: packet[:240], "malformed.no_message_type"),
    "R-4 only padding": (with_options(bytes(1000)), "malformed.no_message_type"),
    "R-4 the class runs past the end": (
        with_options(option(53, b"\1"), b"\x3c\xffPXEClient"),
        "malformed.option_overrun",
    ),
    "R-4 a length is missing": (with_options(b"\x35"), "malformed.option_overrun"),
    "R-10 no class": (with_options(question(o60=None)), "dropped.not_pxe"),
    "R-10 a class cut short": (with_options(question(o60=b"PXEClien")), "dropped.not_pxe"),
    "R-10 a class in small letters": (with_options(question(o60=b"pxeclient")), "dropped.not_pxe"),
    "R-10 HTTP boot": (with_options(question(o60=b"HTTPClient:Arch:00016")), "dropped.http_client"),
    "R-11 plain BOOTP": (with_options(option(60, CLASS), b"\xff"), "malformed.no_message_type"),
    "R-11 a REQUEST for an address": (with_options(question(3)), "dropped.message_type"),
    **{
        f"R-11 message type {kind}": (with_options(question(kind)), "dropped.message_type")
        for kind in (0, 2, 4, 5, 6, 7, 8, 9, 10, 18, 255)
    },
    "R-11 a DISCOVER of a machine that boots from its disk": (
        with_options(option(53, b"\1"), option(60, b"MSFT 5.0"), b"\xff"),
        "dropped.not_pxe",
    ),
    "R-7 option 82 and no relay": (
        with_options(PXE, option(82, b"\1\2ab"), b"\xff"),
        "dropped.relay_agent_without_giaddr",
    ),
    "W-55 too many relays": (put(3, 17), "dropped.hops"),
}  # fmt: skip


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    with besieged(tmp_path_factory.mktemp("point")) as point_:
        yield point_


@pytest.fixture(scope="module")
def client(point: Point) -> Machine:
    """A good client, which may boot as often as it likes."""
    return point.machine("available")


def besieged(folder: Path, settings: Sections = CROWDED) -> Point:
    """A distribution point with a machine that everything is deployed to and that is excluded."""
    point = Point(folder, settings)
    (folder / "excluded.txt").write_text(f"{EXCLUDED}\n")
    point.home.run("dp", "set", "--mac-ignore-list-file", str(folder / "excluded.txt"))
    point.home.device("excluded", EXCLUDED, EXCLUDED_GUID)
    for purpose in ("required", "available"):
        point.home.deploy(point.image, ["excluded"], purpose)
    return point


def received(counters: dict[str, int]) -> int:
    return counters["dhcp.received"]


def adds_up(counters: dict[str, int]) -> bool:
    """Whether every packet is accounted for once."""
    parts = ("dhcp.dropped.", "dhcp.malformed.")
    lost = sum(value for name, value in counters.items() if name.startswith(parts))
    return received(counters) == counters["dhcp.questions"] + lost


def tell(machine: Machine, port: str, packet: bytes) -> None:
    machine.socket.sendto(packet, ("127.0.0.1", machine.service.ports[port]))


def barrier(machine: Machine) -> None:
    """Return when everything sent before to either port was dealt with: a good client is answered meanwhile."""
    assert machine.discover().reply is not None
    assert machine.request().reply is not None


def test_what_is_no_question_is_dropped_and_counted_by_its_reason(point: Point, client: Machine) -> None:
    crowd = point.stage(client)
    good = crowd.packet(DISCOVER, 1)
    before = point.service.counters()
    wanted: Counter[str] = Counter()
    for change, counter in DROPPED.values():
        tell(crowd, "dhcp", change(good))
        wanted[f"dhcp.{counter}"] += 1
    for port in ("dhcp", "boot"):
        for packet in [good[:length] for length in range(240)] + [PROBE]:
            tell(crowd, port, packet)
            wanted["dhcp.malformed.truncated"] += 1
    barrier(client)
    assert crowd.received() == []
    after = point.service.counters()
    changes = moved(before, after)
    assert changes.pop("dhcp.received") == wanted.total() + 2
    assert changes.pop("dhcp.questions") == changes.pop("dhcp.replies") == 2
    assert changes == wanted
    assert adds_up(after)


def test_a_flood_of_clients_that_do_not_boot_from_the_network_gets_nothing(
    point: Point, client: Machine
) -> None:
    crowd = point.stage(client)
    for number in range(2000):
        options = (option(53, bytes([(1, 3, 7, 8)[number % 4]])), option(60, b"MSFT 5.0"), b"\xff")
        tell(crowd, "dhcp", with_options(*options)(crowd.packet(1, number)))
        if number % 100 == 0:
            barrier(client)
    barrier(client)
    assert crowd.received() == []


@pytest.mark.parametrize(
    "beside",
    [
        option(12, b"x" * 255) * 11,
        option(224, b"") * 255,
        option(43, bytes([6, 200, 1, 2])),
        option(43, bytes([43, 4, 43, 2, 43, 0, 255])),
        option(43, bytes([71, 3, 0, 0, 0, 255])),
        option(43, bytes([71])),
        option(50, b"\x0a\0\0\1") + option(55, b"\1\3\6") + option(118, b"\x0a\0\0\0"),
        option(97, b""),
        option(97, b"\0" * 16),
        option(97, b"\1" * 17),
        option(97, b"\0" * 17),
        option(97, b"\0" + b"\xff" * 16),
        option(97, b"\0" + uuid.UUID("03000200-0400-0500-0006-000700080009").bytes_le),
    ],
    ids=["R-4 3 KB", "R-4 255 copies", "R-6 lies", "R-6 43 in 43", "R-6 item too short", "R-6 item without length",
         "R-12 Kea's crash", "R-8 empty", "R-8 16 bytes", "R-8 type 1", "R-8 all 0", "R-8 all F", "R-8 a vendor's"],
)  # fmt: skip
@pytest.mark.parametrize("port", ["dhcp", "boot"])
def test_nonsense_beside_a_good_question_does_not_spoil_it(
    point: Point, client: Machine, beside: bytes, port: str
) -> None:
    kind = DISCOVER if port == "dhcp" else REQUEST
    answer = client.ask(port, with_options(question(kind)[:-1], beside, b"\xff")(client.packet(kind, 0x4444)))
    assert answer.reply is not None
    assert "known_device" in answer.codes


@pytest.mark.parametrize("architectures", [b"", b"\7", b"\0\7\0", b"\0\x0b\0\7", b"\xff\xff", b"\0\x1b"])
def test_an_architecture_that_is_none_of_ours_gets_no_boot_file(
    client: Machine, architectures: bytes
) -> None:
    packet = with_options(question(3, o93=architectures))(client.packet(REQUEST, 0x5555))
    answer = client.ask("boot", packet)
    assert answer.reply is None
    assert answer.codes[-1] in ("no_architecture", "unsupported_architecture", "no_boot_image")


@pytest.mark.parametrize(("says", "most"), [(0, 548), (64, 548), (576, 548), (1472, 1444), (65535, 1472)])
def test_an_answer_is_never_longer_than_the_client_or_a_frame_takes(
    client: Machine, says: int, most: int
) -> None:
    beside = option(57, says.to_bytes(2, "big")) + option(61, b"\1" * 255)
    answer = client.ask(
        "boot", with_options(question(3)[:-1], beside, b"\xff")(client.packet(REQUEST, 0x6666))
    )
    assert answer.reply is not None
    assert len(answer.reply.original) <= most


@pytest.mark.parametrize("giaddr", ["127.0.0.1", "255.255.255.255", "224.0.0.1", "0.0.0.9", "192.0.2.1"])
def test_a_relay_that_cannot_be_is_not_answered(client: Machine, giaddr: str) -> None:
    answer = client.discover(giaddr=giaddr)
    assert answer.reply is None
    assert answer.codes == ["no_destination"]


def hostile(random: Random, machine: Machine, number: int) -> bytes:
    """A packet that was once good, or never; its transaction id, where it has one, is `number`."""
    good = machine.packet(random.choice((1, 3)), number, secs=random.choice((0, 4, 0xFFFF)))
    start = bytes(good[:240])
    match random.randrange(8):
        case 0:
            return random.randbytes(random.randrange(1500))
        case 1:
            return good[: random.randrange(len(good))]
        case 2:
            return start + random.randbytes(random.randrange(600))
        case 3:
            told = b"".join(
                bytes([code, random.randrange(256)]) + random.randbytes(random.randrange(40))
                for code in random.choices(READ, k=random.randrange(12))
            )
            return good[:-1] + told
        case 4:
            told = b"".join(
                option(code, random.randbytes(random.choice((0, 1, 2, 4, 16, 17, 255))))
                for code in random.choices(READ, k=random.randrange(12))
            )
            return good[:-1] + told + b"\xff"
        case 5:
            overload = option(52, bytes([random.choice((0, 1, 2, 3, 9))]))
            return start[:44] + random.randbytes(192) + start[236:] + overload + good[240:]
        case 6:
            changed = bytearray(good)
            changed[24:28] = bytes([127, 0, 0, random.randrange(256)])
            return bytes(changed[:-1]) + option(82, random.randbytes(random.randrange(256))) + b"\xff"
        case _:
            changed = bytearray(good)
            for _ in range(random.randrange(1, 9)):
                at = random.randrange(len(changed))
                changed[at] = changed[at] if 4 <= at < 8 else random.randrange(256)
            return bytes(changed)


def corpus(point: Point, client: Machine, seed: int, count: int) -> list[bytes]:
    """Hostile packets of a known, an excluded and an unknown machine."""
    random = Random(seed)
    machines = (
        point.stage(client),
        point.stage(client, ipxe=True),
        point.stage(client, architecture=0),
        point.client(EXCLUDED, EXCLUDED_GUID),
        point.client("02:00:00:dd:dd:dd", str(uuid.UUID(int=0xDD))),
    )
    return [hostile(random, random.choice(machines), number) for number in range(count)]


def attack(point: Point, client: Machine, port: str, packets: list[bytes]) -> dict[int, bytes]:
    """Send them all; each answer by its transaction id, checked. A good client is served all the while."""
    # At an address of its own: whoever boots a machine at an address keeps others from booting there (T17).
    crowd = point.stage(client, address="127.0.9.9")
    answers = {}
    for number, packet in enumerate(packets):
        tell(crowd, port, packet)
        if number % 50 == 49:
            barrier(client)
            for payload, source in crowd.received():
                xid = int.from_bytes(payload[4:8], "big")
                reply = checked(payload, packets[xid])
                assert source == ("127.0.0.1", point.service.ports[port])
                assert reply.chaddr[:6] != bytes.fromhex(EXCLUDED.replace(":", "")), packets[xid].hex()
                assert xid not in answers
                answers[xid] = payload
    return answers


@pytest.mark.parametrize("port", ["dhcp", "boot"])
def test_thousands_of_hostile_packets_leave_the_service_answering(
    point: Point, client: Machine, seed: int, long: bool, port: str
) -> None:
    packets = corpus(point, client, seed, 100_000 if long else 5_000)
    before = point.service.counters()
    attack(point, client, port, packets[:250])
    files, memory = point.service.open_files, point.service.resident_bytes
    answers = attack(point, client, port, packets)
    assert 0 < len(answers) < len(packets) / 2
    eventually(lambda: point.service.open_files <= files, what="the end of every file")
    assert point.service.resident_bytes - memory < 16 << 20
    barriers = 2 * (len(packets) + 250) // 50
    after = point.service.counters()
    assert received(after) - received(before) == len(packets) + 250 + barriers
    assert adds_up(after)
    reasons = [name for name in moved(before, after) if name.startswith(("dhcp.dropped", "dhcp.malformed"))]
    assert len(reasons) > 8, reasons


def test_the_log_level_changes_nothing_on_the_wire(tmp_path: Path, seed: int) -> None:
    answers = []
    for level in ("info", "debug"):
        settings = {**CROWDED, "log": {"format": "json", "level": level}}
        with besieged(tmp_path / level, settings) as point:
            client = point.machine("available")
            said = attack(point, client, "boot", corpus(point, client, seed, 500))
            # A relay hides its client's address: such a boot goes by a name of its own.
            answers.append({xid: re.sub(rb"[0-9a-f]{32}", b"", payload) for xid, payload in said.items()})
    assert answers[0] == answers[1]
