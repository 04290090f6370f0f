"""One site a module, with a Windows PE image for each architecture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from .. import wims
from .rig import Site

PAYLOAD = 1_500_000


@dataclass(frozen=True)
class Floor:
    """A running site and its images by architecture."""

    site: Site
    images: dict[str, str]


@pytest.fixture(scope="session")
def wim_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, wims.Wim]:
    """One image an architecture, each with bytes of its own; arm64 has no BIOS programs."""
    folder = tmp_path_factory.mktemp("wims")
    return {
        name: wims.make(
            folder / f"{name}.wim", architecture=name, bios=name != "arm64", payload=PAYLOAD, seed=number
        )
        for number, name in enumerate(("x64", "x86", "arm64"))
    }


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory, wim_files: dict[str, wims.Wim]) -> Iterator[Floor]:
    site = Site(tmp_path_factory.mktemp("windows"))
    images = {name: site.image(wim) for name, wim in wim_files.items()}
    with site:
        yield Floor(site, images)
