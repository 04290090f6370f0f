import hashlib
import os
import socket
import stat
from pathlib import Path

import pytest
from pxefast.content import namespace
from pxefast.content.library import Library
from pxefast.errors import CannotOpen, ContentError

from .stock import Stock, stock


@pytest.fixture
def here(tmp_path: Path) -> Stock:
    return stock(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "image"
    (folder / "grub").mkdir(parents=True)
    (folder / "grubx64.efi").write_bytes(b"program" * 1000)
    (folder / "grub" / "Grub.cfg").write_bytes(b"menu")
    (folder / "empty").write_bytes(b"")
    return folder


def test_what_is_published_is_what_was_in_the_folder(here: Stock, source: Path) -> None:
    here.distribute(source)
    published = here.library.published()["PS100001"]
    assert [file.name for file in published.files] == ["empty", "grub/Grub.cfg", "grubx64.efi"]
    for file in published.files:
        content = (source / file.name).read_bytes()
        assert (here.library.folder / file.blob).read_bytes() == content
        assert (file.sha256, file.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert published.architecture == "x64"
    assert published.published_at.endswith("+00:00")


def test_published_files_are_read_only(here: Stock, source: Path) -> None:
    here.distribute(source)
    for path in (here.library.folder / "blobs").rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_names_are_served_below_the_images_id_in_the_publishers_spelling(here: Stock, source: Path) -> None:
    here.distribute(source)
    served = namespace.build(here.library, {"smsimages/ps100001/grubx64.efi"})
    assert [(file.name, file.gated) for file in served if namespace.image_of(file.name) == "PS100001"] == [
        ("SMSImages/PS100001/empty", False),
        ("SMSImages/PS100001/grub/Grub.cfg", False),
        ("SMSImages/PS100001/grubx64.efi", True),
    ]
    for file in served:
        assert (here.library.folder / file.path).stat().st_size == file.size


def test_equal_files_are_stored_once(here: Stock, source: Path) -> None:
    (source / "copy.efi").write_bytes((source / "grubx64.efi").read_bytes())
    here.distribute(source)
    here.distribute(source, "PS100002")
    assert len(here.blobs()) == 3


def test_distributing_again_serves_the_new_files_and_collects_those_before_the_last(
    here: Stock, source: Path
) -> None:
    """A service opens files of the last version until it has looked at the library again."""
    old = here.distribute(source)
    (source / "grubx64.efi").write_bytes(b"newer")
    (source / "empty").unlink()
    stamp = here.library.stamp()
    new = here.distribute(source)
    assert here.library.stamp() != stamp
    assert {file.name for file in new.files} == {"grub/Grub.cfg", "grubx64.efi"}
    last, newest = {file.sha256 for file in old.files}, {file.sha256 for file in new.files}
    assert here.blobs() == last | newest
    (source / "grubx64.efi").write_bytes(b"newest")
    third = {file.sha256 for file in here.distribute(source).files}
    assert here.blobs() == newest | third != last | newest | third
    here.library.remove(new.id)
    assert here.blobs() == set()


def test_a_file_shared_with_another_image_is_not_collected(here: Stock, source: Path) -> None:
    here.distribute(source)
    here.distribute(source, "PS100002")
    assert here.library.remove("PS100001")
    assert not here.library.remove("PS100001")
    assert set(here.library.published()) == {"PS100002"}
    assert len(here.blobs()) == 3
    here.library.remove("PS100002")
    assert here.blobs() == set()


def test_an_open_file_can_be_read_to_its_end_after_it_was_replaced(here: Stock, source: Path) -> None:
    published = here.distribute(source)
    program = next(file for file in published.files if file.name == "grubx64.efi")
    with (here.library.folder / program.blob).open("rb") as reader:
        (source / "grubx64.efi").write_bytes(b"newer")
        here.distribute(source)
        assert reader.read() == b"program" * 1000


def test_progress_reaches_the_whole(here: Stock, source: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    here.distribute(source, progress=lambda *step: seen.append(step))
    done = [step[0] for step in seen]
    assert done == sorted(done)
    assert seen[-1][:2] == (7004, 7004)


@pytest.mark.parametrize(
    "name", ["a:b", "back\\slash", "new\nline", "bell\x07", "del\x7f", " lead", "trail "]
)
def test_a_name_no_client_can_ask_for_is_refused(here: Stock, source: Path, name: str) -> None:
    (source / name).write_bytes(b"")
    refused(here, source, name.strip().encode("unicode_escape").decode())


def test_a_name_that_is_not_utf8_is_refused(here: Stock, source: Path) -> None:
    (source / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    refused(here, source, "caf")


def test_a_path_too_long_for_a_request_is_refused(here: Stock, source: Path) -> None:
    deep = source / ("d" * 200) / ("e" * 200)
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"")
    refused(here, source, "longer than a TFTP request")


def test_names_that_differ_in_case_alone_are_refused(here: Stock, source: Path) -> None:
    (source / "GRUBX64.EFI").write_bytes(b"")
    refused(here, source, "GRUBX64.EFI")


def test_folders_that_differ_in_case_alone_may_hold_different_names(here: Stock, source: Path) -> None:
    (source / "GRUB").mkdir()
    (source / "GRUB" / "font").write_bytes(b"")
    assert len(here.distribute(source).files) == 4
    (source / "GRUB" / "grub.cfg").write_bytes(b"")
    refused(here, source, "grub.cfg")


def test_links_inside_are_followed(here: Stock, source: Path) -> None:
    (source / "boot.efi").symlink_to("grubx64.efi")
    (source / "menu").symlink_to(source / "grub", target_is_directory=True)
    files = {file.name: file for file in here.distribute(source).files}
    assert files["boot.efi"].sha256 == files["grubx64.efi"].sha256
    assert "menu/Grub.cfg" in files


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "grub/../../outside"])
def test_links_leading_out_are_refused(here: Stock, source: Path, target: str) -> None:
    (source.parent / "outside").write_bytes(b"secret")
    (source / "link").symlink_to(target)
    refused(here, source, "link")


def test_broken_links_and_links_in_a_ring_are_refused(here: Stock, source: Path) -> None:
    (source / "ring").symlink_to(".")
    refused(here, source, "ring")
    (source / "ring").unlink()
    (source / "broken").symlink_to("nothing")
    refused(here, source, "broken")


def test_what_is_not_a_file_is_refused(here: Stock, source: Path) -> None:
    os.mkfifo(source / "pipe")
    refused(here, source, "pipe")
    (source / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(source)
        try:
            listener.bind("socket")
        finally:
            os.chdir(before)
        refused(here, source, "socket")


def test_a_boot_program_must_be_one_of_the_files(here: Stock, source: Path) -> None:
    with pytest.raises(ContentError, match=r"bios boot program 'pxelinux\.0'"):
        here.distribute(source, programs={"bios": "pxelinux.0"})
    here.distribute(source, programs={"uefi": "GRUBX64.efi"})


def test_a_boot_program_must_fit_a_dhcp_reply(here: Stock, source: Path) -> None:
    name = "p" * 108
    (source / name).write_bytes(b"")
    assert len(namespace.boot_file("PS100001", name)) == 127
    here.distribute(source, programs={"uefi": name})
    (source / (name + "p")).write_bytes(b"")
    with pytest.raises(ContentError, match="127"):
        here.distribute(source, programs={"uefi": name + "p"})


def test_a_folder_that_is_missing_is_named(here: Stock, tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="nowhere"):
        here.distribute(tmp_path / "nowhere")
    with pytest.raises(ContentError, match="not a folder"):
        here.distribute(Path(__file__))


def test_a_failed_distribution_leaves_the_old_image_whole(
    here: Stock, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = here.distribute(source)
    (source / "grubx64.efi").write_bytes(b"newer")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ContentError, match="no space left"):
        here.distribute(source)
    monkeypatch.undo()
    assert here.library.published() == {"PS100001": before}
    assert here.blobs() == {file.sha256 for file in before.files}


def test_a_file_that_grows_while_it_is_copied_is_refused(
    here: Stock, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.read

    def growing(descriptor: int, size: int) -> bytes:
        with (source / "grubx64.efi").open("ab") as writer:
            writer.write(b"more")
        monkeypatch.setattr(os, "read", read)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", growing)
    (source / "empty").unlink()
    (source / "grub" / "Grub.cfg").unlink()
    with pytest.raises(ContentError, match="changed while it was packaged"):
        here.distribute(source)
    assert here.library.published() == {}


def test_every_file_is_durable_before_the_manifest_names_it(
    here: Stock, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, Path]] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(descriptor: int) -> None:
        steps.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def noted_rename(self: Path, target: Path) -> Path:
        steps.extend([("rename", self), ("to", target)])
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    published = here.distribute(source)
    targets = [here.library.folder / file.blob for file in published.files]
    manifest = here.library.folder / "images" / "PS100001.json"
    for target in [*targets, manifest]:
        named = steps.index(("to", target))
        temporary = steps[named - 1][1]
        assert ("sync", temporary) in steps[:named]
        assert steps[named + 1] == ("sync", target.parent)
    assert steps[-2] == ("to", manifest)


def test_what_a_crash_left_half_written_is_never_served_and_is_collected(here: Stock, source: Path) -> None:
    (here.library.folder / "blobs" / ".new-half").write_bytes(b"half")
    (here.library.folder / "images" / ".new-half").write_bytes(b"{")
    assert here.library.published() == {}
    here.distribute(source)
    assert ".new-half" not in here.blobs()
    assert [path.name for path in (here.library.folder / "images").iterdir()] == ["PS100001.json"]


def test_a_damaged_manifest_says_how_to_mend_it_and_loses_no_file(here: Stock, source: Path) -> None:
    here.distribute(source)
    (here.library.folder / "images" / "PS100001.json").write_text("{}")
    with pytest.raises(CannotOpen, match="pxefast content redistribute PS100001"):
        here.library.published()
    here.distribute(source, "PS100002")
    assert len(here.blobs()) == 3
    here.distribute(source)
    assert set(here.library.published()) == {"PS100001", "PS100002"}


def test_a_missing_library_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CannotOpen, match="pxefast init"):
        Library(tmp_path / "content")


def refused(here: Stock, source: Path, word: str) -> None:
    """Nothing is published, and the error names what is in the way."""
    before = here.library.published()
    with pytest.raises(ContentError) as error:
        here.distribute(source)
    assert word in str(error.value)
    assert here.library.published() == before
