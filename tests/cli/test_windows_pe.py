"""Windows PE images by the commands: added, shown, changed, customised, and never left half done."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pxefast.content.wim import read

from tests import wims

Done = Callable[..., str]


@pytest.fixture
def empty(done: Done) -> None:
    """A site without boot images."""
    done("init", "--site-code", "PS1")


@pytest.fixture
def added(empty: None, done: Done, tmp_path: Path) -> wims.Wim:
    """A site with the one boot image PS100001, distributed."""
    wim = wims.make(tmp_path / "boot.wim", ca=("2011", "2023"), case="mixed", payload=300_000)
    assert done("boot-image", "add", str(wim.path), "--quiet") == "PS100001"
    done("content", "distribute", "PS100001")
    return wim


def shown(done: Done, image: str = "PS100001") -> Any:
    return json.loads(done("boot-image", "show", image, "--json"))


def test_a_wim_is_all_that_a_boot_image_needs(empty: None, run: Any, done: Done, tmp_path: Path) -> None:
    wim = wims.make(tmp_path / "boot.wim", architecture="arm64", languages=("de-DE", "en-US"), build=22621)
    result = run("boot-image", "add", str(wim.path))
    assert (result.code, result.out) == (0, "added boot image PS100001\n")
    image = shown(done)
    inside = image.pop("windows_pe")
    assert image == {
        "id": "PS100001",
        "name": "PE 1",
        "site": "PS1",
        "kind": "windows-pe",
        "architecture": "arm64",
        "source": str(wim.path),
        "boot_programs": {},
        "launch_file": "boot.PS100001.wim",
        "pxe_enabled": True,
        "boot_ca": None,
        "boot_sdi": None,
        "tftp_block_size": None,
        "tftp_window_size": None,
        "tftp_variable_window": None,
        "revision": 1,
        "distributed": False,
        "published_at": None,
        "bytes": None,
        "needs_redistribution": None,
    }
    assert inside["unreadable"] is None
    assert (inside["edition"], inside["build"], inside["languages"]) == (
        "WindowsPE",
        22621,
        ["de-DE", "en-US"],
    )
    assert (inside["boot_index"], inside["boot_ca"], inside["boots"]) == (1, "2011", ["uefi"])
    assert inside["boot_sdi"] == "Windows/Boot/DVD/EFI/boot.sdi"
    done("content", "distribute", "PS100001")
    (served,) = json.loads(done("content", "list", "--json"))
    hashes = {file["name"]: file["sha256"] for file in served["files"]}
    assert hashes == {**wim.hashes(), "boot.PS100001.wim": wims.sha256(wim.path.read_bytes())}
    assert shown(done)["distributed"] is True


@pytest.mark.parametrize(
    ("made", "word"),
    [
        ({"compress": "LZMS"}, "LZMS"),
        ({"solid": True}, "LZMS"),
        ({"pipable": True}, "not-pipable"),
        ({"split": True}, "wimlib-imagex join"),
        ({"unfinished": True}, "never finished"),
        ({"bootable": False}, "wimlib-imagex info FILE N --boot"),
        ({"state_architecture": False}, "say so with --arch"),
    ],
    ids=str,
)
def test_a_wim_that_cannot_boot_is_not_added_and_the_reason_says_what_to_do(
    empty: None, run: Any, tmp_path: Path, made: dict[str, Any], word: str
) -> None:
    wim = wims.make(tmp_path / "boot.wim", **made)
    result = run("boot-image", "add", str(wim.path))
    assert (result.code, result.out) == (1, "")
    assert word in result.err
    assert str(wim.path) in result.err
    assert run("boot-image", "list", "--json").json == []


def test_what_is_no_wim_is_not_added(empty: None, run: Any, tmp_path: Path) -> None:
    (tmp_path / "boot.iso").write_bytes(b"CD001" * 100)
    result = run("boot-image", "add", str(tmp_path / "boot.iso"))
    assert (result.code, "no Windows image" in result.err) == (1, True)


def test_an_architecture_may_be_stated_where_the_wim_says_none_and_never_against_it(
    empty: None, run: Any, done: Done, tmp_path: Path
) -> None:
    silent = wims.make(tmp_path / "silent.wim", state_architecture=False)
    done("boot-image", "add", str(silent.path), "--arch", "x86", "--name", "silent")
    assert shown(done)["architecture"] == "x86"
    result = run("boot-image", "add", str(wims.make(tmp_path / "boot.wim").path), "--arch", "arm64")
    assert (result.code, "is for x64, not for arm64" in result.err) == (1, True)


@pytest.mark.parametrize(
    "options",
    [
        ("--boot-program", "uefi=bootmgfw.efi"),
        ("--launch-file", "boot.wim"),
        ("--boot-ca", "2012"),
        ("--arch", "mips"),
    ],
)
def test_options_that_a_wim_cannot_have_are_refused(
    empty: None, run: Any, tmp_path: Path, options: tuple[str, str]
) -> None:
    assert run("boot-image", "add", str(wims.make(tmp_path / "boot.wim").path), *options).code == 2


@pytest.mark.parametrize("options", [("--boot-ca", "2023"), ("--boot-sdi", "x"), ("--tftp-window-size", "4")])
def test_options_that_a_folder_cannot_have_are_refused(
    site: Path, run: Any, options: tuple[str, str]
) -> None:
    words = ("--name", "n", "--arch", "x64", "--boot-program", "uefi=grubx64.efi")
    assert run("boot-image", "add", str(site), *words, *options).code == 2
    assert run("boot-image", "set", "PS100001", *options).code == 2


def test_a_folder_needs_its_name_architecture_and_programs(site: Path, run: Any) -> None:
    result = run("boot-image", "add", str(site))
    assert (result.code, "--name, --arch and --boot-program" in result.err) == (2, True)


def test_what_is_missing_is_told_when_an_image_is_added_and_shown(
    empty: None, run: Any, done: Done, tmp_path: Path
) -> None:
    wim = wims.make(tmp_path / "boot.wim", sdi=(), wdsmgfw=False, bios=False)
    told = run("boot-image", "add", str(wim.path)).err
    assert "missing for any machine: boot.sdi (needed)" in told
    assert "missing for uefi: wdsmgfw.efi\n" in told
    assert "missing for bios: pxeboot.n12 (needed), bootmgr.exe (needed), pxeboot.com" in told
    assert "cannot be distributed yet" in told
    assert "missing for uefi:" in run("boot-image", "show", "PS100001").out
    result = run("content", "distribute", "PS100001")
    assert (result.code, "boot.sdi" in result.err, "--boot-sdi" in result.err) == (1, True, True)
    missing = shown(done)["windows_pe"]["missing"]
    assert {"name": "wdsmgfw.efi", "firmware": "uefi", "needed": False}.items() <= missing[-1].items()


def test_a_boot_sdi_can_be_made_and_given(empty: None, run: Any, done: Done, tmp_path: Path) -> None:
    wim = wims.make(tmp_path / "boot.wim", sdi=())
    done("boot-image", "add", str(wim.path))
    (tmp_path / "no.sdi").write_bytes(b"no")
    assert "no boot.sdi" in run("boot-image", "set", "PS100001", "--boot-sdi", str(tmp_path / "no.sdi")).err
    assert "experimental" in run("boot-image", "make-sdi", "--output", str(tmp_path / "boot.sdi")).err
    done("boot-image", "set", "PS100001", "--boot-sdi", str(tmp_path / "boot.sdi"))
    image = shown(done)
    assert (image["revision"], image["boot_sdi"]) == (2, str(tmp_path / "boot.sdi"))
    done("content", "distribute", "PS100001")
    (served,) = json.loads(done("content", "list", "--json"))
    hashes = {file["name"]: file["sha256"] for file in served["files"]}
    assert hashes["boot/boot.sdi"] == wims.sha256((tmp_path / "boot.sdi").read_bytes())
    done("boot-image", "set", "PS100001", "--no-boot-sdi")
    assert shown(done)["boot_sdi"] is None


def test_the_other_authority_is_served_after_redistribution_and_not_before(
    added: wims.Wim, run: Any, done: Done
) -> None:
    def manager() -> str:
        (image,) = json.loads(done("content", "list", "--json"))
        return str(next(file["sha256"] for file in image["files"] if file["name"] == "boot/x64/bootmgfw.efi"))

    name = "boot/x64/bootmgfw.efi"
    assert manager() == added.hashes("2011")[name]
    result = run("boot-image", "set", "PS100001", "--boot-ca", "2023")
    assert "pxefast content redistribute PS100001" in result.err
    assert shown(done)["needs_redistribution"]
    assert "needs redistribution" in done("boot-image", "list")
    assert manager() == added.hashes("2011")[name]
    done("content", "redistribute", "PS100001")
    assert shown(done)["needs_redistribution"] is None
    assert manager() == added.hashes("2023")[name]
    done("boot-image", "set", "PS100001", "--no-boot-ca")
    assert (shown(done)["boot_ca"], shown(done)["windows_pe"]["boot_ca"]) == (None, "2011")


def test_an_authority_that_the_image_lacks_is_refused_and_nothing_changes(
    empty: None, run: Any, done: Done, tmp_path: Path
) -> None:
    done("boot-image", "add", str(wims.make(tmp_path / "boot.wim").path))
    result = run("boot-image", "set", "PS100001", "--boot-ca", "2023")
    assert (result.code, "bootmgfw_EX.efi" in result.err) == (1, True)
    assert (shown(done)["revision"], shown(done)["boot_ca"]) == (1, None)
    assert run("boot-image", "set", "PS100001", "--boot-ca", "2023", "--no-boot-ca").code == 2
    assert run("boot-image", "set", "PS100001", "--launch-file", "boot.wim").code == 2


def test_tftp_sizes_are_kept_with_the_image_and_need_no_redistribution(
    added: wims.Wim, run: Any, done: Done
) -> None:
    sizes = ("tftp_block_size", "tftp_window_size", "tftp_variable_window")
    done("boot-image", "set", "PS100001", "--tftp-block-size", "8192", "--tftp-window-size", "16")
    done("boot-image", "set", "PS100001", "--tftp-variable-window")
    assert [shown(done)[name] for name in sizes] == [8192, 16, True]
    assert run("boot-image", "set", "PS100001", "--tftp-window-size", "256").code == 1
    assert run("boot-image", "set", "PS100001", "--tftp-block-size", "511").code == 1
    assert run("boot-image", "set", "PS100001", "--no-tftp-sizes", "--tftp-block-size", "512").code == 2
    done("boot-image", "set", "PS100001", "--no-tftp-variable-window", "--tftp-window-size", "256")
    assert [shown(done)[name] for name in sizes] == [8192, 256, False]
    done("boot-image", "set", "PS100001", "--no-tftp-sizes")
    assert [shown(done)[name] for name in sizes] == [None, None, None]
    assert (shown(done)["revision"], shown(done)["needs_redistribution"]) == (1, None)


def test_a_newer_wim_takes_the_place_of_the_old_one_if_it_is_for_the_same_machines(
    added: wims.Wim, run: Any, done: Done, tmp_path: Path
) -> None:
    newer = wims.make(tmp_path / "newer.wim", build=26200, seed=1)
    done("boot-image", "set", "PS100001", "--source", str(newer.path))
    image = shown(done)
    assert (image["source"], image["revision"], image["windows_pe"]["build"]) == (str(newer.path), 2, 26200)
    other = wims.make(tmp_path / "other.wim", architecture="arm64")
    result = run("boot-image", "set", "PS100001", "--source", str(other.path))
    assert (result.code, "is for arm64, not for x64" in result.err) == (1, True)
    assert shown(done)["revision"] == 2


def test_a_wim_that_is_elsewhere_is_shown_as_it_was_packaged(added: wims.Wim, done: Done) -> None:
    added.path.unlink()
    inside = shown(done)["windows_pe"]
    assert str(added.path) in inside["unreadable"]
    assert (inside["edition"], inside["boots"]) == ("WindowsPE", ["bios", "uefi"])


def test_a_wim_whose_files_cannot_be_listed_is_shown_as_its_header_says(
    added: wims.Wim, done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wims.make(added.path, build=26200)
    monkeypatch.setenv("PATH", str(tmp_path))
    inside = shown(done)["windows_pe"]
    assert "apt install wimtools" in inside["unreadable"]
    assert (inside["build"], inside["boots"]) == (26200, ["bios", "uefi"])


def test_two_images_that_call_themselves_the_same_want_a_name(
    added: wims.Wim, run: Any, done: Done, tmp_path: Path
) -> None:
    result = run("boot-image", "add", str(added.path))
    assert (result.code, "--name" in result.err) == (1, True)
    done("boot-image", "add", str(added.path), "--name", "again")


def test_another_folder_takes_the_place_of_an_images_own(
    site: Path, run: Any, done: Done, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(site, newer)
    result = run("boot-image", "set", "PS100001", "--source", str(newer))
    assert "pxefast content redistribute PS100001" in result.err
    assert (shown(done)["source"], shown(done)["revision"]) == (str(newer), 2)
    (newer / "grubx64.efi").unlink()
    assert run("boot-image", "set", "PS100001", "--source", str(newer)).code == 1
    assert shown(done)["revision"] == 2


def test_files_are_put_into_a_copy_and_the_first_wim_stays_as_it_was(
    added: wims.Wim, run: Any, done: Done, tmp_path: Path, home: Path
) -> None:
    before = added.path.read_bytes()
    for name, content in {
        "start.cmd": b"echo mine\r\n",
        "answers.xml": b"<unattend/>",
        "a tool.exe": b"MZ",
    }.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "tree/Windows/System32").mkdir(parents=True)
    (tmp_path / "tree/Windows/System32/winpe.jpg").write_bytes(b"picture")
    (tmp_path / "tree/deploy").mkdir()
    (tmp_path / "tree/deploy/run.cmd").write_bytes(b"run")
    result = run(
        *("boot-image", "customize", "PS100001", "--startnet", str(tmp_path / "start.cmd")),
        *("--unattend", str(tmp_path / "answers.xml"), "--tree", str(tmp_path / "tree")),
        *("--add", f"{tmp_path / 'a tool.exe'}=X:\\tools\\a tool.exe"),
    )
    assert result.code == 0, result.err
    image = shown(done)
    copy = Path(image["source"])
    assert (copy, image["revision"]) == (home / "boot-images" / "PS100001-2.wim", 2)
    assert image["needs_redistribution"]
    # The image has it as wINDOWS/sYSTEM32/STARTNET.CMD, and keeps it as one file.
    assert wims.extracted(copy, "wINDOWS/sYSTEM32/startnet.cmd") == b"echo mine\r\n"
    assert wims.extracted(copy, "wINDOWS/sYSTEM32/winpe.jpg") == b"picture"
    listed = [line.lower() for line in wims.run("dir", str(copy), "1").splitlines()]
    assert listed.count("/windows/system32/startnet.cmd") == 1
    assert wims.extracted(copy, "unattend.xml") == b"<unattend/>"
    assert wims.extracted(copy, "deploy/run.cmd") == b"run"
    assert wims.extracted(copy, "tools/a tool.exe") == b"MZ"
    assert added.path.read_bytes() == before
    assert wims.sha256(wims.extracted(copy, wims.spell(wims.PAYLOAD, "mixed"))) == added.payload_sha256()
    wims.run("verify", str(copy))
    done("content", "redistribute", "PS100001")
    (served,) = json.loads(done("content", "list", "--json"))
    hashes = {file["name"]: file["sha256"] for file in served["files"]}
    assert hashes == {**added.hashes(), "boot.PS100001.wim": wims.sha256(copy.read_bytes())}


def test_what_was_replaced_is_not_left_in_the_image(added: wims.Wim, done: Done, tmp_path: Path) -> None:
    secret = tmp_path / "unattend.xml"
    for content in (b"<password>first</password>", b"<password>other</password>"):
        secret.write_bytes(content)
        done("boot-image", "customize", "PS100001", "--unattend", str(secret))
    copy = Path(shown(done)["source"])
    assert wims.extracted(copy, "unattend.xml") == b"<password>other</password>"
    assert b"<password>first" not in copy.read_bytes()


def test_the_copy_before_is_kept_and_older_ones_are_removed(
    added: wims.Wim, done: Done, tmp_path: Path, home: Path
) -> None:
    for _ in range(3):
        done("boot-image", "customize", "PS100001", "--add", f"{added.path.parent / 'boot.wim'}=x.wim")
    kept = {path.name for path in (home / "boot-images").glob("*.wim")}
    assert kept == {"PS100001-3.wim", "PS100001-4.wim"}
    done("boot-image", "remove", "PS100001", "--yes")
    assert list((home / "boot-images").glob("*.wim")) == []
    assert added.path.exists()


def test_drivers_are_loaded_before_anything_else_and_only_once(
    added: wims.Wim, done: Done, tmp_path: Path
) -> None:
    for name in ("net", "disk"):
        (tmp_path / name / "x64").mkdir(parents=True)
        (tmp_path / name / "x64" / f"{name}.INF").write_bytes(name.encode())
    done("boot-image", "customize", "PS100001", "--driver", str(tmp_path / "net"))
    done("boot-image", "customize", "PS100001", "--driver", str(tmp_path / "disk"))
    copy = Path(shown(done)["source"])
    script = wims.extracted(copy, "wINDOWS/sYSTEM32/startnet.cmd")
    own = next(content for path, content in added.files.items() if path.lower().endswith("startnet.cmd"))
    line, _, rest = script.partition(b"\r\n")
    assert b"drvload" in line
    assert b"\\Drivers" in line
    assert rest == own
    assert wims.extracted(copy, "Drivers/net/x64/net.INF") == b"net"
    assert wims.extracted(copy, "Drivers/disk/x64/disk.INF") == b"disk"


def test_a_new_wim_says_that_it_lacks_what_was_put_into_the_old_one(
    added: wims.Wim, run: Any, done: Done, tmp_path: Path
) -> None:
    (tmp_path / "start.cmd").write_bytes(b"wpeinit")
    again = ("boot-image", "set", "PS100001", "--source", str(added.path))
    assert "customize again" not in run(*again).err
    done("boot-image", "customize", "PS100001", "--startnet", str(tmp_path / "start.cmd"))
    assert "customize again" in run(*again).err


def test_two_drivers_whose_folders_have_one_name_are_refused(
    added: wims.Wim, run: Any, tmp_path: Path
) -> None:
    options: list[str] = []
    for name in ("intel/x64", "realtek/X64"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "net.inf").write_bytes(name.encode())
        options += ["--driver", str(tmp_path / name)]
    result = run("boot-image", "customize", "PS100001", *options)
    assert result.code == 1
    assert "realtek/X64: another driver's folder has this name too" in result.err


def test_drivers_go_before_the_startnet_that_is_given_with_them(
    added: wims.Wim, run: Any, done: Done, tmp_path: Path
) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "net.inf").write_bytes(b"net")
    tree = tmp_path / "tree" / "WINDOWS" / "system32"
    tree.mkdir(parents=True)
    (tree / "StartNet.cmd").write_bytes(b"wpeinit\r\nmine\r\n")
    (tree / "winpeshl.ini").write_bytes(b"[LaunchApp]\r\n")
    customize = ("boot-image", "customize", "PS100001", "--driver", str(tmp_path / "net"))
    result = run(*customize, "--tree", str(tmp_path / "tree"))
    script = wims.extracted(Path(shown(done)["source"]), "wINDOWS/sYSTEM32/startnet.cmd")
    assert script.endswith(b"\r\nwpeinit\r\nmine\r\n")
    assert script.count(b"drvload") == 1
    assert "winpeshl.ini" in result.err, "and it is said that it may not be run"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--startnet", "absent.cmd"), "absent.cmd is not a file"),
        (("--tree", "absent"), "absent is not a folder"),
        (("--driver", "."), "no .inf file"),
        (("--add", "absent=x"), "absent"),
        (("--add", "start.cmd=..\\x"), "no path in an image"),
        (("--add", "start.cmd=a\nb"), "no path in an image"),
        (("--add", "start.cmd=C:"), "no path in an image"),
    ],
)
def test_what_cannot_be_put_in_is_named_and_nothing_changes(
    added: wims.Wim,
    run: Any,
    done: Done,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, str],
    word: str,
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("start.cmd").write_bytes(b"")
    result = run("boot-image", "customize", "PS100001", *options)
    assert (result.code, word in result.err) == (1, True), result.err
    assert shown(done)["revision"] == 1
    assert [path.name for path in (home / "boot-images").iterdir()] == [".lock"]


def test_customize_wants_something_to_put_in_and_a_wim(added: wims.Wim, run: Any, tmp_path: Path) -> None:
    assert run("boot-image", "customize", "PS100001").code == 2
    assert run("boot-image", "customize", "PS100001", "--add", "x").code == 2
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.efi").write_bytes(b"a")
    run(
        *("boot-image", "add", str(tmp_path / "files"), "--name", "n", "--arch", "x64", "--boot-program"),
        *("uefi=a.efi", "--id", "PS1AAAAA"),
    )
    result = run("boot-image", "customize", "PS1AAAAA", "--tree", str(tmp_path / "files"))
    assert (result.code, "is the folder" in result.err) == (1, True)


def test_a_full_disk_leaves_the_old_image(
    added: wims.Wim, run: Any, done: Done, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "wimlib-imagex"
    fake.parent.mkdir()
    real = shutil.which("wimlib-imagex")
    fake.write_text(
        f'#!/bin/sh\n[ "$1" = update ] || exec {real} "$@"\necho "[ERROR] No space left on device" >&2\nexit 72\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    result = run("boot-image", "customize", "PS100001", "--add", f"{added.path}=x.wim")
    assert (result.code, "No space left on device" in result.err) == (1, True)
    assert (shown(done)["revision"], shown(done)["source"]) == (1, str(added.path))
    assert [path.name for path in (home / "boot-images").iterdir()] == [".lock"]


# A command that kills itself at a place, before or after what is done there.
KILLED = """
import os, signal, sys
from pxefast.cli import main
from pxefast.content import customize, wimlib
from pxefast.site.boot_images import BootImages
owner, name, when, *words = sys.argv[1:]
owner = {"customize": customize, "wimlib": wimlib, "images": BootImages}[owner]
real = getattr(owner, name)
def killed(*arguments, **named):
    if when == "after":
        real(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, killed)
main(words)
"""


@pytest.mark.parametrize(
    ("place", "when", "revision"),
    [
        (("customize", "_copy"), "after", 1),
        (("wimlib", "add"), "after", 1),
        (("customize", "place"), "before", 1),
        (("customize", "place"), "after", 1),
        (("images", "set"), "before", 1),
        (("images", "set"), "after", 2),
    ],
)
def test_customize_killed_anywhere_leaves_a_whole_image_and_can_be_run_again(
    added: wims.Wim, done: Done, home: Path, tmp_path: Path, place: tuple[str, str], when: str, revision: int
) -> None:
    words = ["--home", str(home), "boot-image", "customize", "PS100001", "--add", f"{__file__}=test.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *place, when, *words],
        check=False,
        env=environment,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    image = shown(done)
    assert image["revision"] == revision
    assert image["windows_pe"]["unreadable"] is None
    wims.run("verify", image["source"])
    assert read(added.path).boot_index == 1
    done(*words[2:])
    image = shown(done)
    assert image["revision"] == revision + 1
    assert wims.extracted(Path(image["source"]), "test.py") == Path(__file__).read_bytes()
    assert not [path.name for path in (home / "boot-images").iterdir() if path.name.startswith(".new-")]


def test_two_that_customize_at_once_take_turns(added: wims.Wim, done: Done, home: Path) -> None:
    words = [sys.executable, "-m", "pxefast", "--home", str(home), "boot-image", "customize", "PS100001"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [
        subprocess.Popen(
            [*words, "--add", f"{__file__}={name}.py"], env=environment, stdout=subprocess.DEVNULL
        )
        for name in ("one", "two")
    ]
    assert [process.wait() for process in both] == [0, 0]
    image = shown(done)
    assert image["revision"] == 3
    assert (
        wims.extracted(Path(image["source"]), "one.py")
        == wims.extracted(Path(image["source"]), "two.py")
        == Path(__file__).read_bytes()
    )


def test_without_wimlib_it_is_said_what_to_install(
    empty: None, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wim = wims.make(tmp_path / "boot.wim")
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("boot-image", "add", str(wim.path))
    assert (result.code, "apt install wimtools" in result.err) == (3, True)
