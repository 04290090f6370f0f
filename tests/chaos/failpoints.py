"""Places where a service dies, made from outside: functions are wrapped before it runs, the product has no failpoint.

A specification is `PLACE:ACTION[:p=CHANCE]`, such as `f4:kill:p=0.3`; several are parted by commas. PLACE is a row of
safety 5.6. ACTION is `kill` (SIGKILL there), `soon=SECONDS` (a signal that kills comes within that time, wherever the
process then is), or `stop=SECONDS` (SIGSTOP, continued from outside).
"""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from sqlalchemy import Engine, event

Hook = Callable[[], None]

# What each place is, for people; `_install` knows where it lies.
PLACES = {
    "f1": "before BEGIN of a claim",
    "f2": "after a claim's statements, before COMMIT",
    "f3": "in COMMIT of a claim",
    "f4": "after COMMIT of a claim, before the journal",
    "f5": "after the journal, before the answer is sent",
    "f6": "after an answer that names a boot file is sent",
    "f7": "before COMMIT of a launch",
    "f8": "after COMMIT of a launch, before the last block may leave",
    "f9": "once the last block may leave",
    "f10": "before COMMIT of a report",
    "f11": "before COMMIT of a sweep",
    "f12": "before COMMIT of a clear",
}

_here = threading.local()


def install(specifications: str) -> None:
    """Wrap the product's functions, in this process, as the specifications say."""
    for specification in filter(None, specifications.split(",")):
        place, action, *more = specification.split(":")
        chance = float(more[0].removeprefix("p=")) if more else 1.0
        _install(place, _sometimes(_action(action), chance))


def _action(text: str) -> Hook:
    name, _, value = text.partition("=")
    seconds = float(value or 0)
    if name == "kill":
        return lambda: os.kill(os.getpid(), signal.SIGKILL)
    if name == "soon":
        return lambda: signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, seconds))[0] and None
    if name == "stop":
        return lambda: _stop(seconds)
    raise ValueError(f"no such action: {text}")


def _stop(seconds: float) -> None:
    subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"], start_new_session=True)
    os.kill(os.getpid(), signal.SIGSTOP)


def _sometimes(action: Hook, chance: float) -> Hook:
    def hook() -> None:
        if random.random() < chance:
            action()

    return hook


def _install(place: str, hook: Hook) -> None:
    from pxefast.site.ledger import Ledger

    match place:
        case "f1":
            _wrap(Ledger, "claim", before=hook)
        case "f2" | "f3":
            _at_commit(Ledger, "claim", hook)
        case "f4":
            _wrap(Ledger, "claim", after=hook)
        case "f5":
            _wrap_server("answer", before=_if_named(hook))
        case "f6":
            _wrap_server("answer", after=_if_named(hook))
        case "f7":
            _at_commit(Ledger, "launch", hook)
        case "f8":
            _wrap_server("open", before=lambda *_, **__: hook())
        case "f9":
            _wrap_server("open", after=lambda *_, **__: hook())
        case "f10":
            _at_commit(Ledger, "report", hook)
        case "f11":
            _at_commit(Ledger, "sweep", hook)
        case "f12":
            _at_commit(Ledger, "clear_device", hook)
        case _:
            raise ValueError(f"no such place: {place}; one of {', '.join(PLACES)}")


def _wrap(owner: Any, name: str, before: Hook | None = None, after: Hook | None = None) -> None:
    wrapped = getattr(owner, name)

    @functools.wraps(wrapped)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        if before:
            before()
        result = wrapped(*arguments, **named)
        if after:
            after()
        return result

    setattr(owner, name, wrapper)


def _at_commit(owner: Any, name: str, hook: Hook) -> None:
    """Run `hook` before each COMMIT of a transaction that the function makes."""
    wrapped = getattr(owner, name)

    @functools.wraps(wrapped)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        _here.function = name
        try:
            return wrapped(*arguments, **named)
        finally:
            _here.function = None

    setattr(owner, name, wrapper)

    @event.listens_for(Engine, "commit")
    def commit(_: object) -> None:
        if getattr(_here, "function", None) == name:
            hook()


def _if_named(hook: Hook) -> Callable[..., None]:
    def at_answer(_: object, boot_file: str = "", *__: object, **___: object) -> None:
        if boot_file:
            hook()

    return at_answer


class ServerProxy:
    """The native server, whose type is closed, with hooks around some of its methods."""

    hooks: ClassVar[dict[str, tuple[list[Callable[..., None]], list[Callable[..., None]]]]] = {}

    def __init__(self, server: Any) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._server, name)
        if name not in self.hooks:
            return found
        before, after = self.hooks[name]

        def method(*arguments: Any, **named: Any) -> Any:
            for hook in before:
                hook(*arguments, **named)
            result = found(*arguments, **named)
            for hook in after:
                hook(*arguments, **named)
            return result

        return method


def _wrap_server(
    name: str, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    from pxefast import _native

    if not ServerProxy.hooks:
        server = _native.Server
        _native.Server = lambda *arguments: ServerProxy(server(*arguments))  # type: ignore[misc,assignment]
    hooks = ServerProxy.hooks.setdefault(name, ([], []))
    if before:
        hooks[0].append(before)
    if after:
        hooks[1].append(after)
