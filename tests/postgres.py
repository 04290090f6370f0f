"""A PostgreSQL server of the tests' own, that can be stopped, killed and started again. Never as root: it refuses."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path

USER = "pxefast"
PASSWORD = "correct-horse"
_READY = b"database system is ready to accept connections"
_PATIENCE_SECONDS = 60
_ROOM_BYTES = 2 << 30


def binaries() -> Path | None:
    """The folder of the newest server's programs; None if there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    there = shutil.which("initdb")
    return None if there is None else Path(there).resolve().parent


def _roomiest() -> str:
    """A folder in memory, else on disk. Both names are short: a Unix socket's path is."""
    memory = "/dev/shm"
    try:
        return memory if shutil.disk_usage(memory).free > _ROOM_BYTES else "/tmp"
    except OSError:
        return "/tmp"


class Postgres:
    """One server in a temporary folder, on a Unix socket and on a free loopback port, with fsync.

    Its files are in `folder`, by default in memory where there is room: what the tests take from a server is its
    processes, never its power.
    Over TCP the user needs PASSWORD, over the socket none. Use it in a `with`.
    """

    def __init__(self, programs: Path, settings: Sequence[str] = (), folder: str = "") -> None:
        self._programs = programs
        self._settings = settings
        self._number = count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="pxefast-pg-", dir=folder or _roomiest()))
        self.log: list[str] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._as: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run(
            "initdb", "--pgdata", str(self.data), "--username", USER, "--auth-local=trust", "--auth-host=scram-sha-256",
            "--encoding=UTF8", "--locale=C.UTF-8", f"--pwfile={self._password_file()}", "--no-instructions",
        )  # fmt: skip

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _password_file(self) -> Path:
        file = self.folder / "password"
        file.write_text(PASSWORD)
        return file

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as, str(self._programs / program), *arguments], check=True, capture_output=True, cwd="/"
        )

    def url(self, database: str = "postgres") -> str:
        """Over TCP, with the password."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """Over the Unix socket."""
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def fresh(self, template: str = "template1") -> str:
        """The URL of a new database: empty, or a copy of one that nobody uses now."""
        name = f"test{next(self._number)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database of `fresh`, whoever uses it."""
        self.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """A statement by itself; its rows, where it has some."""
        import psycopg

        with psycopg.connect(self.socket_url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, also after a kill, and wait until it answers."""
        for _ in range(_PATIENCE_SECONDS):
            if self._started():
                return
        raise AssertionError("\n".join(self.log[-20:]))

    def _started(self) -> bool:
        settings = ("fsync=on", f"port={self.port}", "listen_addresses=127.0.0.1", *self._settings)
        process = subprocess.Popen(
            [
                *self._as, str(self._programs / "postgres"), "-D", str(self.data), "-k", str(self.folder),
                *(part for setting in settings for part in ("-c", setting)),
            ],
            stderr=subprocess.PIPE, cwd="/", env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
        self._process = process
        ready, over = threading.Event(), threading.Event()

        def read() -> None:
            assert process.stderr is not None
            with process.stderr:
                for line in process.stderr:
                    self.log.append(line.decode(errors="replace").rstrip())
                    if _READY in line:
                        ready.set()
                        over.set()
            over.set()

        self._reader = threading.Thread(target=read)
        self._reader.start()
        over.wait(_PATIENCE_SECONDS)
        if ready.is_set():
            return True
        # What a killed server left may still hold its memory: it takes a moment to go.
        process.kill()
        process.wait()
        self._reader.join(_PATIENCE_SECONDS)
        return False

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT fast, SIGQUIT at once as a crash does, SIGTERM when all clients have gone."""
        if self._process is not None:
            os.kill(self._process.pid, how)
            self._process.wait(_PATIENCE_SECONDS)
            self._reader.join(_PATIENCE_SECONDS)
            self._process = None

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)
