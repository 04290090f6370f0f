"""The oracle bites: services that are wrong on purpose are found out by what they send."""

from __future__ import annotations

from pathlib import Path

import pytest

from .broken import VARIANTS
from .site import ChaosSite
from .storm import Storm
from .zygote import Zygote


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_service_that_breaks_an_invariant_is_found_out(
    zygote: Zygote, tmp_path: Path, seed: int, variant: str
) -> None:
    site = ChaosSite(tmp_path, ["127.0.1.1"], machines=6)
    storm = Storm(zygote, site, range(1, 7), seed, broken=variant, reboots=0.1)
    report = storm.run(kills=1000, seconds=2.5)
    found = {violation[:2] for violation in report.verdict.violations}
    assert VARIANTS[variant] in found, f"{report}: {report.verdict.violations[:3]}"


def test_the_same_storm_over_the_real_service_finds_nothing(
    zygote: Zygote, tmp_path: Path, seed: int
) -> None:
    site = ChaosSite(tmp_path, ["127.0.1.1"], machines=6)
    report = Storm(zygote, site, range(1, 7), seed, reboots=0.1).run(kills=1000, seconds=2.5)
    assert report.verdict.violations == []
    assert report.verdict.named
    assert sum(report.verdict.completed.values()) >= sum(report.imaged.values()) > 6
