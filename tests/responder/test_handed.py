"""What the service remembers of its answers: the newest of an address counts, and there is a bound."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pxefast.responder import handed as module
from pxefast.responder.handed import Handed, Memory

ADDRESS = "10.0.0.1"
MOST = 65_536


def handed(session: str, peer: str | None = ADDRESS, prompt: bool = False) -> Handed:
    return Handed(prompt, session, "PS100001", "PS120001", "web01", 1, "02:00:00:00:00:01", peer)


def note(memory: Memory, session: str, peer: str | None = ADDRESS) -> None:
    memory.note((peer, session), handed(session, peer))


def test_a_session_that_ends_gives_its_address_back() -> None:
    memory = Memory()
    note(memory, "first")
    assert memory.open == {"first"}
    assert memory.end("first") == ADDRESS
    assert memory.find("first", "") is None
    assert memory.open == set()


def test_a_session_that_ends_late_leaves_its_address_to_the_newer_one() -> None:
    memory = Memory()
    note(memory, "first")
    note(memory, "second")
    assert memory.end("first") is None, "its address is the newer session's"
    found = memory.find(None, ADDRESS)
    assert found is not None
    assert found.session == "second"
    assert memory.find("second", "") == found
    assert memory.open == {"second"}
    assert memory.end("second") == ADDRESS


def test_a_session_without_an_address_or_that_is_not_known_gives_none_back() -> None:
    memory = Memory()
    note(memory, "direct", None)
    assert memory.end("direct") is None
    assert memory.end("nobody's") is None


def test_a_session_ends_once() -> None:
    memory = Memory()
    note(memory, "first")
    memory.end("first")
    assert memory.end("first") is None


def test_an_answer_of_an_available_deployment_opens_no_session() -> None:
    memory = Memory()
    memory.note((ADDRESS, "prompted"), handed("prompted", prompt=True))
    assert memory.open == set()
    assert memory.find("prompted", "") is not None


def test_so_many_answers_are_remembered_and_the_oldest_is_forgotten_first() -> None:
    memory = Memory()
    for number in range(MOST + 10):
        memory.note((f"address {number}",), handed("session", f"address {number}"))
        if number == MOST - 1:
            assert memory.find(None, "address 0") is not None
            memory.note(("address 0",), handed("again", "address 0"))
    assert len(memory.leave()["known"]) == MOST
    for number in range(1, 11):
        assert memory.find(None, f"address {number}") is None
    assert memory.find(None, "address 0") is not None, "noted again, it is no longer the oldest"
    assert memory.find(None, "address 11") is not None
    assert memory.find(None, f"address {MOST + 9}") is not None


def test_an_answer_is_remembered_for_an_hour_also_by_the_process_that_takes_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    memory, successor = Memory(), Memory()
    note(memory, "first")
    clock.now += 1800.0
    note(memory, "second", "10.0.0.2")
    successor.inherit(memory.leave())
    for each in (memory, successor):
        clock.now = 1000.0 + 3599.0
        assert each.find("first", "") is not None
        assert each.find(None, ADDRESS) is not None
        clock.now = 1000.0 + 3601.0
        assert each.find("first", "") is None
        assert each.find(None, ADDRESS) is None
        assert each.find("second", "") is not None
        assert each.open == {"first", "second"}, "it has not ended: only its answer is forgotten"
    assert successor.secret == memory.secret


def test_a_session_is_found_by_its_name_alone_and_an_address_by_itself() -> None:
    memory = Memory()
    note(memory, "first")
    assert memory.find("other", ADDRESS) is None, "who names a session is not answered by the address"
    assert memory.find(None, "10.0.0.9") is None
