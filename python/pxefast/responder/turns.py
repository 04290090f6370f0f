"""One turn of the service's loop: what was asked, what stands at a gate and what has ended, each brought to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pxefast.responder.audit import Audit
from pxefast.responder.barrier import Barrier
from pxefast.responder.gates import Gates
from pxefast.responder.handed import Memory
from pxefast.responder.refused import Refusals
from pxefast.responder.reply import Answers
from pxefast.responder.tuning import Tuner

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Turns"]


class Turns:
    """Takes turns with one server; its methods are the loop's alone. `tuner` None: nothing is learned."""

    def __init__(
        self,
        server: _native.Server,
        answers: Answers,
        gates: Gates,
        barrier: Barrier,
        memory: Memory,
        audit: Audit,
        tuner: Tuner | None,
    ) -> None:
        self._server = server
        self._answers = answers
        self._gates = gates
        self._barrier = barrier
        self._memory = memory
        self._audit = audit
        self._tuner = tuner
        self._refusals = Refusals(audit, memory)

    def take(self, questions: Sequence[_native.Request], gates: Sequence[_native.Gate]) -> None:
        """Everything that waits, with one durable write for all of it (B1, B2)."""
        try:
            cases = self._answers.prepare(questions)
        except Exception as error:
            # A defect costs the question that met it, never the others or the service.
            self._apart(questions, error)
            cases = []
        waiting = self._gates.prepare(gates)
        verdict = self._barrier.commit(
            [case.claim for case in cases if case.claim],
            waiting.launches,
            [case.ask for case in cases if case.ask],
        )
        for passage in self._gates.settle(waiting, verdict):
            self._audit.launched(passage)
        self._answers.settle(cases, verdict)
        for case in cases:
            try:
                known, guid = self._answers.knows(case), self._answers.guid_alone(case)
                self._audit.answered(self._answers.send(case), known, guid)
            except Exception as error:
                self._lost(case.question, error)

    def _apart(self, questions: Sequence[_native.Request], error: Exception) -> None:
        if len(questions) == 1:
            self._lost(questions[0], error)
            return
        for question in questions:
            self.take([question], [])

    def _lost(self, question: _native.Request, error: Exception) -> None:
        self._audit.tell(
            "error",
            f"a question was lost to a defect of pxefast, please report it: {type(error).__name__}: {error}",
            packet=question.packet.hex(),
        )

    def tell_transfers(self) -> None:
        """Tell of the transfers that ended since the last call, and of the names that were refused."""
        self._refusals.tell(self._server.refused())
        self._audit.summarize()
        for transfer in self._server.transfers():
            known = self._memory.find(None, transfer.peer.rpartition(":")[0])
            self._audit.transferred(transfer, known)
            if self._tuner is not None:
                self._tuner.note(transfer, known)
