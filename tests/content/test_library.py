import hashlib
import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pxefast.content import library as library_module
from pxefast.content import namespace
from pxefast.content.library import Library
from pxefast.errors import CannotOpen, ContentError


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.create(tmp_path / "content")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "image"
    (folder / "grub").mkdir(parents=True)
    (folder / "grubx64.efi").write_bytes(b"program" * 1000)
    (folder / "grub" / "Grub.cfg").write_bytes(b"menu")
    (folder / "empty").write_bytes(b"")
    return folder


def image(id: str = "PS100001", **programs: str) -> Any:  # noqa: A002  the library's own word
    return SimpleNamespace(id=id, architecture="x64", programs=programs or {"uefi": "grubx64.efi"})


def blobs(library: Library) -> set[str]:
    return {path.name for path in (library.folder / "blobs").rglob("*") if path.is_file()}


def test_what_is_published_is_what_was_in_the_folder(library: Library, source: Path) -> None:
    library.distribute(image(), source)
    published = library.published()["PS100001"]
    assert [file.name for file in published.files] == ["empty", "grub/Grub.cfg", "grubx64.efi"]
    for file in published.files:
        content = (source / file.name).read_bytes()
        assert (library.folder / file.blob).read_bytes() == content
        assert (file.sha256, file.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert published.architecture == "x64"
    assert published.published_at.endswith("+00:00")


def test_published_files_are_read_only(library: Library, source: Path) -> None:
    library.distribute(image(), source)
    for path in (library.folder / "blobs").rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_names_are_served_below_the_images_id_in_the_publishers_spelling(
    library: Library, source: Path
) -> None:
    library.distribute(image(), source)
    served = namespace.build(library, {"smsimages/ps100001/grubx64.efi"})
    assert [(file.name, file.gated) for file in served if namespace.image_of(file.name) == "PS100001"] == [
        ("SMSImages/PS100001/empty", False),
        ("SMSImages/PS100001/grub/Grub.cfg", False),
        ("SMSImages/PS100001/grubx64.efi", True),
    ]
    for file in served:
        assert (library.folder / file.path).stat().st_size == file.size


def test_equal_files_are_stored_once(library: Library, source: Path) -> None:
    (source / "copy.efi").write_bytes((source / "grubx64.efi").read_bytes())
    library.distribute(image(), source)
    library.distribute(image("PS100002"), source)
    assert len(blobs(library)) == 3


def test_distributing_again_serves_the_new_files_and_collects_the_old(library: Library, source: Path) -> None:
    old = library.distribute(image(), source)
    (source / "grubx64.efi").write_bytes(b"newer")
    (source / "empty").unlink()
    stamp = library.stamp()
    new = library.distribute(image(), source)
    assert library.stamp() != stamp
    assert {file.name for file in new.files} == {"grub/Grub.cfg", "grubx64.efi"}
    assert blobs(library) == {file.sha256 for file in new.files}
    assert blobs(library) != {file.sha256 for file in old.files}


def test_a_file_shared_with_another_image_is_not_collected(library: Library, source: Path) -> None:
    library.distribute(image(), source)
    library.distribute(image("PS100002"), source)
    assert library.remove("PS100001")
    assert not library.remove("PS100001")
    assert set(library.published()) == {"PS100002"}
    assert len(blobs(library)) == 3
    library.remove("PS100002")
    assert blobs(library) == set()


def test_an_open_file_can_be_read_to_its_end_after_it_was_replaced(library: Library, source: Path) -> None:
    published = library.distribute(image(), source)
    program = next(file for file in published.files if file.name == "grubx64.efi")
    with (library.folder / program.blob).open("rb") as reader:
        (source / "grubx64.efi").write_bytes(b"newer")
        library.distribute(image(), source)
        assert reader.read() == b"program" * 1000


def test_progress_reaches_the_whole(library: Library, source: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    library.distribute(image(), source, lambda *step: seen.append(step))
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert seen[-1][:2] == (7004, 7004)


@pytest.mark.parametrize(
    "name", ["a:b", "back\\slash", "new\nline", "bell\x07", "del\x7f", " lead", "trail "]
)
def test_a_name_no_client_can_ask_for_is_refused(library: Library, source: Path, name: str) -> None:
    (source / name).write_bytes(b"")
    refused(library, source, name.strip().encode("unicode_escape").decode())


def test_a_name_that_is_not_utf8_is_refused(library: Library, source: Path) -> None:
    (source / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    refused(library, source, "caf")


def test_a_path_too_long_for_a_request_is_refused(library: Library, source: Path) -> None:
    deep = source / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"")
    refused(library, source, "longer than a TFTP request")


def test_names_that_differ_in_case_alone_are_refused(library: Library, source: Path) -> None:
    (source / "GRUBX64.EFI").write_bytes(b"")
    refused(library, source, "GRUBX64.EFI")


def test_folders_that_differ_in_case_alone_may_hold_different_names(library: Library, source: Path) -> None:
    (source / "GRUB").mkdir()
    (source / "GRUB" / "font").write_bytes(b"")
    assert len(library.distribute(image(), source).files) == 4
    (source / "GRUB" / "grub.cfg").write_bytes(b"")
    refused(library, source, "grub.cfg")


def test_links_inside_are_followed(library: Library, source: Path) -> None:
    (source / "boot.efi").symlink_to("grubx64.efi")
    (source / "menu").symlink_to(source / "grub", target_is_directory=True)
    files = {file.name: file for file in library.distribute(image(), source).files}
    assert files["boot.efi"].sha256 == files["grubx64.efi"].sha256
    assert "menu/Grub.cfg" in files


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "grub/../../outside"])
def test_links_leading_out_are_refused(library: Library, source: Path, target: str) -> None:
    (source.parent / "outside").write_bytes(b"secret")
    (source / "link").symlink_to(target)
    refused(library, source, "link")


def test_broken_links_and_links_in_a_ring_are_refused(library: Library, source: Path) -> None:
    (source / "ring").symlink_to(".")
    refused(library, source, "ring")
    (source / "ring").unlink()
    (source / "broken").symlink_to("nothing")
    refused(library, source, "broken")


def test_what_is_not_a_file_is_refused(library: Library, source: Path) -> None:
    os.mkfifo(source / "pipe")
    refused(library, source, "pipe")
    (source / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(source)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        refused(library, source, "socket")


def test_a_boot_program_must_be_one_of_the_files(library: Library, source: Path) -> None:
    with pytest.raises(ContentError, match=r"bios boot program 'pxelinux\.0'"):
        library.distribute(image(bios="pxelinux.0"), source)
    library.distribute(image(uefi="GRUBX64.efi"), source)


def test_a_boot_program_must_fit_a_dhcp_reply(library: Library, source: Path) -> None:
    name = "p" * 108
    (source / name).write_bytes(b"")
    assert len(namespace.boot_file("PS100001", name)) == 127
    library.distribute(image(uefi=name), source)
    (source / (name + "p")).write_bytes(b"")
    with pytest.raises(ContentError, match="127"):
        library.distribute(image(uefi=name + "p"), source)


def test_a_folder_that_is_missing_is_named(library: Library, tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="nowhere"):
        library.distribute(image(), tmp_path / "nowhere")
    with pytest.raises(ContentError, match="not a folder"):
        library.distribute(image(), Path(__file__))


def test_a_failed_distribution_leaves_the_old_image_whole(
    library: Library, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = library.distribute(image(), source)
    (source / "grubx64.efi").write_bytes(b"newer")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(library_module.os, "write", full)
    with pytest.raises(ContentError, match="No space left"):
        library.distribute(image(), source)
    monkeypatch.undo()
    assert library.published() == {"PS100001": before}
    assert blobs(library) == {file.sha256 for file in before.files}


def test_a_file_that_grows_while_it_is_copied_is_refused(
    library: Library, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read

    def growing(descriptor: int, size: int) -> bytes:
        with (source / "grubx64.efi").open("ab") as writer:
            writer.write(b"more")
        monkeypatch.setattr(library_module.os, "read", read)
        return read(descriptor, size)

    monkeypatch.setattr(library_module.os, "read", growing)
    (source / "empty").unlink()
    (source / "grub" / "Grub.cfg").unlink()
    with pytest.raises(ContentError, match="changed while it was copied"):
        library.distribute(image(), source)
    assert library.published() == {}


def test_every_file_is_durable_before_the_manifest_names_it(
    library: Library, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(descriptor: int) -> None:
        steps.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def noted_rename(self: Path, target: Path) -> Path:
        steps.append(f"rename {self.name} to {target.name}")
        return rename(self, target)

    monkeypatch.setattr(library_module.os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    published = library.distribute(image(), source)
    for name, folder in [(file.sha256, file.sha256[:2]) for file in published.files] + [
        ("PS100001.json", "images")
    ]:
        named = next(number for number, step in enumerate(steps) if step.endswith(f" to {name}"))
        temporary = steps[named].split()[1]
        assert steps[named - 1] == f"sync {temporary}" or f"sync {temporary}" in steps[:named]
        assert steps[named + 1] == f"sync {folder}"
    assert steps[-2].endswith(" to PS100001.json")


def test_what_a_crash_left_half_written_is_never_served_and_is_collected(
    library: Library, source: Path
) -> None:
    (library.folder / "blobs" / ".new-half").write_bytes(b"half")
    (library.folder / "images" / ".new-half").write_bytes(b"{")
    assert library.published() == {}
    library.distribute(image(), source)
    assert ".new-half" not in blobs(library)
    assert [path.name for path in (library.folder / "images").iterdir()] == ["PS100001.json"]


def test_a_damaged_manifest_says_how_to_mend_it_and_loses_no_file(library: Library, source: Path) -> None:
    library.distribute(image(), source)
    (library.folder / "images" / "PS100001.json").write_text("{}")
    with pytest.raises(CannotOpen, match="pxefast content distribute PS100001"):
        library.published()
    library.distribute(image("PS100002"), source)
    assert len(blobs(library)) == 3
    library.distribute(image(), source)
    assert set(library.published()) == {"PS100001", "PS100002"}


def test_a_missing_library_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="pxefast init"):
        Library(tmp_path / "content")


def refused(library: Library, source: Path, word: str) -> None:
    """Nothing is published, and the error names what is in the way."""
    before = library.published()
    with pytest.raises(ContentError) as error:
        library.distribute(image(), source)
    assert word in str(error.value)
    assert library.published() == before
