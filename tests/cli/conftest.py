import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pxefast.cli import main
from pxefast.site.ledger import Claim, Launch, Ledger
from pxefast.site.store import Store


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `pxefast --home HOME ARGUMENTS...` and gives back its exit code and what it printed."""

    def run(*arguments: str) -> Result:
        capfd.readouterr()
        code = main(["--home", str(home), *arguments])
        return Result(code, *capfd.readouterr())

    return run


@pytest.fixture
def done(run: Run) -> Callable[..., str]:
    """The same for a command that must succeed; gives back what it printed, without the last newline."""

    def done(*arguments: str) -> str:
        result = run(*arguments)
        assert result.code == 0, result.err
        return result.out.rstrip("\n")

    return done


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole site made once, by the commands themselves."""
    folder = tmp_path_factory.mktemp("template")
    image = folder / "image"
    image.mkdir()
    for name in ("grubx64.efi", "pxelinux.0"):
        (image / name).write_bytes(name.encode())
    programs = ("--boot-program", "uefi=grubx64.efi", "--boot-program", "bios=pxelinux.0")
    deploy = ("deployment", "create", "--task-sequence", "PS100003", "--collection", "rack 7")
    for arguments in (
        ("init", "--site-code", "PS1"),
        ("boot-image", "add", str(image), "--name", "linux", "--arch", "x64", *programs),
        ("content", "distribute", "PS100001"),
        ("device", "import", "--name", "web01", "--mac", "00:11:22:33:44:55"),
        ("collection", "create", "rack 7"),
        ("collection", "add", "rack 7", "web01"),
        ("task-sequence", "create", "--name", "install", "--boot-image", "PS100001"),
        (*deploy, "--purpose", "required", "--make-available-to", "media-pxe"),
        ("dp", "set", "--enable-pxe", "--allow-pxe-response"),
    ):
        assert main(["--home", str(folder / "home"), *arguments]) == 0
    return folder


@pytest.fixture
def site(template: Path, home: Path, tmp_path: Path) -> Path:
    """Device web01 in `rack 7`, image PS100001 distributed, required deployment PS120001, responses allowed.

    The value is the folder of the image.
    """
    shutil.copytree(template / "home", home)
    image = shutil.copytree(template / "image", tmp_path / "image")
    connection = sqlite3.connect(home / "site.db")
    connection.execute("UPDATE boot_image SET source = ?", (str(image),))
    connection.commit()
    connection.close()
    return image


@pytest.fixture
def started(home: Path) -> Callable[[], None]:
    """Boots web01 with its required deployment as a service would, up to the launch."""

    def started() -> None:
        peer, file, now = "192.0.2.7", "SMSImages/PS100001/grubx64.efi", time.time()
        with Store.open(home / "site.db") as store:
            ledger, device = Ledger(store, store.point), store.devices.get("web01")
            identities = tuple(f"mac:{mac}" for mac in device.macs)
            claim = Claim(device.id, identities, "PS120001", 1, 7, now, 900, file, peer)
            assert ledger.claim([claim])[0].ok
            assert ledger.launch([Launch(None, peer, file, "t1", now)])[0].ok

    return started
