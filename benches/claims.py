"""Required claims a second, from the question on port 4011 to the answer that names a boot file: durable against not.

The peer is the same service whose database and journal do not wait for the disk. Both run at once, and are asked in
turns; each machine is asked for once. SQLite, and PostgreSQL where its programs are installed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROUNDS = 9
MACHINES = 1500  # a round
AT_ONCE = 64
ADDRESS = "127.0.0.1"
IP_PKTINFO = 8  # Linux; the socket module has no name for it

# pxefast whose data is not flushed.
FORGETFUL = """
import os
from sqlalchemy import Engine, event
from pxefast.cli import main
from pxefast.site import engines
from pxefast.site.store import Store
os.fsync = os.fdatasync = lambda descriptor: None
Store.check = lambda *arguments: []
prepare = engines._prepare
def forget(connection, record):
    prepare(connection, record)  # asks for synchronous=FULL
    connection.execute("PRAGMA synchronous = OFF")
engines._prepare = forget
@event.listens_for(Engine, "connect")
def connected(connection, _):
    if hasattr(connection, "pgconn"):
        connection.execute("SET synchronous_commit = off")
        connection.commit()
raise SystemExit(main())
"""


class Point:
    """A service with MACHINES * ROUNDS machines that a required deployment waits for."""

    def __init__(self, folder: Path, program: list[str], url: str | None) -> None:
        self.folder, self._program = folder, program
        self._home = folder / "home"
        self._next = 1
        self._run("init", "--site-code", "PS1", *(["--database", url, "--dp", "bench"] if url else []))
        database = f'[database]\nurl = "{url}"\n[point]\nname = "bench"\n' if url else ""
        (self._home / "pxefast.toml").write_text(
            f'[listen]\naddress = "{ADDRESS}"\n[dhcp]\nport = 0\nboot_port = 0\n[tftp]\nport = 0\n'
            f'[report]\nenabled = false\n[log]\nlevel = "warning"\nformat = "json"\n{database}'
        )
        self._run("dp", "set", "--enable-pxe", "--allow-pxe-response")
        image = folder / "image"
        image.mkdir()
        (image / "boot.efi").write_bytes(b"a boot program")
        number = self._run("boot-image", "add", str(image), "--name", "bench", "--arch", "x64",
                           "--boot-program", "uefi=boot.efi", "--quiet")  # fmt: skip
        self._run("content", "distribute", number)
        machines = MACHINES * ROUNDS
        self._run("setting", "set", "budget_claims", "0")
        self._run("setting", "set", "confirm_above", str(machines))
        listed = folder / "devices.csv"
        listed.write_text("".join(f"m{n},{mac(n).hex(':')},{guid(n)}\n" for n in range(1, machines + 1)))
        self._run("device", "import-csv", str(listed))
        self._run("collection", "create", "all")
        for first in range(1, machines + 1, 1000):
            last = min(first + 1000, machines + 1)
            self._run("collection", "add", "all", *(f"m{n}" for n in range(first, last)))
        sequence = self._run("task-sequence", "create", "--name", "bench", "--boot-image", number, "--quiet")
        self._run("deployment", "create", "--task-sequence", sequence, "--collection", "all",
                  "--purpose", "required", "--make-available-to", "media-pxe", "--quiet")  # fmt: skip

    def _run(self, *words: str) -> str:
        command = [sys.executable, "-m", "pxefast", "--home", str(self._home), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(words[:3])}: {done.stderr}")
        return done.stdout.strip()

    @contextmanager
    def serving(self) -> Iterator[None]:
        with (self.folder / "events").open("w") as events:
            service = subprocess.Popen(
                [sys.executable, *self._program, "--home", str(self._home), "serve"],
                stdout=subprocess.PIPE, stderr=events, text=True,
            )  # fmt: skip
        try:
            assert service.stdout is not None
            if service.stdout.readline() != "ready\n":
                raise SystemExit("pxefast did not start:\n" + (self.folder / "events").read_text())
            self._port = json.loads(self._run("status", "--json"))["ports"]["boot"]
            yield
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(10)

    def claims_a_second(self) -> float:
        """One round: every question of it answered with a boot file, AT_ONCE of them under way at any time."""
        first, self._next = self._next, self._next + MACHINES
        waiting = iter(range(first, first + MACHINES))
        asked: dict[bytes, int] = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            sock.bind(("0.0.0.0", 0))
            sock.settimeout(2)
            began = time.perf_counter()
            for _, number in zip(range(AT_ONCE), waiting, strict=False):
                self._ask(sock, number, asked)
            answered = 0
            while answered < MACHINES:
                try:
                    reply = sock.recv(2048)
                except TimeoutError:
                    for number in list(asked.values()):
                        self._ask(sock, number, asked)
                    continue
                if asked.pop(reply[28:34], None) is None:
                    continue
                assert reply[108:109] != b"\0", "no boot file"
                answered += 1
                if (number := next(waiting, 0)) != 0:
                    self._ask(sock, number, asked)
            return MACHINES / (time.perf_counter() - began)

    def _ask(self, sock: socket.socket, number: int, asked: dict[bytes, int]) -> None:
        asked[mac(number)] = number
        # Each machine at an address of its own.
        source = struct.pack("=I4s4s", 0, address(number), bytes(4))
        sock.sendmsg([question(number)], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, (ADDRESS, self._port))


def mac(number: int) -> bytes:
    return b"\x02\x00" + number.to_bytes(4)


def guid(number: int) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


def address(number: int) -> bytes:
    return b"\x7f\x01" + number.to_bytes(2)


def question(number: int) -> bytes:
    """What EDK2 asks on port 4011."""
    options = (
        b"\x35\x01\x03\x3c\x20PXEClient:Arch:00007:UNDI:003000\x5d\x02\x00\x07\x5e\x03\x01\x03\x00"
        b"\x61\x11\x00" + guid(number).bytes_le + b"\xff"
    )  # fmt: skip
    header = struct.pack("!BBBBIHH", 1, 1, 6, 0, number, 0, 0) + address(number) + bytes(12)
    return header + mac(number).ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63" + options


def measure(folder: Path, urls: tuple[str, str] | None) -> dict[str, Any]:
    durable = Point(make(folder / "durable"), ["-m", "pxefast"], urls[0] if urls else None)
    forgetful = Point(make(folder / "forgetful"), ["-c", FORGETFUL], urls[1] if urls else None)
    rates: dict[str, list[float]] = {"durable": [], "not durable": []}
    with durable.serving(), forgetful.serving():
        turns = [("durable", durable), ("not durable", forgetful)]
        for _ in range(ROUNDS):
            for name, point in turns:
                rates[name].append(point.claims_a_second())
            # Whoever was second is first next time: what a round leaves behind falls on both.
            turns.reverse()
    pairs = zip(rates["durable"], rates["not durable"], strict=True)
    rates["ratio"] = [one / other for one, other in pairs]
    return {
        name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for name, values in rates.items()
    }


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def run() -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.postgres import Postgres, binaries

    figures: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    print(f"  load average before: {figures['load_average']:.2f}")
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        stores: dict[str, tuple[str, str] | None] = {"SQLite": None}
        programs = binaries()
        if programs is None:
            print("  PostgreSQL: not installed here")
        else:
            server = stack.enter_context(Postgres(programs, folder=tempfile.gettempdir()))
            stores["PostgreSQL"] = (named(server), named(server))
        for store, urls in stores.items():
            measured = measure(Path(temporary) / store, urls)
            for name, value in measured.items():
                unit, digits = ("of pairs", 2) if name == "ratio" else ("claims/s", 0)
                print(
                    f"  {store:<11}{name:<13}{value['median']:>7.{digits}f} {unit} "
                    f"({value['lowest']:.{digits}f} to {value['highest']:.{digits}f})"
                )
            figures[store] = measured
    return figures


def named(server: Any) -> str:
    """A new database's URL."""
    return str(server.socket_url(server.fresh().rsplit("/", 1)[1]))


if __name__ == "__main__":
    run()
