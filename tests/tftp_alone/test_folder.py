"""A folder served without a site, and what happens when somebody works in it meanwhile."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote

import pxefast
import pytest
from pxefast import _native

from ..loopback.home import write_files
from ..loopback.peer import DATA, ERROR, OACK, Packet, Peer
from ..loopback.service import eventually
from ..pump.test_clients import COMMANDS, present

BLOCK = 1428
NAMES = ["a file.bin", "übung/größe 1.bin", "日本/起動.bin", "#1+1=2%20&?.bin", "it's.bin"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "served"
    path.mkdir()
    return path


@pytest.fixture
def server(folder: Path) -> Iterator[pxefast.TftpServer]:
    with pxefast.TftpServer(folder, host="127.0.0.1", port=0) as server_:
        yield server_


def fetch(server: pxefast.TftpServer, name: str | bytes) -> bytes:
    with Peer(server.port) as peer:
        return peer.fetch(name, [("blksize", BLOCK), ("windowsize", 16)])


def refusal(server: pxefast.TftpServer, name: str | bytes) -> int:
    """The code of the error that a request meets."""
    with Peer(server.port) as peer:
        answer = peer.ask(name)
        assert answer.opcode == ERROR, answer
        return answer.number


def soon_serves(server: pxefast.TftpServer, *names: str) -> None:
    eventually(lambda: server.names == names, what=f"{names} instead of {server.names}")


def under_way(peer: Peer, name: str) -> list[Packet]:
    """The first window of four blocks."""
    assert peer.ask(name, [("blksize", BLOCK), ("windowsize", 4)]).opcode == OACK
    peer.ack(0)
    return [peer.receive() for _ in range(4)]


def outcome(server: pxefast.TftpServer) -> str:
    """How the next transfer ended."""
    return eventually(server.transfers)[0].outcome


# what is served -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", COMMANDS)
def test_every_client_gets_every_size_of_file_from_every_folder(
    folder: Path, tmp_path: Path, seed: int, client: str
) -> None:
    present(client)
    random = Random(seed)
    files = {
        f"{place}{size}.bin": random.randbytes(size)
        for place in ("", "sub/", "sub/of/sub/")
        for size in (0, 1, 511, 512, BLOCK, 300_007)
    }
    write_files(folder, files)
    with pxefast.TftpServer(folder, host="127.0.0.1", port=0) as server:
        for name, content in files.items():
            file = tmp_path / "fetched"
            command = COMMANDS[client]("127.0.0.1", str(server.port), name, str(file))
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, f"{name}: {done.stderr}{done.stdout}"
            # Some clients make no file of no bytes.
            assert (file.read_bytes() if file.exists() else b"") == content, name
            file.unlink(missing_ok=True)


@pytest.mark.parametrize("client", ["curl", "atftp", "busybox"])
def test_names_with_blanks_and_letters_of_every_language_arrive(
    folder: Path, tmp_path: Path, client: str
) -> None:
    present(client)
    write_files(folder, {name: name.encode() for name in NAMES})
    with pxefast.TftpServer(folder, host="127.0.0.1", port=0) as server:
        assert set(server.names) == set(NAMES) and not server.problems
        for number, name in enumerate(NAMES):
            file = tmp_path / str(number)
            asked = quote(name) if client == "curl" else name
            command = COMMANDS[client]("127.0.0.1", str(server.port), asked, str(file))
            subprocess.run(command, capture_output=True, timeout=60, check=True)
            assert file.read_bytes() == name.encode()


def test_hundreds_of_files_arrive_each_as_itself(folder: Path, seed: int) -> None:
    random = Random(seed)
    files = {f"{n % 7}/{n % 3}/{n}.bin": random.randbytes(random.randrange(20_000)) for n in range(400)}
    write_files(folder, files)
    with pxefast.TftpServer(folder, host="127.0.0.1", port=0) as server:
        for name, content in files.items():
            assert hashlib.sha256(fetch(server, name)).digest() == hashlib.sha256(content).digest(), name
        ended: list[_native.Transfer] = []
        # The last acknowledgment may still be on its way.
        eventually(lambda: ended.extend(server.transfers()) or len(ended) == len(files))
        assert {transfer.name for transfer in ended} == set(files)
        assert {transfer.outcome for transfer in ended} == {"complete"}
        stats = server.stats()
        assert stats["tftp.started"] == stats["tftp.ended.complete"] == len(files)


def test_a_folder_of_very_many_files_is_served_and_followed(folder: Path, long: bool) -> None:
    count = 100_000 if long else 5_000
    for n in range(count):
        (folder / f"{n:06}").touch()
    with pxefast.TftpServer(folder, host="127.0.0.1", port=0) as server:
        assert len(server.names) == count
        assert fetch(server, "000000") == fetch(server, f"{count - 1:06}") == b""
        (folder / "one more").write_bytes(b"!")
        eventually(lambda: "one more" in server.names)
        assert fetch(server, "one more") == b"!"


def test_clients_may_spell_a_name_in_any_case_and_with_either_slash(
    folder: Path, server: pxefast.TftpServer
) -> None:
    write_files(folder, {"EFI/Boot/BootX64.efi": b"program"})
    soon_serves(server, "EFI/Boot/BootX64.efi")
    for name in ("efi/boot/bootx64.EFI", "\\EFI\\Boot\\BootX64.efi", "/EFI//Boot/BootX64.efi"):
        assert fetch(server, name) == b"program"


def test_names_that_look_like_a_boot_images_are_names_and_nothing_more(
    folder: Path, server: pxefast.TftpServer
) -> None:
    session = "0123456789abcdef0123456789abcdef"
    write_files(folder, {"SMSImages/PS100001/boot.efi": b"program", "boot.efi": b"another"})
    soon_serves(server, "SMSImages/PS100001/boot.efi", "boot.efi")
    assert fetch(server, "SMSImages/PS100001/boot.efi") == b"program"
    assert fetch(server, "boot.efi") == b"another"
    assert refusal(server, f"SMSImages/PS100001/{session}/boot.efi") == 1


# what is refused ----------------------------------------------------------------------------------------


def test_nothing_can_be_written_and_nothing_outside_can_be_read(
    folder: Path, server: pxefast.TftpServer
) -> None:
    """R-26, R-30."""
    (folder.parent / "secret").write_bytes(b"secret")
    assert [refusal(server, name) for name in ("../secret", "x/../../secret", str(folder.parent / "secret"))] == [
        2, 2, 1,
    ]  # fmt: skip
    with Peer(server.port) as peer:
        peer.tell(b"\0\2new\0octet\0")
        assert peer.receive().opcode == ERROR
    assert list(folder.iterdir()) == []


def test_links_inside_are_followed_and_those_that_lead_out_are_refused_and_told(folder: Path) -> None:
    """R-27."""
    write_files(folder, {"real/file": b"file"})
    (folder.parent / "secret").write_bytes(b"secret")
    (folder / "link").symlink_to("real/file")
    (folder / "again").symlink_to(folder / "real")
    (folder / "out").symlink_to("../secret")
    (folder / "up").symlink_to("..")
    (folder / "nowhere").symlink_to("missing")
    (folder / "itself").symlink_to("itself")
    (folder / "real" / "loop").symlink_to("..")
    with pxefast.TftpServer(folder, host="127.0.0.1", port=0) as server:
        assert server.names == ("again/file", "link", "real/file")
        assert all(fetch(server, name) == b"file" for name in server.names)
        for name in ("out", "up/secret", "nowhere", "itself", "real/loop/link"):
            assert refusal(server, name) == 1
        for name, why in {
            "out": "leads out",
            "up": "leads out",
            "nowhere": "leads nowhere",
            "itself": "leads nowhere",
            "real/loop": "leads back",
        }.items():
            (problem,) = [problem for problem in server.problems if problem.startswith(f"{name!r}:")]
            assert why in problem
        (folder.parent / "secret").rename(folder / "real" / "secret")
        (folder / "nowhere").unlink()
        (folder / "nowhere").symlink_to("real/secret")
        eventually(lambda: "nowhere" in server.names)
        assert fetch(server, "nowhere") == b"secret"


def test_a_file_that_becomes_a_link_out_is_not_followed_even_before_anybody_looked(
    folder: Path, server: pxefast.TftpServer
) -> None:
    """R-27."""
    write_files(folder, {"file": b"file", "inner/file": b"file"})
    soon_serves(server, "file", "inner/file")
    write_files(folder.parent / "outside", {"file": b"secret"})
    (folder / "file").unlink()
    (folder / "file").symlink_to("../outside/file")
    (folder / "inner").rename(folder.parent / "moved")
    (folder / "inner").symlink_to("../outside")
    assert refusal(server, "file") in (0, 1) and refusal(server, "inner/file") in (0, 1)
    soon_serves(server)
    eventually(lambda: len(server.problems) == 2)


def test_of_two_names_that_differ_in_case_the_first_is_served_and_the_other_told(folder: Path) -> None:
    write_files(folder, {"Menu": b"first", "menu": b"second", "SUB/x": b"first", "sub/x": b"second"})
    with pxefast.TftpServer(folder, host="127.0.0.1", port=0) as server:
        assert server.names == ("Menu", "SUB/x")
        assert fetch(server, "menu") == fetch(server, "sub/x") == b"first"
        assert sorted(server.problems) == [
            "'menu': clients cannot tell it from 'Menu', which is served; rename one of them",
            "'sub/x': clients cannot tell it from 'SUB/x', which is served; rename one of them",
        ]
        (folder / "Menu").unlink()
        eventually(lambda: "menu" in server.names)
        assert fetch(server, "MENU") == b"second"


def test_what_no_client_can_ask_for_is_told_and_does_not_keep_the_rest_from_being_served(
    folder: Path,
) -> None:
    """R-28."""
    odd = ["a:b", "blank ", "back\\slash", "line\nfeed", "c:/inner/file"]
    write_files(folder, dict.fromkeys([*odd, "good"], b""))
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe")).touch()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(os.fsdecode(b"\xff\xfe"))
    with pxefast.TftpServer(folder, host="127.0.0.1", port=0) as server:
        assert server.names == ("good",)
        assert len(server.problems) == len(odd) + 3
        assert all("rename" in problem or "remove it" in problem for problem in server.problems)
        assert sum("'c:'" in problem for problem in server.problems) == 1, "a folder is told once"


# what changes -------------------------------------------------------------------------------------------


def test_what_is_added_replaced_or_removed_counts_soon(folder: Path, server: pxefast.TftpServer) -> None:
    assert refusal(server, "new") == 1
    write_files(folder, {"new": b"one", "deep/er/file": b"two"})
    soon_serves(server, "deep/er/file", "new")
    assert fetch(server, "new") == b"one"
    (folder / "next").write_bytes(b"another size")
    (folder / "next").rename(folder / "new")
    assert fetch(server, "new") == b"another size", "at once: each request opens what is there"
    (folder / "new").unlink()
    assert refusal(server, "new") == 1, "at once, too"
    (folder / "deep").rename(folder / "deeper")
    soon_serves(server, "deeper/er/file")
    assert fetch(server, "deeper/er/file") == b"two"


def test_a_folder_that_is_itself_exchanged_or_gone_and_back_is_followed(folder: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "one", {"file": b"one"})
    write_files(tmp_path / "two", {"file": b"two"})
    current = tmp_path / "current"
    current.symlink_to("one")
    with pxefast.TftpServer(current, host="127.0.0.1", port=0) as server:
        assert fetch(server, "file") == b"one"
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(current)
        eventually(lambda: fetch(server, "file") == b"two")
        current.unlink()
        soon_serves(server)
        assert refusal(server, "file") == 1
        assert [problem.startswith(f"{current}: ") for problem in server.problems] == [True]
        current.symlink_to("one")
        soon_serves(server, "file")
        assert fetch(server, "file") == b"one"


@pytest.mark.parametrize("deed", ["replaced", "removed"])
def test_a_transfer_under_way_keeps_its_file(
    folder: Path, server: pxefast.TftpServer, seed: int, deed: str
) -> None:
    """R-38."""
    before, after = Random(seed).randbytes(100_000), Random(seed + 1).randbytes(50_000)
    write_files(folder, {"file": before})
    soon_serves(server, "file")
    with Peer(server.port) as peer:
        packets = under_way(peer, "file")
        if deed == "replaced":
            (folder / "next").write_bytes(after)
            (folder / "next").rename(folder / "file")
            assert fetch(server, "file") == after
            assert outcome(server) == "complete"
        else:
            (folder / "file").unlink()
            soon_serves(server)
        peer.ack(4)
        rest = peer.rest(peer.receive(), BLOCK, 4, block=5)
    assert b"".join(packet.rest for packet in packets) + rest == before
    assert outcome(server) == "complete"


@pytest.mark.parametrize("deed", ["truncated", "emptied", "overwritten", "extended"])
def test_a_file_that_is_written_to_under_a_transfer_ends_it_with_an_error_and_never_with_its_last_bytes(
    folder: Path, server: pxefast.TftpServer, seed: int, deed: str
) -> None:
    """R-37, R-39."""
    content = Random(seed).randbytes(9 * BLOCK + 7)
    file = write_files(folder, {"file": content}) / "file"
    os.utime(file, (1, 1))
    soon_serves(server, "file")
    with Peer(server.port) as peer:
        packets = under_way(peer, "file")
        with file.open("r+b") as writer:
            match deed:
                case "truncated":
                    writer.truncate(6 * BLOCK)
                case "emptied":
                    writer.truncate(0)
                case "overwritten":
                    writer.write(b"!" * len(content))
                case _:
                    writer.seek(0, os.SEEK_END)
                    writer.write(b"more")
        while packets[-1].opcode == DATA:
            peer.ack(packets[-1].number)
            packets.append(peer.receive())
            while packets[-1].opcode == DATA and packets[-1].number % 4:
                packets.append(peer.receive())
    assert packets[-1][:3] == (ERROR, 0, b"the file changed\0")
    assert max(packet.number for packet in packets[:-1]) < 10
    assert outcome(server) == "failed"
    assert fetch(server, "file") == file.read_bytes(), "the next transfer gets what is there now"


@pytest.mark.parametrize("size", [0, 3, BLOCK])
def test_a_small_file_that_changes_before_its_client_confirms_it_is_not_mixed_up(
    folder: Path, server: pxefast.TftpServer, size: int
) -> None:
    """R-39."""
    file = write_files(folder, {"file": b"a" * size}) / "file"
    os.utime(file, (1, 1))
    soon_serves(server, "file")
    with Peer(server.port) as peer:
        assert peer.ask("file", [("blksize", BLOCK)]).opcode == OACK
        file.write_bytes(b"b" * size + b"c")
        peer.ack(0)
        assert peer.receive()[:2] == (ERROR, 0)
