"""Two operators remove, clear and redeploy while machines are claimed, launched and report, in any order.

The judge keeps its own books of what ran. PXEFAST_LONG=1 takes many more steps.
"""

from __future__ import annotations

import random
import time
from math import inf

from pxefast.errors import Invalid
from pxefast.site import schema
from pxefast.site.cases import Cases
from pxefast.site.ledger import ClaimResult, Ledger
from pxefast.site.store import Store
from sqlalchemy import select

from .ledger_case import claim, launch, marked, one

SETTLES = 4 * 3600.0
STEPS, STEPS_LONG = 250, 10_000


class Site:
    """A site, two machines, two collections with a required deployment each, and the judge's books.

    `busy` holds until when each launched deployment keeps others waiting, by machine; `ran` every launch.
    """

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.random = store, random.Random(seed)
        self.ledger, self.cases = Ledger(store, store.point), Cases(store)
        self.now = time.time()
        self.sequence = store.task_sequences.create("again", store.boot_images.all()[0].id).id
        self.deployments = ["PS120001", self.create()]
        self.sessions: dict[tuple[int, str], ClaimResult] = {}
        self.busy: dict[int, dict[str, float]] = {1: {}, 2: {}}
        self.ran: set[tuple[int, str, int]] = set()
        self.removed: set[str] = set()
        self.transfers = 0

    def create(self) -> str:
        return self.store.deployments.create(self.sequence, "rack", "required", "media-pxe").id

    def waits(self, device: int, deployment: str) -> bool:
        return any(until > self.now for other, until in self.busy[device].items() if other != deployment)

    def boot(self, device: int, deployment: str) -> None:
        before = self.sessions.get((device, deployment))
        wish = claim(device, deployment, xid=self.random.randrange(1, 1 << 30), now=self.now)
        claimed = one(self.ledger, wish)
        if not claimed.ok:
            return
        assert deployment not in self.removed
        if before is None or marked(before).session != marked(claimed).session:
            assert not self.waits(device, deployment), "claimed into another launch"
        self.sessions[device, deployment] = claimed

    def read(self, device: int, deployment: str) -> None:
        claimed = self.sessions.get((device, deployment))
        if claimed is None:
            return
        self.transfers += 1
        session = marked(claimed).session
        done = launch(self.ledger, device, transfer=f"t{self.transfers}", session=session, now=self.now)
        if not done.launched:
            return
        assert deployment not in self.removed, "launched after its removal"
        assert not self.waits(device, deployment), "launched into another launch"
        key = (device, deployment, marked(done).generation)
        assert key not in self.ran, "launched twice in one generation"
        self.ran.add(key)
        self.busy[device][deployment] = self.now + SETTLES

    def report(self, device: int, deployment: str) -> None:
        claimed = self.sessions.get((device, deployment))
        if claimed is None or claimed.token is None:
            return
        if (device, deployment, marked(claimed).generation) not in self.ran:
            return
        kind = self.random.choice(("started", "done", "failed"))
        told = self.ledger.report(marked(claimed).session, claimed.token, kind, "", self.now)  # type: ignore[arg-type]
        if not told.ok:
            return
        if told.state in ("DONE", "FAILED"):
            self.busy[device].pop(deployment, None)
        else:
            self.busy[device][deployment] = inf if told.state == "STARTED" else self.now + SETTLES

    def redeploy(self, deployment: str) -> None:
        removal = self.store.deployments.remove(deployment)
        names = {item.device for item in removal.launched}
        for device, busy in self.busy.items():
            if busy.get(deployment, 0) > self.now:
                assert f"web0{device}" in names, "a machine that may be at work is not named"
            if busy.get(deployment) == inf:
                # Nothing sweeps it any more: it settles from its newest sign.
                busy[deployment] = self.now
        self.removed.add(deployment)
        self.deployments[self.deployments.index(deployment)] = self.create()

    def clear(self, device: int, deployment: str) -> None:
        old = self.random.choice([deployment, None, *sorted(self.removed)[-2:]])
        try:
            cleared = self.cases.clear_device(f"web0{device}", old, force=self.random.random() < 0.5)
        except Invalid:
            return
        for item in cleared:
            self.busy[device].pop(item.deployment, None)
            assert (item.generation is None) == (item.deployment in self.removed)
            assert old is not None or item.state not in ("DONE", "FAILED", "WITHDRAWN")

    def check(self) -> None:
        c = schema.ledger.c
        with self.store.read() as connection:
            rows = connection.execute(select(c.device_id, c.deployment_id, c.generation, c.state)).all()
        for row in rows:
            alive = row.state in ("ARMED", *schema.LIVE)
            assert not (alive and row.deployment_id in self.removed), "alive after its removal"
            assert not (row.state in ("ARMED", "CLAIMED") and tuple(row[:3]) in self.ran), (
                "armed after a launch"
            )

    def step(self) -> None:
        device, deployment = self.random.choice((1, 2)), self.random.choice(self.deployments)
        if self.removed and self.random.random() < 0.2:
            deployment = self.random.choice(sorted(self.removed)[-3:])
        self.now += self.random.choice((1.0, 5.0, 60.0, 1000.0, SETTLES / 2, SETTLES))
        match self.random.randrange(12):
            case 0 | 1 | 2:
                self.boot(device, deployment)
            case 3 | 4 | 5:
                self.read(device, deployment)
            case 6 | 7:
                self.report(device, deployment)
            case 8 | 9:
                self.clear(device, deployment)
            case 10 if deployment not in self.removed:
                self.redeploy(deployment)
            case _:
                self.ledger.sweep(self.now, 1800.0, 1e9, 900.0)


def test_no_order_of_removals_clears_and_redeployments_launches_twice_or_into_another(
    ready: Store, seed: int, long: bool
) -> None:
    for name, value in (("armed_hours", "0"), ("budget_claims", "0"), ("max_returns", "1000000")):
        ready.policy.set(name, value)
    site = Site(ready, seed)
    for _ in range(STEPS_LONG if long else STEPS):
        site.step()
        site.check()
    print(f"seed {seed}: {len(site.ran)} launches, {len(site.removed)} removals")
    assert len(site.ran) > 5
    assert len(site.removed) > 5
