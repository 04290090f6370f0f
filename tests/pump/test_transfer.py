"""Transfers down to the datagram: what each side may expect of the other (RFC 1350, 2347-2349, 7440)."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from ..loopback.machine import pending
from ..loopback.peer import ACK, DATA, ERROR, OACK, Option, Packet, Peer, request
from ..loopback.point import Point
from ..loopback.service import SOON, Event, eventually
from .conftest import BLOCK

LARGE = "sized/3000007.bin"
# What Ethernet carries whole: loopback carries more, and what is asked for is granted up to that.
LARGEST = 65464


def ended(point: Point, peer: Peer, after: int = 0) -> Event:
    """The event of the end of a peer's transfer."""
    source = "{}:{}".format(*peer.socket.getsockname())
    return point.service.event("transfer", lambda event: event["peer"] == source, after=after)


def silent(peer: Peer, seconds: float = 0.3) -> bool:
    """Whether nothing comes."""
    try:
        peer.receive(seconds)
    except TimeoutError:
        return True
    return False


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The service stands still, and then finds all that was told to it at once."""
    os.kill(pid, signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{pid}/stat")
        eventually(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", what="the service's stop")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("window", [1, 2, 3, 16, 63, 64])
@pytest.mark.parametrize("block", [512, BLOCK, 8192])
def test_a_file_arrives_in_windows_of_any_size(
    point: Point, peer: Peer, files: dict[str, bytes], window: int, block: int
) -> None:
    after = len(point.service.events)
    options = [("blksize", block), ("windowsize", window)]
    assert peer.fetch(point.name(LARGE), options) == files[LARGE]
    event = ended(point, peer, after)
    assert event["outcome"] == "complete"
    assert (event["block_size"], event["window_size"]) == (block, window)
    assert (event["bytes"], event["size"], event["resent"]) == (3_000_007, 3_000_007, 0)
    assert event["name"] == point.name(LARGE)


def test_without_options_it_is_rfc_1350(point: Point, peer: Peer, files: dict[str, bytes]) -> None:
    for name in ("sized/0.bin", "sized/512.bin", "sized/513.bin"):
        assert peer.fetch(point.name(name)) == files[name]


def test_block_numbers_go_on_from_zero_after_65535(point: Point, peer: Peer, files: dict[str, bytes]) -> None:
    """R-34."""
    content = peer.fetch(point.name("wraps.bin"), [("blksize", 8), ("windowsize", 64)])
    assert len(content) > 2 * 65536 * 8
    assert content == files["wraps.bin"]


def test_a_client_that_only_wants_the_size_frees_its_place_at_once(point: Point, peer: Peer) -> None:
    """R-42."""
    files = point.service.open_files
    for code in (8, 0):
        after = len(point.service.events)
        oack = peer.ask(point.name(LARGE), [("tsize", 0), ("blksize", 1468), ("windowsize", 4)])
        assert oack.options == [("tsize", "3000007"), ("blksize", "1468"), ("windowsize", "4")]
        peer.send(ERROR, code, b"User aborted the transfer\0")
        event = ended(point, peer, after)
        assert (event["outcome"], event["level"]) == ("size_probe", "info")
        eventually(
            lambda: point.service.open_files <= files + 1, what="the end of all but the published file"
        )
        assert silent(peer), "an ERROR is never answered"
    assert peer.fetch(point.name("sized/1.bin"), [("blksize", 1468)])


def test_a_repeated_request_is_the_same_transfer(point: Point, peer: Peer) -> None:
    """R-41: one transfer, one port, one descriptor."""
    asked = request(point.name(LARGE), [("blksize", 1024)])
    files = point.service.open_files
    ports = set()
    for _ in range(100):
        peer.tell(asked)
        packet = peer.receive()
        assert packet.opcode == OACK
        ports.add(packet.source)
    assert len(ports) == 1
    assert point.service.open_files <= files + 2


def test_another_request_from_the_same_port_takes_the_place_of_the_first(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    after = len(point.service.events)
    first = peer.ask(point.name(LARGE), [("blksize", 1024)])
    second = peer.ask(point.name("sized/513.bin"))
    assert second.source != first.source
    assert peer.rest(second, 512, 1) == files["sized/513.bin"]
    assert ended(point, peer, after)["outcome"] == "displaced"
    peer.server = first.source
    peer.ack(0)
    assert silent(peer), "the first is over"


def test_a_request_after_its_own_abortion_is_a_new_transfer_also_where_both_are_read_at_once(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    """R-42."""
    name, options = point.name("sized/1427.bin"), [("tsize", 0), ("blksize", 1468)]
    first = peer.ask(name, options)
    with stopped(point.service.pid):
        # The well-known port has something to read before the transfer's.
        peer.socket.sendto(b"", peer.door)
        peer.send(ERROR, 0, b"TFTP Aborted\0")
        peer.tell(request(name, options))
    again = peer.receive()
    assert (again.opcode, again.source != first.source) == (OACK, True)
    peer.ack(0)
    assert peer.rest(peer.receive(), 1468, 1) == files["sized/1427.bin"]


def test_what_is_said_of_a_late_block_is_no_other_gap_also_where_both_are_read_at_once(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    """F-53: block 10 seemed lost, came late, and 11 was gone by then: one rewind, and the window slides."""
    first = peer.ask(point.name(LARGE), [("blksize", BLOCK), ("windowsize", 8)])
    assert first.opcode == OACK
    for block in (0, 8):
        peer.ack(block)
        assert [peer.receive().number for _ in range(8)] == list(range(block + 1, block + 9))
    with stopped(point.service.pid):
        peer.ack(9)
        peer.ack(10)
    assert [peer.receive().number for _ in range(9)] == list(range(10, 19))
    peer.ack(18)
    window = b"".join(peer.receive().rest for _ in range(8))
    assert window == files[LARGE][18 * BLOCK : 26 * BLOCK]
    peer.send(ERROR, 0)


def test_a_machine_that_begins_anew_at_the_same_port_is_told_its_options_again(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    """W-98: it was reset before its first block, and knows nothing of what it agreed to."""
    options: list[Option] = [("blksize", BLOCK), ("windowsize", 4)]
    first = peer.ask(point.name(LARGE), options)
    peer.ack(0)
    assert peer.receive().opcode == DATA

    def answer() -> Packet | None:
        peer.tell(request(point.name(LARGE), options))
        with suppress(TimeoutError):
            while (packet := peer.receive(0.2)).source == first.source:
                assert packet.opcode == DATA
            return packet
        return None

    packet = eventually(answer, what="another transfer")
    assert (packet.opcode, packet.options) == (OACK, first.options)
    peer.ack(0)
    assert peer.receive().rest == files[LARGE][:BLOCK]
    peer.send(ERROR, 0)


def test_a_copy_of_the_request_that_comes_late_does_not_end_the_transfer(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    """R-41: a network or a queue may bring it when blocks already flow."""
    options: list[Option] = [("blksize", BLOCK), ("windowsize", 4)]
    asked = request(point.name(LARGE), options)
    first = peer.ask(point.name(LARGE), options)
    peer.ack(0)
    window = [peer.receive() for _ in range(4)]
    peer.ack(4)
    block = peer.receive()
    peer.tell(asked)
    with Peer(point.service.ports["tftp"]) as other:
        assert other.ask("nothing").opcode == ERROR, "the copy was dealt with"
    assert b"".join(packet.rest for packet in window) + peer.rest(block, BLOCK, 4, 5) == files[LARGE]
    assert peer.server == first.source
    assert ended(point, peer)["outcome"] == "complete"


def test_the_same_request_again_after_the_end_is_a_new_transfer(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    for _ in range(3):
        assert peer.fetch(point.name("sized/513.bin")) == files["sized/513.bin"]


def test_a_stranger_cannot_end_or_move_a_transfer(point: Point, peer: Peer, files: dict[str, bytes]) -> None:
    """R-31."""
    first = peer.ask(point.name(LARGE), [("blksize", BLOCK), ("windowsize", 4), ("timeout", 5)])
    peer.ack(0)
    block = peer.receive()
    for address in ("127.0.0.2", "127.0.0.3"):
        with Peer(point.service.ports["tftp"], address) as stranger:
            stranger.server = first.source
            for packet in ((ERROR, 0), (ACK, 4), (ACK, 2), (DATA, 1), (OACK, 0)):
                stranger.send(*packet)
            assert silent(stranger, 0.05), "nor is it told anything"
    assert peer.rest(block, BLOCK, 4) == files[LARGE]


def arrived(peer: Peer) -> list[bytes]:
    """Every datagram that came."""
    return [datagram for datagram, _ in pending(peer.socket)]


@pytest.mark.parametrize("repeats", [0, 30])
def test_who_never_acknowledges_gets_two_blocks_at_most(point: Point, peer: Peer, repeats: int) -> None:
    """R-20."""
    asked = request(point.name(LARGE))
    for _ in range(1 + repeats):
        peer.tell(asked)
    assert ended(point, peer)["outcome"] == "timed_out"
    assert len(arrived(peer)) <= 2


def test_who_never_acknowledges_the_options_gets_three_of_them_at_most(point: Point, peer: Peer) -> None:
    """R-21."""
    asked = request(point.name(LARGE), [("blksize", 65464), ("windowsize", 65535), ("tsize", 0)])
    peer.tell(asked)
    assert ended(point, peer)["outcome"] == "timed_out"
    told = arrived(peer)
    assert len(told) == 3
    assert sum(map(len, told)) <= 3 * len(asked)
    assert all(datagram.startswith(b"\0\6") for datagram in told)


def tree(folder: Path) -> dict[Path, tuple[int, ...]]:
    """Inode, size and times of everything below a folder."""
    found = {path: path.stat() for path in folder.rglob("*")}
    return {path: (at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for path, at in found.items()}


def test_a_write_is_refused_and_touches_nothing(point: Point, peer: Peer) -> None:
    """R-30."""
    before = tree(point.home.folder / "content")
    for name in (point.name(LARGE), "new.bin", "../../new.bin", "/tmp/new.bin"):
        peer.tell(request(name, [("tsize", 10)], opcode=2))
        refused = peer.receive()
        assert (refused.opcode, refused.number) == (ERROR, 2)
        peer.send(DATA, 1, b"x" * 512)
        assert silent(peer, 0.02)
    assert tree(point.home.folder / "content") == before


@pytest.mark.parametrize(
    ("mode", "opcode"), [("octet", DATA), ("OcTeT", DATA), ("mail", ERROR), ("x", ERROR), ("", ERROR)]
)
def test_only_modes_that_mean_bytes_are_served(point: Point, peer: Peer, mode: str, opcode: int) -> None:
    """R-29."""
    packet = peer.ask(point.name("sized/1.bin"), mode=mode)
    assert packet.opcode == opcode
    assert packet.number == (1 if opcode == DATA else 4)


def spelled(random: Random, word: str) -> str:
    return "".join(random.choice((letter.upper(), letter)) for letter in word)


def test_what_is_granted_was_asked_for_in_that_spelling_and_order(point: Point, seed: int) -> None:
    """R-24, R-25."""
    random = Random(seed)
    values = {
        "blksize": (0, 7, 8, 512, 1456, 8192, 65464, 65465, -1, "+5", " 512", "5x", "9" * 20, ""),
        "windowsize": (0, 1, 4, 64, 65, 65535, 65536, "x"),
        "timeout": (0, 1, 255, 256, "1s"),
        "tsize": (0, 2**63, "x"),
        "utimeout": (100,),
        "multicast": ("",),
        "msftwindow": (31416, 31416, 27182, "x"),
    }
    for _ in range(60):
        names = random.sample(sorted(values), random.randrange(1, len(values) + 1))
        asked: list[Option] = [(spelled(random, name), random.choice(values[name])) for name in names]
        with Peer(point.service.ports["tftp"]) as peer:
            packet = peer.ask(point.name(LARGE), asked)
            granted = packet.options if packet.opcode == OACK else []
            peer.send(ERROR, 0)
        said = {name: str(value) for name, value in asked}
        assert [name for name, _ in granted] == [name for name, _ in asked if name in dict(granted)], asked
        for name, value in granted:
            match name.lower():
                case "blksize":
                    assert 8 <= int(value) <= int(said[name]) <= 65464
                case "windowsize":
                    assert 1 <= int(value) <= min(int(said[name]), 64)
                case "timeout":
                    assert value == said[name]
                    assert 1 <= int(value) <= 255
                case "tsize":
                    assert value == "3000007"
                case "msftwindow":
                    assert (said[name], value) == ("31416", "27182")
                    assert "windowsize" in {name.lower() for name, _ in granted}
                case _:
                    pytest.fail(f"{name} was granted")


def test_at_most_a_mebibyte_is_in_flight(point: Point, peer: Peer) -> None:
    """R-24."""
    memory = point.service.resident_bytes
    oack = peer.ask(point.name(LARGE), [("windowsize", 65535), ("blksize", LARGEST)])
    granted = dict(oack.options)
    assert int(granted["windowsize"]) * int(granted["blksize"]) <= 1 << 20
    assert point.service.resident_bytes - memory < 4 << 20


def test_an_option_given_twice_counts_once_and_a_bomb_of_them_is_harmless(point: Point, peer: Peer) -> None:
    """R-25."""
    bomb: list[Option] = [("blksize", 600), *[("BLKSIZE", 700)] * 20, ("windowsize", 4)]
    assert peer.ask(point.name(LARGE), bomb).options == [("blksize", "600")]
    with Peer(point.service.ports["tftp"]) as other:
        other.tell(request(point.name(LARGE), [("x", "y")] * 500))
        assert silent(other, 0.1), "longer than any request"


def test_a_lost_block_is_sent_again_and_a_duplicate_acknowledgment_is_not_answered(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    """R-33."""
    first = peer.ask(point.name("sized/513.bin"))
    assert (first.opcode, first.number) == (DATA, 1)
    again = peer.receive()
    assert again == first, "sent again, for no acknowledgment came"
    peer.ack(1)
    last = peer.receive()
    assert (last.number, last.rest) == (2, files["sized/513.bin"][512:])
    for block in (1, 1, 1, 0, 3, 60000):
        peer.ack(block)
    after = peer.receive()
    assert after == last, "the timer's, and only the timer's"
    peer.ack(2)
    assert ended(point, peer)["outcome"] == "complete"


def test_a_gap_in_a_window_is_filled(point: Point, peer: Peer, files: dict[str, bytes]) -> None:
    peer.ask(point.name(LARGE), [("blksize", BLOCK), ("windowsize", 8)])
    peer.ack(0)
    window = [peer.receive() for _ in range(8)]
    peer.ack(3)
    resumed = peer.receive()
    assert resumed.number == 4
    assert resumed.rest == window[3].rest
    rest = [resumed, *(peer.receive() for _ in range(7))]
    assert [packet.number for packet in rest] == [4, 5, 6, 7, 8, 9, 10, 11]
    assert b"".join(packet.rest for packet in window[:3] + rest) == files[LARGE][: 11 * BLOCK]


def test_a_client_that_gives_up_ends_it(point: Point, peer: Peer) -> None:
    peer.ask(point.name(LARGE))
    peer.ack(1)
    peer.receive()
    peer.send(ERROR, 3, b"disk full\0")
    event = ended(point, peer)
    assert (event["outcome"], event["bytes"]) == ("aborted", 512)
    assert silent(peer, 0.2)


def test_a_client_whose_port_is_closed_is_given_up_at_once(point: Point) -> None:
    """R-22."""
    with Peer(point.service.ports["tftp"]) as peer:
        peer.ask(point.name(LARGE), [("windowsize", 4)])
        peer.ack(0)
        source = "{}:{}".format(*peer.socket.getsockname())
    event = point.service.event("transfer", lambda event: event["peer"] == source)
    assert event["outcome"] == "refused"
    assert event["seconds"] < 1


def test_a_transfer_under_way_keeps_its_bytes_and_the_next_one_gets_the_new(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    """R-38."""
    before, after = files["changing.bin"], files["sized/3000007.bin"][:70_000]
    first = peer.ask(point.name("changing.bin"))
    peer.ack(1)
    (point.home.folder.parent / "image" / "changing.bin").write_bytes(after)
    point.home.run("content", "distribute", point.image)

    def new_one_is_served() -> bool:
        with Peer(point.service.ports["tftp"]) as other:
            return other.fetch(point.name("changing.bin"), [("blksize", BLOCK)]) == after

    eventually(new_one_is_served, SOON, "the new file")
    packet = peer.receive()
    peer.ack(2)
    while packet.number == 2:
        packet = peer.receive()
    assert first.rest + before[512:1024] + peer.rest(packet, 512, 1, block=3) == before


def blob(point: Point, content: bytes) -> Path:
    """Where the library keeps this file."""
    digest = hashlib.sha256(content).hexdigest()
    return point.home.folder / "content" / "blobs" / digest[:2] / digest


def test_a_file_that_is_cut_under_a_transfer_ends_it_and_no_wrong_byte_is_sent(
    point: Point, peer: Peer, files: dict[str, bytes]
) -> None:
    """R-37."""
    content = files["wraps.bin"]
    file = blob(point, content)
    oack = peer.ask(point.name("wraps.bin"), [("blksize", BLOCK), ("windowsize", 4)])
    assert oack.opcode == OACK
    peer.ack(0)
    packets = [peer.receive() for _ in range(4)]
    file.chmod(0o644)
    with file.open("r+b") as writer:
        writer.truncate(6 * BLOCK)
    peer.ack(4)
    refused = peer.receive()
    assert (refused.opcode, refused.number) == (ERROR, 0)
    assert b"".join(packet.rest for packet in packets) == content[: 4 * BLOCK]
    event = ended(point, peer)
    assert (event["outcome"], event["level"]) == ("failed", "warning")
    file.write_bytes(content)
    with Peer(point.service.ports["tftp"]) as other:
        assert other.fetch(point.name("wraps.bin"), [("blksize", BLOCK), ("windowsize", 64)]) == content


@pytest.mark.parametrize("name", ["sized/511.bin", "sized/512.bin", "sized/513.bin", "sized/1427.bin"])
def test_what_is_not_the_published_file_is_never_served(
    tmp_path: Path, point: Point, peer: Peer, files: dict[str, bytes], name: str
) -> None:
    """R-27, R-28, R-39."""
    file, content = blob(point, files[name]), files[name]
    canary = tmp_path / "canary"
    canary.write_bytes(b"!" * len(content))
    file.unlink()
    match name:
        case "sized/511.bin":
            file.symlink_to(canary)
        case "sized/512.bin":
            os.mkfifo(file)
        case "sized/513.bin":
            file.mkdir()
        case _:
            file.write_bytes(content + b"!")
    refused = peer.ask(point.name(name))
    assert (refused.opcode, refused.number) == (ERROR, 0)
    assert b"not as it was published" in refused.rest
    if file.is_dir():
        file.rmdir()
    else:
        file.unlink()
    assert peer.ask(point.name(name)).opcode == ERROR, "and one that is gone"
    file.write_bytes(content)
    assert peer.fetch(point.name(name)) == content
