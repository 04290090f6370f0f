"""The snapshot of a large site: how long it takes to load, and how many bytes a device it costs in memory.

Arguments: [--devices N] [--deployments N] [--postgres]. The budget for 100,000 devices, 5,000 deployments
and 100,000 armed machines is 3 seconds and 600 bytes a device.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

DEVICES = 100_000
DEPLOYMENTS = 5_000
A_COLLECTION = 100
ROUNDS = 5


def fill(store: Any, devices: int, deployments: int) -> None:
    """Devices in collections of a hundred, as many deployments to each, every device armed for the newest."""
    from pxefast.site import schema
    from sqlalchemy import insert

    collections = max(1, devices // A_COLLECTION)
    now = 1_700_000_000.0
    ids = range(1, devices + 1)
    made = [f"PS1{0x20001 + number:05X}" for number in range(deployments)]
    of_collection = {number % collections: name for number, name in enumerate(made)}
    home = {number: number % collections for number in ids}
    with store.write("bench", "fill") as connection:

        def add(table: Any, rows: list[dict[str, Any]]) -> None:
            for start in range(0, len(rows), 10_000):
                connection.execute(insert(table), rows[start : start + 10_000])

        add(schema.boot_image, [{
            "id": "PS100001", "name": "linux", "key": "linux", "site": "PS1", "architecture": "x64", "source": "/",
            "pxe_enabled": True,
        }])  # fmt: skip
        add(schema.task_sequence, [{
            "id": "PS100002", "name": "install", "key": "install", "site": "PS1", "boot_image_id": "PS100001",
        }])  # fmt: skip
        add(schema.device, [{
            "id": number, "name": f"node{number:06d}", "key": f"node{number:06d}", "site": "PS1", "protected": False,
            "guid": f"{number:08x}-1111-4222-8333-444444444444",
        } for number in ids])  # fmt: skip
        add(schema.device_mac, [{
            "mac": f"02:00:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}", "device_id": number,
            "position": 0,
        } for number in ids])  # fmt: skip
        add(schema.collection, [{
            "id": f"PS1{0x100 + number:05X}", "name": f"rack{number}", "key": f"rack{number}", "site": "PS1",
        } for number in range(collections)])  # fmt: skip
        add(schema.collection_member, [
            {"collection_id": collection, "device_id": number}
            for number in ids
            for collection in (f"PS1{0x100 + home[number]:05X}", "SMS00001")
        ])  # fmt: skip
        add(schema.deployment, [{
            "id": name, "site": "PS1", "task_sequence_id": "PS100002", "rerun": "never", "enabled": True,
            "collection_id": f"PS1{0x100 + number % collections:05X}", "purpose": "required", "audience": "media-pxe",
            "created_at": now,
        } for number, name in enumerate(made)])  # fmt: skip
        add(schema.ledger, [{
            "device_id": number, "deployment_id": of_collection[home[number]], "generation": 1, "state": "ARMED",
            "armed_at": now, "returns": 0,
        } for number in ids if home[number] in of_collection])  # fmt: skip


def measure(store: Any, devices: int) -> dict[str, float]:
    """Seconds of the fastest of some loads, and bytes a device of one more."""
    from pxefast.site.snapshot import load

    def once() -> Any:
        return load(store, store.point, {"PS100001": {}}, 900.0)

    seconds = []
    for _ in range(ROUNDS):
        gc.collect()
        began = time.perf_counter()
        site = once()
        seconds.append(time.perf_counter() - began)
        assert len(site.devices_by_mac) == devices
        del site
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    site = once()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del site
    return {"load_s": round(min(seconds), 2), "bytes_a_device": round((after - before) / devices)}


@contextmanager
def databases(postgres: bool) -> Iterator[Iterator[tuple[str, Any]]]:
    """Where to try it: a file, and a PostgreSQL server of its own where one is installed."""
    from tests.postgres import Postgres, binaries

    programs = binaries()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.db"
        if not postgres or programs is None:
            yield iter([("sqlite", file)])
            return
        with Postgres(programs) as server:
            yield iter([("sqlite", file), ("postgresql", server.fresh())])


def run(devices: int = DEVICES, deployments: int = DEPLOYMENTS, postgres: bool = True) -> dict[str, Any]:
    from pxefast.decide import compiled
    from pxefast.site.store import Store

    found: dict[str, Any] = {"devices": devices, "deployments": deployments, "compiled": compiled}
    with databases(postgres) as places:
        for name, where in places:
            with Store.create(where, "PS1", point="dp1") as store:
                fill(store, devices, deployments)
                found[name] = measure(store, devices)
            figures = found[name]
            print(
                f"  {name}: {devices} devices in {figures['load_s']} s, {figures['bytes_a_device']} bytes a device"
            )
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--deployments", type=int, default=DEPLOYMENTS)
    parser.add_argument("--postgres", action="store_true")
    given = parser.parse_args()
    run(given.devices, given.deployments, given.postgres)
