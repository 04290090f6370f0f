"""Who asks is told the transfers under way; while nobody asks nothing is done for it."""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import stat
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pxefast.cli.transfers import Rates, table
from pxefast.errors import CannotOpen
from pxefast.responder.feed import Feed
from pxefast.responder.handed import Handed, Memory
from pxefast.responder.live import Live, ask
from rich.console import Console

from ..loopback.service import PATIENCE, eventually

WEB01 = Handed(False, "311ad9f0", "PS100001", "PS120001", "web01", 1, "52:54:00:15:01:02")


class Pump:
    """In place of the native server: so many transfers, numbered from the newest, and who waits for one."""

    def __init__(self, transfers: int, waiting: int) -> None:
        self.asked = 0
        self._transfers = transfers
        self._waiting = waiting

    def live(self) -> list[Any]:
        self.asked += 1
        return [
            SimpleNamespace(
                peer=f"10.0.{number // 250}.{number % 250 + 1}:2070", name="SMSImages/PS100001/boot.wim",
                state="flowing", size=1_000_000, bytes=250_000, seconds=number + 0.5, block_size=1456,
                window_size=16, resent=number, round_trip=None, worker=0,
            )
            for number in range(self._transfers)
        ]  # fmt: skip

    def waiting(self) -> list[Any]:
        return [
            SimpleNamespace(peer=f"10.1.0.{number + 1}:2070", name="boot/\x1b[2J", seconds=float(9 - number))
            for number in range(self._waiting)
        ]

    def counters(self) -> dict[str, int]:
        return {"tftp.bytes": 1000 * self.asked}


@pytest.fixture
def pump() -> Pump:
    return Pump(3000, 3)


@pytest.fixture
def folder(tmp_path: Path, pump: Pump) -> Iterator[Path]:
    """Where a service's socket is; web01 has the address of the second newest transfer."""
    memory = Memory()
    memory.note(("10.0.0.2",), WEB01)
    (tmp_path / "run").mkdir()
    live = Live(tmp_path / "run", cast(Any, pump), memory)
    live.start()
    yield tmp_path / "run"
    live.close()
    with pytest.raises(CannotOpen, match="pxefast serve"):
        ask(tmp_path / "run")


def shown(answer: dict[str, Any]) -> str:
    console = Console(width=200, record=True, file=None)
    with console.capture() as capture:
        console.print(table(answer))
    return capture.get()


def test_nothing_is_worked_out_before_somebody_asks(folder: Path, pump: Pump) -> None:
    assert pump.asked == 0
    ask(folder)
    assert pump.asked == 1
    assert stat.S_IMODE((folder / "transfers.sock").stat().st_mode) == 0o660


def test_a_person_sees_the_oldest_and_how_many_there_are_a_program_all(folder: Path) -> None:
    few = ask(folder, 20)
    assert (len(few["transfers"]), few["transfers_in_all"]) == (20, 3000)
    assert [row["seconds"] for row in few["transfers"][:2]] == [2999.5, 2998.5]
    assert (len(few["waiting"]), few["waiting_in_all"]) == (3, 3)
    assert len(ask(folder)["transfers"]) == 3000
    lines = shown(few).splitlines()
    assert lines[0].startswith(
        "3,000 transfers under way (the 20 oldest below); 3 wait for their turn, the longest"
    )
    assert "25 %" in lines[2]


def test_a_machine_has_its_name_and_can_be_asked_for_alone(folder: Path) -> None:
    answer = ask(folder, mac=WEB01.mac)
    (row,) = answer["transfers"]
    assert (row["device"], row["mac"], row["peer"]) == ("web01", WEB01.mac, "10.0.0.2:2070")
    assert (row["percent"], row["bytes_per_second"], row["seconds_left"]) == (25.0, 166667, 4.5)
    assert "web01" in shown(answer)


def test_no_byte_of_a_name_reaches_the_terminal_as_it_is(folder: Path) -> None:
    text = shown(ask(folder, 1))
    assert "\x1b" not in text
    assert "boot/\\x1b[2J" in text


def test_whoever_says_nothing_or_nonsense_keeps_nobody_else_from_an_answer(folder: Path) -> None:
    for said in (b"", b"nonsense\n", b"[1]\n", b'{"limit": "many"}\n', b"[" * 4000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.connect(str(folder / "transfers.sock"))
            other.sendall(said)
            assert ask(folder, 1)["transfers_in_all"] == 3000


def test_on_a_terminal_transfers_stand_below_the_events_that_scroll_by(folder: Path) -> None:
    feed = Feed(folder)
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 160, 0, 0))
    command = [sys.executable, "-m", "pxefast", "--home", str(folder.parent), "watch"]
    # Who runs tests side by side says of what size its own terminal is.
    own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    watch = subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, env={**own, "TERM": "xterm"})
    os.close(terminal)
    screen = ""

    def see(text: str) -> None:
        nonlocal screen
        while text not in screen:
            assert select.select([master], [], [], PATIENCE)[0], screen
            screen += os.read(master, 65536).decode()

    try:
        eventually(lambda: feed.admit() or feed.heard)
        see("3,000 transfers under way (the 10 oldest below)")
        feed.tell(json.dumps({"event": "x", "time": "T", "level": "info", "text": "\x1b[2J is no \x07 bell"}))
        see("T info    \\x1b[2J is no \\x07 bell")
        # The rows are drawn anew below it.
        screen = ""
        see("/s in all")
        feed.close()
        assert watch.wait(PATIENCE) == 0
    finally:
        watch.kill()
        watch.communicate()
        os.close(master)


def test_whoever_asks_again_sees_the_rate_since_then() -> None:
    rates = Rates()
    row = {"peer": "a:1", "name": "x", "size": 1000, "bytes": 100, "bytes_per_second": 7, "seconds_left": 1.0}
    first = {"bytes_sent": 0, "transfers": [dict(row)]}
    assert rates.follow(first)["transfers"][0]["bytes_per_second"] == 7
    again = rates.follow({"bytes_sent": 900, "transfers": [{**row, "bytes": 1000}]})
    assert again["bytes_per_second"] > 0
    assert again["transfers"][0]["bytes_per_second"] == again["bytes_per_second"]
    assert again["transfers"][0]["seconds_left"] == 0
    still = rates.follow({"bytes_sent": 900, "transfers": [{**row, "bytes": 1000}]})
    assert (still["transfers"][0]["bytes_per_second"], still["transfers"][0]["seconds_left"]) == (0, None)
