"""What people see and do of the ledger: a case is one required deployment on one device, in all its generations."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, select

from pxefast.decide.records import State
from pxefast.errors import Invalid, NotFound
from pxefast.site import audit, schema
from pxefast.site.arming import check_confirmed, pending
from pxefast.site.case_names import find_machine, names_of
from pxefast.site.collections import find_collection, member_ids
from pxefast.site.devices import device_names, find_device
from pxefast.site.ledger_rows import Rows
from pxefast.site.policy import read_policy
from pxefast.site.protocol import Approving, Clearing, Holding, Limits, Row, step, successor

if TYPE_CHECKING:
    from pxefast.site.store import Store

__all__ = ["Case", "Cases", "Cleared", "Kept", "Waiting", "names_of"]


class Case(NamedTuple):
    """One generation, with the device's name; of a machine without a record its identities."""

    device: str
    row: Row


class Cleared(NamedTuple):
    """A case that was cleared, or would be: it was `state`, and `generation` is armed now.

    `generation` is None where the deployment was removed, so that nothing is armed.
    """

    device: str
    deployment: str
    state: State
    generation: int | None


class Kept(NamedTuple):
    """A case that a clear without --deployment and --all leaves as it is, and why."""

    device: str
    deployment: str
    state: State
    why: str


class _Scope(NamedTuple):
    """Cases that a clear affects: those of one deployment, all, or only those that block their device (D33)."""

    # Ids of the deployments that were not removed.
    existing: set[str]
    # Id of the deployment that was named, or None.
    wanted: str | None
    # True to clear finished cases of every deployment.
    every: bool
    # False to leave finished cases of the named deployment as they are.
    finished: bool = True

    def means(self, row: Row) -> bool:
        """True if this case is to be cleared."""
        if self.wanted is not None and row.deployment_id != self.wanted:
            return False
        blocks = row.state in schema.LIVE or row.state == "HOLD"
        if row.deployment_id not in self.existing:
            # It is never armed again: to clear it ends the wait of other deployments for its launch (D34).
            return blocks or (self.wanted is not None and row.mark.unreported > 0)
        return blocks or self.every or (self.wanted is not None and self.finished)

    def keeps(self, row: Row) -> str | None:
        """Return why a case is left as it is although it was given, or None."""
        if self.means(row) or self.wanted not in (None, row.deployment_id):
            return None
        if row.deployment_id in self.existing:
            finished = row.state in ("DONE", "FAILED")
            return "finished; it blocks nothing" if finished else None
        return "its deployment was removed" if row.mark.unreported else None


class Waiting(NamedTuple):
    """A device that a required deployment reaches and that waits for a person; `why`: `new` member or `expired`."""

    device_id: int
    device: str
    deployment: str
    why: str


class Cases:
    """The cases of a site database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, device: str | None = None, deployment_id: str | None = None) -> list[Case]:
        """What was armed and handed out, by device and deployment, the newest generation last. Raises NotFound."""
        c = schema.ledger.c
        query = select(schema.ledger).order_by(c.device_id, c.deployment_id, c.generation)
        with self._store.read() as connection:
            if device is not None:
                query = query.where(c.device_id == find_device(connection, device).id)
            if deployment_id is not None:
                query = query.where(c.deployment_id == deployment_id.strip().upper())
            rows = [Row(*row) for row in connection.execute(query)]
            names = names_of(connection, {row.device_id for row in rows})
        return [Case(names.get(row.device_id, f"device {row.device_id}"), row) for row in rows]

    def clear_device(
        self,
        name: str,
        deployment_id: str | None = None,
        dry_run: bool = False,
        force: bool = False,
        every: bool = False,
    ) -> list[Cleared]:
        """Let what blocks a device run once more: a new generation each (I5); with `dry_run` only say which.

        What is done or failed is cleared only if its deployment is named or `every` is True (D33). Clearing twice
        makes one generation (R-64). Raises NotFound, or Invalid where a work has started and `force` is not given.
        """
        with self._change("deployment clear", f"device {name}", dry_run) as connection:
            scope = _scope(connection, deployment_id, every)
            cleared, rows = _clear(connection, [find_machine(connection, name)], scope, force)
            if not dry_run:
                rows.save()
            return cleared

    def clear_collection(
        self,
        name: str,
        deployment_id: str | None = None,
        dry_run: bool = False,
        force: bool = False,
        confirm: str | None = None,
        every: bool = False,
    ) -> list[Cleared]:
        """The same for every device that is in a collection now. Raises Unconfirmed above `confirm_above` (D11)."""
        with self._change("deployment clear", f"collection {name}", dry_run) as connection:
            collection = find_collection(connection, name)
            members = member_ids(connection, collection.id)
            scope = _scope(connection, deployment_id, every)
            cleared, rows = _clear(connection, members, scope, force)
            if not dry_run:
                ids = device_names(connection, [item.device for item in cleared])
                check_confirmed(connection, f"clear for collection {collection.name}", list(ids), confirm)
                rows.save()
            return cleared

    def clear_deployment(
        self,
        deployment_id: str,
        dry_run: bool = False,
        force: bool = False,
        confirm: str | None = None,
    ) -> list[Cleared]:
        """Clear a deployment on every machine that it blocks; what is done or failed is left as it is (D33).

        Args:
            deployment_id: A required deployment, or an id that only the ledger knows.
            dry_run: Only return what would be cleared.
            force: Clear a case whose work has started, too.
            confirm: Hash of the list of machines, needed above `confirm_above` machines (D11).

        Raises:
            NotFound: Neither the site nor the ledger knows the id.
            Invalid: The deployment is not required, or a work has started and `force` is False.
            Unconfirmed: The hash is needed, or is another one.
        """
        with self._change("deployment clear", f"deployment {deployment_id}", dry_run) as connection:
            scope = _scope(connection, deployment_id, False)._replace(finished=False)
            numbers = _machines_of(connection, scope.wanted or "")
            cleared, rows = _clear(connection, numbers, scope, force)
            if not dry_run:
                names = {name: number for number, name in names_of(connection, numbers).items()}
                ids = [names[item.device] for item in cleared]
                check_confirmed(connection, f"clear deployment {scope.wanted}", ids, confirm)
                rows.save()
            return cleared

    def kept(
        self, device: str | None = None, collection: str | None = None, deployment_id: str | None = None
    ) -> list[Kept]:
        """Return what a clear of this device, collection or deployment leaves as it is. Raises NotFound, Invalid."""
        with self._store.read() as connection:
            scope = _scope(connection, deployment_id, False)._replace(finished=False)
            if device is not None:
                numbers: Collection[int] = [find_machine(connection, device)]
            elif collection is not None:
                numbers = member_ids(connection, find_collection(connection, collection).id)
            else:
                numbers = _machines_of(connection, scope.wanted or "")
            rows = Rows(connection)
            rows.load_devices(numbers)
            names = names_of(connection, numbers)
            return sorted(
                Kept(names[row.device_id], row.deployment_id, row.state, why)
                for row in rows.all()
                if (why := scope.keeps(row)) is not None
            )

    def pending(self, deployment_id: str) -> list[Waiting]:
        """The devices that a required deployment reaches only once a person approves. Raises NotFound or Invalid."""
        with self._store.read() as connection:
            return _waiting(connection, _required(connection, deployment_id), time.time())

    def approve(
        self,
        deployment_id: str,
        devices: Sequence[str] | None = None,
        confirm: str | None = None,
        dry_run: bool = False,
    ) -> list[Waiting]:
        """Arm pending devices, all or those that are named. Raises NotFound, Invalid or Unconfirmed (R-57, R-58)."""
        now = time.time()
        subject = f"{deployment_id} {' '.join(devices) if devices else 'all pending'}"
        with self._change("deployment approve", subject, dry_run) as connection:
            deployment = _required(connection, deployment_id)
            found = _waiting(connection, deployment, now)
            if devices is not None:
                wanted = device_names(connection, devices)
                other = sorted(
                    wanted[number] for number in wanted.keys() - {item.device_id for item in found}
                )
                if other:
                    raise Invalid(
                        f"{', '.join(other)}: not pending; see: pxefast deployment pending {deployment}"
                    )
                found = [item for item in found if item.device_id in wanted]
            if not dry_run:
                ids = [item.device_id for item in found]
                check_confirmed(connection, f"approve {deployment}", ids, confirm)
                _approve(connection, deployment, found, now)
            return found

    def hold(self, device: str, deployment_id: str, why: str) -> Case:
        """Stop a required deployment on a device until a person clears it. Raises NotFound or Invalid."""
        with self._store.write("deployment hold", f"{deployment_id} {device}") as connection:
            found = find_device(connection, device)
            deployment = _required(connection, deployment_id)
            rows = Rows(connection)
            rows.load_devices([found.id])
            now = time.time()
            row = rows.get(found.id, deployment) or Row(found.id, deployment, 1, "ARMED", now)
            after, outcome = step(row, Holding(why), now, Limits(0.0))
            if not outcome.ok:
                raise Invalid(f"{found.name}: {outcome.reason.text}")
            rows.put(after, "ledger hold", before=row.state)
            rows.save()
            return Case(found.name, after)

    def _change(self, action: str, subject: str, dry_run: bool) -> AbstractContextManager[Connection]:
        """A change, or a read where none is to be made."""
        return self._store.read() if dry_run else self._store.write(action, subject)


def _clear(
    connection: Connection, device_ids: Collection[int], scope: _Scope, force: bool
) -> tuple[list[Cleared], Rows]:
    """Clear each case that is meant; none if one of them must not be cleared.

    A case of a deployment that exists is armed in a new generation; one of a removed deployment only ends.
    """
    now, by = time.time(), audit.person()
    rows = Rows(connection)
    rows.load_devices(device_ids)
    names = names_of(connection, device_ids)
    cleared: list[Cleared] = []
    refused: list[str] = []
    for row in rows.all():
        if not scope.means(row):
            continue
        old, outcome = step(row, Clearing(force, by), now, Limits(0.0))
        if outcome.ok:
            rows.put(old, "ledger clear", before=row.state)
            generation = None
            if row.deployment_id in scope.existing:
                new = successor(row, now)
                rows.put(new)
                generation = new.generation
            cleared.append(Cleared(names[row.device_id], row.deployment_id, row.state, generation))
        elif outcome.result != "unchanged":
            refused.append(f"{names[row.device_id]}: {outcome.reason.text}")
    if refused:
        raise Invalid("; ".join(refused))
    return sorted(cleared, key=lambda item: item[:2]), rows


def _scope(connection: Connection, deployment_id: str | None, every: bool) -> _Scope:
    """Which cases a clear is about. Raises NotFound for an id that neither the site nor the ledger knows."""
    existing = _every_required(connection)
    if deployment_id is None:
        return _Scope(existing, None, every)
    wanted, c = deployment_id.strip().upper(), schema.ledger.c
    query = select(c.device_id).where(c.deployment_id == wanted).limit(1)
    if wanted not in existing and connection.execute(query).first() is None:
        wanted = _required(connection, deployment_id)
    return _Scope(existing, wanted, every)


def _machines_of(connection: Connection, deployment_id: str) -> list[int]:
    """Return the numbers of the machines that the ledger has a case of this deployment for."""
    c = schema.ledger.c
    query = select(c.device_id).where(c.deployment_id == deployment_id).distinct().order_by(c.device_id)
    return list(connection.execute(query).scalars())


def _waiting(connection: Connection, deployment: str, now: float) -> list[Waiting]:
    policy = read_policy(connection).decision
    limits = Limits(0.0, armed_hours=policy.armed_hours)
    rows = Rows(connection)
    rows.load_deployments([deployment])
    expired = [row.device_id for row in rows.all() if step(row, Approving(), now, limits)[1].ok]
    new = pending(connection, deployment) if policy.approve_new_members else []
    names = names_of(connection, [*expired, *new])
    found = [Waiting(number, names[number], deployment, "expired") for number in expired]
    found += [Waiting(number, names[number], deployment, "new") for number in new]
    return sorted(found, key=lambda item: item.device)


def _approve(connection: Connection, deployment: str, found: Sequence[Waiting], now: float) -> None:
    limits = Limits(0.0, armed_hours=read_policy(connection).decision.armed_hours)
    rows = Rows(connection)
    rows.load_devices(item.device_id for item in found)
    for item in found:
        row = rows.get(item.device_id, deployment)
        armed = Row(item.device_id, deployment, 1, "ARMED", now)
        rows.put(step(row, Approving(), now, limits)[0] if row else armed, "ledger approve")
    rows.save()


def _required(connection: Connection, deployment_id: str) -> str:
    """The id of a required deployment. Raises NotFound or Invalid."""
    wanted = deployment_id.strip().upper()
    d = schema.deployment.c
    purpose = connection.execute(select(d.purpose).where(d.id == wanted)).scalar_one_or_none()
    if purpose is None:
        raise NotFound(f"there is no deployment {deployment_id!r}; see: pxefast deployment list")
    if purpose != "required":
        raise Invalid(f"deployment {wanted} is {purpose}: only required ones are armed and run once")
    return wanted


def _every_required(connection: Connection) -> set[str]:
    d = schema.deployment.c
    return set(connection.execute(select(d.id).where(d.purpose == "required")).scalars())
