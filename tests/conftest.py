"""What the tests of several rooms share."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Generator, Iterator

import obstore
import pytest
from obstore.store import MemoryStore

from .firmware.net import Namespace
from .loopback.lan import Lan, lan_or_skip
from .loopback.point import FILES, Point
from .postgres import Postgres, binaries

# The rooms where a test takes seconds. Run side by side they begin first, so that no long one is left for the end.
SLOW = ("chaos", "firmware", "content", "bootmgr", "responder", "pump")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One seed for a run. Of several processes each has a network of its own, so that no port meets another's."""
    if not os.environ.get("PXEFAST_SEED"):
        os.environ["PXEFAST_SEED"] = str(random.randrange(2**32))
    # Hypothesis's own choices follow it, too.
    config.option.hypothesis_seed = os.environ["PXEFAST_SEED"]
    if hasattr(config, "workerinput"):
        # Who may not make a network shares the host's: what needs a port of its own there is skipped.
        with contextlib.suppress(OSError):
            Namespace().__enter__()
    # The threads of obstore live as long as the process, in the network of its first use: let that be this one,
    # not that of a test. A mutation tester forks this process, and its threads do not survive that.
    if "MUTANT_UNDER_TEST" not in os.environ:
        obstore.put(MemoryStore(), "first", b"")


def pytest_report_header() -> str:
    return f"PXEFAST_SEED={os.environ['PXEFAST_SEED']}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        room = item.path.parent.name
        return SLOW.index(room) if room in SLOW else len(SLOW)

    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With PXEFAST_REQUIRE_FIRMWARE=1, as in CI, a test that is skipped has failed."""
    report = yield
    if report.skipped and os.environ.get("PXEFAST_REQUIRE_FIRMWARE") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but PXEFAST_REQUIRE_FIRMWARE=1: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def seed() -> int:
    """Of every random choice; PXEFAST_SEED, which the head of a run says, repeats it."""
    return int(os.environ["PXEFAST_SEED"])


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether time does not matter: PXEFAST_LONG=1."""
    return os.environ.get("PXEFAST_LONG") == "1"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that all tests share: who stops it starts it again."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    with Postgres(programs) as server:
        yield server


@pytest.fixture
def pg(postgres: Postgres) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database."""
    url = postgres.fresh()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    lan_ = lan_or_skip()
    yield lan_
    lan_.close()


@pytest.fixture(scope="module")
def lan_point(lan: Lan, seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    """A distribution point on the network, with the settings and the ports that everybody has."""
    files = {**FILES, "large.bin": random.Random(seed).randbytes(1_000_003)}
    with lan.server:
        point = Point(tmp_path_factory.mktemp("lan"), {"log": {"format": "json"}}, files)
    with point:
        yield point
