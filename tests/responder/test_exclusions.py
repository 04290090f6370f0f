"""The exclusion list whose file cannot be looked at: the last good list counts, and nobody waits (D35, R-53)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pxefast import named_files
from pxefast.errors import ExclusionError
from pxefast.responder import exclusions as module
from pxefast.responder.exclusion_reader import ListReader, Look
from pxefast.responder.exclusions import ExclusionFile

from ..loopback.hanging import Hangs
from ..loopback.point import Point
from ..loopback.service import PATIENCE, SOON, eventually

A, B = "02:00:00:aa:aa:aa", "02:00:00:bb:bb:bb"


class Mount:
    """A file system that can hang for whoever looks at a file, or for those who looked before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.looks = 0
        stamp = named_files.stamp

        def look(file: Path | str) -> tuple[int, ...] | None:
            self.looks += 1
            self.answers.wait(60)
            return stamp(file)

        monkeypatch.setattr(named_files, "stamp", look)

    def hang(self) -> None:
        self.answers.clear()

    def replace(self) -> None:
        """Another mount is in its place; who waits for the old one waits on."""
        self.answers = threading.Event()
        self.answers.set()


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mount]:
    found = Mount(monkeypatch)
    yield found
    found.answers.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Seconds that are added to the boot time that the list is judged by."""
    ahead, now = SimpleNamespace(seconds=0.0), module._clock
    monkeypatch.setattr(module, "_clock", lambda: now() + ahead.seconds)
    return ahead


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    file = tmp_path / "listed.txt"
    file.write_text(f"{A}\n{B}\n")
    return file


@pytest.fixture
def read(listed: Path, mount: Mount) -> Iterator[ExclusionFile]:
    """The list, read once. Depends on `mount`, so that its thread can end."""
    found = ExclusionFile()
    assert found.refresh(str(listed)) == [("info", f"exclusion list {listed} read: 2 excluded")]
    yield found
    mount.answers.set()
    found.close()


def texts(found: ExclusionFile, file: Path, look: Callable[[str], bool]) -> str:
    """The first news of the list that `look` accepts."""

    def news() -> str | None:
        return next((text for _, text in found.refresh(str(file)) if look(text)), None)

    return eventually(news)


def test_a_mount_that_hangs_holds_required_deployments_and_keeps_the_last_good_list(
    read: ExclusionFile, listed: Path, mount: Mount, clock: SimpleNamespace
) -> None:
    assert read.exclusions.paused is None
    mount.hang()
    seen = mount.looks
    eventually(lambda: mount.looks > seen)
    clock.seconds = 3
    paused = read.exclusions.paused
    assert paused is not None
    assert (paused.code, paused.rule) == ("required_paused", "R-53")
    assert f"{listed} could not be read for" in paused.text
    assert "its file system does not answer" in paused.text
    assert read.exclusions.macs == {A, B}
    assert "the last good list stays" in texts(read, listed, lambda text: "does not answer" in text)
    assert read.refresh(str(listed)) == [], "it is said once"
    assert read.problem
    mount.answers.set()
    clock.seconds = 0
    assert "can be read again" in texts(read, listed, lambda text: "again" in text)
    assert read.problem is None
    assert read.exclusions.paused is None


def test_a_list_on_another_mount_is_read_while_a_thread_still_hangs_in_the_old_one(
    read: ExclusionFile, listed: Path, mount: Mount, clock: SimpleNamespace
) -> None:
    mount.hang()
    old, seen = mount.answers, mount.looks
    eventually(lambda: mount.looks > seen)
    clock.seconds = 10
    read.refresh(str(listed))
    mount.replace()
    listed.write_text(f"{A}\n{B}\n02:00:00:cc:cc:cc\n")
    clock.seconds = 20
    assert "3 excluded" in texts(read, listed, lambda text: "excluded" in text)
    assert read.hanging >= 1
    listed.write_text(f"{A}\n")
    eventually(lambda: read.exclusions.macs == {A})
    listed.write_text(f"{B}\n")
    eventually(lambda: read.exclusions.macs == {B})
    old.set()
    eventually(lambda: read.hanging == 0)
    assert read.exclusions.macs == {B}, "what an old thread finds does not count"


def test_what_a_replaced_thread_finds_late_does_not_count(read: ExclusionFile, listed: Path) -> None:
    replaced = ListReader(str(listed), lambda *_: None, read._take)
    read._take(replaced, Look((1,), frozenset({A}), None))
    read._take(replaced, Look((2,), frozenset(), ExclusionError(str(listed), 0, "is gone")))
    assert read.exclusions.macs == {A, B}
    assert read.exclusions.paused is None
    assert read.problem is None


def test_threads_that_hang_are_few_however_long_it_lasts(
    read: ExclusionFile, listed: Path, mount: Mount, clock: SimpleNamespace
) -> None:
    mount.hang()
    for _ in range(40):
        clock.seconds += 100
        read.refresh(str(listed))
    threads = [thread for thread in threading.enumerate() if thread.name == "pxefast-list"]
    assert 4 < len(threads) < 12


def test_another_file_is_read_at_once_while_the_first_one_hangs(
    read: ExclusionFile, listed: Path, tmp_path: Path, mount: Mount
) -> None:
    mount.hang()
    seen = mount.looks
    eventually(lambda: mount.looks > seen)
    mount.replace()
    other = tmp_path / "other.txt"
    other.write_text(f"{A}\n")
    assert read.refresh(str(other)) == [("info", f"exclusion list {other} read: 1 excluded")]
    assert read.exclusions.macs == {A}


def test_a_first_list_that_hangs_is_no_list(tmp_path: Path, mount: Mount, clock: SimpleNamespace) -> None:
    mount.hang()
    found = ExclusionFile()
    with pytest.raises(ExclusionError, match="has not been read yet"):
        found.refresh(str(tmp_path / "first"), seconds=0.01)
    clock.seconds = 3
    with pytest.raises(ExclusionError, match="its file system does not answer"):
        found.refresh(str(tmp_path / "first"), seconds=0.01)
    found.close()


def test_a_list_that_is_written_to_all_the_time_is_not_trusted(
    read: ExclusionFile, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = os.read

    def reads_while_written(descriptor: int, count: int) -> bytes:
        part = reads(descriptor, count)
        with listed.open("a") as writer:
            writer.write("# more\n")
        return part

    monkeypatch.setattr(os, "read", reads_while_written)
    listed.write_text(f"{A}\n")
    paused = eventually(lambda: read.exclusions.paused)
    assert "it is written to all the time" in paused.text
    assert read.exclusions.macs == {A, B}
    monkeypatch.undo()
    eventually(lambda: read.exclusions.macs == {A})
    assert read.exclusions.paused is None


@pytest.mark.parametrize("how", ["a FIFO", "a character device", "a directory", "a socket"])
def test_a_list_that_is_no_file_any_more_holds_and_the_next_good_one_is_read_at_once(
    read: ExclusionFile, listed: Path, how: str
) -> None:
    listed.unlink()
    make = {
        "a FIFO": lambda: os.mkfifo(listed),
        "a character device": lambda: listed.symlink_to("/dev/zero"),
        "a directory": listed.mkdir,
        "a socket": lambda: os.mknod(listed, 0o140600),
    }[how]
    make()
    assert f"it is {how}, not a regular file" in texts(read, listed, lambda text: "regular" in text)
    assert read.exclusions.paused is not None
    assert read.exclusions.macs == {A, B}
    (listed.rmdir if how == "a directory" else listed.unlink)()
    listed.write_text(f"{A}\n{B}\n02:00:00:cc:cc:cc\n")
    eventually(lambda: len(read.exclusions.macs) == 3, SOON)
    assert read.exclusions.paused is None


def test_a_list_that_is_too_large_is_not_read(read: ExclusionFile, listed: Path) -> None:
    with listed.open("ab") as sparse:
        sparse.truncate(1 << 40)
    assert "it is larger than 8 MiB" in texts(read, listed, lambda text: "larger" in text)
    assert read.exclusions.macs == {A, B}
    assert read.exclusions.paused is not None


def test_a_service_whose_list_hangs_follows_everything_else_and_reads_the_next_list(tmp_path: Path) -> None:
    """The list blocks, then a longer good one is there: the machine on it is not imaged."""
    hangs = Hangs(tmp_path / "hangs")
    with Point(tmp_path, serve=hangs.serve) as point:
        listed = tmp_path / "listed.txt"
        listed.write_text(f"{A}\n")
        point.home.run("dp", "set", "--mac-ignore-list-file", str(listed))
        required, available, spared = point.machine(), point.machine("available"), point.machine()
        with hangs.at("list"):
            eventually(lambda: required.discover().codes[-1] == "required_paused", PATIENCE, "the hold")
            assert available.boot().reply is not None
            status = eventually(
                lambda: (found := point.home.status())["required_off"] and found, what="a new status"
            )
            assert "its file system does not answer" in status["required_off"]["text"]
            assert any("its file system does not answer" in problem for problem in status["problems"])
            late = point.machine("available")
            assert late.boot().reply is not None, "changes are followed meanwhile"
            listed.write_text(f"{A}\n{spared.mac}\n")
        eventually(lambda: required.discover().reply, PATIENCE, "the end of the hold")
        assert spared.boot().codes[-1] == "excluded"
        point.service.event("service", lambda event: "read: 2 excluded" in event["text"])
