"""Each module of these tests lives in a network namespace of its own, which the kernel frees with it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from ..firmware.net import Namespace
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
