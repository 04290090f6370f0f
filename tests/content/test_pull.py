"""A version is brought part by part: what goes wrong is said, nothing unverified is served, the old version stays."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pxefast.config import Content
from pxefast.content.depot import Depot
from pxefast.content.library import Library
from pxefast.content.manifest import CHUNK_BYTES, decode, encode
from pxefast.errors import CannotOpen, ContentError

from .server import Web, certificates, web
from .stock import MIB, Stock, Version, is_whole, package, stock, write_image

# Several chunks, and one that is not whole.
_MEGABYTES = 18


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("image") / "image", _MEGABYTES)


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    return write_image(tmp_path / "newer", _MEGABYTES, seed=2)


@pytest.fixture
def here(tmp_path: Path) -> Stock:
    return stock(tmp_path)


@pytest.fixture
def server(here: Stock, tmp_path: Path) -> Iterator[Web]:
    with web(tmp_path) as running:
        yield running


def over_http(here: Stock, server: Web, **more: object) -> Stock:
    """The same content source by HTTP, with little patience."""
    settings = Content.model_validate(
        {"source": f"http://127.0.0.1:{server.port}/source", "timeout_seconds": 1, **more}
    )
    return Stock(Depot(settings, Path("/nowhere")), here.library)


def wim_blob(here: Stock, version: Version) -> Path:
    """The big file's blob in the content source."""
    file = next(file for file in here.depot.manifest(*version).files if file.name == "boot.wim")
    assert here.depot.folder is not None
    return here.depot.folder / "blobs" / file.sha256[:2] / file.sha256


def flip(path: Path, offset: int) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_point_brings_an_image_from_a_web_server_byte_for_byte(
    here: Stock, server: Web, source: Path, parallel: int
) -> None:
    version = package(here.depot, source)
    steps: list[tuple[int, int, str]] = []
    over_http(here, server).bring(version, parallel, lambda *step: steps.append(step))
    assert is_whole(here.library, source)
    done = [step[0] for step in steps]
    assert done == sorted(done)
    assert len(done) > _MEGABYTES * MIB // CHUNK_BYTES
    assert steps[-1][:2] == (_MEGABYTES * MIB + 5777, _MEGABYTES * MIB + 5777)
    parts = [first for path, first in server.asked if "/blobs/" in path]
    assert len(parts) == len(set(parts)) + 1, "each part once; both files have one that begins at 0"


def test_a_web_server_is_read_only(here: Stock, server: Web) -> None:
    assert here.depot.writable
    assert not over_http(here, server).depot.writable


def test_a_private_authority_is_trusted_when_settings_or_environment_name_it(
    here: Stock, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = package(here.depot, source)
    certified = certificates(tmp_path)
    with web(tmp_path, certified.server) as server:
        named: dict[str, object] = {
            "source": f"https://127.0.0.1:{server.port}/source",
            "ca_file": str(certified.ca),
        }
        trusting = over_http(here, server, **named)
        trusting.bring(version)
        assert is_whole(here.library, source)
        here.library.remove("PS100001")
        distrusting = over_http(here, server, source=named["source"])
        with pytest.raises(ContentError, match=r"https://127\.0\.0\.1"):
            distrusting.bring(version)
        assert here.library.published() == {}
        monkeypatch.setenv("SSL_CERT_FILE", str(certified.ca))
        over_http(here, server, source=named["source"]).bring(version)
        assert is_whole(here.library, source)


def test_an_authority_that_cannot_be_read_is_named() -> None:
    with pytest.raises(CannotOpen, match="no-such-ca"):
        Depot(Content(source="https://127.0.0.1/x", ca_file="/no-such-ca"), Path("/nowhere"))


def test_what_has_come_before_it_was_cut_short_is_not_fetched_again(
    here: Stock, server: Web, source: Path
) -> None:
    version = package(here.depot, source)
    remote = over_http(here, server)
    last = _MEGABYTES * MIB // CHUNK_BYTES * CHUNK_BYTES
    server.fault = lambda _, first, data: None if first == last else data
    with pytest.raises(ContentError):
        remote.bring(version, 1)
    assert here.library.published() == {}
    server.fault = None
    server.asked.clear()
    remote.bring(version)
    assert is_whole(here.library, source)
    assert [first for path, first in server.asked if "/blobs/" in path] == [last]
    assert not list((here.library.folder / "partial").rglob("*/*")), "nothing is left behind"


def test_a_part_that_was_damaged_on_the_way_is_asked_for_again(
    here: Stock, server: Web, source: Path
) -> None:
    version = package(here.depot, source)
    damaged: set[int] = set()

    def once(_: str, first: int, data: bytes) -> bytes:
        if first in damaged:
            return data
        damaged.add(first)
        return bytes(len(data))

    server.fault = once
    over_http(here, server).bring(version)
    assert is_whole(here.library, source)


def lies(_: str, first: int, data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:] if first == CHUNK_BYTES else data


def ends_early(_: str, first: int, data: bytes) -> bytes:
    return data[: len(data) // 2] if first == CHUNK_BYTES else data


@pytest.mark.parametrize(
    ("fault", "why"),
    [(lies, "boot.wim: bytes 4,194,304 to 8,388,608 in the content source .* are not what was packaged"),
     (ends_early, "http://127.0.0.1"),
     (lambda *_: None, "http://127.0.0.1")],
    ids=["lies", "ends early", "hangs up"],
)  # fmt: skip
def test_a_bad_source_is_named_and_the_old_version_stays(
    here: Stock, server: Web, source: Path, newer: Path, fault: object, why: str
) -> None:
    here.distribute(source)
    version = package(here.depot, newer, version=2)
    server.fault = fault  # type: ignore[assignment]
    with pytest.raises(ContentError, match=why):
        over_http(here, server).bring(version)
    assert is_whole(here.library, source)
    server.fault = None
    over_http(here, server).bring(version)
    assert is_whole(here.library, newer)


def test_a_server_without_ranges_is_told_from_one_with(here: Stock, server: Web, source: Path) -> None:
    version = package(here.depot, source)
    server.ranges = False
    with pytest.raises(ContentError, match="Range request not supported"):
        over_http(here, server).bring(version)
    assert here.library.published() == {}


def test_a_silent_server_is_given_up(here: Stock, server: Web, source: Path) -> None:
    version = package(here.depot, source)
    server.silent.set()
    with pytest.raises(ContentError, match=f"127.0.0.1:{server.port}"):
        over_http(here, server).bring(version)
    server.silent.clear()


def test_a_source_that_is_not_there_is_named(here: Stock, source: Path) -> None:
    version = package(here.depot, source)
    gone = Content(source="http://127.0.0.1:1/x", timeout_seconds=1)
    with pytest.raises(ContentError, match=r"http://127\.0\.0\.1:1/x"):
        Stock(Depot(gone, Path("/nowhere")), here.library).bring(version)


def test_a_password_in_the_address_of_a_source_is_told_to_nobody(here: Stock, source: Path) -> None:
    version = package(here.depot, source)
    gone = Depot(Content(source="http://me:geheim@127.0.0.1:1/x", timeout_seconds=1), Path("/nowhere"))
    with pytest.raises(ContentError, match=r"http://127\.0\.0\.1:1/x") as error:
        Stock(gone, here.library).bring(version)
    assert "geheim" not in str(error.value) + gone.where


def test_what_a_killed_packager_left_half_written_in_a_folder_is_cleared_when_it_is_old(
    here: Stock, source: Path
) -> None:
    blob = wim_blob(here, package(here.depot, source))
    old, new = blob.with_name(f"{blob.name}#1"), blob.with_name(f"{blob.name}#2")
    for part in (old, new):
        part.write_bytes(b"a part")
    os.utime(old, (0, 0))
    here.depot.prune("PS100001", 1, [])
    assert (old.exists(), new.exists(), blob.exists()) == (False, True, True)


def test_what_is_no_manifest_of_a_version_keeps_no_old_version_in_the_source(
    here: Stock, source: Path, newer: Path
) -> None:
    old = package(here.depot, source)
    new = package(here.depot, newer, version=2)
    folder = here.depot.folder
    assert folder is not None
    for stray in ("PS100001/README", "PS100002/1-abc.json", f"PS100002/1-{'0' * 64}.json"):
        path = folder / "manifests" / stray
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    blob = wim_blob(here, old)
    here.depot.prune("PS100001", 2, [])
    assert not blob.exists()
    with pytest.raises(ContentError, match="has no manifests/PS100001/1-"):
        here.depot.manifest(*old)
    here.bring(new)
    assert is_whole(here.library, newer)
    assert len(list((folder / "manifests").rglob("*"))) == 6


def test_a_blob_cut_off_or_lost_in_the_source_is_named_and_mended_by_packaging(
    here: Stock, source: Path
) -> None:
    version = package(here.depot, source)
    blob = wim_blob(here, version)
    os.truncate(blob, 7 * MIB)
    with pytest.raises(ContentError, match=f"not what was packaged|{blob.name}"):
        here.bring(version)
    blob.unlink()
    with pytest.raises(ContentError, match=blob.name):
        here.bring(version)
    assert here.library.published() == {}
    package(here.depot, source)
    here.bring(version)
    assert is_whole(here.library, source)


def test_a_byte_flipped_in_the_source_is_found_by_bringing_and_mended_by_verified_packaging(
    here: Stock, source: Path
) -> None:
    version = package(here.depot, source)
    flip(wim_blob(here, version), 9 * MIB)
    package(here.depot, source)
    with pytest.raises(ContentError, match="8,388,608"):
        here.bring(version)
    package(here.depot, source, verify=True)
    here.bring(version)
    assert is_whole(here.library, source)


def test_source_and_library_share_no_bytes(here: Stock, source: Path) -> None:
    version = package(here.depot, source)
    here.bring(version)
    flip(wim_blob(here, version), 5 * MIB)
    assert is_whole(here.library, source)


@pytest.mark.parametrize("where", [0, 5 * MIB, _MEGABYTES * MIB + 776])
def test_a_byte_flipped_in_the_library_is_found_withdrawn_and_mended_from_the_source(
    here: Stock, server: Web, source: Path, where: int
) -> None:
    version = package(here.depot, source)
    here.bring(version)
    blob = here.library.folder / wim_blob(here, version).relative_to(here.depot.folder or Path())
    flip(blob, where)
    published = here.library.published()["PS100001"]
    assert here.library.damaged(published) == ["boot.wim"]
    here.library.withdraw("PS100001")
    assert here.library.published() == {}
    assert here.library.withdrawn() == {"PS100001": published}
    over_http(here, server).bring(version)
    assert is_whole(here.library, source)
    assert here.library.withdrawn() == {}
    efi = next(file.sha256 for file in published.files if file.name == "boot.efi")
    assert not any(efi in path for path, _ in server.asked), "what was not damaged is used again"


def test_a_manifest_that_was_replaced_in_the_source_is_refused(
    here: Stock, source: Path, newer: Path
) -> None:
    here.distribute(source)
    version = package(here.depot, newer, version=2)
    assert here.depot.folder is not None
    manifest = here.depot.folder / "manifests" / "PS100001" / f"2-{version.sha256}.json"
    evil = decode(manifest.read_bytes(), version.sha256, "")
    manifest.write_bytes(encode(evil._replace(architecture="x86")))
    with pytest.raises(ContentError, match="SHA-256 is not the one in the site database"):
        here.bring(version)
    manifest.unlink()
    with pytest.raises(ContentError, match=r"has no manifests/PS100001/2-.*\[content\] source"):
        here.bring(version)
    assert is_whole(here.library, source)


def test_a_manifest_is_canonical_and_reads_back(here: Stock, source: Path) -> None:
    version = package(here.depot, source)
    manifest = here.depot.manifest(*version)
    data = encode(manifest)
    assert decode(data, version.sha256, "") == manifest
    value = json.loads(data)
    assert data == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    wim = next(file for file in value["files"] if file["name"] == "boot.wim")
    assert len(wim["chunks"]) == -(-wim["size"] // CHUNK_BYTES)


def test_old_versions_leave_the_source_when_nobody_wants_them(here: Stock, source: Path, newer: Path) -> None:
    first = package(here.depot, source)
    other = package(here.depot, source, "PS100002")
    second = package(here.depot, newer, version=2)
    third = package(here.depot, newer, version=3)
    here.depot.prune("PS100001", 3, [])
    here.bring(third)
    here.bring(other)
    for gone in (first, second):
        with pytest.raises(ContentError, match="has no"):
            here.depot.manifest(*gone)
    here.depot.prune("PS100002", 2, [(1, other.sha256)])
    here.bring(other)
    here.depot.prune("PS100002", 2, [])
    assert here.depot.folder is not None
    left = {path.name for path in (here.depot.folder / "blobs").rglob("*") if path.is_file()}
    assert left == {file.sha256 for file in here.depot.manifest(*third).files}


def test_a_full_disk_is_told_and_leaves_the_old_version_and_the_room(tmp_path: Path) -> None:
    """In a mount namespace of its own, on 24 MiB of memory."""
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent.parent.parent)!r})
from tests.content.stock import *
from pxefast.config import Content
from pxefast.errors import ContentError
small, big = write_image(Path({str(tmp_path)!r}) / "small", 10), write_image(Path({str(tmp_path)!r}) / "big", 40)
depot = Depot(Content(source="file://{tmp_path}/source"), Path("/nowhere"))
here = Stock(depot, Library.create(Path("{tmp_path}/disk/content")))
here.distribute(small)
version = package(here.depot, big, version=2)
try:
    here.bring(version)
except ContentError as error:
    print(error)
assert is_whole(here.library, small)
assert not list((here.library.folder / "partial").rglob("*/*"))
"""
    (tmp_path / "disk").mkdir()
    mounted = f'mount -t tmpfs -o size=24m none {tmp_path}/disk && exec {sys.executable} -c "$SCRIPT"'
    result = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mounted],
        env={**os.environ, "SCRIPT": script}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "no space left for PS100001: it needs 41,9" in result.stdout


def test_random_damage_of_what_was_cut_short_never_reaches_a_machine(here: Stock, source: Path) -> None:
    version = package(here.depot, source)
    manifest = here.depot.manifest(*version)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    folder = here.library.folder / "partial" / "PS100001"
    for file in manifest.files:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.sha256).write_bytes(chance.randbytes(chance.randrange(file.size + 9)))
    (folder / ("0" * 64)).write_bytes(b"of another version")
    here.bring(version)
    assert is_whole(here.library, source)


def test_a_library_from_before_there_were_versions_is_still_served(tmp_path: Path, source: Path) -> None:
    here = stock(tmp_path)
    here.distribute(source)
    path = here.library.folder / "images" / "PS100001.json"
    value = json.loads(path.read_text())
    for name in ("version", "revision", "kind", "facts"):
        del value[name]
    path.write_text(json.dumps(value, indent=1))
    published = Library(here.library.folder).published()["PS100001"]
    assert (published.version, published.revision, published.kind) == (0, 1, "files")
    assert is_whole(here.library, source)
    assert here.library.surplus([]) == {}, "nobody ordered it away"
    here.distribute(source)
    assert here.library.published()["PS100001"].version == 1
