"""`pxefast content pull` is killed at random moments, again and again: it goes on, and nothing half is served."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

from ..loopback.home import Home
from .points import Points, content_of, served
from .server import web
from .stock import MIB, write_image

LONG = os.environ.get("PXEFAST_LONG") == "1"
MEGABYTES, KILLS = (1024, 40) if LONG else (64, 24)
# What a part takes at least, so that there are moments to be killed at on a fast machine too.
PART_SECONDS = 0.03
PARALLEL, CHUNK = 4, 4 * MIB


class Pull:
    """The process, and what it prints."""

    def __init__(self, home: Home) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pxefast", "--home", str(home.folder), "content", "pull", "--json"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def begun(self) -> bool:
        """Whether there is something to do; nothing is left where the kill came after the deed."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return bool(line) and json.loads(line)["event"] == "begun"

    def end_within(self, seconds: float) -> bool:
        """Whether it ended by itself; if not, it is killed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
        assert self.process.returncode == 0
        return True


def test_killed_at_any_moment_it_resumes_and_never_serves_a_part_of_an_image(tmp_path: Path) -> None:
    points, source = Points(tmp_path), write_image(tmp_path / "image", MEGABYTES)
    image = points.add(source)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, pace = random.Random(seed), threading.Event()
    versions: dict[int, dict[str, str]] = {0: {}}

    def order(number: int) -> None:
        write_image(source, MEGABYTES, seed=number)
        points.one.run("content", "distribute", image, "--dp", "two", "--quiet")
        versions[number] = content_of(source)

    with web(points.one.folder) as server:
        server.fault = lambda _, __, data: data + bytes(pace.wait(PART_SECONDS))
        points.bring_from(f"http://127.0.0.1:{server.port}/source", parallel=PARALLEL)
        order(1)
        newest, kills, parts, pulls = 1, 0, 0, 0
        at_most = MEGABYTES / 1024 * 12 + 1.0
        while kills < KILLS:
            pull = Pull(points.two)
            # Half of them early, for a pull is soon over.
            patience = chance.uniform(0, at_most / chance.choice((1, 8))) if pull.begun() else 60
            ended = pull.end_within(patience)
            kills += not ended
            pulls += 1
            version, content = served(points.two, image)
            assert content == versions[version], f"version {version} is served in part after {kills} kills"
            assert version in (newest, newest - 1)
            if ended:
                assert version == newest
                # Every part came once, and those that were on their way at a kill once more.
                asked = [path for path, _ in server.asked if "/blobs/" in path]
                assert len(asked) <= parts + -(-MEGABYTES * MIB // CHUNK) + 2 + (pulls - 1) * PARALLEL
                server.asked.clear()
                newest, parts, pulls = newest + 1, 0, 0
                order(newest)
        last = Pull(points.two)
        last.begun()
        assert last.end_within(300)
        assert served(points.two, image) == (newest, versions[newest])
        assert points.status(points.two, image, "two")["state"] == "served"
        assert not list((points.two.folder / "content" / "partial").rglob("*/*"))
