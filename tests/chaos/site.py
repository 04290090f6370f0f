"""A site whose machines all have one required deployment, made by the commands that its operator would type."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from ..loopback.home import Home, Sections, write_files
from .database import Database
from .machine import GOOD, Machine

# The last byte of the launch file is in no other file, and nowhere else in it (sniffer).
LAUNCH_FILE, PROGRAM = "launch.bin", "boot.efi"
FILES = {PROGRAM: b"a boot program\n" * 100, LAUNCH_FILE: b"does all the work\n" * 400 + b"\xff"}


@dataclass
class Point:
    """One distribution point: its home, and the address that it listens on."""

    home: Home
    address: str


class ChaosSite:
    """`addresses` of its distribution points; more than one need a PostgreSQL `url`. Machines have numbers from 1."""

    def __init__(
        self, folder: Path, addresses: Sequence[str], machines: int, url: str | None = None,
        session_seconds: int = 900,
    ) -> None:  # fmt: skip
        self.folder = folder
        image_folder = write_files(folder / "image", FILES)
        self.points: list[Point] = []
        for number, address in enumerate(addresses, start=1):
            settings = _settings(address, url, number, session_seconds)
            made = ["--database", url, "--dp", f"dp{number}"] if url else []
            self.points.append(Point(Home(folder / f"home{number}", settings, made), address))
        self.home = self.points[0].home
        self.database = Database(url or self.home.database)
        for point in self.points:
            point.home.answer()
        image = self.home.run("boot-image", "add", str(image_folder), "--name", "work", "--arch", "x64",
                              "--boot-program", f"uefi={PROGRAM}", "--launch-file", LAUNCH_FILE, "--quiet")  # fmt: skip
        for point in self.points:
            point.home.run("content", "distribute", image)
        self.home.run("setting", "set", "budget_claims", str(1000 * machines))
        numbers = range(1, machines + 1)
        known = [machine(number, []) for number in numbers]
        listed = folder / "devices.csv"
        listed.write_text("name,mac,smbios-guid\n" + "".join(f"{m.name},{m.mac},{m.guid}\n" for m in known))
        self.home.run("device", "import-csv", str(listed))
        self._deploy(image, [m.name for m in known])

    def _deploy(self, image: str, devices: Sequence[str]) -> None:
        """As an operator who reads what is asked, and says yes to that list."""
        sequence = self.task_sequence = self.home.run(
            "task-sequence", "create", "--name", "work", "--boot-image", image, "--quiet"
        )
        self.home.run("collection", "create", "all of them")
        self.home.run("collection", "add", "all of them", *devices)
        wanted = ["deployment", "create", "--task-sequence", sequence, "--collection", "all of them",
                  "--purpose", "required", "--make-available-to", "media-pxe", "--quiet"]  # fmt: skip
        outcome = self.home.command(*wanted)
        if confirm := re.search(r"--confirm ([0-9a-f]{12})", outcome.error):
            assert f"{len(devices)} " in outcome.error
            self.home.run(*wanted, "--confirm", confirm[1])
        else:
            assert outcome.code == 0, outcome

    def save(self) -> Path | str:
        """A backup of the database, while no service runs: a file, or the name of a PostgreSQL database."""
        self.database.close()
        if isinstance(self.database.place, Path):
            backup = self.folder / "backup.db"
            backup.unlink(missing_ok=True)
            with closing(sqlite3.connect(self.database.place)) as source:
                source.execute("VACUUM INTO ?", (str(backup),))
            return backup
        return self._copy(self._name, "backup")

    def restore(self, backup: Path | str) -> None:
        """Put a backup in the database's place."""
        self.database.close()
        if isinstance(self.database.place, Path):
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.database.place}{suffix}").unlink(missing_ok=True)
            shutil.copyfile(str(backup), self.database.place)
        else:
            self._copy(str(backup), self._name)

    @property
    def _name(self) -> str:
        return urlsplit(str(self.database.place)).path[1:]

    def _copy(self, name: str, to: str) -> str:
        url = str(self.database.place).replace(f"/{self._name}?", "/postgres?")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {to}".encode())
            connection.execute(f"CREATE DATABASE {to} TEMPLATE {name}".encode())
        return to

    @property
    def addresses(self) -> list[str]:
        return [point.address for point in self.points]


def machine(number: int, servers: Sequence[str], **more: object) -> Machine:
    """A machine of a site by its number; numbers make all of its identity."""
    known = {"network": GOOD, "numbers": random.Random(number), **more}
    return Machine(number, servers, LAUNCH_FILE, **known)  # type: ignore[arg-type]


def _settings(address: str, url: str | None, number: int, session_seconds: int) -> Sections:
    database: dict[str, object] = {"busy_seconds": 5}
    sections: dict[str, dict[str, object]] = {
        "listen": {"address": address},
        "tftp": {
            # A machine that is switched off in the middle is not waited for.
            "drain_seconds": 0,
            "retransmit_milliseconds": 50,
            "requests_per_second_per_client": 10000,
            "request_burst_per_client": 10000,
            "max_transfers_per_client": 4096,
        },
        "log": {"format": "json"},
        "report": {"address": address},
        "session": {"seconds": session_seconds},
        "database": database,
    }
    if url:
        database["url"] = url
        sections["point"] = {"name": f"dp{number}"}
    return sections
