"""The parts of one turn of the service without ports or threads, and gates that wait."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from pxefast.responder.barrier import Barrier
from pxefast.responder.gates import Gates, Passage
from pxefast.responder.handed import Handed, Memory
from pxefast.responder.view import View
from pxefast.site.ledger import Ledger
from pxefast.site.store import Store
from pxefast.site.witnesses import Witnesses

from ..site.ledger_case import NAME, claim, marked, one

IMAGE, MAC = "PS100002", "00:11:22:33:44:01"
ADDRESS = "10.0.0.1"


class Turn:
    """The parts of a turn, and a server that notes which gates were opened and which were refused, and why."""

    def __init__(self, store: Store, view: View, witnesses: Witnesses) -> None:
        self.store, self.view, self.witnesses = store, view, witnesses
        self.journal = witnesses.journal
        self.ledger = Ledger(store, "dp1")
        self.barrier = Barrier(store, self.ledger, witnesses, view)
        self.memory = Memory()
        self.opened: list[Any] = []
        self.refused: list[tuple[Any, str]] = []

    def open(self, gate: Any) -> None:
        self.opened.append(gate)

    def refuse(self, gate: Any, text: str) -> None:
        self.refused.append((gate, text))

    def gates(self, dry_run: bool = False) -> Gates:
        return Gates(cast(Any, self), self.view, self.memory, dry_run)

    def pass_gates(self, *gates: Any, during: Any = None, dry_run: bool = False) -> list[Passage]:
        """What comes of these gates; `during` is called between the ledger's write and what follows from it."""
        desk = self.gates(dry_run)
        waiting = desk.prepare(gates)
        self.asked = list(waiting.launches)
        verdict = self.barrier.commit((), waiting.launches)
        if during is not None:
            during()
        return desk.settle(waiting, verdict)

    def remember(
        self, prompt: bool = False, session: str = "s" * 32, image: str = IMAGE, mac: str = MAC
    ) -> Handed:
        handed = Handed(prompt, session, image, "PS120009", "a device", 1, mac, ADDRESS)
        self.memory.note((ADDRESS, session), handed)
        return handed

    def claimed(self, device: int = 1) -> str:
        """The session of a device that is claimed."""
        return marked(one(self.ledger, claim(device))).session


def gate(session: str | None = None, name: str = NAME, transfer: str = "t1", address: str = ADDRESS) -> Any:
    return SimpleNamespace(session=session, address=address, name=name, transfer=transfer)
