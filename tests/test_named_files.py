"""Files that an operator names: whatever is there, pxefast says so in bounded time and memory (D35)."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pxefast import named_files

from .loopback.home import Home


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


# What is at the path, and how it is described.
NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "fifo": (fifo, "it is a FIFO, not a regular file"),
    "link to a fifo": (
        lambda path: (fifo(path.with_name("there")), path.symlink_to("there")),
        "it is a FIFO, not a regular file",
    ),
    "link to /dev/zero": (
        lambda path: path.symlink_to("/dev/zero"),
        "it is a character device, not a regular file",
    ),
    "directory": (lambda path: path.mkdir(), "it is a directory, not a regular file"),
    "socket": (listening, "it is a socket, not a regular file"),
    "link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "nothing": (lambda path: None, "No such file or directory"),
}


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_not_a_regular_file_is_described_and_never_blocks(tmp_path: Path, what: str) -> None:
    make, said = NO_FILES[what]
    file = tmp_path / "named"
    make(file)
    for read in (lambda: named_files.read_bytes(file, 100, 5), lambda: named_files.open_regular(file, 5)):
        with pytest.raises(OSError, match=r".") as error:
            read()
        assert error.value.strerror == said


# Each command that reads a file that its operator names.
COMMANDS: dict[str, tuple[str, ...]] = {
    "csv": ("device", "import-csv", "FILE"),
    "registry": ("import", "registry", "FILE", "--dry-run"),
    "exclusion list": ("dp", "set", "--mac-ignore-list-file", "FILE"),
    "capture": ("replay", "FILE"),
    "export": ("db", "import", "FILE", "--dry-run"),
    "bcd": ("bcd", "dump", "FILE"),
    "settings": ("--config", "FILE", "dp", "list"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("named") / "home")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", ["fifo", "link to /dev/zero", "directory", "nothing"])
def test_each_command_says_what_a_file_is_that_it_cannot_read(
    home: Home, tmp_path: Path, command: str, what: str
) -> None:
    make, said = NO_FILES[what]
    file = tmp_path / "named"
    make(file)
    outcome = home.command(*(str(file) if word == "FILE" else word for word in COMMANDS[command]))
    assert outcome.code in (1, 2, 3), outcome
    assert f"{file}" in outcome.error
    assert said in outcome.error
    assert len(outcome.error.splitlines()) == 1


def test_a_file_is_read_whole_up_to_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "named"
    for size in (0, 1, 99, 100):
        file.write_bytes(b"x" * size)
        assert named_files.read_bytes(file, 100) == b"x" * size
    file.write_bytes(b"x" * 101)
    with pytest.raises(OSError, match="it is larger than 100 bytes"):
        named_files.read_bytes(file, 100)


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path) -> None:
    file = tmp_path / "named"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(OSError, match="it is larger than 8 MiB"):
        named_files.read_bytes(file, 8 << 20, 5)


@pytest.fixture
def while_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Has something happen once, after the first bytes were read."""
    read = os.read

    def arrange(happens: Callable[[], object]) -> None:
        once = iter([happens])

        def reads(descriptor: int, count: int) -> bytes:
            part = read(descriptor, count)
            next(once, lambda: None)()
            return part

        monkeypatch.setattr(os, "read", reads)

    return arrange


def test_a_file_that_is_written_to_while_it_is_read_is_neither_the_old_nor_the_new_one(
    tmp_path: Path, while_read: Callable[[Callable[[], object]], None]
) -> None:
    file = tmp_path / "named"
    file.write_bytes(b"old")

    def grow() -> None:
        with file.open("ab") as writer:
            writer.write(b", and new")

    while_read(grow)
    with pytest.raises(named_files.Unsettled, match="it changed while it was read"):
        named_files.read_bytes(file, 100)
    assert named_files.read_bytes(file, 100) == b"old, and new"


@pytest.mark.parametrize("content", [b"new", b"", b"ne"])
def test_a_file_that_is_written_anew_or_cut_while_it_is_read_is_not_believed(
    tmp_path: Path, while_read: Callable[[Callable[[], object]], None], content: bytes
) -> None:
    file = tmp_path / "named"
    file.write_bytes(b"old")
    os.utime(file, ns=(0, 0))
    while_read(lambda: file.write_bytes(content))
    with pytest.raises(named_files.Unsettled):
        named_files.read_bytes(file, 100)
    assert named_files.read_bytes(file, 100) == content


def test_a_file_that_never_ends_is_refused_at_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "named"
    file.touch()
    counts: list[int] = []

    def reads(_: int, count: int) -> bytes:
        counts.append(count)
        return b"x" * count

    monkeypatch.setattr(os, "read", reads)
    with pytest.raises(OSError, match="it is larger than 3 MiB"):
        named_files.read_bytes(file, 3 << 20)
    assert sum(counts) == (3 << 20) + 1
    assert max(counts) <= 1 << 20


def test_a_file_that_vanishes_while_it_is_read_is_read_to_its_end(
    tmp_path: Path, while_read: Callable[[Callable[[], object]], None]
) -> None:
    file = tmp_path / "named"
    file.write_bytes(b"all of it")
    while_read(file.unlink)
    assert named_files.read_bytes(file, 100) == b"all of it"


def test_a_file_system_that_hangs_is_named_after_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, closed = threading.Event(), threading.Event()
    opened, close = os.open, os.close

    def opens(*arguments: object, **more: object) -> int:
        hangs.wait(30)
        return opened(*arguments, **more)  # type: ignore[arg-type]

    def closes(descriptor: int) -> None:
        close(descriptor)
        closed.set()

    file = tmp_path / "named"
    file.write_bytes(b"there")
    monkeypatch.setattr(os, "open", opens)
    with pytest.raises(TimeoutError, match=r"has not answered within 0\.05 s; see whether its mount hangs"):
        named_files.read_bytes(file, 100, 0.05)
    with pytest.raises(TimeoutError):
        named_files.open_regular(file, 0.05)
    monkeypatch.setattr(os, "close", closes)
    hangs.set()
    assert closed.wait(10), "what is opened too late is closed again"
