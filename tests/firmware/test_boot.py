"""Machines boot: BIOS and UEFI, on the LAN and behind a relay; each once, and again when cleared."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from . import image
from .capture import Facts, Mark, read_by_scapy, read_by_tshark
from .lab import Lab
from .machine import Firmware, Machine, Start
from .net import BRANCH_ROUTER, PXE_SERVER
from .service import Event, reason_codes

BOOT_SECONDS = 240  # for all of them together; about 30 pass where nothing else runs
PLAN: dict[str, tuple[Firmware, str]] = {
    "bios-lan": ("bios", "lan"),
    "uefi-lan": ("uefi", "lan"),
    "bios-branch": ("bios", "branch"),
    "uefi-branch": ("uefi", "branch"),
}
ABORT = "SMSBoot/abort/"  # where the programs are that tell firmware to go on
TWO_STAGES = "uefi-ipxe"
"""A machine whose firmware loads iPXE, which then asks again by itself (F-42)."""


@dataclass(frozen=True)
class Floor:
    """The site as it is before anybody is switched on: each machine and the image deployed to it."""

    lab: Lab
    machines: dict[str, Machine]
    images: dict[str, image.Image]
    boot_image_ids: dict[str, str]
    deployments: dict[str, str]


@dataclass(frozen=True)
class Outcome:
    """What one start of one machine came to, and whether what it was started for came."""

    reached: bool
    console: str
    requests: list[Event]


@pytest.fixture(scope="module")
def floor(lab: Lab, seed: int) -> Floor:
    """Each subnet has a required deployment with an image of its own, so that a mixed up image shows."""
    segments = {"lan": lab.network.lan, "branch": lab.network.branch}
    machines = {name: lab.machine(name, firmware, segments[at]) for name, (firmware, at) in PLAN.items()}
    machines[TWO_STAGES] = lab.machine(TWO_STAGES, "uefi", lab.network.lan)
    built = {at: image.build(at, lab.folder / at, seed) for at in segments}
    built["two-stages"] = image.build_ipxe("two-stages", lab.folder / "two-stages", seed)
    members = {at: [name for name, (_, where) in PLAN.items() if where == at] for at in segments}
    members["two-stages"] = [TWO_STAGES]
    images, ids, deployments = {}, {}, {}
    for name, devices in members.items():
        boot_image_id = lab.service.publish(built[name])
        deployment = lab.service.deploy(name, boot_image_id, devices, "required")
        for device in devices:
            images[device], ids[device], deployments[device] = built[name], boot_image_id, deployment
    lab.service.start()
    return Floor(lab, machines, images, ids, deployments)


def switch_on(
    floor: Floor, names: Iterable[str], until: Callable[[Machine, Start, float], bool]
) -> dict[str, Outcome]:
    """Start these machines at once, each until `until` (machine, start, seconds left) has come for it."""
    service, machines = floor.lab.service, {name: floor.machines[name] for name in names}
    before = len(service.events)
    deadline = time.monotonic() + BOOT_SECONDS
    with contextlib.ExitStack() as stack:
        starts = {}
        for name, machine in machines.items():
            starts[name] = machine.start(floor.lab.folder)
            stack.callback(starts[name].end)
        reached = {
            name: until(machines[name], start, max(0, deadline - time.monotonic()))
            for name, start in starts.items()
        }
    return {
        name: Outcome(reached[name], starts[name].console, service.requests(machine.mac, before))
        for name, machine in machines.items()
    }


def those_that_reached(outcomes: dict[str, Outcome]) -> set[str]:
    return {name for name, outcome in outcomes.items() if outcome.reached}


def boot(floor: Floor, names: Iterable[str]) -> dict[str, Outcome]:
    """Start these machines until their markers."""

    def marker(machine: Machine, start: Start, seconds: float) -> bool:
        return start.reaches(floor.images[machine.name].marker, seconds)

    return switch_on(floor, names, marker)


@pytest.fixture(scope="module")
def first(floor: Floor) -> dict[str, Outcome]:
    return boot(floor, floor.machines)


@pytest.fixture(scope="module")
def second(floor: Floor, first: dict[str, Outcome]) -> dict[str, Outcome]:
    """The machines that booted again, until pxefast has refused them."""
    service = floor.lab.service
    before = len(service.events)

    def refused(machine: Machine, _: Start, seconds: float) -> bool:
        return service.gives_reason(machine.mac, "already_offered", seconds, before)

    return switch_on(floor, those_that_reached(first), refused)


@pytest.fixture(scope="module")
def cleared(floor: Floor, second: dict[str, Outcome]) -> dict[str, Outcome]:
    names = those_that_reached(second) & PLAN.keys()
    for name in names:
        floor.lab.service.run("deployment", "clear", "--device", name, "--yes")
    return boot(floor, names)


@pytest.mark.parametrize("name", [*PLAN, TWO_STAGES])
def test_a_machine_boots_the_image_that_is_deployed_to_it(
    floor: Floor, first: dict[str, Outcome], name: str
) -> None:
    assert first[name].reached, f"no marker; requests {first[name].requests}; console:\n{first[name].console}"
    assert floor.images[name].token in first[name].console


@pytest.mark.parametrize("name", PLAN)
def test_the_bytes_that_the_machine_read_have_the_published_hash(
    floor: Floor, first: dict[str, Outcome], name: str
) -> None:
    assert f"{floor.images[name].sha256}  /payload.bin" in first[name].console


@pytest.mark.parametrize("name", [*PLAN, TWO_STAGES])
def test_the_events_of_a_boot_say_what_the_machine_got(
    floor: Floor, first: dict[str, Outcome], name: str
) -> None:
    last = first[name].requests[-1]
    said = {key: last[key] for key in ("action", "device", "deployment", "boot_image", "boot_program")}
    firmware = floor.machines[name].firmware
    programs = floor.images[name].programs
    assert said == {
        "action": "boot",
        "device": name,
        "deployment": floor.deployments[name],
        "boot_image": floor.boot_image_ids[name],
        "boot_program": programs.get("ipxe", programs[firmware]),
    }
    assert last["reasons"]


@pytest.mark.parametrize("name", [*PLAN, TWO_STAGES])
def test_a_required_deployment_is_refused_at_the_second_start(
    floor: Floor, second: dict[str, Outcome], name: str
) -> None:
    assert name in second, "it did not boot the first time"
    assert second[name].reached, f"never refused; requests {second[name].requests}"
    # BIOS is told to go on to its next boot device; UEFI goes on by itself (CM-89).
    refusal = {"bios": "abort", "uefi": "ignore"}[floor.machines[name].firmware]
    assert {request["action"] for request in second[name].requests} == {refusal}
    (text,) = {
        reason["text"]
        for request in second[name].requests
        for reason in request["reasons"]
        if reason["code"] == "already_offered"
    }
    assert text.startswith("already offered")
    assert "rig:" not in second[name].console


@pytest.mark.parametrize("name", PLAN)
def test_a_cleared_required_deployment_boots_again(
    floor: Floor, cleared: dict[str, Outcome], name: str
) -> None:
    assert name in cleared, "it was not refused before"
    assert cleared[name].reached, (
        f"no marker; requests {cleared[name].requests}; console:\n{cleared[name].console}"
    )
    assert f"{floor.images[name].sha256}  /payload.bin" in cleared[name].console
    assert not any("already_offered" in reason_codes(request) for request in cleared[name].requests)


@dataclass(frozen=True)
class Evidence:
    """Every packet that pxefast sent in all those boots, by frame number, read twice."""

    marks: list[Mark]
    tshark: dict[int, Facts]
    scapy: dict[int, Facts]

    @property
    def answers(self) -> list[Facts]:
        return [facts for facts in self.tshark.values() if "xid" in facts]


@pytest.fixture(scope="module")
def evidence(floor: Floor, cleared: dict[str, Outcome]) -> Evidence:
    capture = floor.lab.capture
    capture.end()
    assert capture.dropped == 0
    seen, marks = read_by_tshark(capture.path)
    return Evidence(marks, seen, read_by_scapy(capture.path))


def test_tshark_finds_no_fault_in_any_packet_that_was_sent(evidence: Evidence) -> None:
    assert evidence.marks == []
    assert [facts for facts in evidence.tshark.values() if "unknown to tshark" in facts] == []


def test_scapy_reads_every_packet_as_tshark_does(evidence: Evidence) -> None:
    assert evidence.scapy.keys() == evidence.tshark.keys()
    differing = [frame for frame, facts in evidence.scapy.items() if facts != evidence.tshark[frame]]
    assert [(frame, evidence.scapy[frame], evidence.tshark[frame]) for frame in differing[:5]] == []


def test_one_answer_left_for_each_request_that_was_answered(floor: Floor, evidence: Evidence) -> None:
    sent = Counter(facts["chaddr"] for facts in evidence.answers)
    said = {machine.mac: floor.lab.service.requests(machine.mac) for machine in floor.machines.values()}
    assert sent == {
        mac: sum(request["sent_to"] is not None for request in requests) for mac, requests in said.items()
    }


def test_an_offer_names_the_server_and_no_file_and_the_answer_on_4011_names_the_file(
    floor: Floor, evidence: Evidence
) -> None:
    server, pxe_client = socket.inet_aton(PXE_SERVER).hex(), b"PXEClient".hex()
    files = {
        machine.mac: f"SMSImages/{floor.boot_image_ids[name]}/" for name, machine in floor.machines.items()
    }
    for facts in evidence.answers:
        options = dict(facts["options"])
        offer = facts["from port"] == 67
        assert options[53] == ("02" if offer else "05"), facts
        assert (options[54], options[60]) == (server, pxe_client), facts
        assert (facts["siaddr"], facts["yiaddr"]) == (PXE_SERVER, "0.0.0.0"), facts
        assert facts["file"] == "" if offer else facts["file"].startswith((files[facts["chaddr"]], ABORT)), (
            facts
        )


def test_an_offer_goes_to_the_relay_with_its_option_82_last(floor: Floor, evidence: Evidence) -> None:
    relayed = {machine.mac for name, machine in floor.machines.items() if name.endswith("branch")}
    circuit = bytes([1, len("branch")]) + b"branch"
    for facts in evidence.answers:
        if facts["from port"] == 67 and facts["chaddr"] in relayed:
            assert (facts["to"], facts["giaddr"]) == (f"{BRANCH_ROUTER}:67", BRANCH_ROUTER), facts
            assert facts["options"][-1] == (82, circuit.hex()), facts
        else:
            assert (facts["giaddr"], dict(facts["options"]).get(82)) == ("0.0.0.0", None), facts
