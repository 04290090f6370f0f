"""`pxefast demo`: a whole boot on loopback, without root, and why there is no second one."""

from __future__ import annotations

import hashlib
import io
import json
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pxefast.errors import PxefastError

_MAC = "02:00:00:50:58:45"
_GUID = "8a9f841d-4d9f-5e53-a833-734a9fbf87b5"
_IMAGE_BYTES = 64 << 20
_PROGRAM = "boot.efi"
_PATIENCE_SECONDS = 3.0
_SILENCE_SECONDS = 1.0
_TRIES = 4


def demo() -> None:
    """Boot an imaginary machine on loopback, without root, and say why once only."""
    with tempfile.TemporaryDirectory(prefix="pxefast-demo-") as folder:
        _demo(Path(folder))


def _demo(folder: Path) -> None:
    home, events = folder / "home", _Events()
    with _step("make a site, a boot image of 64 MiB, a device and a required deployment"):
        digest = _make_site(home, folder / "image")
    with _service(home, events) as ports:
        print(f"\nthe service is ready on loopback: {ports}\n\nfirst boot of {_MAC}")
        file = _boot(_Machine(ports, xid=0x1001))
        events.explain("request", "boot")
        environment = _session(ports["tftp"])
        _fetch(ports["tftp"], file, digest)
        launched = events.newest("launch")
        print(f"  ok  its last byte left once the ledger said so: {launched['result']}")
        with _step("report over HTTP, as the boot environment does: started, done"):
            for kind in ("started", "done"):
                _report(environment, kind)
        print(f"\nsecond boot of {_MAC}")
        _refused(_Machine(ports, xid=0x2002), events)
        print("\nan operator says: pxefast deployment clear --device demo01 --yes")
        with _step("clear it"):
            _clear(home)
        print(f"\nthird boot of {_MAC}")
        _boot(_Machine(ports, xid=0x3003))


def _boot(machine: _Machine) -> str:
    """Discover and request; the boot file that is named."""
    file = b""
    for question, door, kind in (("who serves PXE here?", "dhcp", 1), ("what shall I boot?", "boot", 3)):
        with _step(f"{'discover' if kind == 1 else 'request'}: {question}"):
            # As firmware does: ask again when nothing comes.
            answers = (machine.ask(door, kind, _SILENCE_SECONDS) for _ in range(_TRIES))
            answer = next(filter(None, answers), None)
            if answer is None:
                raise PxefastError("no answer came")
            file = answer.file
    return file.decode()


def _refused(machine: _Machine, events: _Events) -> None:
    with _step("discover: who serves PXE here?"):
        if machine.ask("dhcp", 1, _SILENCE_SECONDS) is not None:
            raise PxefastError("a second offer was made; that must never happen")
    print("      no offer, and this is why:")
    events.explain("discover", "ignore")


def _session(port: int) -> dict[str, str]:
    """The session.env that lies beside the boot file."""
    from pxefast import _native

    download = _native.Download("127.0.0.1", port, "session.env")
    download.run(_PATIENCE_SECONDS)
    return dict(line.split("=", 1) for line in download.data.decode().splitlines())


def _report(environment: dict[str, str], kind: str) -> None:
    from urllib.request import Request, urlopen

    url = f"{environment['PXEFAST_REPORT_URL']}/{kind}"
    headers = {"Authorization": f"Bearer {environment['PXEFAST_TOKEN']}"}
    with urlopen(Request(url, b"", headers), timeout=_PATIENCE_SECONDS) as answer:
        answer.read()


def _clear(home: Path) -> None:
    from pxefast.site.cases import Cases
    from pxefast.site.store import Store

    with Store.open(home / "site.db") as store:
        Cases(store).clear_device("demo01", every=True)


@contextmanager
def _step(text: str) -> Iterator[None]:
    """Says what is done, and on a terminal that it is being done."""
    live = sys.stdout.isatty()
    if live:
        print(f"  ... {text}", end="", flush=True)
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print(f"\n  failed: {text}" if live else f"  failed: {text}")
        raise
    print(f"{chr(13) if live else ''}  ok  {text} ({time.monotonic() - began:.2f} s)", flush=True)


def _make_site(home: Path, image: Path) -> str:
    from pxefast.cli.distribution import Distribution
    from pxefast.config import Settings, default_text
    from pxefast.content.library import Library
    from pxefast.site.devices import NewDevice
    from pxefast.site.store import Store

    home.mkdir()
    image.mkdir()
    content = random.Random(1).randbytes(_IMAGE_BYTES)
    (image / _PROGRAM).write_bytes(content)
    (home / "pxefast.toml").write_text(default_text(), encoding="utf-8")
    library = Library.create(home / "content")
    with Store.create(home / "site.db", "PS1") as store:
        added = store.boot_images.add("demo", "x64", image, {"uefi": _PROGRAM})
        distribution = Distribution(store, library, Settings(), home)
        version, _ = distribution.package(added)
        store.contents.distribute(version, [store.point])
        distribution.bring(added.id)
        store.devices.add(NewDevice("demo01", (_MAC,), _GUID))
        store.collections.create("demo machines")
        store.collections.add("demo machines", ["demo01"])
        sequence = store.task_sequences.create("install", added.id)
        store.deployments.create(sequence.id, "demo machines", "required", "media-pxe")
        store.dps.set(enable_pxe=True, allow_pxe_response=True)
    return hashlib.sha256(content).hexdigest()


@contextmanager
def _service(home: Path, events: _Events) -> Iterator[dict[str, int]]:
    from pxefast.config import Dhcp, Listen, Log, Report, Settings, Tftp
    from pxefast.content.library import Library
    from pxefast.responder.service import Service
    from pxefast.site.store import Store

    settings = Settings(
        listen=Listen(address="127.0.0.1"),  # type: ignore[arg-type]  # parsed by the model
        dhcp=Dhcp(port=0, boot_port=0),
        tftp=Tftp(port=0),
        report=Report(port=0),
        log=Log(format="json"),
    )
    with Store.open(home / "site.db") as store:
        service = Service(home, settings, store, Library(home / "content"), events)
        ready = threading.Event()
        thread = threading.Thread(target=service.run, args=(ready.set,))
        thread.start()
        ready.wait(_PATIENCE_SECONDS)
        try:
            yield service.ports
        finally:
            service.stop()
            thread.join()


def _fetch(port: int, file: str, digest: str) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from pxefast import _native

    download = _native.Download("127.0.0.1", port, file, block_size=1468, window_size=16)
    columns = (TextColumn("  ...  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    began = time.monotonic()
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(file, total=_IMAGE_BYTES)
        while not download.run(0.1):
            progress.update(task, completed=download.received)
    seconds = time.monotonic() - began
    if hashlib.sha256(download.data).hexdigest() != digest:
        raise PxefastError(f"{file} arrived with other bytes than were published")
    rate = download.received / seconds / 1e6
    print(
        f"  ok  {file}: {download.received:,} bytes by TFTP, window 16, {rate:.0f} MB/s, SHA-256 as published"
    )


class _Machine:
    """A UEFI x64 client with one transaction, as EDK2 asks (firmware observed: E-F2, E-F3)."""

    def __init__(self, ports: dict[str, int], xid: int) -> None:
        self._ports = ports
        self._xid = xid

    def ask(self, door: str, message_type: int, patience: float = _PATIENCE_SECONDS) -> Any:
        from pxefast import _native

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind(("127.0.0.1", 0))
            client.settimeout(patience)
            client.sendto(self._packet(message_type), ("127.0.0.1", self._ports[door]))
            try:
                return _native.parse_dhcp(client.recv(2048))
            except TimeoutError:
                return None

    def _packet(self, message_type: int) -> bytes:
        mac = bytes.fromhex(_MAC.replace(":", ""))
        head = (
            struct.pack("!BBBBIHH16x", 1, 1, 6, 0, self._xid, 0, 0x8000) + mac.ljust(16, b"\0") + bytes(192)
        )
        guid = bytes.fromhex(_GUID.replace("-", ""))
        wire_guid = guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]
        options = {
            53: bytes([message_type]),
            60: b"PXEClient:Arch:00007:UNDI:003000",
            93: b"\0\x07",
            94: b"\x01\x03\0",
            97: b"\0" + wire_guid,
        }
        return (
            head
            + b"\x63\x82\x53\x63"
            + b"".join(bytes([code, len(value)]) + value for code, value in options.items())
            + b"\xff"
        )


class _Events(io.StringIO):
    """The service's events, kept to be told."""

    def explain(self, door: str, action: str) -> None:
        """Print the reasons of the newest request of this kind."""
        event = self.newest("request", door=door, action=action)
        for number, reason in enumerate(event["reasons"], start=1):
            print(f"      {number}. {reason['text']}  [{reason['rule']}]")

    def newest(self, kind: str, **values: str) -> dict[str, Any]:
        """The newest event of a kind with these values, which may be on its way."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            for line in reversed(self.getvalue().splitlines()):
                event: dict[str, Any] = json.loads(line)
                if event["event"] == kind and values.items() <= event.items():
                    return event
            time.sleep(0.01)
        raise PxefastError(f"the service told no {kind}:\n{self.getvalue()}")
