"""The parts that answer questions, without ports or threads, and a server that notes what it was told to send."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pxefast.config import Dhcp
from pxefast.content.source import fold
from pxefast.responder import reply
from pxefast.responder.barrier import Barrier
from pxefast.responder.handed import Memory
from pxefast.responder.reply import Answers
from pxefast.responder.view import View
from pxefast.site.ledger import Ledger
from pxefast.site.snapshot import load
from pxefast.site.store import Store
from pxefast.site.witnesses import Witnesses

from ..site.ledger_case import DEPLOYMENT, NAME

MAC, OTHER_MAC = "00:11:22:33:44:01", "00:11:22:33:44:02"
ADDRESS = "10.0.0.1"
# The image of the fixture `ready`, and the next one.
IMAGE, SECOND = "PS100002", "PS100004"
WINDOWS = {"uefi": "x64/bootmgfw.efi", "uefi_loader": "x64/wdsmgfw.efi"}


def question(mac: str = MAC, address: str = ADDRESS, **more: Any) -> Any:
    """A question of web01's firmware to the boot port; `destination`, `interface` and `packet` are the packet's."""
    fields = {
        "mac": mac, "guid": None, "architecture": 7, "ipxe": False, "loader": None, "door": "request", "secs": 0,
        "xid": 7, "giaddr": None, "ciaddr": None, "source": f"{address}:68", "server": "10.0.0.250",
    }  # fmt: skip
    outside = {name: more.pop(name) for name in ("destination", "interface") if name in more}
    found = SimpleNamespace(**{**fields, **more})
    around = {"destination": f"{address}:68", "interface": "eth0", "packet": b"", **outside}
    return SimpleNamespace(fields=lambda: found, **around)


class Desk:
    """The parts that answer, and a server that notes what it was told to send."""

    def __init__(self, store: Store, view: View, witnesses: Witnesses) -> None:
        self.store, self.view = store, view
        self.ledger = Ledger(store, "dp1")
        self.barrier = Barrier(store, self.ledger, witnesses, view)
        self.memory = Memory()
        self.sent: list[tuple[Any, str, dict[str, Any]]] = []
        self.goes_to: str | None = "10.0.0.1:68"
        self.fails: Exception | None = None
        self.dry_run, self.dhcp = False, Dhcp()
        self.report_port: int | None = 8067
        self.witness: Any = None
        # The image is there, and its program is behind a gate.
        self.load()
        view.gated = {fold(NAME): NAME}

    def load(self, **policy: Any) -> None:
        """Read the site anew, as if each of its images was distributed."""
        images = {
            image.id: WINDOWS if image.kind == "windows-pe" else {} for image in self.store.boot_images.all()
        }
        site = load(self.store, "dp1", images, 900.0)
        self.view.site = replace(site, policy=replace(site.policy, **policy))

    def offer(self, purpose: Any = "available") -> str:
        """A second image of files, deployed to both devices in place of what they had; the deployment's id."""
        image = self.store.boot_images.add("rescue", "x64", Path("/nowhere"), {"uefi": "rescue.efi"})
        return self._deploy(image.id, purpose)

    def offer_windows(self, purpose: Any = "available", **policy: Any) -> str:
        """An image of Windows PE, deployed to both devices in place of what they had; the deployment's id."""
        image = self.store.boot_images.add_windows_pe("pe", "x64", Path("/nowhere.wim"))
        wim = f"SMSImages/{image.id}/boot.{image.id}.wim"
        self.view.gated = {**self.view.gated, fold(wim): wim}
        return self._deploy(image.id, purpose, **policy)

    def _deploy(self, image: str, purpose: Any, **policy: Any) -> str:
        self.store.deployments.remove(DEPLOYMENT)
        sequence = self.store.task_sequences.create("second", image)
        deployment = self.store.deployments.create(sequence.id, "rack", purpose, "media-pxe").id
        self.load(**policy)
        return deployment

    def answer(self, question: Any, boot_file: str = "", **more: Any) -> str | None:
        if self.fails is not None:
            raise self.fails
        self.sent.append((question, boot_file, more))
        return self.goes_to

    def answers(self) -> Answers:
        return Answers(
            cast(Any, self),
            self.view,
            self.memory,
            self.dhcp,
            report_port=self.report_port,
            dry_run=self.dry_run,
            witness=self.witness,
        )

    def ask(self, *questions: Any, late: float = 0.0, later: float = 0.0, during: Any = None) -> list[Any]:
        """What comes of these questions.

        They came in `late` seconds ago, and `later` seconds pass while the ledger writes; `during` is called then.
        """
        answers = self.answers()
        heard = reply.clock() - late
        for each in questions:
            each.heard = heard
        cases = answers.prepare(questions)
        self.claims = [case.claim for case in cases if case.claim]
        verdict = self.barrier.commit(self.claims, (), [case.ask for case in cases if case.ask])
        answers.settle(cases, during() or verdict if during is not None else verdict)
        for each in questions:
            each.heard = heard - later
        before = len(self.sent)
        given = [answers.send(case) for case in cases]
        assert all(any(asked is each for each in questions) for asked, _, _ in self.sent[before:])
        assert [answer.fields for answer in given] == [each.fields() for each in questions]
        return given

    def state(self, device: int = 1) -> str:
        """The state of a device's live session, "" where it has none."""
        return {number: mark.state for number, mark in self.ledger.live()}.get(device, "")


def codes(answer: Any) -> list[str]:
    return [reason.code for reason in answer.decision.reasons]


def refused(desk: Desk, answer: Any, code: str) -> bool:
    """True if nothing was sent, the last reason is this one, and no boot program is named."""
    assert desk.sent == []
    assert (answer.sent_to, answer.decision.action, answer.decision.boot_program) == (None, "ignore", None)
    assert not answer.decision.claim
    return codes(answer)[-1] == code
