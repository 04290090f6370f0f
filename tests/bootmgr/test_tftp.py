"""The transfers of a Windows boot manager, against the service as it runs."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..loopback.point import FILES, Point
from . import tftp
from .tftp import Client, Granted, Luck, RefusedError, Wish

ROLLS_OVER = 512 * 65_600 + 17
SIZES = {
    "empty": 0,
    "byte": 1,
    "block": 1456,
    "store": 16384,
    "blocks": 1456 * 64,
    "large": 2_000_003,
    "long": ROLLS_OVER,
}


@pytest.fixture(scope="module")
def contents(seed: int) -> dict[str, bytes]:
    numbers = random.Random(seed)
    return {f"{name}.bin": numbers.randbytes(size) for name, size in SIZES.items()}


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> Iterator[Point]:
    with Point(tmp_path_factory.mktemp("tftp"), files={**FILES, **contents}) as point_:
        yield point_


@pytest.fixture
def client(point: Point) -> Client:
    return Client(("127.0.0.1", point.service.ports["tftp"]), "127.0.2.2")


def test_the_worked_example_of_a_variable_window_goes_block_by_block_as_written(
    point: Point, client: Client, contents: dict[str, bytes]
) -> None:
    with client.open(point.name("store.bin"), Wish(1456, 4)) as transfer:
        assert transfer.granted == Granted(1456, 4, True, 16384)
        wishes = iter([8, 4, 4])
        done = transfer.read(Luck(once=[7]), grow=lambda *_: next(wishes))
    assert done.content == contents["store.bin"]
    assert done.acknowledged == [(0, 4), (4, 8), (6, 4), (10, 4)]
    # 8 to 12 were on their way when 7 was missed; then a new window of four from 7.
    assert done.arrived == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 7, 8, 9, 10, 11, 12]


def test_a_window_that_grows_is_filled_up_to_the_largest(
    point: Point, client: Client, contents: dict[str, bytes]
) -> None:
    done = client.fetch(point.name("large.bin"), Wish(1456, 4))
    assert done.content == contents["large.bin"]
    assert [wish for _, wish in done.acknowledged[:6]] == [4, 8, 16, 32, 64, 64]
    assert done.arrived == list(range(1, 2_000_003 // 1456 + 2)), "nothing was sent twice"


@pytest.mark.parametrize("wish", [0, None])
def test_an_acknowledgement_that_wishes_nothing_keeps_the_window(
    point: Point, client: Client, contents: dict[str, bytes], wish: int | None
) -> None:
    with client.open(point.name("blocks.bin"), Wish(1456, 8)) as transfer:
        done = transfer.read(grow=lambda *_: wish)
    assert done.content == contents["blocks.bin"]
    assert [number for number, _ in done.acknowledged] == list(range(0, 65, 8))


def test_a_window_may_grow_as_far_as_its_byte_goes_and_never_stalls(
    point: Point, client: Client, contents: dict[str, bytes]
) -> None:
    """Nothing could tell the client of a smaller bound: it waits for as many blocks as it has asked for."""
    with client.open(point.name("large.bin"), Wish(1456, 4)) as transfer:
        done = transfer.read(grow=lambda window, _: min(window * 2, 255))
    assert done.content == contents["large.bin"]
    assert done.largest_window == 255
    assert done.arrived == list(range(1, 2_000_003 // 1456 + 2)), "nothing was sent twice"


@pytest.mark.parametrize("name", [f"{name}.bin" for name in SIZES if name != "long"])
@pytest.mark.parametrize(
    "wish", [Wish(), Wish(512, 1), Wish(1456, 16, variable=False), tftp.EDK2, tftp.ROM, tftp.IPXE, tftp.PLAIN]
)
def test_every_client_reads_every_byte(
    point: Point, client: Client, contents: dict[str, bytes], name: str, wish: Wish
) -> None:
    if wish.block is None and name == "large.bin":
        wish = Wish(None, 64, variable=False)
    assert client.fetch(point.name(name), wish).content == contents[name]


@pytest.mark.parametrize("lost", [1, 2, 4, 5, 7, 12, 13, 60, 64, 65])
@pytest.mark.parametrize("wish", [Wish(1456, 4), Wish(1456, 4, variable=False), tftp.ROM])
def test_a_lost_block_is_made_good(
    point: Point, client: Client, contents: dict[str, bytes], wish: Wish, lost: int
) -> None:
    luck = Luck(once=[lost])
    assert client.fetch(point.name("blocks.bin"), wish, luck).content == contents["blocks.bin"]
    assert luck.lost == 1


def test_a_path_that_loses_one_block_in_a_hundred_delivers_all(
    point: Point, client: Client, contents: dict[str, bytes], seed: int
) -> None:
    luck = Luck(rate=0.01, seed=seed)
    done = client.fetch(point.name("large.bin"), Wish(1456, 16), luck)
    assert done.content == contents["large.bin"]
    assert luck.lost
    assert len(done.arrived) < 2 * len(set(done.arrived)), "far from everything is sent twice"


def test_block_numbers_go_on_from_zero_when_they_end(
    point: Point, client: Client, contents: dict[str, bytes]
) -> None:
    done = client.fetch(point.name("long.bin"), Wish(512, 64), Luck(once=[65_535, 65_536]))
    assert done.content == contents["long.bin"]


@pytest.mark.parametrize("why", [tftp.ABORTED, tftp.USER_ABORTED])
def test_a_size_probe_tells_the_size_and_leaves_nothing_behind(
    point: Point, client: Client, contents: dict[str, bytes], why: tuple[int, bytes]
) -> None:
    after = len(point.service.events)
    assert client.probe(point.name("large.bin"), Wish(), why) == len(contents["large.bin"])
    assert client.fetch(point.name("store.bin"), Wish()).content == contents["store.bin"]
    assert not [event for event in point.service.events[after:] if event.get("level") == "error"]
    assert client.probe(point.name("nothing.bin"), Wish(), why) is None


def test_six_transfers_of_one_machine_run_side_by_side(
    point: Point, client: Client, contents: dict[str, bytes], seed: int
) -> None:
    def fetch(number: int) -> bool:
        name = ("large.bin", "blocks.bin")[number % 2]
        luck = Luck(rate=0.002, seed=seed + number)
        return client.fetch(point.name(name), Wish(1456, 8), luck).content == contents[name]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(fetch, range(6)))


@pytest.mark.parametrize("spelled", [str.lower, str.upper, str.title, str.swapcase])
def test_options_come_back_as_they_were_spelled(point: Point, client: Client, spelled: object) -> None:
    with client.open(point.name("store.bin"), Wish(spelled=spelled)) as transfer:  # type: ignore[arg-type]
        assert transfer.granted == Granted(1456, 4, True, 16384)
        transfer.abort()


@pytest.mark.parametrize(
    ("options", "granted"),
    [
        ([("blksize", "1456"), ("msftwindow", "31416")], Granted(1456)),
        ([("windowsize", "8"), ("msftwindow", "31415")], Granted(window=8)),
        ([("windowsize", "8"), ("msftwindow", "27182")], Granted(window=8)),
        ([("windowsize", "0"), ("msftwindow", "31416"), ("tsize", "0")], Granted(size=16384)),
        ([("msftwindow", "31416"), ("windowsize", "8")], Granted(window=8, variable=True)),
        ([("rollover", "0"), ("windowsize", "200"), ("foo", "bar")], Granted(window=64)),
    ],
)
def test_only_what_is_asked_for_is_granted(
    point: Point, client: Client, options: list[tuple[str, str]], granted: Granted
) -> None:
    class Asking(Wish):
        def options(self) -> list[tuple[str, str]]:
            return options

    with client.open(point.name("store.bin"), Asking()) as transfer:
        assert transfer.granted == granted
        transfer.abort()


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: "\\" + name.replace("/", "\\"),
        lambda name: "/" + name,
        lambda name: "//" + name.replace("/", "//"),
        lambda name: name.replace("/", "\\", 1),
        str.upper,
        str.lower,
        str.swapcase,
        lambda name: name + "\xff",
        lambda name: name + "\xff\xff\r\n ",
    ],
)
def test_a_name_is_found_with_either_slash_any_case_and_what_roms_append(
    point: Point, client: Client, contents: dict[str, bytes], spell: object
) -> None:
    name = spell(point.name("store.bin"))  # type: ignore[operator]
    assert client.fetch(name.encode("latin-1"), Wish()).content == contents["store.bin"]


@pytest.mark.parametrize(
    "name", ["\\Boot\\BCD", "\\hiberfil.sys", "..\\..\\etc\\passwd", "\\EFI\\Microsoft\\Boot\\SiPolicy.p7b"]
)
def test_a_name_that_is_not_there_is_an_error_at_once(client: Client, name: str) -> None:
    with pytest.raises(RefusedError) as refused:
        client.fetch(name, Wish())
    assert refused.value.code in (1, 2)


def test_a_repeated_request_is_answered_again_by_the_same_transfer(point: Point, client: Client) -> None:
    """W-98: the OACK was lost."""
    with client.open(point.name("store.bin"), Wish()) as transfer:
        words = b"".join(f"{name}\0{value}\0".encode() for name, value in Wish().options())
        request = struct.pack("!H", tftp.RRQ) + point.name("store.bin").encode() + b"\0octet\0" + words
        server = transfer._server
        transfer._socket.sendto(request, client.door)
        assert transfer._receive(tftp.PATIENCE)
        assert transfer._server == server
        assert transfer.read().content
