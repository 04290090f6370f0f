"""An operator sees which names machines ask for in vain, and can still read the log when there are many."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pxefast.config import Log
from pxefast.responder import refused as module
from pxefast.responder.audit import Audit
from pxefast.responder.feed import Feed
from pxefast.responder.handed import Handed, Memory
from pxefast.responder.refused import Refusals

from ..loopback.service import eventually

WEB01 = Handed(False, "311ad9f0", "PS100001", "PS120001", "web01", 1, "52:54:00:15:01:02")
Ask = Callable[[float, list[str]], list[dict[str, Any]]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """At a time, 10.0.0.9, which is web01's address, asks for names in vain; what is told of it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    memory = Memory()
    memory.note(("10.0.0.9",), WEB01)
    feed, stream = Feed(tmp_path), io.StringIO()
    audit = Audit(Log(format="json"), stream, feed)
    refusals = Refusals(audit, memory)
    read = 0

    def ask(now: float, names: list[str]) -> list[dict[str, Any]]:
        nonlocal read
        clock.now = now
        refused = [SimpleNamespace(peer="10.0.0.9:2070", name=name, reason="not_found") for name in names]
        refusals.tell(cast(Any, refused))
        audit.tell("info", "the end")

        def lines() -> list[str] | None:
            new = stream.getvalue().splitlines()[read:]
            return new if new and "the end" in new[-1] else None

        found = eventually(lines)
        read += len(found)
        return [json.loads(line) for line in found[:-1]]

    yield ask
    audit.close(10)
    feed.close()


def test_a_name_that_is_not_there_is_told_with_the_machine_that_wants_it(ask: Ask) -> None:
    (event,) = ask(0.0, ["boot/x.efi"])
    assert event["text"] == "web01 at 10.0.0.9:2070 asked for boot/x.efi: not found"
    assert (event["event"], event["mac"], event["reason"]) == ("refused", WEB01.mac, "not_found")


def test_a_machine_that_asks_again_is_not_told_again_for_a_minute(ask: Ask) -> None:
    assert len(ask(0.0, ["a", "a", "b"])) == 2
    assert ask(59.0, ["a", "b"]) == []
    assert [event["name"] for event in ask(61.0, ["a"])] == ["a"]


def test_a_flood_of_names_is_told_in_part_and_the_rest_is_counted(ask: Ask) -> None:
    assert len(ask(0.0, [f"name{number}" for number in range(500)])) == 10
    assert ask(0.05, ["one more"]) == []
    (event,) = ask(0.2, ["the next"])
    assert event["unsaid"] == 491
    assert event["text"].endswith("the next: not found, and 491 more requests were refused")
