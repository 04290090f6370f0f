"""Content as an operator orders it: to points and groups, from where it was packaged to where it is served."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pxefast.content.library import Library
from pxefast.site.store import Store

from .points import Points, content_of, served
from .server import web
from .stock import write_image

MEGABYTES = 1024 if os.environ.get("PXEFAST_LONG") == "1" else 16


@pytest.fixture
def points(tmp_path: Path) -> Points:
    return Points(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_image(tmp_path / "image", MEGABYTES)


def wim_blob(points: Points, home: str = "one") -> Path:
    """The biggest published file of a point."""
    folder = getattr(points, home).folder / "content"
    files = [file for image in Library(folder).published().values() for file in image.files]
    return Path(folder / max(files, key=lambda file: file.size).blob)


def flip(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x80]))


def test_two_points_bring_an_image_from_a_web_server_and_from_a_folder(points: Points, source: Path) -> None:
    image = points.add(source)
    points.one.run("content", "distribute", image, "--dp", "one", "--dp", "two")
    assert served(points.one, image) == (1, content_of(source))
    assert served(points.two, image) == (0, {})
    assert points.status(points.one, image, "two")["state"] == "wanted"
    with web(points.one.folder) as server:
        points.bring_from(f"http://127.0.0.1:{server.port}/source")
        points.two.run("content", "pull")
    assert served(points.two, image) == (1, content_of(source))
    (source / "boot.efi").write_bytes(b"newer")
    points.one.run("content", "redistribute", image)
    points.bring_from(f"file://{points.one.folder}/source")
    points.two.run("content", "pull")
    assert served(points.two, image) == served(points.one, image) == (2, content_of(source))
    row = points.status(points.two, image, "two")
    assert (row["state"], row["wanted_version"], row["served_version"]) == ("served", 2, 2)
    assert row["done"] == row["total"] == sum(path.stat().st_size for path in source.iterdir())


def test_an_unchanged_image_is_not_packaged_again(points: Points, source: Path) -> None:
    image = points.add(source)
    for _ in range(2):
        points.one.run("content", "distribute", image)
    points.one.run("content", "redistribute", image)
    assert served(points.one, image)[0] == 1


def test_a_changed_image_needs_redistribution_until_it_gets_it(points: Points, source: Path) -> None:
    image = points.add(source)
    points.one.run("content", "distribute", image, "--dp", "one", "--dp", "two")
    points.two.run("content", "pull")
    needs = [points.status(points.one, image, point)["needs_redistribution"] for point in ("one", "two")]
    assert needs == [None, None]
    (source / "boot.efi").write_bytes(b"newer")
    for point in ("one", "two"):
        assert "has changed" in points.status(points.one, image, point)["needs_redistribution"]
    points.one.run("content", "redistribute", image, "--dp", "one")
    assert points.status(points.one, image, "one")["needs_redistribution"] is None
    assert points.status(points.one, image, "two")["needs_redistribution"] == "version 2 is newer"
    points.one.run("content", "redistribute", image)
    points.two.run("content", "pull")
    assert points.status(points.one, image, "two")["needs_redistribution"] is None


def test_a_new_member_of_a_group_gets_its_content_and_keeps_it_when_it_leaves(
    points: Points, source: Path
) -> None:
    image = points.add(source)
    points.one.run("distribution-point-group", "create", "north")
    points.one.run("distribution-point-group", "add", "north", "--dp", "one")
    points.one.run("content", "distribute", image, "--group", "north")
    assert served(points.one, image)[0] == 1
    points.one.run("distribution-point-group", "add", "north", "--dp", "two")
    assert points.status(points.one, image, "two")["state"] == "wanted"
    points.two.run("content", "pull")
    points.one.run("distribution-point-group", "remove", "north", "--dp", "two", "--yes")
    points.two.run("content", "pull")
    assert served(points.two, image)[0] == 1
    points.one.run("content", "remove", image, "--group", "north", "--yes")
    points.one.run("distribution-point-group", "add", "north", "--dp", "one")
    assert served(points.one, image)[0] == 0
    assert "one" not in points.one.run("content", "status", image).split()


def test_what_is_removed_is_withdrawn_where_it_is_served(points: Points, source: Path) -> None:
    image = points.add(source)
    points.one.run("content", "distribute", image, "--dp", "one", "--dp", "two")
    points.two.run("content", "pull")
    would = points.one.run("content", "remove", image, "--dp", "two", "--dry-run")
    assert would == f"would withdraw the files of boot image {image} from two"
    points.one.run("content", "remove", image, "--dp", "two", "--yes")
    points.two.run("content", "pull")
    assert served(points.two, image)[0] == 0
    assert served(points.one, image)[0] == 1
    refused = points.one.command("content", "remove", image, "--dp", "two", "--yes")
    assert (refused.code, "is not distributed to two" in refused.error) == (1, True)
    points.one.run("boot-image", "remove", image, "--yes")
    assert served(points.one, image)[0] == 0
    assert not any(path.is_file() for path in (points.one.folder / "source").rglob("*"))


def test_a_damaged_image_is_withdrawn_by_validation_and_served_again_after_redistribution(
    points: Points, source: Path
) -> None:
    image = points.add(source)
    points.one.run("content", "distribute", image)
    assert "every file is what was distributed" in points.one.run("content", "validate", image)
    flip(wim_blob(points))
    outcome = points.one.command("content", "validate", image)
    assert outcome.code == 1
    assert outcome.error == f"pxefast: {image}: damaged: boot.wim; run: pxefast content redistribute {image}"
    assert served(points.one, image)[0] == 0
    row = points.status(points.one, image, "one")
    assert (row["state"], row["served_version"], row["why"]) == ("damaged", None, "damaged: boot.wim")
    assert row["needs_redistribution"] == "it is damaged"
    points.one.run("content", "redistribute", image)
    assert served(points.one, image) == (1, content_of(source))
    assert points.status(points.one, image, "one")["why"] is None


def test_damage_in_the_content_source_is_mended_by_redistribution_too(points: Points, source: Path) -> None:
    image = points.add(source)
    points.one.run("content", "distribute", image)
    blob = wim_blob(points)
    flip(points.one.folder / "source" / blob.relative_to(points.one.folder / "content"))
    points.one.run("content", "distribute", image, "--dp", "two")
    failed = points.two.command("content", "pull")
    assert failed.code == 1
    row = points.status(points.one, image, "two")
    assert row["state"] == "failed"
    assert "not what was packaged" in row["why"]
    points.one.run("content", "redistribute", image, "--dp", "one")
    points.two.run("content", "pull")
    assert served(points.two, image) == served(points.one, image) == (1, content_of(source))


def test_a_host_without_the_images_files_distributes_what_was_packaged(points: Points, source: Path) -> None:
    image = points.add(source)
    refused = points.two.command("content", "distribute", image)
    assert refused.code == 0, "its files are on this host after all"
    points.one.run("content", "remove", image, "--dp", "two", "--yes")
    with web(points.one.folder) as server:
        points.bring_from(f"http://127.0.0.1:{server.port}/source")
        (source / "boot.efi").write_bytes(b"newer")
        outcome = points.two.command("content", "distribute", image)
    assert outcome.code == 0
    assert "is read only" in outcome.error
    assert served(points.two, image)[0] == 1


def test_an_image_that_nobody_packaged_cannot_be_distributed_from_afar(points: Points, source: Path) -> None:
    image = points.add(source)
    source.rename(source.parent / "elsewhere")
    refused = points.one.command("content", "distribute", image)
    assert refused.code == 1
    assert f"there is no {source} on this host" in refused.error


def test_orders_are_audited_and_progress_is_not(points: Points, source: Path) -> None:
    image = points.add(source)
    points.one.run("content", "distribute", image, "--dp", "two")
    with Store.open(points.one.database, point="one") as store:
        before = store.revision()
    audited = json.loads(points.one.run("audit", "list", "--json"))
    points.two.run("content", "pull")
    assert json.loads(points.one.run("audit", "list", "--json")) == audited
    with Store.open(points.one.database, point="one") as store:
        assert store.revision() == before
    actions = [record["action"] for record in audited]
    assert {"content package", "content distribute"} <= set(actions)


def test_a_terminal_sees_how_far_it_is(points: Points, source: Path) -> None:
    image = points.add(source)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pxefast", "--home", str(points.one.folder), "content", "distribute", image],
        stderr=theirs, stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:
        # So a terminal says that nobody writes to it any more.
        pass
    os.close(ours)
    assert process.wait() == 0
    assert f"package {image}".encode() in shown
    whole = re.findall(rb"([0-9.]+)/\1 [MG]B", shown)
    assert len(whole) >= 2, "one bar for packaging and one for bringing, each to its end"
