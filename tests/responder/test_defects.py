"""A defect of ours must not become an outage (R-19)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from ..loopback.home import Home
from ..loopback.machine import DISCOVER, Machine
from ..loopback.service import Service

POISON = "02:00:00:66:66:66"
# pxefast with a decision that fails for one machine.
FAULTY = f"""
from pxefast.cli import main
from pxefast.responder import shape
decide = shape.decide
def faulty(request, *rest):
    if request.mac == {POISON!r}:
        raise ZeroDivisionError("a defect")
    return decide(request, *rest)
shape.decide = faulty
raise SystemExit(main())
"""


def test_a_defect_that_one_question_meets_costs_that_question_alone(tmp_path: Path) -> None:
    guid = "66666666-0000-0000-0000-000000000001"
    with (
        Service(Home(tmp_path / "home"), program=("-c", FAULTY)) as service,
        Machine(service, POISON, guid) as poison,
        Machine(service, "02:00:00:00:00:01", guid) as other,
    ):
        # Stopped, so that all of them are in one batch.
        os.kill(service.pid, signal.SIGSTOP)
        for number, machine in enumerate((other, poison, other, poison, other)):
            machine.socket.sendto(machine.packet(DISCOVER, number), ("127.0.0.1", service.ports["dhcp"]))
        os.kill(service.pid, signal.SIGCONT)
        for xid in ("00000000", "00000002", "00000004"):
            service.event("request", lambda event, xid=xid: event["xid"] == xid)
        lost = service.event("service", lambda event: "defect" in event["text"], count=2)
        assert lost["level"] == "error"
        assert "ZeroDivisionError: a defect" in lost["text"]
        assert lost["packet"] == poison.packet(DISCOVER, 3).hex()
        assert other.discover().codes[-1] == "pxe_disabled"
