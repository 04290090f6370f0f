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
from collections.abc import Callable, Sequence
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
    from pxefast.site.cases import Cases
    from pxefast.site.ledger import Ledger

    match place:
        case "f1":
            _wrap(Ledger, "commit", before=_if_claims(hook))
        case "f2" | "f3":
            _at_commit(Ledger, "commit", hook, _claims)
        case "f4":
            _wrap(Ledger, "commit", after=_if_claims(hook))
        case "f5":
            wrap_server("answer", before=_if_named(hook))
        case "f6":
            wrap_server("answer", after=_if_named(hook))
        case "f7":
            _at_commit(Ledger, "commit", hook, _launches)
        case "f8":
            wrap_server("open", before=lambda *_, **__: hook())
        case "f9":
            wrap_server("open", after=lambda *_, **__: hook())
        case "f10":
            _at_commit(Ledger, "report", hook)
        case "f11":
            _at_commit(Ledger, "sweep", hook)
        case "f12":
            _at_commit(Cases, "clear_device", hook)
        case _:
            raise ValueError(f"no such place: {place}; one of {', '.join(PLACES)}")


def _claims(claims: Sequence[object], *_: object) -> bool:
    return bool(claims)


def _launches(_: object, launches: Sequence[object] = (), *__: object) -> bool:
    return bool(launches)


def _if_claims(hook: Hook) -> Callable[..., None]:
    return lambda _, *arguments: hook() if _claims(*arguments) else None


def _wrap(
    owner: Any, name: str, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    """Call `before` and `after` with the arguments of each call."""
    wrapped = getattr(owner, name)

    @functools.wraps(wrapped)
    def wrapper(*arguments: Any, **named: Any) -> Any:
        if before:
            before(*arguments, **named)
        result = wrapped(*arguments, **named)
        if after:
            after(*arguments, **named)
        return result

    setattr(owner, name, wrapper)


def _at_commit(
    owner: Any, name: str, hook: Hook, concerns: Callable[..., bool] = lambda *_, **__: True
) -> None:
    """Run `hook` before each COMMIT of a transaction that the method makes, in calls with arguments of concern."""
    wrapped = getattr(owner, name)

    @functools.wraps(wrapped)
    def wrapper(self: Any, *arguments: Any, **named: Any) -> Any:
        _here.hook = hook if concerns(*arguments, **named) else None
        try:
            return wrapped(self, *arguments, **named)
        finally:
            _here.hook = None

    setattr(owner, name, wrapper)
    if not event.contains(Engine, "commit", _committing):
        event.listen(Engine, "commit", _committing)


def _committing(_: object) -> None:
    if hook := getattr(_here, "hook", None):
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


def wrap_server(
    name: str, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    """Call `before` and `after` with the arguments of each call of a method of the native server."""
    from pxefast import _native

    if not ServerProxy.hooks:
        server = _native.Server
        _native.Server = lambda *bare, **named: ServerProxy(server(*bare, **named))  # type: ignore[misc,assignment]
    hooks = ServerProxy.hooks.setdefault(name, ([], []))
    if before:
        hooks[0].append(before)
    if after:
        hooks[1].append(after)
