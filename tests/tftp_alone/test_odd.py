"""What no folder should hold, and names that change while somebody asks: nothing outside is read (R-27, R-28)."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pxefast import TftpServer

from ..loopback.alone import Alone
from ..loopback.home import write_files
from ..loopback.peer import DATA, ERROR, Peer
from ..loopback.service import eventually
from .test_command import without

CANARY = b"a secret outside of the folder" * 40
INSIDE = b"a file inside the folder"


def answer(port: int, name: str) -> tuple[int, int, bytes]:
    """Opcode, number and rest of the first packet."""
    with Peer(port) as peer:
        packet = peer.ask(name)
        peer.send(ERROR, 0)
    return packet[:3]


@contextmanager
def swapping(*swaps: tuple[Path, Path]) -> Iterator[list[int]]:
    """Exchange each pair of names, again and again, until the end; how often so far."""
    done, stop = [0], threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for one, other in swaps:
                kept = one.with_name(one.name + "~")
                one.rename(kept)
                other.rename(one)
                kept.rename(other)
            done[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def test_a_name_that_is_swapped_for_a_link_out_while_clients_ask_gives_the_file_or_an_error(
    tmp_path: Path, long: bool
) -> None:
    """R-27: the file itself, a folder on its way, and a link in between."""
    folder, outside = tmp_path / "served", tmp_path / "outside"
    write_files(outside, {"file": CANARY, "deep/file": CANARY})
    write_files(folder, {"file": INSIDE, "deep/file": INSIDE, "way/deep/file": INSIDE})
    (tmp_path / "link").symlink_to(outside / "file")
    (tmp_path / "up").symlink_to("../outside/deep")
    (tmp_path / "way").symlink_to("../outside")
    swaps = [
        (folder / "file", tmp_path / "link"),
        (folder / "deep", tmp_path / "up"),
        (folder / "way", tmp_path / "way"),
    ]
    names = ("file", "deep/file", "way/deep/file")
    answers: Counter[int] = Counter()
    with TftpServer(folder, host="127.0.0.1", port=0) as server, swapping(*swaps) as done:
        asked, enough = 0, (100_000 if long else 1_000)
        while done[0] < enough or asked < enough:
            opcode, _, rest = answer(server.port, names[asked % 3])
            asked += 1
            answers[opcode] += 1
            assert opcode == ERROR or rest == INSIDE
            assert CANARY[:20] not in rest
    assert set(answers) <= {DATA, ERROR}, answers
    assert answers[ERROR], "the link was never met: nothing was shown"


def test_links_are_followed_inside_only_however_many_and_loops_end(tmp_path: Path) -> None:
    """R-27: absolute, relative, out, in, forty in a row, and one that is its own end."""
    folder = tmp_path / "served"
    write_files(folder, {"file": INSIDE, "sub/file": INSIDE})
    (tmp_path / "secret").write_bytes(CANARY)
    good = {"relative": "file", "within": "sub/../file", "absolute": str(folder / "file"), "link0": "file"}
    bad = {
        "out": "../secret",
        "absolute-out": str(tmp_path / "secret"),
        "around": "../served/../secret",
        "loop": "loop",
        "loop1": "loop2",
        "loop2": "loop1",
        "proc": "/proc/self/environ",
        "root": "/",
    }
    chain = {f"link{n}": f"link{n - 1}" for n in range(1, 41)}
    for name, target in {**good, **bad, **chain}.items():
        (folder / name).symlink_to(target)
    with TftpServer(folder, host="127.0.0.1", port=0) as server:
        for name in [*good, *chain, "file", "sub/file"]:
            assert answer(server.port, name) == (DATA, 1, INSIDE), name
        for name in [*bad, "root/etc/passwd"]:
            assert answer(server.port, name)[:2] == (ERROR, 1), name


ODD = ("pipe", "socket", "null", "zero", "full", "disk", "folder", "secret", "mem", "kmsg")


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    """A folder with one of everything that is no readable file, and one that is."""
    folder = tmp_path / "served"
    write_files(folder, {"file": INSIDE, "folder/file": INSIDE, "secret": CANARY, "mem": b"", "kmsg": b""})
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    for name, kind, major, minor in (
        ("null", stat.S_IFCHR, 1, 3),
        ("zero", stat.S_IFCHR, 1, 5),
        ("full", stat.S_IFCHR, 1, 7),
        ("disk", stat.S_IFBLK, 7, 0),
    ):
        os.mknod(folder / name, kind | 0o644, os.makedev(major, minor))
    (folder / "secret").chmod(0)
    mounts = [("/proc/self/mem", folder / "mem"), ("/dev/kmsg", folder / "kmsg")]
    for source, target in mounts:
        subprocess.run(["mount", "--bind", source, str(target)], check=True, capture_output=True)
    yield folder
    for _, target in mounts:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes need root")
def test_what_is_no_file_is_refused_and_makes_nobody_wait(odd: Path, tmp_path: Path) -> None:
    """R-28: pipe, socket, devices, folder, unreadable file, /proc/self/mem."""
    before = without("dac_override,-dac_read_search")
    with Alone(odd, tmp_path / "log", before=before) as alone:
        files = alone.open_files
        for name in ODD:
            refused = answer(alone.port, name)
            assert refused[0] == ERROR and refused[1] in (0, 1, 2), (name, refused)
            assert answer(alone.port, "file") == (DATA, 1, INSIDE), f"after {name}"
        eventually(lambda: alone.open_files <= files, what="the end of the last transfer")


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes need root")
@pytest.mark.parametrize("name", ["pipe", "socket", "null", "disk", "folder"])
def test_a_published_file_that_became_something_else_is_refused_and_makes_nobody_wait(
    odd: Path, name: str
) -> None:
    """R-28: who only asks for what is published opens what is there now."""
    write_files(odd, {"was": INSIDE})
    with TftpServer(odd, host="127.0.0.1", port=0) as server:
        assert answer(server.port, "was") == (DATA, 1, INSIDE)
        (odd / "was").unlink()
        (odd / name).rename(odd / "was")
        with Peer(server.port) as first:
            first.ask("was")
            assert answer(server.port, "file") == (DATA, 1, INSIDE)
        refused = answer(server.port, "was")
        assert refused[0] == ERROR and refused[1] in (0, 1, 2)
        eventually(lambda: "was" not in server.names)
        (odd / "was").rename(odd / name)
