"""The transfers under way, for who asks: a Unix socket beside the event stream's that answers a question a connection.

A question is a JSON object on a line, `{"limit": 20, "mac": "..."}`, both optional; the answer is one too. While nobody
asks nothing is worked out; whoever asks waits, and no machine does.
"""

from __future__ import annotations

import json
import os
import select
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pxefast.errors import CannotOpen
from pxefast.responder.handed import Handed, Memory
from pxefast.responder.local import Door, connected

if TYPE_CHECKING:
    from pxefast import _native

__all__ = ["Live", "ask"]

_NAME = "transfers.sock"
_BACKLOG = 8
# Who does not say what is wanted, or does not read, makes the next one wait for so long.
_SECONDS = 1.0
_MOST_BYTES = 4096
# What an asker waits: others may be before it.
_PATIENCE_SECONDS = 10.0


class Live:
    """The socket `transfers.sock` in the service's folder, and its thread; `opened` is one that listens already.

    Raises CannotOpen.
    """

    def __init__(
        self, folder: Path, server: _native.Server, memory: Memory, opened: int | None = None
    ) -> None:
        self._server = server
        self._memory = memory
        self._door = Door(folder / _NAME, _BACKLOG, opened)
        self._door.socket.setblocking(False)
        self._ending = threading.Event()
        self._bell = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, name="pxefast-live", daemon=True)

    def fileno(self) -> int:
        """The listening socket's descriptor."""
        return self._door.socket.fileno()

    @property
    def alive(self) -> bool:
        """True while its thread runs, and once it was asked to end."""
        return self._thread.is_alive() or self._ending.is_set()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self, serves: bool = True) -> None:
        """End, waiting a moment for the answer that is under way; the file stays unless this service `serves` still."""
        self._ending.set()
        # Not by shutdown: a successor may listen at the same socket.
        os.eventfd_write(self._bell, 1)
        if self._thread.is_alive():
            self._thread.join(_SECONDS)
        if serves:
            self._door.close()
        else:
            self._door.leave()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._door.socket, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        while not self._ending.is_set():
            poll.poll()
            try:
                connection, _ = self._door.socket.accept()
            except BlockingIOError:
                continue
            except OSError:
                # No descriptor is free.
                self._ending.wait(_SECONDS)
                continue
            # Whoever hangs up, or asks for what there is not, hears nothing.
            with connection, suppress(Exception):
                connection.settimeout(_SECONDS)
                question = json.loads(connection.recv(_MOST_BYTES))
                answer = told(self._server, self._memory, question.get("limit"), question.get("mac"))
                connection.sendall(json.dumps(answer).encode() + b"\n")


def told(server: _native.Server, memory: Memory, limit: int | None, mac: str | None) -> dict[str, Any]:
    """The transfers under way and who waits for one, the longest first; at most `limit` of each, None: all.

    With `mac` only those of the machine that has it.
    """
    transfers = sorted(server.live(), key=lambda transfer: transfer.seconds, reverse=True)
    flowing = [(transfer, memory.find(None, _address(transfer.peer))) for transfer in transfers]
    waiting = [(waiter, memory.find(None, _address(waiter.peer))) for waiter in server.waiting()]
    if mac is not None:
        flowing = [(transfer, known) for transfer, known in flowing if known is not None and known.mac == mac]
        waiting = [(waiter, known) for waiter, known in waiting if known is not None and known.mac == mac]
    return {
        "at": time.time(),
        "bytes_sent": server.counters()["tftp.bytes"],
        "transfers_in_all": len(flowing),
        "transfers": [{**_who(known), **_transfer(transfer)} for transfer, known in flowing[:limit]],
        "waiting_in_all": len(waiting),
        "waiting": [
            {**_who(known), "peer": waiter.peer, "name": waiter.name, "seconds": round(waiter.seconds, 3)}
            for waiter, known in waiting[:limit]
        ],
    }


def _who(known: Handed | None) -> dict[str, Any]:
    return {"device": known and known.device, "mac": known and known.mac}


def _transfer(transfer: _native.Live) -> dict[str, Any]:
    rate = transfer.bytes / transfer.seconds if transfer.seconds > 0 else 0.0
    left = transfer.size - transfer.bytes
    return {
        "peer": transfer.peer,
        "name": transfer.name,
        "state": transfer.state,
        "size": transfer.size,
        "bytes": transfer.bytes,
        "percent": round(100 * transfer.bytes / transfer.size, 1) if transfer.size else 100.0,
        "seconds": round(transfer.seconds, 3),
        "bytes_per_second": round(rate),
        "seconds_left": round(left / rate, 1) if rate else None,
        "block_size": transfer.block_size,
        "window_size": transfer.window_size,
        "resent": transfer.resent,
        "round_trip": transfer.round_trip,
        "worker": transfer.worker,
    }


def _address(peer: str) -> str:
    return peer.rpartition(":")[0]


def ask(folder: Path, limit: int | None = None, mac: str | None = None) -> dict[str, Any]:
    """What `told` says of the service that runs in a folder. Raises CannotOpen where none runs or answers."""
    with connected(folder / _NAME) as connection:
        connection.settimeout(_PATIENCE_SECONDS)
        try:
            connection.sendall(json.dumps({"limit": limit, "mac": mac}).encode() + b"\n")
            with connection.makefile(encoding="utf-8") as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
        except (OSError, ValueError):
            raise CannotOpen(
                f"the service in {folder.parent} says nothing of its transfers; ask again"
            ) from None
    return answer
