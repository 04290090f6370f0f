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
from pxefast.responder import sampling
from pxefast.responder.audit import Audit
from pxefast.responder.feed import Feed
from pxefast.responder.handed import Handed, Memory
from pxefast.responder.refused import Refusals

from ..loopback.service import eventually

WEB01 = Handed(False, "311ad9f0", "PS100001", "PS120001", "web01", 1, "52:54:00:15:01:02")
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """At a time, an address asks for names in vain; what is told of it. 10.0.0.9 is web01's, others are strangers'."""
    clock = SimpleNamespace(now=0.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", fake)
    monkeypatch.setattr(sampling, "time", fake)
    memory = Memory()
    memory.note(("10.0.0.9",), WEB01)
    feed, stream = Feed(tmp_path), io.StringIO()
    audit = Audit(Log(format="json"), stream, feed)
    refusals = Refusals(audit, memory)
    read = 0

    def ask(now: float, names: list[str], address: str = "10.0.0.9") -> list[dict[str, Any]]:
        nonlocal read
        clock.now = now
        refused = [SimpleNamespace(peer=f"{address}:2070", name=name, reason="not_found") for name in names]
        refusals.tell(cast(Any, refused))
        audit.summarize()
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
    assert ask(59.0, ["a", "b"])[1:] == []
    assert [event["name"] for event in ask(61.0, ["a"])] == ["a"]


def test_a_flood_of_names_is_told_in_part_and_the_rest_is_counted(ask: Ask) -> None:
    assert len(ask(0.0, [f"name{number}" for number in range(500)], "10.0.0.8")) == 10
    assert ask(0.05, ["one more"], "10.0.0.8") == []
    told, summary = ask(10.0, ["the next"], "10.0.0.8")
    assert told["name"] == "the next"
    text = "491 more TFTP requests from 10.0.0.8 were refused with not_found in the last 10 s"
    assert (summary["event"], summary["level"], summary["text"]) == ("sampled", "warning", text)
    assert (summary["source"], summary["reason"], summary["count"]) == ("10.0.0.8", "not_found", 491)


def test_a_flood_of_strangers_hides_no_name_that_a_known_machine_asks_for(ask: Ask) -> None:
    ask(0.0, [f"name{number}" for number in range(500)], "10.0.0.8")
    assert len(ask(0.1, [f"name{number}" for number in range(500)])) == 500
    assert len(ask(0.2, [f"more{number}" for number in range(700)])) == 500, "an address can be forged"
