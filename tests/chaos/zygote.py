"""One process that has imported everything, and forks a `pxefast` a life: a start takes milliseconds.

The process runs `serve_forks`; the tests talk to it through `Zygote`. It forks before any thread exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).parents[2]


class Zygote:
    """Forks `pxefast ARGUMENTS`; in the network namespace, and with the libraries, that it was made with."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.zygote", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PXEFAST_FAIL": "", **(environment or {})},
            )
        assert self._receive() == "ready"
        self._lives: list[Life] = []

    def _receive(self) -> Any:
        return json.loads(self._socket.recv(65536))

    def fork(
        self, arguments: Sequence[str], log: Path, fail: str = "", patches: str = "", seed: int = 0
    ) -> Life:
        """Run a command; its errors are appended to `log`, its output is the life's."""
        readable, writable = os.pipe()
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            order = {"run": list(arguments), "fail": fail, "patches": patches, "seed": seed}
            socket.send_fds(self._socket, [json.dumps(order).encode()], [writable, errors])
            life = Life(self, self._receive(), readable)
            self._lives.append(life)
            return life
        finally:
            os.close(writable)
            os.close(errors)

    def reap(self, pid: int) -> int:
        """The exit code of a process that has ended or is about to; negative: the signal."""
        self._socket.send(json.dumps({"reap": pid}).encode())
        code = self._receive()
        assert isinstance(code, int)
        return code

    async def kill_all(self) -> None:
        """End whatever a test that failed left behind."""
        for life in self._lives:
            await life.end(signal.SIGKILL)
        self._lives.clear()

    def close(self) -> None:
        """End it. Whatever it forked ends with it."""
        self._socket.close()
        self._process.wait(10)


class Life:
    """One forked process. `dead` is done when it has ended: its result is the exit code."""

    def __init__(self, zygote: Zygote, pid: int, readable: int) -> None:
        self.pid = pid
        self.output = b""
        self._zygote, self._readable = zygote, readable
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[bool] = self._loop.create_future()
        self.dead: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(readable, self._read)

    def _read(self) -> None:
        piece = os.read(self._readable, 65536)
        self.output += piece
        if not self.ready.done() and (b"ready\n" in self.output or not piece):
            self.ready.set_result(bool(piece))
        if not piece:
            self._loop.remove_reader(self._readable)
            os.close(self._readable)
            self.dead.set_result(self._zygote.reap(self.pid))

    def send(self, number: signal.Signals) -> None:
        if not self.dead.done():
            os.kill(self.pid, number)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; after ten seconds it is killed."""
        self.send(number)
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(asyncio.shield(self.dead), 10)
        self.send(signal.SIGKILL)
        return await self.dead


def serve_forks(control: socket.socket) -> None:
    """Obey until the other end is closed."""
    control.send(json.dumps("ready").encode())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 65536, 2)
        if not message:
            return
        order = json.loads(message)
        if "reap" in order:
            _, status = os.waitpid(order["reap"], 0)
            control.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())
            continue
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            control.close()
            _live(order, descriptors, zygote)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(json.dumps(pid).encode())


def _live(order: dict[str, Any], descriptors: Sequence[int], zygote: int) -> None:
    """Become the command; does not return."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        os._exit(1)
    for descriptor, number in zip(descriptors, (1, 2), strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    code = 70
    try:
        from pxefast.cli import main

        from . import broken, failpoints

        random.seed(order["seed"] ^ os.getpid())
        failpoints.install(order["fail"])
        broken.install(order["patches"])
        code = main(order["run"])
        sys.stdout.flush()
    except BaseException as error:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _import_everything() -> None:
    """What `serve` and the other commands would import, so that a life need not."""
    import importlib
    import pkgutil

    import psycopg  # noqa: F401
    import pxefast

    for module in pkgutil.walk_packages(pxefast.__path__, "pxefast."):
        if ".migrations." not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


if __name__ == "__main__":
    _import_everything()
    serve_forks(socket.socket(fileno=int(sys.argv[1])))
