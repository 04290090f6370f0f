"""How long a session lasts: over repeated questions and new versions of the image, to its report and no longer."""

from __future__ import annotations

import shutil

import pytest

from .. import wims
from ..loopback.service import eventually
from . import chain, pxe, tftp
from .chain import EndedError, Machine, Started
from .conftest import Floor
from .pxe import ROM, UEFI_X64, Firmware
from .tftp import RefusedError

BOTH = pytest.mark.parametrize("firmware", [ROM, UEFI_X64], ids=["BIOS", "UEFI"])


def gone(machine: Machine, started: Started) -> None:
    """No file of the session is there any more."""
    assert started.answer.bcd is not None
    assert started.answer.variables is not None
    for name in (started.answer.bcd, started.answer.variables, "\\Boot\\BCD", "session.env"):
        with pytest.raises(RefusedError) as refused:
            machine.client.fetch(name, tftp.PLAIN)
        assert refused.value.code == 1, name


@BOTH
@pytest.mark.parametrize("kind", ["done", "failed"])
def test_session_files_stay_until_the_machine_has_reported_its_end(
    floor: Floor, firmware: Firmware, kind: str
) -> None:
    machine = floor.site.machine(firmware, floor.images["x64"])
    started = machine.boot()
    variables = machine.variables(started.answer)
    assert machine.report(variables, "started") == 200
    assert machine.variables(started.answer) == variables
    assert machine.report(variables, kind, "0" * 32) == 403
    assert machine.variables(started.answer) == variables
    assert machine.report(variables, kind) == 200
    floor.site.settle()
    gone(machine, started)


@BOTH
def test_session_files_end_when_the_machine_is_cleared(floor: Floor, firmware: Firmware) -> None:
    machine = floor.site.machine(firmware, floor.images["x64"])
    started = machine.boot()
    floor.site.home.run("deployment", "clear", "--device", floor.site.name(machine), "--yes")
    # The service looks through its sessions once a second.
    eventually(
        lambda: machine.client.probe("session.env", chain.BUILT_IN) is None, what="the end of the session"
    )
    gone(machine, started)
    again = machine.boot()
    assert again.answer.bcd != started.answer.bcd
    assert floor.site.launches(machine) == 2


@BOTH
@pytest.mark.parametrize("purpose", ["required", "available"])
def test_a_question_that_is_asked_again_is_answered_with_the_same_bytes(
    floor: Floor, firmware: Firmware, purpose: str
) -> None:
    """An answer was lost; firmware asks up to four times, wdsmgfw.efi with the same number on every machine."""
    machine = floor.site.machine(firmware, floor.images["x64"], purpose)
    line = machine.line
    asked: list[tuple[bytes, bytes | None]] = []

    class Twice:
        server, tftp = line.server, line.tftp
        port = line.port

        def ask(self, door: chain.Door, packet: bytes, sock: object) -> bytes | None:
            first = line.ask(door, packet, sock)  # type: ignore[arg-type]
            assert first == line.ask(door, packet, sock), "the same question"  # type: ignore[arg-type]
            asked.append((packet, first))
            return first

    machine.line = Twice()  # type: ignore[assignment]
    machine.boot()
    assert len(asked) >= 2


def test_a_loaders_question_is_answered_with_the_same_bytes_too(floor: Floor) -> None:
    home = floor.site.home
    home.run("setting", "set", "windows_bios_chain", "wdsnbp")
    home.run("setting", "set", "windows_uefi_chain", "wdsmgfw")
    floor.site.settle()
    try:
        for firmware in (ROM, UEFI_X64):
            test_a_question_that_is_asked_again_is_answered_with_the_same_bytes(floor, firmware, "required")
    finally:
        home.run("setting", "reset", "windows_bios_chain")
        home.run("setting", "reset", "windows_uefi_chain")


def test_a_transfer_keeps_its_version_to_the_end_while_a_new_one_comes(floor: Floor) -> None:
    site = floor.site
    folder = site.home.folder.parent / "versions"
    folder.mkdir()
    old = wims.make(folder / "old.wim", payload=1_500_000, seed=21)
    new = wims.make(folder / "new.wim", payload=1_400_000, seed=22)
    source = wims.make(folder / "source.wim", payload=100_000, seed=21)
    shutil.copyfile(old.path, source.path)
    image = site.image(source)
    site.images[image] = old
    machine = site.machine(UEFI_X64, image, "available")
    started = machine.boot()
    windows = 0

    def change(window: int, _: bool) -> int:
        nonlocal windows
        windows += 1
        if windows == 5:
            shutil.copyfile(new.path, source.path)
            site.home.run("content", "redistribute", image)
            site.settle()
        return window

    done = machine.client.fetch(started.entry.wim, chain.BUILT_IN, grow=change)
    assert windows > 5
    assert done.content == old.path.read_bytes()
    site.images[image] = new
    later = site.machine(UEFI_X64, image, "available")
    later.boot()
    machine.expected = later.expected
    machine.boot()


def test_a_service_that_starts_anew_in_the_middle_costs_the_machine_one_more_start(floor: Floor) -> None:
    """Session files are in its memory: the store is gone, the claim is not, and nothing was launched."""
    site = floor.site
    machine = site.machine(UEFI_X64, floor.images["x64"])
    answer = machine.ask_firmware()
    assert answer.bcd is not None
    site.again()
    machine.line = site.cable
    with pytest.raises(RefusedError):
        machine.client.fetch(answer.bcd, tftp.PLAIN)
    assert site.states(machine) == ["CLAIMED"]
    machine.boot()
    assert site.launches(machine) == 1


def test_an_answer_with_much_relay_information_still_names_the_store(floor: Floor) -> None:
    """W-50: an option 82 that does not fit is left out whole, and what Windows needs stays."""
    machine = floor.site.machine(UEFI_X64, floor.images["x64"])
    for size in (10, 200, 253):
        with machine.line.port("boot", UEFI_X64, machine.address) as port:
            question = pxe.loader_request(
                pxe.Loader(pxe.X64),
                pxe.X64,
                machine.hardware,
                machine.guid,
                machine.address,
                machine.line.server,
            )
            relayed = pxe.Question(
                **{
                    **question.__dict__,
                    "options": [*question.options, (82, b"\1" + bytes([size - 2]) + bytes(size - 2))],
                }
            )
            packet = machine.line.ask("boot", relayed.packet(), port)
        assert packet is not None
        answer = pxe.read(packet, relayed, machine.line.server)
        assert answer.bcd
        assert answer.variables
        assert answer.options.get(82) in (None, dict(relayed.options)[82])
        assert len(packet) <= pxe.MOST


def test_a_refused_machine_is_told_nothing_of_a_store(floor: Floor) -> None:
    machine = floor.site.machine(ROM, floor.images["x64"], None)
    with pytest.raises(EndedError):
        machine.boot()
    assert not {243, 250, 252} & machine.answers[-1].options.keys()
