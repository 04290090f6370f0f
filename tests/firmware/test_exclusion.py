"""An excluded MAC is never answered, whatever is deployed; its file counts at once, and fails closed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import image
from .capture import read_by_scapy
from .client import Client, Door
from .lab import Lab
from .machine import Machine
from .service import Service, reason_codes

COUNTS_WITHIN = 1.0
SLACK = 1.0  # for a busy test machine
ASK_AGAIN = 0.05
REQUIRED, AVAILABLE, FREE, CONTROL = "required", "available", "free", "control"
MACS = {
    REQUIRED: "52:54:00:ee:00:01",
    AVAILABLE: "52:54:00:ee:00:02",
    FREE: "52:54:00:ee:00:03",
    CONTROL: "52:54:00:ee:00:04",
}
PURPOSES = {REQUIRED: "required", AVAILABLE: "available", FREE: "required", CONTROL: "available"}
GUIDS = {name: uuid.uuid5(uuid.NAMESPACE_OID, name) for name in MACS}
"""On the list from the start: `required`, `available`, the real machine. Not on it: `free`, `control`."""


class Desk:
    """The site, its exclusion file, a real machine on it, and a client that asks as any other."""

    def __init__(self, lab: Lab, client: Client, exclusions: Path, machine: Machine) -> None:
        self.lab = lab
        self.service: Service = lab.service
        self.exclusions = exclusions
        self.machine = machine
        self._client = client

    def answered(self, name: str, door: Door = 67) -> bool:
        """Whether a device gets an answer. The control device asks next; its answer ends the wait."""
        before = len(self.service.events)
        self._client.ask(MACS[name], GUIDS[name], door)
        self.service.wait_for(lambda event: event.get("mac") == MACS[name], 10, f"a word on {name}", before)
        self._client.ask(MACS[CONTROL], GUIDS[CONTROL], door)
        answers = self._client.answers_until(MACS[CONTROL], 10)
        return MACS[name] in [answer.chaddr[:6].hex(":") for answer in answers]

    def seconds_until(self, name: str, answered: bool) -> float:
        """How long it takes from now until a device is answered, or is no more; asked again and again."""
        start = time.monotonic()
        while self.answered(name) != answered:
            assert time.monotonic() - start < 10, f"for 10 s {name} is answered: {not answered}"
            assert not self._client.answers_within(ASK_AGAIN)
        return time.monotonic() - start

    def reasons(self, name: str) -> set[str]:
        """Of the newest decision about a device."""
        return reason_codes(self.service.requests(MACS[name])[-1])


@pytest.fixture(scope="module")
def desk(lab: Lab, seed: int) -> Iterator[Desk]:
    boot_image = lab.service.publish(image.build_ipxe("excluded", lab.folder / "excluded", seed))
    exclusions = lab.folder / "pxeExceptions.txt"
    machine = lab.machine("bios-excluded", "bios", lab.network.lan)
    exclusions.write_text(f"# never touch these\n{MACS[REQUIRED]}\n52-54-00-EE-00-02\n\n{machine.mac}\n")
    lab.service.run("dp", "set", "--mac-ignore-list-file", str(exclusions))
    for name, mac in MACS.items():
        lab.service.add_device(name, mac, str(GUIDS[name]))
    for purpose in ("required", "available"):
        lab.service.deploy(purpose, boot_image, [name for name in MACS if PURPOSES[name] == purpose], purpose)
    lab.service.deploy("machine", boot_image, [machine.name], "required")
    lab.service.start()
    client = Client(lab.network.client)
    yield Desk(lab, client, exclusions, machine)
    client.close()


@pytest.fixture(autouse=True)
def same_list_after_each_test(desk: Desk) -> Iterator[None]:
    text = desk.exclusions.read_text()
    yield
    desk.exclusions.write_text(text)
    for excluded in (REQUIRED, AVAILABLE):
        desk.seconds_until(excluded, answered=False)
    desk.seconds_until(FREE, answered=True)


@pytest.mark.parametrize("door", [67, 4011])
@pytest.mark.parametrize("name", [REQUIRED, AVAILABLE])
def test_an_excluded_machine_gets_silence_whatever_is_deployed(desk: Desk, name: str, door: Door) -> None:
    assert not desk.answered(name, door)
    assert desk.service.requests(MACS[name])[-1]["action"] == "ignore"
    assert desk.reasons(name) == {"excluded"}


def test_a_machine_that_is_not_excluded_is_answered_beside_it(desk: Desk) -> None:
    assert desk.answered(FREE)


def test_a_line_added_while_the_service_runs_counts_within_a_second(desk: Desk) -> None:
    assert desk.answered(FREE)
    with desk.exclusions.open("a") as file:
        file.write(f"{MACS[FREE].upper()}\n")
    assert desk.seconds_until(FREE, answered=False) <= COUNTS_WITHIN + SLACK
    assert not desk.answered(FREE, 4011)


def test_a_line_removed_while_the_service_runs_counts_within_a_second(desk: Desk) -> None:
    desk.exclusions.write_text(f"{MACS[REQUIRED]}\n")
    assert desk.seconds_until(AVAILABLE, answered=True) <= COUNTS_WITHIN + SLACK


def test_an_unparsable_line_is_refused_by_file_and_line_and_the_last_good_list_stays(desk: Desk) -> None:
    before = len(desk.service.events)
    desk.exclusions.write_text(f"{MACS[FREE]}\n\nnot a MAC address\n")
    place = f"{desk.exclusions}: line 3"
    refusal = desk.service.wait_for(lambda event: place in event["text"], 10, "a refused list", before)
    assert refusal["level"] == "error"
    assert not desk.answered(REQUIRED)
    assert desk.answered(FREE)


@pytest.mark.parametrize("loss", ["deleted", "emptied"])
def test_required_deployments_wait_while_the_list_is_gone(desk: Desk, loss: str) -> None:
    if loss == "deleted":
        desk.exclusions.unlink()
    else:
        desk.exclusions.write_text("")
    assert desk.seconds_until(FREE, answered=False) <= COUNTS_WITHIN + SLACK
    assert "required_paused" in desk.reasons(FREE)
    for excluded in (REQUIRED, AVAILABLE):
        assert not desk.answered(excluded)
        assert desk.reasons(excluded) == {"excluded"}


def test_real_firmware_gives_up_when_its_mac_is_excluded(desk: Desk) -> None:
    start = desk.machine.start(desk.lab.folder)
    try:
        assert start.reaches("Nothing to boot|No more network devices", 90), start.console
    finally:
        start.end()
    requests = desk.service.requests(desk.machine.mac)
    assert {request["action"] for request in requests} == {"ignore"}
    assert reason_codes(requests[0]) == {"excluded"}


def test_not_one_packet_went_to_a_machine_that_was_excluded_all_the_time(desk: Desk) -> None:
    """The capture of everything above; the last test of this module."""
    desk.lab.capture.end()
    answers = read_by_scapy(desk.lab.capture.path).values()
    receivers = {facts["chaddr"] for facts in answers if "chaddr" in facts}
    assert MACS[CONTROL] in receivers
    assert receivers.isdisjoint({MACS[REQUIRED], desk.machine.mac})
