"""A site whose machines all have one required deployment, made by the commands that its operator would type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..loopback.home import Home, Sections, write_files
from .database import Database
from .machine import Machine

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

    def __init__(self, folder: Path, addresses: Sequence[str], machines: int, url: str | None = None) -> None:
        self.folder = folder
        image_folder = write_files(folder / "image", FILES)
        self.points: list[Point] = []
        for number, address in enumerate(addresses, start=1):
            settings = _settings(address, url, number)
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
        self.home.run("setting", "set", "confirm_above", "100000")
        self.home.run("setting", "set", "budget_claims", "0")
        numbers = range(1, machines + 1)
        known = [machine(number, []) for number in numbers]
        listed = folder / "devices.csv"
        listed.write_text("name,mac,smbios-guid\n" + "".join(f"{m.name},{m.mac},{m.guid}\n" for m in known))
        self.home.run("device", "import-csv", str(listed))
        self.deployment = self.home.deploy(image, [m.name for m in known]).id

    @property
    def addresses(self) -> list[str]:
        return [point.address for point in self.points]


def machine(number: int, servers: Sequence[str], **more: object) -> Machine:
    """A machine of a site by its number; numbers make all of its identity."""
    import random

    from .machine import GOOD

    known = {"network": GOOD, "numbers": random.Random(number), **more}
    return Machine(number, servers, LAUNCH_FILE, **known)  # type: ignore[arg-type]


def _settings(address: str, url: str | None, number: int) -> Sections:
    database: dict[str, object] = {"busy_seconds": 5}
    sections: dict[str, dict[str, object]] = {
        "listen": {"address": address},
        "tftp": {
            "retransmit_milliseconds": 50,
            "requests_per_second_per_client": 10000,
            "request_burst_per_client": 10000,
            "max_transfers_per_client": 4096,
        },
        "log": {"format": "json"},
        "report": {"address": address},
        "database": database,
    }
    if url:
        database["url"] = url
        sections["point"] = {"name": f"dp{number}"}
    return sections
