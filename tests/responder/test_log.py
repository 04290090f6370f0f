"""The lines of the log, as a person reads them."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pxefast.config import Log
from pxefast.responder.audit import Audit
from pxefast.responder.events import line_of
from pxefast.responder.feed import Feed
from pxefast.responder.handed import Handed

WEB01 = Handed(False, "311ad9f0", "PS100001", "PS120001", "web01", 1, "52:54:00:15:01:02")


def told(tmp_path: Path, known: Handed | None, **more: Any) -> str:
    """What the log says of one transfer, after the time."""
    fields: dict[str, Any] = {
        "name": "SMSBoot/PS100001/boot.sdi", "peer": "192.0.2.7:2070", "outcome": "complete", "size": 3_000_000,
        "bytes": 3_000_000, "seconds": 0.5, "block_size": 1456, "window_size": 16, "resent": 2, "gated": False,
        "window_granted": 16, "timeouts": 0, "rewinds": 1, "windows": 129, "gap_windows": 1, "gap_at": 3,
        "round_trip": 0.0003, "first_block": 0.0021, "waited_server": 0.0, "waited_network": 0.05,
        "waited_client": 0.42, "slow_side": "client",
    }  # fmt: skip
    stream, feed = io.StringIO(), Feed(tmp_path)
    audit = Audit(Log(format="console"), stream, feed)
    audit.transferred(cast(Any, SimpleNamespace(**{**fields, **more})), known)
    audit.close(10)
    feed.close()
    return stream.getvalue().split(maxsplit=2)[2]


def test_the_line_of_a_transfer_names_the_machine(tmp_path: Path) -> None:
    line = told(tmp_path, WEB01)
    assert line == (
        "web01 at 192.0.2.7:2070 SMSBoot/PS100001/boot.sdi: complete, 3000000 of 3000000 bytes in 0.500 s (6.0 MB/s), "
        "block 1456 window 16, 2 resent; round trip 0.3 ms, first block after 2.1 ms; "
        "slow side: client (0.420 of 0.500 s waiting for its acknowledgments)\n"
    )
    assert told(tmp_path, None).startswith("192.0.2.7:2070 SMSBoot/")


def test_the_line_says_where_the_time_of_a_slow_transfer_went(tmp_path: Path) -> None:
    long: dict[str, Any] = {"seconds": 43.0, "waited_client": 41.2, "round_trip": None, "timeouts": 1}
    line = told(tmp_path, WEB01._replace(window=16), **long)
    assert "window 16 (learned), 2 resent, 1 timeout, first block" in line
    assert line.endswith("slow side: client (41.2 of 43.0 s waiting for its acknowledgments)\n")
    line = told(tmp_path, WEB01, slow_side="server", waited_server=0.4)
    assert line.endswith("slow side: server (0.400 of 0.500 s held here by a cap, a full socket or a gate)\n")
    line = told(tmp_path, WEB01, slow_side="network", waited_network=0.3)
    assert "slow side: network (0.300 of 0.500 s on the way" in line


def test_a_transfer_that_ended_before_it_flowed_has_no_slow_side(tmp_path: Path) -> None:
    line = told(
        tmp_path, WEB01, outcome="unanswered", bytes=0, round_trip=None, first_block=None, slow_side=None
    )
    assert line.endswith("2 resent\n")


def test_a_question_for_a_size_is_not_told_as_a_transfer_of_nothing(tmp_path: Path) -> None:
    line = told(tmp_path, WEB01, outcome="size_probe", bytes=0)
    assert line == "web01 at 192.0.2.7:2070 SMSBoot/PS100001/boot.sdi: asked for its size, 3000000 bytes\n"


def test_names_have_single_backslashes_and_nothing_else_reaches_the_terminal() -> None:
    event = {"time": "T", "level": "info", "text": "\\SMSTemp\\a.boot.bcd \x1b[2J\n\\\n\xe9"}
    assert line_of(event) == "T info    \\SMSTemp\\a.boot.bcd \\x1b[2J\\n\\\\n\\xe9"
