"""Other people's servers, brought into a cache folder outside the repository; nothing is installed on the system.

`make bench-peers`. What cannot be had is said, and its rows stay empty.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pxefast-bench"
DEBIAN = CACHE / "debian"  # the two conflict with each other, so they are unpacked, not installed
PYTHON = CACHE / "python"
CARGO = CACHE / "cargo"


class AbsentError(Exception):
    """A server that cannot run here, and what to do about it."""


def program(name: str, package: str) -> str:
    """The path of a Debian package's program."""
    here = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:{DEBIAN}/usr/sbin")
    if here is None:
        raise AbsentError(f"{package} is not here: make bench-peers, or apt-get install {package}")
    return here


def environment() -> dict[str, str]:
    """In which programs of [DEBIAN] find their libraries."""
    folders = [str(folder) for folder in DEBIAN.glob("usr/lib/*-linux-gnu")]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(folders)} if folders else dict(os.environ)


def python(package: str) -> str:
    """The interpreter that has this package of PyPI."""
    interpreter = PYTHON / "bin" / "python"
    if not interpreter.exists():
        raise AbsentError(f"{package} is not here: make bench-peers")
    tried = subprocess.run(
        [interpreter, "-c", f"import {package}"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        raise AbsentError(f"{package} does not run on this Python: {tried.stderr.strip().splitlines()[-1]}")
    return str(interpreter)


def crate(name: str) -> str:
    """The path of a crate's program."""
    if not (CARGO / "bin" / name).exists():
        raise AbsentError(f"the crate {name} is not here: make bench-peers")
    return str(CARGO / "bin" / name)


def _debian() -> None:
    wanted = [
        name for name in ("in.tftpd", "atftpd") if not shutil.which(name, path=f"/usr/sbin:{DEBIAN}/usr/sbin")
    ]
    if wanted:
        DEBIAN.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["apt-get", "download", "-qq", "tftpd-hpa", "atftpd", "libwrap0"], cwd=DEBIAN, check=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for package in DEBIAN.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, DEBIAN], check=True)


def _python() -> None:
    if not (PYTHON / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", PYTHON], check=True)
        subprocess.run(
            [PYTHON / "bin" / "python", "-m", "pip", "install", "-q", "fbtftp==0.5", "tftpy==0.8.7"],
            check=True,
        )
        (PYTHON / "complete").touch()


def _crate() -> None:
    if not (CARGO / "bin" / "tftpd").exists():
        subprocess.run(["cargo", "install", "-q", "--locked", "--root", CARGO, "tftpd@1.0.0"], check=True)


def fetch() -> None:
    """Brings what is not there yet; says what could not be had."""
    jobs: dict[str, Callable[[], None]] = {
        "tftpd-hpa and atftpd (Debian)": _debian,
        "fbtftp and tftpy (PyPI)": _python,
        "tftpd (crates.io)": _crate,
    }
    for what, job in jobs.items():
        try:
            job()
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{what} cannot be had here: {error}", file=sys.stderr)


if __name__ == "__main__":
    fetch()
