"""Wishes to the ledger of the fixture `ready`, and what came of them, in few words."""

from __future__ import annotations

from pxefast.decide.records import Mark
from pxefast.site import schema
from pxefast.site.ledger import Claim, ClaimResult, Launch, LaunchResult, Ledger
from pxefast.site.store import Store

NOW = 1_700_000_000.0
NAME = "SMSImages/PS100002/grubx64.efi"
DEPLOYMENT = "PS120001"


def claim(
    device: int | None = 1,
    deployment: str = DEPLOYMENT,
    step: int = 1,
    xid: int = 7,
    now: float = NOW,
    launch: str | None = NAME,
    peer: str | None = None,
    identities: tuple[str, ...] = (),
    mac: str | None = None,
) -> Claim:
    address = peer or (f"10.0.0.{device}" if device is not None else None)
    number = 0x4400 + (device or 0)
    card = mac if mac is not None else f"00:11:22:33:{number >> 8:02x}:{number & 255:02x}"
    return Claim(device, identities, deployment, step, xid, now, 900, launch, address, mac=card)


def one(ledger: Ledger, wish: Claim) -> ClaimResult:
    (result,) = ledger.claim([wish])
    return result


def launch(
    ledger: Ledger,
    device: int = 1,
    name: str = NAME,
    transfer: str = "t1",
    session: str | None = None,
    peer: str | None = None,
    now: float = NOW + 1,
) -> LaunchResult:
    (result,) = ledger.launch([Launch(session, peer or f"10.0.0.{device}", name, transfer, now)])
    return result


def marked(result: ClaimResult | LaunchResult) -> Mark:
    assert result.mark is not None
    return result.mark


def code(result: ClaimResult | LaunchResult) -> str:
    return result.reason.code


def states(store: Store) -> list[tuple[int, int, str]]:
    """(device, generation, state) of every row."""
    c = schema.ledger.c
    with store.read() as connection:
        query = schema.ledger.select().order_by(c.device_id, c.deployment_id, c.generation)
        return [(row.device_id, row.generation, row.state) for row in connection.execute(query)]
