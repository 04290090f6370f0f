from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .. import wims

Done = Callable[..., str]
Run = Callable[..., Any]

OPTIONS = "{68d9e51c-a129-4ee1-9725-2ab00a957daf}"


@pytest.fixture
def windows(site: Path, done: Done, tmp_path: Path) -> Callable[..., str]:
    """Adds a Windows PE image and gives its id."""

    def add(architecture: str = "x64") -> str:
        image = wims.make(tmp_path / f"{architecture}.wim", architecture=architecture)
        return done("boot-image", "add", str(image.path), "--name", f"pe {architecture}", "--quiet")

    return add


def elements(run: Run, file: Path) -> dict[str, Any]:
    """Of the options object and the loader in a file, elements by name."""
    objects = run("bcd", "dump", str(file), "--json").json["objects"]
    found = [item for item in objects if item["id"] == OPTIONS or item["type"] == "10200003"]
    return {element["name"]: element["value"] for item in found for element in item["elements"]}


def test_a_store_for_an_image_names_its_files_and_carries_its_sizes(
    windows: Callable[..., str], run: Run, done: Done, tmp_path: Path
) -> None:
    image, file = windows(), tmp_path / "boot.bcd"
    told = done("bcd", "build", "--boot-image", image, "--firmware", "uefi", "--output", str(file))
    assert told == f"wrote {file}: blocks of 4096 bytes, fixed window of 1"
    found = elements(run, file)
    assert found["path"] == r"\windows\system32\boot\winload.efi"
    assert found["device"]["path"] == rf"\SMSImages\{image}\boot.{image}.wim"
    assert found["ramdisksdipath"] == rf"\SMSBoot\{image}\boot.sdi"
    sizes = ("ramdisktftpblocksize", "ramdisktftpwindowsize", "ramdisktftpvarwindow")
    assert [found[size] for size in sizes] == [4096, 1, False]
    done("dp", "set", "--ramdisk-tftp-block-size", "8192", "--ramdisk-tftp-window-size", "8")
    done("boot-image", "set", image, "--tftp-block-size", "1456")
    done("bcd", "build", "--boot-image", image, "--firmware", "bios", "--output", str(file))
    found = elements(run, file)
    assert found["path"] == r"\windows\system32\boot\winload.exe"
    assert [found[size] for size in sizes] == [1456, 8, False], "the image's before the distribution point's"
    given = ("--block", "16384", "--window", "4", "--var-window", "--shape", "minimal")
    done("bcd", "build", "--boot-image", image, "--firmware", "bios", "--output", str(file), *given)
    found = elements(run, file)
    assert [found[size] for size in sizes] == [16384, 4, True]
    assert "inherit" not in found


def test_the_text_of_a_store_is_as_bcdedit_prints_it(
    windows: Callable[..., str], done: Done, tmp_path: Path
) -> None:
    image, file = windows(), tmp_path / "boot.bcd"
    done("bcd", "build", "--boot-image", image, "--firmware", "uefi", "--output", str(file))
    text = done("bcd", "dump", str(file))
    assert "Windows Boot Manager\n--------------------\n" in text
    assert f"device                  ramdisk=[boot]\\SMSImages\\{image}\\boot.{image}.wim,{OPTIONS}\n" in text


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("--firmware", "uefi", "--block", "511"), 1, "block of 511 bytes cannot be used; give 512 to 65464"),
        (("--firmware", "uefi", "--window", "256", "--var-window"), 1, "window of 256 blocks cannot be used"),
        (("--firmware", "efi"), 2, "must be one of bios, uefi"),
        (("--firmware", "uefi", "--shape", "round"), 2, "must be one of full, minimal"),
    ],
)
def test_a_store_that_no_machine_could_use_is_not_written(
    windows: Callable[..., str], run: Run, tmp_path: Path, arguments: tuple[str, ...], code: int, why: str
) -> None:
    file = tmp_path / "boot.bcd"
    result = run("bcd", "build", "--boot-image", windows(), "--output", str(file), *arguments)
    assert (result.code, result.out) == (code, "")
    assert why in result.err
    assert not file.exists()


def test_only_an_image_that_a_boot_manager_starts_gets_a_store(
    windows: Callable[..., str], run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "boot.bcd"
    folder = run("bcd", "build", "--boot-image", "PS100001", "--firmware", "uefi", "--output", str(file))
    assert folder.code == 2
    assert "PS100001 is of kind files" in folder.err
    arm = run("bcd", "build", "--boot-image", windows("arm64"), "--firmware", "bios", "--output", str(file))
    assert arm.code == 2
    assert "arm64, which has no BIOS" in arm.err
    assert not file.exists()


def test_what_is_no_store_is_refused_in_a_sentence(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "boot.bcd"
    file.write_bytes(b"regf" + bytes(8000))
    result = run("bcd", "dump", str(file))
    assert (result.code, result.out) == (1, "")
    assert result.err == f"pxefast: {file}: at byte 0x1fc: the checksum of the base block is wrong\n"


def test_a_boot_sdi_is_made_and_called_experimental(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "boot.sdi"
    result = run("boot-image", "make-sdi", "--output", str(file))
    assert (result.code, result.out) == (0, f"wrote {file}\n")
    assert "experimental" in result.err
    assert file.stat().st_size == 3_170_304
