"""Services are killed at each named place, again and again, while machines boot over a bad network (R-70, R-71)."""

from __future__ import annotations

import pytest

from .failpoints import PLACES
from .site import ChaosSite
from .storm import Storm
from .zygote import Zygote

KILLS, KILLS_IN_CI = 200, 20
SECONDS, SECONDS_IN_CI = 600, 240
MACHINES = 12
ADDRESSES = ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
# So short that boots which were cut are returned, and those returned too often are held.
SESSION_SECONDS = 2
ACTION = {"f3": "soon=0.004", "f9": "soon=0.01"}
"""What is not a plain kill there."""
SELDOM = {"f7", "f8", "f9", "f10", "f11"}
"""Few boots come so far: more of them die there."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> ChaosSite:
    """One server on SQLite; three, each in its own home, on one PostgreSQL database."""
    folder = tmp_path_factory.mktemp("storms")
    machines = MACHINES * len(PLACES)
    if request.param == "sqlite":
        return ChaosSite(folder, ADDRESSES[:1], machines, session_seconds=SESSION_SECONDS)
    url = request.getfixturevalue("new_database")()
    return ChaosSite(folder, ADDRESSES, machines, url, SESSION_SECONDS)


@pytest.mark.parametrize("place", PLACES)
def test_whoever_dies_there_no_machine_is_imaged_twice_and_every_machine_boots_in_the_end(
    zygote: Zygote, site: ChaosSite, seed: int, long: bool, place: str
) -> None:
    first = 1 + MACHINES * list(PLACES).index(place)
    kills, seconds = (KILLS, SECONDS) if long else (KILLS_IN_CI, SECONDS_IN_CI)
    storm = Storm(
        zygote,
        site,
        range(first, first + MACHINES),
        seed,
        f"{place}:{ACTION.get(place, 'kill')}:p={0.7 if place in SELDOM else 0.4}",
        broken="sweeps=0.3" if place == "f11" else "",
        reports=place == "f10",
    )
    report = storm.run(kills, seconds)
    print(f"{place}: {report}")
    assert report.verdict.violations == []
    assert report.kills >= kills
    assert sum(report.imaged.values()) >= MACHINES
    for machine in storm.machines:
        assert report.imaged[machine.mac] <= report.verdict.completed[machine.mac]
    good = storm.machines[0]
    assert report.imaged[good.mac] > 1, "the machine on a good network did not boot meanwhile"
