"""A native server in this process: what it publishes and answers is the test's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pxefast import _native
from pxefast.config import Tftp

from ..loopback.home import write_files
from ..loopback.machine import DISCOVER, REQUEST, Client
from ..loopback.peer import ERROR, Peer
from ..loopback.service import PATIENCE, eventually

GUID = "11111111-2222-3333-4444-555555555555"
# Longer than a gate waits for its answer: who is not woken by it finds it gone.
MILLISECONDS = 20_000


class Native:
    """A native server that serves `names`, each full name with the content of one of `files`; `gated` of them.

    `limits` are of the configuration's section `tftp`.
    """

    def __init__(
        self, folder: Path, files: Mapping[str, bytes], names: Mapping[str, str], gated: Iterable[str] = (),
        address: str = "127.0.0.1", sockets: dict[str, int] | None = None, **limits: Any,
    ) -> None:  # fmt: skip
        settings = _native.ServerSettings(
            address=address,
            dhcp_port=0,
            boot_port=0,
            accept_option82_without_giaddr=False,
            **Tftp(port=0, **{"max_transfers": 100, "retransmit_milliseconds": 200, **limits}).limits(),
        )
        self.server = _native.Server(settings, sockets=sockets)
        write_files(folder, files)
        closed = set(gated)
        self.server.publish(
            str(folder), [(name, file, len(files[file]), name in closed) for name, file in names.items()]
        )
        self.address, self.door = address, self.server.ports["tftp"]

    def gate(self) -> _native.Gate:
        """The one gate that is asked for now."""
        self.server.wait(MILLISECONDS)
        (gate,) = self.server.gates()
        return gate

    def barrier(self) -> None:
        """Return when all that was sent or said before was dealt with."""
        with Peer(self.door, "127.0.0.9") as peer:
            assert peer.ask("missing").opcode == ERROR

    def ended(self, peer: Peer) -> _native.Transfer:
        """The report of the peer's transfer, which has ended or is about to."""
        return self.reported("{}:{}".format(*peer.socket.getsockname()))

    def reported(self, source: str | None = None) -> _native.Transfer:
        """The report of the transfer of this peer, or of whoever's ends next."""
        for _ in range(int(PATIENCE * 50)):
            for transfer in self.server.transfers():
                if source in (transfer.peer, None):
                    return transfer
            self.server.wait(20)
        raise AssertionError("the transfer goes on")

    def ended_all(self, count: int) -> list[_native.Transfer]:
        """The reports of the next so many transfers that end, in that order."""
        reports: list[_native.Transfer] = []
        eventually(
            lambda: reports.extend(self.server.transfers()) or len(reports) >= count, what="their ends"
        )
        return reports

    def question(self, machine: Client, discover: bool = False, **more: Any) -> _native.Request:
        """What the server makes of a machine's question."""
        port = self.server.ports["dhcp" if discover else "boot"]
        machine.socket.sendto(
            machine.packet(DISCOVER if discover else REQUEST, 1, **more), (self.address, port)
        )
        (question,) = self.server.wait(MILLISECONDS)
        return question

    def answer(self, address: str, boot_file: str = "", discover: bool = False, **shown: Any) -> None:
        """Answer a machine at this address that asks what to boot, or who serves it."""
        with machine(address) as asking:
            assert self.server.answer(self.question(asking, discover), boot_file, **shown) is not None


def machine(address: str) -> Client:
    """Whose packets are for a native server."""
    return Client("02:00:00:00:00:01", GUID, address)
