"""What is packaged beside the program: units that systemd takes, and that leave the service no privilege."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from pxefast.config import Settings, Tftp

UNITS = Path(__file__).parent.parent / "packaging" / "systemd"


def analyze(folder: Path, *arguments: str) -> str:
    """systemd-analyze of the units, with a program in them that is there."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    for unit in UNITS.iterdir():
        (folder / unit.name).write_text(unit.read_text().replace("/usr/bin/pxefast", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "--offline=yes", *arguments] if arguments[0] == "security" else
        ["systemd-analyze", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def units(suffix: str) -> dict[str, configparser.RawConfigParser]:
    found = {}
    for file in UNITS.glob(f"*{suffix}"):
        # A unit may say a key twice.
        unit = configparser.RawConfigParser(strict=False, comment_prefixes="#")
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read(file)
        found[file.name] = unit
    return found


def test_systemd_takes_every_unit_without_a_word(tmp_path: Path) -> None:
    told = analyze(tmp_path, "verify", *(str(tmp_path / unit.name) for unit in UNITS.glob("pxefast*.*") if unit.suffix in (".service", ".socket")))  # fmt: skip # noqa: E501
    assert "pxefast" not in told, told


def test_the_service_is_as_confined_as_promised(tmp_path: Path) -> None:
    # The exposure level, times ten.
    analyze(tmp_path, "security", "--threshold=20", str(tmp_path / "pxefast.service"))
    service = units(".service")["pxefast.service"]["Service"]
    assert (service["CapabilityBoundingSet"], service["AmbientCapabilities"]) == ("", "")
    assert service["NoNewPrivileges"] == "yes"


def test_systemd_opens_the_ports_of_the_default_settings_by_the_names_that_the_service_knows() -> None:
    settings = Settings()
    ports = {"dhcp": settings.dhcp.port, "boot": settings.dhcp.boot_port, "tftp": settings.tftp.port}
    sockets = units(".socket")
    found = {
        unit["Socket"]["FileDescriptorName"]: unit["Socket"]["ListenDatagram"] for unit in sockets.values()
    }
    assert found == {name: f"{settings.listen.address}:{port}" for name, port in ports.items()}
    assert set(units(".service")["pxefast.service"]["Service"]["Sockets"].split()) == set(sockets)


def test_systemd_waits_longer_for_the_end_than_transfers_may_take() -> None:
    service = units(".service")["pxefast.service"]["Service"]
    assert int(service["TimeoutStopSec"]) > Tftp().drain_seconds
