import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pxefast.site.devices import NewDevice
from pxefast.site.store import Store

from ..postgres import Postgres


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a PostgreSQL database with an empty site PS1, to be copied."""
    url = postgres.fresh()
    Store.create(url, "PS1", point="dp1").close()
    return url.rpartition("/")[2]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """SQLite files to be copied: an empty site PS1, and under True that of the fixture `ready`.

    A mutation tester starts pytest once for each mutant, and finds the files of its first start.
    """
    tested = "MUTANT_UNDER_TEST" in os.environ
    folder = Path("templates").absolute() if tested else tmp_path_factory.mktemp("templates")
    made = {ready: folder / f"{'ready' if ready else 'empty'}.db" for ready in (False, True)}
    if not made[True].exists():
        folder.mkdir(exist_ok=True)
        for ready, file in made.items():
            new = file.with_suffix(".new")
            with Store.create(new, "PS1", point="dp1") as store:
                if ready:
                    fill(store)
            new.rename(file)
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty site PS1, on each kind of database; on SQLite filled already where `ready` is asked for."""
    if request.param == "sqlite":
        files: dict[bool, Path] = request.getfixturevalue("files")
        shutil.copy(files["ready" in request.fixturenames], tmp_path / "site.db")
        with Store.open(tmp_path / "site.db") as store:
            yield store
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.fresh(request.getfixturevalue("template"))
    with Store.open(url) as store:
        yield store
    postgres.drop(url)


@pytest.fixture
def ready(store: Store) -> Store:
    """web01 and web02 in collection `rack`, with required deployment PS120001, and responses allowed."""
    return store if store.dialect == "sqlite" else fill(store)


def fill(store: Store) -> Store:
    """Add the devices, the image and the deployment of the fixture `ready` to an empty site."""
    for number in (1, 2):
        store.devices.add(NewDevice(f"web0{number}", (f"00:11:22:33:44:0{number}",)))
    store.collections.create("rack")
    store.collections.add("rack", ["web01", "web02"])
    image = store.boot_images.add("linux", "x64", Path("/nowhere"), {"uefi": "grubx64.efi"})
    sequence = store.task_sequences.create("install", image.id)
    store.deployments.create(sequence.id, "rack", "required", "media-pxe")
    store.dps.set(enable_pxe=True, allow_pxe_response=True)
    return store
