"""Server CPU seconds per GB: pxefast against dnsmasq, 16 clients at once, block 1456, windows 1, 4, 16, 64.

Runs in a network namespace of its own whose loopback has an MTU of 1500, so that blocks meet what they meet on
Ethernet. dnsmasq knows no windows: its figure is the same load as its clients get it, in lock-step.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLIENTS = 16
FILE_BYTES = 16 << 20
BLOCK = 1456
WINDOWS = (1, 4, 16, 64)
ROUNDS = 3
NAME = "SMSImages/PS100001/image.bin"
TOML = """[listen]
address = "127.0.0.1"
[dhcp]
port = 0
boot_port = 0
[tftp]
port = 1069
[log]
format = "json"
"""


def cpu_seconds(process: int) -> float:
    """Time on a processor of all threads of a process."""
    total = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def load(port: int, window: int) -> int:
    """CLIENTS downloads at once; returns the bytes received, or raises what a client met."""
    from pxefast import _native

    received, failures = [0] * CLIENTS, []

    def client(place: int) -> None:
        try:
            download = _native.Download(
                "127.0.0.1", port, NAME, block_size=BLOCK, window_size=window, keep=False
            )
            while not download.run(60):
                pass
            received[place] = download.received
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(place,)) for place in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    assert received == [FILE_BYTES] * CLIENTS, received
    return sum(received)


@contextmanager
def pxefast(folder: Path) -> Iterator[tuple[int, int]]:
    home = folder / "home"
    tool = [sys.executable, "-m", "pxefast", "--home", str(home)]

    def say(*words: str) -> None:
        subprocess.run([*tool, *words], check=True, capture_output=True)

    say("init", "--site-code", "PS1")
    (home / "pxefast.toml").write_text(TOML)
    say("boot-image", "add", str(folder / "SMSImages" / "PS100001"), "--name", "bench", "--arch", "x64",
        "--boot-program", "uefi=image.bin", "--id", "PS100001")  # fmt: skip
    say("content", "distribute", "PS100001")
    with (folder / "events").open("w") as events:
        service = subprocess.Popen([*tool, "serve"], stdout=subprocess.PIPE, stderr=events, text=True)
    try:
        assert service.stdout is not None
        if service.stdout.readline() != "ready\n":
            raise SystemExit("pxefast did not start:\n" + (folder / "events").read_text())
        yield service.pid, 1069
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(10)


@contextmanager
def dnsmasq(folder: Path) -> Iterator[tuple[int, int]]:
    command = ["dnsmasq", "--keep-in-foreground", "--port=0", "--enable-tftp", f"--tftp-root={folder}",
               "--conf-file=/dev/null", "--user=root", "--listen-address=127.0.0.1", "--bind-interfaces",
               "--tftp-max=1000", f"--pid-file={folder}/dnsmasq.pid", "--log-facility=-"]  # fmt: skip
    with (folder / "dnsmasq.log").open("w") as log:
        server = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        wait_until_served(69)
        yield server.pid, 69
    finally:
        server.terminate()
        server.wait(10)


def wait_until_served(port: int) -> None:
    from pxefast import _native

    for _ in range(50):
        try:
            _native.Download("127.0.0.1", port, NAME, block_size=512, keep=False).run(0.1)
            return
        except OSError as error:
            last = error
    raise last


def measure() -> dict[str, Any]:
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
    figures: dict[str, Any] = {
        "peer": "dnsmasq" if shutil.which("dnsmasq") else None,
        "cpu_seconds_per_gb": {},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        image = folder / "SMSImages" / "PS100001"
        image.mkdir(parents=True)
        (image / "image.bin").write_bytes(hashlib.shake_256(b"bench").digest(FILE_BYTES))
        runs: dict[str, list[float]] = {}

        def sample(name: str, process: int, port: int, window: int) -> None:
            before = cpu_seconds(process)
            moved = load(port, window)
            runs.setdefault(name, []).append((cpu_seconds(process) - before) / (moved / 1e9))

        with pxefast(folder) as ours:
            if figures["peer"]:
                with dnsmasq(folder) as peer:
                    for _ in range(ROUNDS):
                        for window in WINDOWS:
                            sample(f"pxefast window {window}", *ours, window)
                        sample("dnsmasq", *peer, 64)
            else:
                for _ in range(ROUNDS):
                    for window in WINDOWS:
                        sample(f"pxefast window {window}", *ours, window)
    for name, values in runs.items():
        figures["cpu_seconds_per_gb"][name] = {
            "median": statistics.median(values), "lowest": min(values), "highest": max(values)
        }  # fmt: skip
    return figures


def run() -> dict[str, Any]:
    own_namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    done = subprocess.run(
        [*own_namespace, sys.executable, __file__], check=True, stdout=subprocess.PIPE, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    measured = figures["cpu_seconds_per_gb"]
    peer = measured.get("dnsmasq", {}).get("median")
    for name, value in measured.items():
        ratio = f"{value['median'] / peer:>8.2f} x dnsmasq's" if peer else "   (no dnsmasq here)"
        spread = f"({value['lowest']:.2f} to {value['highest']:.2f})"
        print(f"  {name:<20}{value['median']:>7.2f} CPU s/GB {spread:<16}{ratio}")
    if peer:
        figures["ratio"] = {
            name: value["median"] / peer for name, value in measured.items() if name != "dnsmasq"
        }
    return figures


if __name__ == "__main__":
    print(json.dumps(measure()))
