"""How a folder's service ends: what is under way may end first."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import pxefast

from ..loopback.home import write_files
from ..loopback.machine import pending
from ..loopback.peer import Peer, request
from ..loopback.service import PATIENCE
from .test_command import command, line, port_of

CONTENT = random.Random(5).randbytes(40 * 512)


def told(process: Any, kind: str) -> dict[str, Any]:
    """The next event of a kind."""
    while (event := json.loads(line(process.stdout)))["event"] != kind:
        pass
    return dict(event)


def test_a_transfer_under_way_ends_whole_when_the_command_is_told_to_end_and_no_new_one_begins(
    tmp_path: Path,
) -> None:
    write_files(tmp_path, {"large": CONTENT})
    with command(tmp_path, "--host", "127.0.0.1", "--port", 0, "--json", "--workers", 2) as process:
        port = port_of(process)
        with Peer(port) as peer, Peer(port) as late:
            first = peer.ask("large")
            process.send_signal(signal.SIGTERM)
            assert told(process, "ending")["transfers"] == 1
            late.tell(request("large"))
            assert peer.rest(first, 512, 1) == CONTENT
            assert told(process, "transfer")["outcome"] == "complete"
            ended = told(process, "ended")
            assert process.wait(PATIENCE) == 0
            assert not pending(late.socket)
        assert ended["counters"]["tftp.ended.complete"] == 1


def test_a_program_sees_what_is_under_way_and_says_how_long_it_may_take(tmp_path: Path) -> None:
    write_files(tmp_path, {"large": CONTENT})
    with pxefast.TftpServer(tmp_path, host="127.0.0.1", port=0, workers=2) as server:
        assert server.drain(0)
    with pxefast.TftpServer(tmp_path, host="127.0.0.1", port=0) as server, Peer(server.port) as peer:
        first = peer.ask("large")
        (live,) = server.live()
        assert (live.name, live.size, live.peer) == (
            "large",
            len(CONTENT),
            "{}:{}".format(*peer.socket.getsockname()),
        )
        assert not server.drain(0)
        assert peer.rest(first, 512, 1) == CONTENT
        assert server.drain(PATIENCE)
        assert not server.live()
        assert [transfer.outcome for transfer in server.transfers()] == ["complete"]
