"""The stop switch and the dry run: nothing leaves that an installation can follow from (D8, R-60, R-61)."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from pxefast.responder.halt import Halt

from ..loopback.home import LOOPBACK, Home
from ..loopback.machine import REQUEST
from ..loopback.peer import DATA, ERROR, Peer
from ..loopback.point import Point
from ..loopback.service import Service, eventually

FILES = {"boot.efi": b"the boot program" * 500}
PROGRAMS = {"uefi": "boot.efi"}


def test_halted_nothing_required_is_handed_out_and_available_goes_on(point: Point) -> None:
    required, available = point.machine(), point.machine("available")
    said = point.home.run("halt", "--why", "wrong image")
    assert str(point.home.folder / "run" / "HALT") in said
    for answer in (required.discover(), required.request()):
        assert answer.reply is None
        assert answer.codes[-1] == "halted"
        assert "(wrong image)" in answer.event["reasons"][-1]["text"]
    assert available.boot().reply is not None
    status = eventually(lambda: (found := point.home.status()) and found["required_off"] and found)
    assert status["required_off"]["code"] == "halted"
    assert "wrong image" in status["problems"][0]
    assert "wrong image" in point.home.run("status")
    point.home.run("halt", "--off")
    assert required.boot().reply is not None, "at once, without a second to wait"


def test_a_halt_file_that_anybody_made_halts_wherever_the_settings_put_it(tmp_path: Path) -> None:
    elsewhere = tmp_path / "stop"
    settings = {**LOOPBACK, "safety": {"halt_file": str(elsewhere)}}
    with Point(tmp_path, settings) as point:
        machine = point.machine()
        for file in (elsewhere, point.home.folder / "run" / "HALT"):
            file.touch()
            assert machine.request().codes[-1] == "halted"
            assert point.home.command("halt", "--off").code == 0
            assert not file.exists()
        assert machine.request().reply is not None


def test_the_last_byte_of_a_launch_file_does_not_leave_once_halted(tmp_path: Path) -> None:
    with Point(tmp_path, files=FILES, programs=PROGRAMS) as point:
        machine = point.machine()
        name = machine.boot().file
        assert name is not None
        with Peer(point.service.ports["tftp"], machine.address[0]) as peer:
            packet = peer.ask(name)
            point.home.run("halt")
            while packet.opcode == DATA:
                peer.ack(packet.number)
                packet = peer.receive()
        assert packet.opcode == ERROR
        assert b"HALT" in packet.rest
        event = point.service.event("launch")
        assert (event["result"], event["reasons"][0]["code"]) == ("refused", "halted")
        point.home.run("halt", "--off")
        assert machine.boot().reply is not None, "nothing has run: it boots again by itself"


def test_under_fire_nothing_required_leaves_after_the_halt(point: Point) -> None:
    machine = point.machine()
    file = point.home.folder / "run" / "HALT"
    stopped = 0.0
    try:
        for number in range(1, 2000):
            machine.socket.sendto(
                machine.packet(REQUEST, 0x70000 + number), ("127.0.0.1", point.service.ports["boot"])
            )
            if number == 1000:
                file.touch()
                stopped = time.time()
        point.service.event("request", lambda event: event["xid"] == "000707cf")
        boots = [
            event for event in point.service.events
            if event["event"] == "request" and event["mac"] == machine.mac and event["sent_to"]
        ]  # fmt: skip
        late = [event for event in boots if _seconds(event["time"]) > stopped + 0.1]
        assert boots
        assert not late, late[:2]
    finally:
        file.unlink()


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_halt_needs_neither_database_nor_service_nor_right_settings(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.database.unlink()
    shutil.rmtree(home.folder / "content")
    (home.folder / "pxefast.toml").write_text("nonsense = [")
    outcome = home.command("halt")
    assert outcome.code == 0
    assert (home.folder / "run" / "HALT").exists()
    assert "pxefast.toml" in outcome.error
    assert home.command("halt", "--off").code == 0
    assert not (home.folder / "run" / "HALT").exists()


def test_a_dry_run_decides_the_same_and_answers_nobody(tmp_path: Path) -> None:
    with Point(tmp_path) as point:
        required, available, idle = (
            point.machine(),
            point.machine("available"),
            point.machine(None, architecture=0),
        )
        point.service.end()
        before = contents(point)
        service = Service(point.home, arguments=("--dry-run",))
        with service:
            assert set(service.ports) == {"dhcp", "boot", "tftp"}
            for machine, action in ((required, "boot"), (available, "prompt"), (idle, "abort")):
                machine.service = service
                for answer in (machine.discover(), machine.request(), machine.request()):
                    assert answer.reply is None
                    assert (answer.event["action"], answer.codes[-1]) == (action, "dry_run")
            with Peer(service.ports["tftp"]) as peer:
                assert peer.ask(point.name("boot.efi")).opcode == ERROR
            status = eventually(point.home.status)
            assert (status["dry_run"], status["answers"]) == (True, False)
        assert contents(point) == before, "nothing was written"


def contents(point: Point) -> list[str]:
    with closing(sqlite3.connect(point.home.database)) as connection:
        return list(connection.iterdump())


def test_a_halt_file_of_another_kind_stops_as_well_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    halt = Halt(tmp_path)
    halt.own.parent.mkdir(parents=True)
    for make in (lambda: os.mkfifo(halt.own), halt.own.mkdir, lambda: halt.own.symlink_to("/dev/zero")):
        make()
        reason = halt.check()
        assert reason is not None
        assert reason.text.endswith(f"{halt.own} exists; to go on run: pxefast halt --off")
        halt.own.rmdir() if halt.own.is_dir() else halt.own.unlink()
    halt.on("broken images")
    reason = halt.check()
    assert reason is not None
    assert "exists (broken images);" in reason.text
