"""One service hands over to another that was started in its place, and no request is lost meanwhile.

The old one starts the new one as its child, and they speak over a pair of sockets:

    old -> new   sockets    every door, the lock, the listening sockets; the old one goes on reading them
    new -> old   prepared   settings are read, the site is loaded, the journal agrees: what can fail has not
    old -> new   estate     the old one reads no door any more; what it remembers of machines
    new -> old   serving    from here on the new one is the service; whatever fails before, the old one reads on
    old -> new   event      what the old one still has to tell, until its last transfer has ended
                 draining   how many transfers that are
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from pxefast import __version__
from pxefast.errors import CannotOpen, PxefastError

__all__ = ["Estate", "Heir", "NotTaken", "Predecessor", "Sockets"]

# Changes whenever the messages or what is in them do: another form is refused before anything happens.
_FORM = 1
_VARIABLE = "PXEFAST_PREDECESSOR"
_LONGEST = 1 << 18
_MOST_DESCRIPTORS = 64
# How long a new service may take to load its site, and then to take over, while the doors are read by nobody.
_START_SECONDS = 120.0
_TAKING_SECONDS = 5.0


class NotTaken(PxefastError):  # noqa: N818  what it says
    """The other service did not do its part, and why."""


class Sockets(NamedTuple):
    """Sockets that are open already, by name. The settings do not say where those are bound that are `fixed`."""

    open: Mapping[str, int] = {}
    fixed: frozenset[str] = frozenset()


class Estate(NamedTuple):
    """What a service remembers: `facts` as JSON takes them, and what its native server leaves."""

    facts: dict[str, Any]
    native: bytes
    #: Who listens to its events, and what has not left yet of the last one.
    listeners: list[tuple[socket.socket, str]]


class _Message(NamedTuple):
    kind: str
    facts: dict[str, Any]
    descriptors: list[int]


class _Line:
    """One end of the pair."""

    def __init__(self, connection: socket.socket) -> None:
        # Several threads speak: none may change how long another one waits.
        connection.setblocking(False)
        self._connection = connection

    def send(self, kind: str, descriptors: Sequence[int] = (), **facts: object) -> None:
        """Raises NotTaken where nobody hears it, or it was heard too little lately."""
        try:
            socket.send_fds(
                self._connection, [json.dumps({"kind": kind, **facts}).encode()], list(descriptors)
            )
        except OSError as error:
            raise NotTaken(f"it cannot be spoken with: {error.strerror or error}") from None

    def receive(self, seconds: float) -> _Message | None:
        """The next message; None if none comes within so long. Raises NotTaken once the other end is gone."""
        waiting = select.poll()
        waiting.register(self._connection, select.POLLIN)
        try:
            if not waiting.poll(1000 * seconds):
                return None
            data, descriptors, _, _ = socket.recv_fds(
                self._connection, _LONGEST, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except OSError as error:
            raise NotTaken(f"it cannot be spoken with: {error.strerror or error}") from None
        if not data:
            raise NotTaken("it ended without a word; its log has more")
        facts = json.loads(data)
        return _Message(facts.pop("kind"), facts, list(descriptors))

    def close(self) -> None:
        self._connection.close()


class Heir:
    """The service that is to take over from this one: a child process. Raises NotTaken when it cannot be started."""

    def __init__(self, command: Sequence[str], sockets: Sockets) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line = _Line(ours)
        self._until = time.monotonic() + _START_SECONDS
        number = theirs.fileno()
        with theirs:
            try:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=(number,),
                    env={**os.environ, _VARIABLE: str(number)},
                )
            except OSError as error:
                self._line.close()
                raise NotTaken(f"{command[0]} cannot be started: {error.strerror}") from None
        self.lives = True
        self._line.send(
            "sockets",
            list(sockets.open.values()),
            form=_FORM,
            version=__version__,
            names=list(sockets.open),
            fixed=sorted(sockets.fixed),
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    def prepared(self) -> bool:
        """Whether it can take over at once. Raises NotTaken when it never will."""
        if time.monotonic() > self._until:
            raise NotTaken(f"it was not ready within {_START_SECONDS:.0f} s")
        return self._hears("prepared", 0)

    def inherit(self, estate: Estate) -> None:
        """Give it everything; it serves when this returns. Raises NotTaken: it does not, and never will."""
        descriptors = [_memory(json.dumps(estate.facts).encode()), _memory(estate.native)]
        connections = [connection.fileno() for connection, _ in estate.listeners]
        try:
            self._line.send(
                "estate", [*descriptors, *connections], rests=[rest for _, rest in estate.listeners]
            )
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if not self._hears("serving", _TAKING_SECONDS):
            raise NotTaken(f"it did not serve within {_TAKING_SECONDS:.0f} s")

    def _hears(self, kind: str, seconds: float) -> bool:
        message = self._line.receive(seconds)
        if message is not None and message.kind == "failed":
            raise NotTaken(str(message.facts["why"]))
        return message is not None and message.kind == kind

    def tell(self, event: str) -> None:
        """An event, as JSON, for all who listen."""
        with suppress(NotTaken):
            self._line.send("event", line=event)

    def draining(self, transfers: int) -> None:
        """How many transfers have not ended here."""
        with suppress(NotTaken):
            self._line.send("draining", transfers=transfers)

    def look(self) -> None:
        """Whether it still `lives`: it says nothing after it serves."""
        try:
            self._line.receive(0)
        except NotTaken:
            self.lives = False

    def abandon(self) -> None:
        """End it: it is not to take over."""
        self._line.close()
        self._child.kill()
        self._child.wait()

    def close(self) -> None:
        """Leave it alone: it is the service."""
        self._line.close()


class Predecessor:
    """The service that this one takes over from. Raises CannotOpen when it speaks another form."""

    @staticmethod
    def find() -> Predecessor | None:
        """The one that started this process, if one did."""
        number = os.environ.pop(_VARIABLE, None)
        return None if number is None else Predecessor(socket.socket(fileno=int(number)))

    def __init__(self, connection: socket.socket) -> None:
        connection.set_inheritable(False)
        self._line = _Line(connection)
        first = self._line.receive(_TAKING_SECONDS)
        if first is None or first.facts.get("form") != _FORM:
            other = first and first.facts.get("version")
            raise CannotOpen(
                f"pxefast {other} hands over in another way than pxefast {__version__} takes over; restart the service"
            )
        names = [str(name) for name in first.facts["names"]]
        #: What it serves with, by name.
        self.sockets = Sockets(
            dict(zip(names, first.descriptors, strict=True)), frozenset(first.facts["fixed"])
        )
        #: How many transfers have not ended there, once it says so.
        self.draining: int | None = None
        #: It has not ended itself.
        self.lives = True

    def take(self) -> Estate:
        """What it remembers; from here on nobody reads the doors. Raises NotTaken."""
        self._line.send("prepared")
        message = self._line.receive(_START_SECONDS)
        if message is None or message.kind != "estate":
            raise NotTaken("the service before this one did not hand over")
        facts, native, *connections = message.descriptors
        return Estate(
            json.loads(_content(facts)),
            _content(native),
            [
                (socket.socket(fileno=descriptor), str(rest))
                for descriptor, rest in zip(connections, message.facts["rests"], strict=True)
            ],
        )

    def serving(self) -> None:
        """This process is the service now. Raises NotTaken."""
        self._line.send("serving")

    def fail(self, why: str) -> None:
        """This process never will be."""
        with suppress(NotTaken):
            self._line.send("failed", why=why)

    def events(self) -> Iterator[str]:
        """What it told since the last call, until it no longer `lives`."""
        try:
            while (message := self._line.receive(0)) is not None:
                if message.kind == "event":
                    yield str(message.facts["line"])
                else:
                    self.draining = int(message.facts["transfers"])
        except NotTaken:
            self.lives = False
            self._line.close()


def _memory(data: bytes) -> int:
    """A descriptor of these bytes."""
    descriptor = os.memfd_create("pxefast", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    return descriptor


def _content(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        file.seek(0)
        return file.read()
