import subprocess
from pathlib import Path

import pytest
from pxefast.content import sdi
from pxefast.errors import ContentError

# Offset, value: the container's fields in Microsoft's file (B-43).
FIELDS = {0x70: 2, 0x400 + 16: 0x2000, 0x400 + 24: 0x303C00, 0x400 + 32: 7, 0x440 + 16: 0x306000}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    file = tmp_path / "boot.sdi"
    sdi.make_sdi(file)
    return file


def test_a_boot_sdi_has_the_layout_of_windows_own(made: Path) -> None:
    data = made.read_bytes()
    assert len(data) == 3_170_304
    assert data[:8] == b"$SDI0001"
    assert data[0x1F8] == 0x39
    assert sum(data[:512]) % 256 == 0
    assert (data[0x400:0x408], data[0x440:0x448]) == (b"PART\0\0\0\0", b"WIM\0\0\0\0\0")
    words = {at: int.from_bytes(data[at : at + 8], "little") for at in range(0, 0x2000, 8)}
    named = {at: word for at, word in words.items() if word and at not in (0, 0x1F8, 0x400, 0x440)}
    assert named == FIELDS, "everything else is zero"


def test_its_volume_is_an_empty_ntfs_of_half_kilobyte_clusters(made: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.write_bytes(made.read_bytes()[0x2000:][:0x303C00])
    told = subprocess.run(
        ["ntfsinfo", "--mft", "--force", str(volume)], capture_output=True, text=True, check=True
    )
    assert "Cluster Size: 512" in told.stdout
    assert "Sector Size: 512" in told.stdout
    assert "Volume Size in Clusters: 6173" in told.stdout
    listed = subprocess.run(["ntfsls", "--force", str(volume)], capture_output=True, text=True, check=True)
    assert listed.stdout.split() in ([], ["."])


def test_it_is_the_same_each_time_and_replaces_what_was_there(made: Path) -> None:
    first = made.read_bytes()
    made.write_bytes(b"old")
    sdi.make_sdi(made)
    assert made.read_bytes() == first
    assert [path.name for path in made.parent.iterdir()] == ["boot.sdi"], "and leaves nothing behind"


def test_what_is_missing_is_told_and_what_was_there_stays(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = made.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.which", lambda *_, **__: None)
        with pytest.raises(ContentError, match="apt install ntfs-3g"):
            sdi.make_sdi(made)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.which", lambda *_, **__: "/bin/false")
        with pytest.raises(ContentError, match="mkntfs failed"):
            sdi.make_sdi(made)
    with pytest.raises(ContentError, match="nowhere"):
        sdi.make_sdi(tmp_path / "nowhere" / "boot.sdi")
    assert made.read_bytes() == before
