"""What boot environments report over HTTP, and what anybody may send there without harm (R-90, R-91)."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..loopback.home import LOOPBACK
from ..loopback.machine import Machine
from ..loopback.point import Point
from ..loopback.service import PATIENCE, eventually
from .test_gates import FILES, PROGRAMS, fetched, state


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    with Point(tmp_path_factory.mktemp("reports"), files=FILES, programs=PROGRAMS) as point_:
        yield point_


class Said(NamedTuple):
    """An HTTP answer; `status` 0 is none."""

    status: int
    head: str
    body: Any


class Session(NamedTuple):
    """What a boot environment reads from its session.env."""

    id: str
    token: str


def sent(point: Point, request: bytes, address: str = "127.0.3.1") -> Said:
    """Send these bytes, and read what comes until the connection ends."""
    to = ("127.0.0.1", point.service.ports["report"])
    with socket.create_connection(to, PATIENCE, (address, 0)) as connection:
        received = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        except ConnectionError:
            pass
    head, _, body = received.decode().partition("\r\n\r\n")
    if not head:
        return Said(0, "", None)
    return Said(int(head.split()[1]), head, json.loads(body))


def post(path: str, body: bytes = b"", *headers: str, host: str = "127.0.0.1") -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def report(point: Point, session: Session, kind: str, body: bytes = b"", address: str = "127.0.3.1") -> Said:
    return sent(
        point, post(f"/session/{session.id}/{kind}", body, f"Authorization: Bearer {session.token}"), address
    )


def launched(point: Point) -> tuple[Machine, Session]:
    """A machine that has its launch file, and its session."""
    machine = point.machine()
    name = machine.boot().file
    values = dict(line.split("=", 1) for line in fetched(machine, "session.env").rest.decode().splitlines())
    fetched(machine, name or "")
    return machine, Session(values["PXEFAST_SESSION"], values["PXEFAST_TOKEN"])


def test_a_boot_environment_says_how_it_fares_and_may_say_it_twice(point: Point) -> None:
    machine, session = launched(point)
    after = len(point.service.events)
    for kind, result in (("started", "STARTED"), ("started", "STARTED"), ("done", "DONE"), ("done", "DONE")):
        said = report(point, session, kind)
        assert (said.status, said.body) == (200, {"ok": True, "state": result})
        assert state(point, machine) == result
    event = point.service.event("report", after=after)
    assert (event["kind"], event["state"], event["mac"]) == ("started", "STARTED", machine.mac)
    assert session.token not in json.dumps(point.service.events), "a token is never told"
    assert machine.boot().codes[-1] == "already_offered"
    contradiction = report(point, session, "failed")
    assert (contradiction.status, contradiction.body["ok"]) == (409, False)


def test_why_it_failed_is_kept_for_people_and_cannot_hurt_them(point: Point) -> None:
    machine, session = launched(point)
    url = f"/session/{session.id}/failed?token={session.token}"
    after = len(point.service.events)
    assert sent(point, post(url, b"no disk\x1b[2J\n\xff" + b"x" * 1000)).status == 200
    event = point.service.event("report", after=after)
    assert event["level"] == "warning"
    assert event["why"].startswith("no disk")
    assert len(event["why"]) <= 256
    assert event["why"].isprintable()
    assert state(point, machine) == "FAILED"


def test_who_reports_runs_whatever_else_is_known_of_it(point: Point) -> None:
    machine = point.machine()
    machine.boot()
    values = dict(line.split("=", 1) for line in fetched(machine, "session.env").rest.decode().splitlines())
    early = report(point, Session(values["PXEFAST_SESSION"], values["PXEFAST_TOKEN"]), "done")
    assert early.status == 200
    assert state(point, machine) == "DONE"
    assert machine.boot().codes[-1] == "already_offered"


def test_a_wrong_token_is_refused_like_a_session_that_is_not_there_and_not_for_long(point: Point) -> None:
    machine, session = launched(point)
    wrong, nowhere = Session(session.id, "0" * 32), Session("1" * 32, session.token)
    said = [
        report(point, guess, "done", address="127.0.3.2") for guess in (wrong, nowhere, wrong, nowhere, wrong)
    ]
    assert [answer.status for answer in said] == [403] * 5
    assert len({answer.body["error"] for answer in said}) == 1
    blocked = report(point, session, "done", address="127.0.3.2")
    assert blocked.status == 429
    assert "Retry-After: 60" in blocked.head
    assert state(point, machine) == "LAUNCHED"
    assert report(point, session, "started").status == 200, "from elsewhere"


def test_a_report_of_an_old_session_leaves_its_address_to_the_newer_one(point: Point) -> None:
    old, old_session = launched(point)
    other = point.machine()
    newer = point.client(other.mac, other.guid, address=old.address[0])
    name = newer.boot().file
    assert name is not None
    lines = fetched(newer, "session.env").rest
    assert old_session.id not in lines.decode()
    assert report(point, old_session, "done").status == 200
    assert fetched(newer, "session.env").rest == lines, "the address is the newer session's"
    fetched(newer, name)
    assert state(point, newer) == "LAUNCHED"


S = "0" * 32
HOSTILE: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 0),
    "half a head": (b"POST /session", 0),
    "no HTTP": (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no token": (post(f"/session/{S}/done"), 401),
    "two tokens": (post(f"/session/{S}/done?token=a&token=b"), 401),
    "another path": (post("/"), 404),
    "a path with dots": (post(f"/session/../session/{S}/done"), 404),
    "a path like a host": (post("//["), 404),
    "an absolute path": (post(f"http://pxefast/session/{S}/done"), 400),
    "another deed": (post(f"/session/{S}/clear"), 404),
    "a session in capitals": (post(f"/session/{'A' * 32}/done"), 404),
    "GET": (post(f"/session/{S}/done").replace(b"POST", b"GET"), 405),
    "no host": (f"POST /session/{S}/done HTTP/1.1\r\nContent-Length: 0\r\n\r\n".encode(), 400),
    "two hosts": (post(f"/session/{S}/done", b"", "Host: other"), 400),
    "a page's rebound name": (post(f"/session/{S}/done?token=x", host="evil.example"), 421),
    "another port": (post(f"/session/{S}/done?token=x", host="127.0.0.1:1"), 421),
    "another address": (post(f"/session/{S}/done?token=x", host="127.0.0.2"), 421),
    "an empty host": (post(f"/session/{S}/done?token=x", host=""), 421),
    "two lengths": (post(f"/session/{S}/done", b"", "Content-Length: 5"), 400),
    "a signed length": (post(f"/session/{S}/done").replace(b": 0", b": +0"), 400),
    "a length of letters": (post(f"/session/{S}/done").replace(b": 0", b": 0x0"), 400),
    "a gigabyte": (post(f"/session/{S}/done").replace(b": 0", b": 1073741824") + b"x" * 100_000, 413),
    "chunks": (post(f"/session/{S}/done", b"0\r\n\r\n", "Transfer-Encoding: chunked"), 400),
    "chunks in disguise": (post(f"/session/{S}/done", b"", "Transfer-Encoding : chunked"), 400),
    "a folded header": (post(f"/session/{S}/done", b"", "X: a\r\n b"), 400),
    "a bare line end": (post(f"/session/{S}/done", b"", "X: a\nY: b"), 400),
    "a header without name": (post(f"/session/{S}/done", b"", ": x"), 400),
    "a zero byte": (post(f"/session/{S}/done", b"", "X: a\0b"), 400),
    "a head without end": (post(f"/session/{S}/done", b"", "X: " + "y" * 20_000), 431),
    "a hundred headers": (post(f"/session/{S}/done", b"", *(f"X{n}: y" for n in range(100))), 431),
    "deep JSON": (post(f"/session/{S}/done?token=x", b"[" * 4096), 403),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_request_gets_its_status_and_nothing_else(point: Point, what: str) -> None:
    request, status = HOSTILE[what]
    said = sent(point, request, "127.0.3.9")
    assert said.status == status, said
    if status:
        assert said.body["ok"] is False
        assert "Connection: close" in said.head


def test_a_request_to_a_name_of_this_host_is_answered_with_and_without_the_port(tmp_path: Path) -> None:
    settings = {**LOOPBACK, "report": {"port": 0, "names": ["Deploy.Example.org"]}}
    with Point(tmp_path, settings, FILES, PROGRAMS) as point:
        machine, session = launched(point)
        port = point.service.ports["report"]
        own = socket.gethostname()
        for host in ("localhost", f"LOCALHOST:{port}", f"127.0.0.1:{port}", own, "deploy.example.org."):
            request = post(
                f"/session/{session.id}/started", b"", f"Authorization: Bearer {session.token}", host=host
            )
            assert sent(point, request).status == 200, host
        assert state(point, machine) == "STARTED"
        refused = sent(point, request.replace(b"deploy.", b"other."))
        assert refused.status == 421
        assert "names of [report] in pxefast.toml" in refused.body["error"]
        assert point.service.counters()["report.wrong_host"] == 1


def test_random_bytes_never_end_it(point: Point, seed: int) -> None:
    rng = random.Random(seed)
    good = post(f"/session/{S}/done", b"x" * 20, "X: y")
    for _ in range(150):
        changed = bytearray(good[: rng.randrange(len(good) + 1)])
        for _ in range(rng.randrange(6)):
            if changed:
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        assert sent(point, bytes(changed), f"127.0.3.{rng.randrange(10, 200)}").status in (
            0,
            400,
            401,
            404,
            405,
            413,
            421,
        )
    _, session = launched(point)
    assert report(point, session, "started").status == 200


def test_connections_that_say_nothing_keep_nobody_else_out(point: Point) -> None:
    to = ("127.0.0.1", point.service.ports["report"])
    available = point.machine("available")
    before = point.service.resident_bytes
    with ExitStack() as stack:
        for _ in range(300):
            silent = stack.enter_context(socket.create_connection(to, PATIENCE, ("127.0.4.1", 0)))
            silent.sendall(b"POST /session/")
        _, session = launched(point)
        assert report(point, session, "started").status == 200
        assert available.boot().reply is not None
        assert point.service.resident_bytes - before < 64 << 20


def silent_connections(stack: ExitStack, port: int, addresses: int, each: int) -> None:
    """Connections that send one byte and stay."""
    for number in range(addresses):
        for _ in range(each):
            found = socket.create_connection(("127.0.0.1", port), PATIENCE, (f"127.0.6.{number + 1}", 0))
            stack.enter_context(found).sendall(b"P")


def test_more_idle_connections_than_there_is_room_for_keep_no_honest_machine_out(point: Point) -> None:
    _, session = launched(point)
    before, after = point.service.counters(), len(point.service.events)
    with ExitStack() as stack:
        silent_connections(stack, point.service.ports["report"], addresses=60, each=8)
        for _ in range(20):
            assert report(point, session, "started").status == 200
        # At once, or ten seconds after it was said of others.
        told = point.service.event(
            "service", lambda event: "report port" in event["text"], after=after, seconds=2 * PATIENCE
        )
    assert told["level"] == "warning"
    assert "idle connections were closed for new ones" in told["text"]
    moved_by = {
        name: value - before[name] for name, value in point.service.counters().items() if "report." in name
    }
    assert moved_by["report.idle_closed"] >= 60 * 8 - 256
    assert moved_by["report.connections_refused"] == 0


def test_an_address_that_holds_many_idle_connections_still_reports(point: Point) -> None:
    _, session = launched(point)
    with ExitStack() as stack:
        for _ in range(300):
            to = ("127.0.0.1", point.service.ports["report"])
            stack.enter_context(socket.create_connection(to, PATIENCE, ("127.0.6.200", 0))).sendall(b"P")

        assert report(point, session, "started", address="127.0.6.200").status == 200


@pytest.mark.parametrize("what", [b"", b"P", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_service_that_is_stopped_with_open_connections_prints_nothing_but_events(
    tmp_path: Path, what: bytes
) -> None:
    with Point(tmp_path, files=FILES, programs=PROGRAMS) as point, ExitStack() as stack:
        to = ("127.0.0.1", point.service.ports["report"])
        for _ in range(10):
            stack.enter_context(socket.create_connection(to, PATIENCE)).sendall(what)
        eventually(lambda: point.service.counters()["report.connections"] == 10)
        # Asserts that there was no line but events, and a good end.
        point.service.stop()
        assert not [event for event in point.service.events if event["level"] == "error"]


def test_without_reports_there_is_no_port_and_no_token(tmp_path: Path) -> None:
    with Point(tmp_path, {**LOOPBACK, "report": {"enabled": False}}, FILES, PROGRAMS) as point:
        assert "report" not in point.service.ports
        machine = point.machine()
        machine.boot()
        assert b"PXEFAST_SESSION=" in fetched(machine, "session.env").rest
        assert b"PXEFAST_TOKEN" not in fetched(machine, "session.env").rest
        assert eventually(point.home.status)["problems"] == []
