"""Windows PE images as wimlib writes them: what is served of each, and what is said of each that cannot be."""

import os
from pathlib import Path
from typing import Any

import pytest
from pxefast.content import bootfiles, wimlib
from pxefast.content.bootfiles import Collected, collect, plan, survey
from pxefast.content.source import check_programs
from pxefast.content.wim import read
from pxefast.errors import CannotOpen, ContentError

from tests import wims
from tests.wims import Wim, make


def taken(wim: Wim, tmp_path: Path, ca: str | None = None, sdi: Path | None = None) -> Collected:
    into = tmp_path / "into"
    into.mkdir()
    return collect(wim.path, "PS100001", wim.architecture, ca, sdi, into)


def served(collected: Collected) -> dict[str, bytes]:
    """What would be served but for the image itself: name -> bytes."""
    image, *rest = (file for file in sorted(collected.files, key=lambda file: file.name.startswith("boot/")))
    assert image.name == "boot.PS100001.wim"
    for file in rest:
        assert file.path.stat().st_size == file.size
    return {file.name: file.path.read_bytes() for file in rest}


def lacking(collected: Collected) -> dict[str, set[str]]:
    """The names that are missing, by whom: needed ones end with an exclamation mark."""
    names: dict[str, set[str]] = {}
    for missing in collected.missing:
        names.setdefault(missing.firmware, set()).add(missing.name + "!" * missing.needed)
    return names


@pytest.mark.parametrize("architecture", ["x86", "x64", "arm64"])
@pytest.mark.parametrize("case", ["real", "lower", "upper", "mixed"])
def test_every_boot_file_is_served_under_its_name_however_the_image_spells_it(
    tmp_path: Path, architecture: str, case: wims.Case
) -> None:
    wim = make(
        tmp_path / "boot.wim", architecture=architecture, case=case, headless=True, mui=("en-US", "de-DE")
    )
    collected = taken(wim, tmp_path)
    assert served(collected) == wim.boot()
    names = set(served(collected))
    folder = f"boot/{architecture}"
    assert {
        f"{folder}/{name}" for name in (*wims.BIOS, *wims.HEADLESS, "bootmgfw.efi", "wdsmgfw.efi")
    } <= names
    assert {"boot/boot.sdi", "boot/Fonts/wgl4_boot.ttf", f"{folder}/de-de/bootmgfw.efi.mui"} <= names
    assert collected.missing == []


@pytest.mark.parametrize(
    ("made", "word"),
    [
        ({"compress": "none"}, None),
        ({"compress": "XPRESS"}, None),
        ({"compress": "LZX"}, None),
        ({"images": 2}, None),
        ({"compress": "LZMS"}, "LZMS"),
        ({"solid": True}, "LZMS"),
        ({"pipable": True}, "pipable"),
        ({"split": True}, "split"),
        ({"unfinished": True}, "never finished"),
        ({"bootable": False}, "--boot"),
        ({"images": 2, "bootable": False}, "--boot"),
    ],
    ids=str,
)
def test_an_image_that_a_boot_manager_can_read_is_taken_and_every_other_is_refused_with_the_reason(
    tmp_path: Path, made: dict[str, Any], word: str | None
) -> None:
    wim = make(tmp_path / "boot.wim", **made)
    if word is None:
        assert served(taken(wim, tmp_path)) == wim.boot()
        return
    with pytest.raises(ContentError, match=word) as error:
        taken(wim, tmp_path)
    assert str(wim.path) in str(error.value)
    assert list((tmp_path / "into").iterdir()) == []


def test_seven_zip_takes_out_the_same_bytes(tmp_path: Path) -> None:
    wim = make(tmp_path / "boot.wim", ca=("2011", "2023"), case="mixed")
    chosen = survey(wim.path, read(wim.path), "x64", "2023", None)
    ours = served(taken(wim, tmp_path, "2023"))
    assert {name: wims.extracted(wim.path, path) for name, path in chosen.files.items()} == ours


@pytest.mark.parametrize(
    ("there", "wanted", "ca"),
    [
        (("2011",), None, "2011"),
        (("2023",), None, "2023"),
        (("2011", "2023"), None, "2011"),
        (("2011", "2023"), "2011", "2011"),
        (("2011", "2023"), "2023", "2023"),
    ],
)
def test_the_boot_files_of_the_chosen_authority_are_served_under_their_plain_names(
    tmp_path: Path, there: tuple[str, ...], wanted: str | None, ca: str
) -> None:
    wim = make(tmp_path / "boot.wim", ca=there)
    collected = taken(wim, tmp_path, wanted)
    assert served(collected) == wim.boot(ca)
    assert (collected.facts["boot_ca"], collected.facts["authorities"]) == (ca, list(there))


@pytest.mark.parametrize(("there", "wanted"), [("2011", "2023"), ("2023", "2011")])
def test_an_authority_that_the_image_has_no_boot_manager_of_is_refused(
    tmp_path: Path, there: str, wanted: str
) -> None:
    wim = make(tmp_path / "boot.wim", ca=(there,))
    with pytest.raises(ContentError, match=f"authority of {wanted}.*it has those of {there}"):
        taken(wim, tmp_path, wanted)


def test_a_program_of_the_other_authority_never_stands_in_but_a_font_does(tmp_path: Path) -> None:
    paths = [
        "Windows/Boot/EFI_EX/bootmgfw_EX.efi",
        "Windows/Boot/PXE/wdsmgfw.efi",
        "Windows/Boot/Fonts/wgl4_boot.ttf",
        "sms/boot/boot.sdi",
    ]
    chosen = plan(paths, "x64", "2023", None)
    assert chosen.files == {
        "boot/x64/bootmgfw.efi": paths[0],
        "boot/Fonts/wgl4_boot.ttf": paths[2],
        "boot/boot.sdi": paths[3],
    }
    assert ("wdsmgfw.efi", "uefi", False) in {missing[:3] for missing in chosen.missing}


@pytest.mark.parametrize(
    ("there", "path"),
    [
        (("pcat", "efi", "sms"), "sms/boot/boot.sdi"),
        (("pcat", "efi"), "Windows/Boot/DVD/EFI/boot.sdi"),
        (("pcat",), "Windows/Boot/DVD/PCAT/boot.sdi"),
    ],
)
def test_boot_sdi_is_the_images_best_one(tmp_path: Path, there: tuple[str, ...], path: str) -> None:
    wim = make(tmp_path / "boot.wim", sdi=there)
    (tmp_path / "own.sdi").write_bytes(b"own")
    collected = taken(wim, tmp_path, sdi=tmp_path / "own.sdi")
    assert served(collected)["boot/boot.sdi"] == wim.files[path]
    assert collected.facts["boot_sdi"] == path


def test_an_administrators_boot_sdi_is_served_where_the_image_has_none(tmp_path: Path) -> None:
    wim = make(tmp_path / "boot.wim", sdi=())
    own = tmp_path / "own.sdi"
    own.write_bytes(b"own")
    collected = taken(wim, tmp_path, sdi=own)
    assert served(collected) == {**wim.boot(), "boot/boot.sdi": b"own"}
    assert collected.facts["boot_sdi"] == str(own)


def test_an_image_that_nothing_could_boot_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match=r"boot\.sdi \(all\).*--boot-sdi"):
        taken(make(tmp_path / "a.wim", sdi=()), tmp_path)
    (tmp_path / "into").rmdir()
    with pytest.raises(
        ContentError, match=r"bootmgfw\.efi \(uefi\), pxeboot\.n12 \(bios\), bootmgr\.exe \(bios\)"
    ):
        taken(make(tmp_path / "b.wim", ca=(), bios=False), tmp_path)


@pytest.mark.parametrize(
    ("made", "missing", "boots"),
    [
        (
            {"bios": False},
            {"bios": {"pxeboot.n12!", "bootmgr.exe!", "pxeboot.com", "abortpxe.com", "wdsnbp.com"}},
            ["uefi"],
        ),
        ({"architecture": "arm64", "bios": False}, {}, ["uefi"]),
        ({"ca": ()}, {"uefi": {"bootmgfw.efi!", "wdsmgfw.efi"}, "all": set(wims.FONTS)}, ["bios"]),
        ({"wdsmgfw": False}, {"uefi": {"wdsmgfw.efi"}}, ["bios", "uefi"]),
        ({"stl": False}, {"uefi": {"boot.stl"}}, ["bios", "uefi"]),
        ({"fonts": False}, {"all": set(wims.FONTS)}, ["bios", "uefi"]),
        ({"mui": ()}, {}, ["bios", "uefi"]),
    ],
    ids=lambda value: str(list(value)),
)
def test_what_an_image_lacks_is_told_by_name_and_by_which_firmware_misses_it(
    tmp_path: Path, made: dict[str, Any], missing: dict[str, set[str]], boots: list[str]
) -> None:
    wim = make(tmp_path / "boot.wim", **made)
    collected = taken(wim, tmp_path)
    assert lacking(collected) == missing
    assert collected.facts["boots"] == boots
    assert served(collected) == wim.boot()


def test_facts_are_those_of_the_image_that_boots(tmp_path: Path) -> None:
    wim = make(tmp_path / "boot.wim", images=2, build=22621, languages=("de-DE", "en-US"), compress="XPRESS")
    facts = taken(wim, tmp_path).facts
    assert facts == {
        "image_name": "PE 2",
        "edition": "WindowsPE",
        "version": "10.0.22621",
        "build": 22621,
        "languages": ["de-DE", "en-US"],
        "compression": "XPRESS",
        "images": 2,
        "boot_index": 2,
        "boot_ca": "2011",
        "authorities": ["2011"],
        "boot_sdi": "Windows/Boot/DVD/EFI/boot.sdi",
        "boots": ["bios", "uefi"],
        "missing": [],
    }


def test_the_image_is_served_as_it_lies_there_and_only_boot_files_are_written(tmp_path: Path) -> None:
    wim = make(tmp_path / "boot.wim", payload=1 << 20)
    collected = taken(wim, tmp_path)
    image = next(file for file in collected.files if file.name == "boot.PS100001.wim")
    assert (image.path, image.size) == (wim.path, wim.path.stat().st_size)
    written = [path for path in (tmp_path / "into").rglob("*") if path.is_file()]
    assert len(written) == len(collected.files) - 1
    check_programs("PS100001", {"uefi": "boot/x64/bootmgfw.efi"}, [file.name for file in collected.files])


def test_a_link_in_an_image_is_never_followed(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for path, content in make(tmp_path / "model.wim").files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    (tree / "Windows/Boot/EFI/bootmgfw.efi").unlink()
    (tree / "Windows/Boot/EFI/bootmgfw.efi").symlink_to("/etc/passwd")
    wims.run("capture", str(tree), str(tmp_path / "boot.wim"), "PE", "--boot")
    with pytest.raises(ContentError, match=r"bootmgfw\.efi must be a regular file"):
        taken(Wim(tmp_path / "boot.wim", "x64", {}, 0, 0), tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "Windows/Boot/EFI/*/bootmgfw.efi.mui",
        "Windows/Boot/PXE/../bootmgr.exe.mui",
        "Windows/Boot/PXE/@x/y.mui",
        "Windows/Boot/Fonts/a b.ttf",
        "Windows/Boot/Fonts/deep/er/x.ttf",
        "Windows/Boot/EFI_EX/bootmgfw.efi",
        "Windows/Boot/EFI/memtest.efi",
        "Other/Boot/EFI/bootmgfw.efi",
        "Windows/Boot/PXE/bootmgfw.efi",
    ],
)
def test_nothing_but_the_known_files_is_taken(path: str) -> None:
    assert plan([path], "x64", None, None).files == {}


def test_progress_reaches_the_whole(tmp_path: Path) -> None:
    wim = make(tmp_path / "boot.wim")
    (tmp_path / "into").mkdir()
    seen: list[tuple[int, int, str]] = []
    collect(wim.path, "PS100001", "x64", None, None, tmp_path / "into", lambda *step: seen.append(step))
    assert seen
    assert seen[-1][0] == seen[-1][1]
    assert {step[2] for step in seen} == {"boot files"}


def test_without_wimlib_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wim = make(tmp_path / "boot.wim")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotOpen, match="apt install wimtools"):
        taken(wim, tmp_path)


def test_a_broken_image_is_named_with_what_wimlib_says(tmp_path: Path) -> None:
    wim = make(tmp_path / "boot.wim")
    data = bytearray(wim.path.read_bytes())
    start = read_metadata_offset(data)
    data[start : start + 64] = bytes(64)
    wim.path.write_bytes(data)
    with pytest.raises(ContentError, match=r"boot\.wim: wimlib-imagex says: \w+"):
        taken(wim, tmp_path)


def read_metadata_offset(data: bytes) -> int:
    """Where the list of files of the image that boots lies: the offset in the entry at byte 96 (B-29)."""
    return int.from_bytes(data[96 + 8 : 96 + 16], "little")


def test_files_are_put_into_an_image_whatever_their_names(tmp_path: Path) -> None:
    wim = make(tmp_path / "boot.wim", case="upper")
    odd = tmp_path / "it's ä name.txt"
    odd.write_bytes(b"odd")
    wimlib.add(wim.path, 1, [(odd, 'Windows/System32/a "b".txt'.replace('"', "")), (odd, "new/Über.txt")])
    assert "WINDOWS/SYSTEM32/a b.txt" in wimlib.paths(wim.path, 1)
    assert wimlib.read(wim.path, 1, "new/Über.txt") == b"odd"
    both = tmp_path / "a'b\".txt"
    both.write_bytes(b"")
    with pytest.raises(ContentError, match="both kinds of quotes"):
        wimlib.add(wim.path, 1, [(both, "x")])


def test_the_environment_of_the_caller_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("WIMLIB_IMAGEX_IGNORE_CASE", "0")
    wim = make(tmp_path / "boot.wim", case="upper")
    assert served(taken(wim, tmp_path)) == wim.boot()
    assert "LC_ALL" in os.environ
    assert bootfiles.wim_name("PS100001") == "boot.PS100001.wim"
