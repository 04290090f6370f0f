"""The service brings what is ordered for its point, withdraws what is not, and finds what is damaged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..content.points import Points, content_of, served
from ..content.server import Web, web
from ..content.stock import write_image
from ..loopback.peer import ERROR, Packet, Peer
from ..loopback.service import Event, Service, eventually

# What a child process takes to begin on a busy machine, and to bring a small image.
PULLED = 240.0


@pytest.fixture
def points(tmp_path: Path) -> Points:
    return Points(tmp_path)


@pytest.fixture
def server(points: Points) -> Iterator[Web]:
    with web(points.one.folder) as running:
        points.bring_from(f"http://127.0.0.1:{running.port}/source")
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_image(tmp_path / "image", 9)


@pytest.fixture
def service(points: Points, server: Web) -> Iterator[Service]:
    with Service(points.two) as running:
        yield running


def told(service: Service, content: str, after: int = 0) -> Event:
    """The event of this kind of content work."""
    return service.event(
        "service", lambda event: event.get("content") == content, after=after, seconds=PULLED
    )


def distributed(points: Points, service: Service, source: Path) -> str:
    image = points.add(source)
    points.one.run("content", "distribute", image, "--dp", "two")
    told(service, "served")
    return image


def test_what_is_ordered_is_brought_and_served_and_withdrawn(
    points: Points, service: Service, source: Path
) -> None:
    image = distributed(points, service, source)
    assert served(points.two, image) == (1, content_of(source))
    begun = told(service, "begun")
    assert (begun["image"], begun["version"]) == (image, 1)
    with Peer(service.ports["tftp"]) as peer:
        assert peer.fetch(f"SMSImages/{image}/boot.efi") == (source / "boot.efi").read_bytes()
    points.one.run("content", "remove", image, "--dp", "two", "--yes")
    assert told(service, "removed")["image"] == image
    assert served(points.two, image)[0] == 0


def test_a_transfer_keeps_its_version_while_another_is_brought_and_the_next_gets_that(
    points: Points, service: Service, source: Path
) -> None:
    image = distributed(points, service, source)
    before, name = (source / "boot.wim").read_bytes(), f"SMSImages/{image}/boot.wim"
    with Peer(service.ports["tftp"]) as peer, Peer(service.ports["tftp"]) as other:
        packets = [peer.ask(name)]
        seen = len(service.events)
        write_image(source, 9, seed=2)
        points.one.run("content", "redistribute", image)

        def one_more_block() -> bool:
            # So that the transfer lives while the new version comes.
            peer.ack(len(packets))
            packets.append(_after(peer, len(packets)))
            return any(event.get("content") == "served" for event in service.events[seen:])

        eventually(one_more_block, PULLED, "the new version")
        eventually(
            lambda: other.fetch(f"SMSImages/{image}/boot.efi") == (source / "boot.efi").read_bytes(), PULLED
        )
        peer.ack(len(packets))
        had = b"".join(packet.rest for packet in packets)
        assert had + peer.rest(_after(peer, len(packets)), 512, 1, block=len(packets) + 1) == before


def _after(peer: Peer, block: int) -> Packet:
    """The next new block: what was sent again meanwhile is passed over."""
    packet = peer.receive()
    while packet.number == block % 65536:
        packet = peer.receive()
    return packet


def test_damage_is_found_on_order_told_and_healed_by_redistribution(
    points: Points, service: Service, source: Path
) -> None:
    image = distributed(points, service, source)
    blobs = points.two.folder / "content" / "blobs"
    wim = max(blobs.rglob("*"), key=lambda path: path.stat().st_size)
    wim.chmod(0o644)
    with wim.open("r+b") as file:
        file.seek(4 << 20)
        file.write(b"damaged")
    points.one.run("content", "validate", image, "--dp", "two")
    damaged = told(service, "damaged")
    assert (damaged["level"], damaged["files"]) == ("error", ["boot.wim"])
    assert f"run: pxefast content redistribute {image}" in damaged["text"]
    assert points.status(points.one, image, "two")["state"] == "damaged"
    with Peer(service.ports["tftp"]) as peer:
        gone = lambda: peer.ask(f"SMSImages/{image}/boot.efi").opcode == ERROR  # noqa: E731
        eventually(gone, PULLED, "the withdrawal")
    seen = len(service.events)
    points.one.run("content", "redistribute", image)
    told(service, "served", after=seen)
    assert served(points.two, image) == (1, content_of(source))


def test_a_bad_source_is_told_once_and_the_old_version_stays(
    points: Points, service: Service, server: Web, source: Path
) -> None:
    image = distributed(points, service, source)
    old = content_of(source)
    write_image(source, 9, seed=2)
    server.fault = lambda _, __, data: bytes(len(data))
    points.one.run("content", "redistribute", image)
    failed = told(service, "failed")
    assert "are not what was packaged" in failed["why"]
    assert served(points.two, image) == (1, old)
    assert points.status(points.one, image, "two")["state"] == "failed"
    server.fault = None
    points.one.run("content", "redistribute", image)
    eventually(lambda: served(points.two, image) == (2, content_of(source)), PULLED, "the new version")


def test_the_child_that_has_brought_everything_ends_without_a_complaint(
    points: Points, server: Web, source: Path
) -> None:
    image = points.add(source)
    points.one.run("content", "distribute", image, "--dp", "two")
    pipe, pull = subprocess.PIPE, ["content", "pull", "--json", "--attended"]
    with subprocess.Popen(
        [sys.executable, "-m", "pxefast", "--home", str(points.two.folder), *pull],
        stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True,
    ) as child:  # fmt: skip
        code = child.wait(PULLED)
        assert child.stdout
        lines = child.stdout.read().splitlines()
    assert (code, json.loads(lines[-1])["event"]) == (0, "served")
    assert served(points.two, image) == (1, content_of(source))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_child_at_work_ends_with_the_service(
    points: Points, server: Web, source: Path, number: signal.Signals
) -> None:
    image = points.add(source)
    server.silent.set()
    with Service(points.two) as service:
        points.one.run("content", "distribute", image, "--dp", "two")
        told(service, "begun")
        children = Path(f"/proc/{service.pid}/task")
        child = next(
            int(number) for task in children.iterdir() for number in (task / "children").read_text().split()
        )
        assert Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[-5:-1] == [
            b"content", b"pull", b"--json", b"--attended",
        ]  # fmt: skip
        status = eventually(lambda: service.home.status().get("content"), PULLED, "the work in the status")
        assert (status["event"], status["image"]) == ("begun", image)
        service.end(number)
        eventually(lambda: not Path(f"/proc/{child}").exists(), PULLED, "the child's end")
    server.silent.clear()
    with Service(points.two) as service:
        told(service, "served")
    assert served(points.two, image) == (1, content_of(source))
