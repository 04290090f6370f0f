"""Each module of these tests lives in a network namespace of its own, which the kernel frees with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from ..firmware.net import Namespace
from ..postgres import Postgres, binaries
from .zygote import Zygote


@pytest.fixture(scope="module", autouse=True)
def network() -> Iterator[Namespace]:
    """Everything that a test of the module starts, and itself, is in this namespace."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces and packet sockets need root")
    if not shutil.which("ip"):
        pytest.skip("ip is missing: apt-get install iproute2")
    try:
        namespace = Namespace()
    except OSError as error:
        pytest.skip(f"no network namespaces: {error}")
    with namespace:
        yield namespace
    namespace.close()


@pytest.fixture(scope="module")
def zygote(network: Namespace) -> Iterator[Zygote]:
    parent = Zygote()
    yield parent
    parent.close()


@pytest.fixture(scope="session")
def postgres_of_chaos() -> Iterator[Postgres]:
    """A server of these tests' own, reached by its Unix socket: that has no network namespace."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL is missing: apt-get install postgresql")
    with Postgres(programs) as server:
        yield server


@pytest.fixture(scope="session")
def new_database(postgres_of_chaos: Postgres) -> Callable[[], str]:
    """Makes an empty PostgreSQL database; returns its URL."""
    return lambda: postgres_of_chaos.socket_url(postgres_of_chaos.fresh().rsplit("/", 1)[1])
